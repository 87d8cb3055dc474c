/* POST /api/admin/dead-letters/{id}/replay: a dead letter goes to the queue again, as it is or with
 * a corrected order.
 *
 *   as it is:   look at the letter → settle it → 200. The cache is not touched.
 *   corrected:  look at the letter → look for a row → replace the cache entry, provisionally →
 *               settle → keep the entry → 200
 *
 * An order that is stored is refused before its cache entry is touched, and once more by the
 * transaction.
 *
 * Settling is one transaction: it marks the letter and puts the order into the outbox. Whatever
 * ends the flow before it leaves an entry that vanishes within 30 s, and an order that is dead as
 * before; whatever ends it afterwards, one that vanishes before the row is read. When the letter is
 * certainly not settled by this request, the entry is removed at once. Two that correct the same
 * letter replace each other's entry; only the one of the winner is kept, and only if it is there
 * (order_cache.h). */
#include "proto/json_span.h"
#include "proto/timestamp.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/gateway/admin_auth.h"
#include "services/gateway/api.h"
#include "services/gateway/json_answer.h"
#include "services/gateway/routes/admin_request.h"
#include "services/gateway/routes/corrected_order.h"
#include "services/gateway/routes/letter_ending.h"
#include "services/gateway/routes/routes.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_TIMEOUT_MS (3 * ORDER_STORE_TIMEOUT_MS) /* the reads, the cache, the settling */

struct replay {
    struct request_guard guard;
    struct api *api;
    char by[OPERATOR_MAX_LEN + 1];
    char trace_id[TRACE_ID_TEXT_LEN + 1]; /* the letter's, which the replay keeps */
    bool corrected;
    struct correction correction;
    char *correction_json;
    struct letter_settling settling;
    size_t json_len;
    char json[ORDER_JSON_SIZE]; /* the corrected order, for the cache */
    enum problem refusal;       /* why it was not settled, with its detail */
    char detail[ENDING_DETAIL_SIZE];
};

/* The steps, each with the callback in which the flow goes on. */
static dead_letters_found_fn on_letter;
static void take_as_it_is(struct replay *replay, const struct letter *letter,
                          const struct letter_content *content);
static void take_corrected(struct replay *replay, const struct letter *letter,
                           const struct letter_content *content);
static order_store_found_fn on_row;
static void replace_entry(struct replay *replay);
static order_cache_done_fn on_replaced;
static void settle(struct replay *replay);
static dead_letters_settled_fn on_settled;
static order_cache_done_fn on_kept, on_removed;

static void replay_free(struct replay *replay)
{
    free(replay->correction_json);
    request_guard_end(&replay->guard);
}

static void fail(struct replay *replay, enum problem problem, const char *detail)
{
    reply_problem(replay->guard.request, problem, detail);
    replay_free(replay);
}

/* ---- the request ---- */

/* Read the correction, whose text stays the request's. Returns false when the request is at fault
 * and answered. */
static bool read_correction(struct request *request, const json_t *body,
                            struct correction *correction)
{
    static const char *const members[] = {"product_name", "amount", "id", "created_at", NULL};
    const json_t *order = json_object_get(body, "order");
    const char *unknown;
    if (!admin_read_switch(request, body, "new_id", &correction->new_id))
        return false;
    if (order == NULL && !correction->new_id)
        return true;
    if (!json_is_object(order)) {
        reply_problem(request, PROBLEM_MALFORMED_REQUEST, "order must be an object");
        return false;
    }
    if (!admin_members_known(order, members, &unknown)) {
        reply_problem(request, PROBLEM_MALFORMED_REQUEST,
                      "order may have product_name, amount, id and created_at alone");
        return false;
    }
    if (json_object_size(order) == 0) {
        reply_problem(request, PROBLEM_UNACCEPTABLE_ORDER, "order has no product_name");
        return false;
    }
    const h2o_iovec_t text = request->req->entity;
    struct json_span span = json_span_member((struct json_span){text.base, text.len}, "order");
    correction->json = span.text;
    correction->json_len = span.len;
    correction->has_id = json_object_get(order, "id") != NULL;
    correction->has_created_at = json_object_get(order, "created_at") != NULL;
    return true;
}

