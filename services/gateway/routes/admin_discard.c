/* POST /api/admin/dead-letters/{id}/discard: a dead letter that nobody needs, for a reason. */
#include "proto/timestamp.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/gateway/admin_auth.h"
#include "services/gateway/api.h"
#include "services/gateway/json_answer.h"
#include "services/gateway/routes/admin_request.h"
#include "services/gateway/routes/letter_ending.h"
#include "services/gateway/routes/routes.h"
#include <stdio.h>
#include <string.h>

struct discard {
    struct request_guard guard;
    struct letter_settling settling;
    char by[OPERATOR_MAX_LEN + 1];
    char reason[ADMIN_REASON_MAX_BYTES + 1];
};

static dead_letters_settled_fn on_settled;

void discard_dead_letter(struct request *request, h2o_iovec_t rest)
{
    static const char *const members[] = {"reason", NULL};
    int64_t id;
    if (!admin_number(rest.base, rest.len, &id)) {
        reply_problem(request, PROBLEM_DEAD_LETTER_NOT_FOUND, NULL);
        return;
    }
    json_t *body = admin_read_body(request, members);
    if (body == NULL)
        return;
    const char *reason = admin_read_reason(request, body);
    if (reason == NULL) {
        json_decref(body);
        return;
    }
    struct discard *discard = request_guard_new(
        request, sizeof(*discard), 2 * ORDER_STORE_TIMEOUT_MS, PROBLEM_OUTCOME_UNKNOWN);
    snprintf(discard->by, sizeof(discard->by), "%s", request->operator_name);
    snprintf(discard->reason, sizeof(discard->reason), "%s", reason);
    json_decref(body);
    discard->settling = (struct letter_settling){
        .id = id, .at_us = timestamp_now_us(), .by = discard->by, .reason = discard->reason};
    struct dead_letters *letters = request->api->dead_letters;
    if (letters->settle(letters->self, &discard->settling, on_settled, discard) != 0)
        request_guard_fail(&discard->guard, PROBLEM_STORE_UNAVAILABLE);
}

static void on_settled(void *arg, enum order_store_status status, enum letter_settled result,
                       const struct letter *letter)
{
    struct discard *discard = arg;
    struct request_guard *guard = &discard->guard;
    if (status != ORDER_STORE_OK) {
        request_guard_fail(guard, order_store_problem(status));
    } else if (result == LETTER_SETTLED) {
        log_info("a dead letter is discarded", log_text("operator", discard->by),
                 log_number("letter", discard->settling.id), log_text("reason", discard->reason));
        json_t *json = json_object();
        json_add_number(json, "id", discard->settling.id);
        json_add_text(json, "state", LETTER_STATE_DISCARDED);
        reply_json(guard->request, 200, json);
        request_guard_end(guard);
    } else if (result == LETTER_ENDED) {
        char detail[ENDING_DETAIL_SIZE];
        letter_ended_detail(letter, detail);
        reply_problem(guard->request, PROBLEM_DEAD_LETTER_SETTLED, detail);
        request_guard_end(guard);
    } else {
        request_guard_fail(guard, PROBLEM_DEAD_LETTER_NOT_FOUND);
    }
}