void replay_dead_letter(struct request *request, h2o_iovec_t rest)
{
    static const char *const members[] = {"order", "new_id", NULL};
    struct correction correction = {.json = NULL};
    int64_t id;
    if (!admin_number(rest.base, rest.len, &id)) {
        reply_problem(request, PROBLEM_DEAD_LETTER_NOT_FOUND, NULL);
        return;
    }
    json_t *body = admin_read_body(request, members);
    if (body == NULL)
        return;
    bool read = read_correction(request, body, &correction);
    json_decref(body);
    if (!read)
        return;

    struct replay *replay =
        request_guard_new(request, sizeof(*replay), ANSWER_TIMEOUT_MS, PROBLEM_OUTCOME_UNKNOWN);
    replay->api = request->api;
    snprintf(replay->by, sizeof(replay->by), "%s", request->operator_name);
    replay->corrected = correction.json != NULL;
    replay->correction = correction;
    if (replay->corrected)
        replay->correction.json = replay->correction_json =
            memory_copy(correction.json, correction.json_len);
    replay->settling.id = id;
    replay->settling.by = replay->by;
    struct dead_letters *letters = replay->api->dead_letters;
    if (letters->find(letters->self, id, on_letter, replay) != 0)
        fail(replay, PROBLEM_STORE_UNAVAILABLE, NULL);
}

/* ---- the letter ---- */

static void on_letter(void *arg, enum order_store_status status, const struct letter *letter,
                      const struct letter_content *content)
{
    struct replay *replay = arg;
    if (status != ORDER_STORE_OK) {
        fail(replay, order_store_problem(status), NULL);
    } else if (letter == NULL) {
        fail(replay, PROBLEM_DEAD_LETTER_NOT_FOUND, NULL);
    } else if (strcmp(letter->state, LETTER_STATE_DEAD) != 0) {
        letter_ended_detail(letter, replay->detail);
        fail(replay, PROBLEM_DEAD_LETTER_SETTLED, replay->detail);
    } else {
        memcpy(replay->trace_id, letter->trace_id, sizeof(replay->trace_id));
        if (replay->corrected)
            take_corrected(replay, letter, content);
        else
            take_as_it_is(replay, letter, content);
    }
}

static void take_as_it_is(struct replay *replay, const struct letter *letter,
                          const struct letter_content *content)
{
    struct error why;
    if ((int64_t)content->body_len < letter->body_bytes) {
        error_set(&why, "the body has %" PRId64 " bytes, of which the first are kept",
                  letter->body_bytes);
        fail(replay, PROBLEM_NOT_AN_ORDER, why.message);
    } else if (order_from_json(content->body, content->body_len, &replay->settling.order, &why) !=
               DECODE_OK) {
        fail(replay, PROBLEM_NOT_AN_ORDER, why.message);
    } else {
        settle(replay);
    }
}

static void take_corrected(struct replay *replay, const struct letter *letter,
                           const struct letter_content *content)
{
    struct letter_settling *settling = &replay->settling;
    enum problem problem = PROBLEM_UNACCEPTABLE_ORDER;
    struct error why;
    if (!corrected_order(&replay->correction, letter, content, &settling->order, &problem, &why)) {
        fail(replay, problem, why.message);
        return;
    }
    /* The row of an id_conflict is another order's. */
    bool conflict = strcmp(letter->reason, LETTER_REASON_CONFLICT) == 0;
    settling->needs_free_id = !conflict;
    settling->free_id = letter->has_order_id ? letter->order_id : settling->order.id;
    struct order_reader *reader = replay->api->reader;
    if (conflict)
        replace_entry(replay);
    else if (reader->find(reader->self, &settling->free_id, on_row, replay) != 0)
        fail(replay, PROBLEM_STORE_UNAVAILABLE, NULL);
}

static void on_row(void *arg, enum order_store_status status, const struct order *row)
{
    struct replay *replay = arg;
    if (status != ORDER_STORE_OK)
        fail(replay, order_store_problem(status), NULL);
    else if (row != NULL)
        fail(replay, PROBLEM_ORDER_STORED, NULL);
    else
        replace_entry(replay);
}

static void replace_entry(struct replay *replay)
{
    const struct order *order = &replay->settling.order;
    struct order_cache *cache = replay->api->cache;
    replay->json_len = order_to_json(order, replay->json);
    if (cache->replace(cache->self, &order->id, replay->json, replay->json_len, on_replaced,
                       replay) != 0)
        fail(replay, PROBLEM_CACHE_UNAVAILABLE, NULL);
}

/* Without an answer the entry may be there: it vanishes by itself. */
static void on_replaced(void *arg, enum order_cache_status status, const char *entry,
                        size_t entry_len)
{
    (void)entry, (void)entry_len;
    struct replay *replay = arg;
    if (status == ORDER_CACHE_OK)
        settle(replay);
    else
        fail(replay, PROBLEM_CACHE_UNAVAILABLE, NULL);
}

/* ---- settle ---- */

static void settle(struct replay *replay)
{
    struct dead_letters *letters = replay->api->dead_letters;
    replay->settling.at_us = timestamp_now_us();
    if (letters->settle(letters->self, &replay->settling, on_settled, replay) != 0)
        on_settled(replay, ORDER_STORE_UNAVAILABLE, LETTER_FAILED, NULL);
}

static void answer(struct replay *replay)
{
    const struct letter_settling *settling = &replay->settling;
    char order_id[ORDER_ID_TEXT_LEN + 1];
    order_id_format(&settling->order.id, order_id);
    log_info("a dead letter is replayed", log_text("operator", replay->by),
             log_number("letter", settling->id), log_text("order_id", order_id),
             log_text("trace_id", replay->trace_id),
             log_text("body", replay->corrected ? "corrected" : "as it is"));
    json_t *json = json_object();
    json_add_number(json, "id", settling->id);
    json_add_text(json, "state", LETTER_STATE_REPLAYED);
    json_add_text(json, "order_id", order_id);
    reply_json(replay->guard.request, 200, json);
    replay_free(replay);
}

/* The problem of what certainly has not happened. */
static enum problem refusal_of(enum order_store_status status, enum letter_settled result)
{
    if (status != ORDER_STORE_OK)
        return order_store_problem(status);
    switch (result) {
    case LETTER_SETTLED:
    case LETTER_FAILED:
        break;
    case LETTER_ENDED:
        return PROBLEM_DEAD_LETTER_SETTLED;
    case LETTER_ORDER_STORED:
        return PROBLEM_ORDER_STORED;
    case LETTER_MISSING:
        return PROBLEM_DEAD_LETTER_NOT_FOUND;
    }
    abort(); /* success is no problem */
}

static void on_settled(void *arg, enum order_store_status status, enum letter_settled result,
                       const struct letter *letter)
{
    struct replay *replay = arg;
    struct order_cache *cache = replay->api->cache;
    const struct order_id *id = &replay->settling.order.id;
    if (status == ORDER_STORE_UNKNOWN) {
        log_warn("a dead letter may be replayed, or not", log_text("operator", replay->by),
                 log_number("letter", replay->settling.id), log_text("trace_id", replay->trace_id));
        fail(replay, PROBLEM_OUTCOME_UNKNOWN, "the letter tells whether it was replayed");
    } else if (status == ORDER_STORE_OK && result == LETTER_SETTLED) {
        if (!replay->corrected ||
            cache->keep(cache->self, id, replay->json, replay->json_len, on_kept, replay) != 0)
            answer(replay);
    } else {
        replay->refusal = refusal_of(status, result);
        if (letter != NULL)
            letter_ended_detail(letter, replay->detail);
        if (!replay->corrected || cache->remove(cache->self, id, on_removed, replay) != 0)
            on_removed(replay, ORDER_CACHE_UNAVAILABLE, NULL, 0);
    }
}

/* The cache's answer does not matter: an entry that is not kept vanishes, and the row is read. */
static void on_kept(void *arg, enum order_cache_status status, const char *entry, size_t entry_len)
{
    (void)status, (void)entry, (void)entry_len;
    answer(arg);
}

/* Nor does it here: an entry that could not be removed vanishes by itself. */
static void on_removed(void *arg, enum order_cache_status status, const char *entry,
                       size_t entry_len)
{
    (void)status, (void)entry, (void)entry_len;
    struct replay *replay = arg;
    fail(replay, replay->refusal, replay->detail[0] != '\0' ? replay->detail : NULL);
}
