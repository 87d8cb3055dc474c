/* GET /api/orders/{id}/status: what has become of an order.
 *
 * The cache, the store (the row and the dead letters, in one query) and the index are asked side by
 * side. The answer is given when all have answered, or after a second with what is known by then.
 * What could not be asked is null, never false.
 *
 * The state is the first of these that holds:
 *   searchable  searches find the document
 *   dead        the order died at a stage, nobody has replayed it since, and it has no document
 *   stored      its row is committed
 *   accepted    it is known, and on its way */
#include "proto/order_json.h"
#include "services/gateway/api.h"
#include "services/gateway/json_answer.h"
#include "services/gateway/routes/routes.h"
#include <string.h>

/* The guard answers 0.1 to 0.2 s after its time. */
#define ANSWER_TIMEOUT_MS 900

enum fact { FACT_UNKNOWN, FACT_FALSE, FACT_TRUE };

struct order_status {
    struct request_guard guard;
    struct order_id id;
    unsigned asked; /* sources that have not answered yet */
    enum fact cached, stored, searchable;
    bool died;
    bool dated;
    int64_t accepted_at_us;
    json_t *letters; /* NULL: unknown */
};

static order_cache_done_fn on_entry;
static order_store_fate_fn on_fate;
static order_document_fn on_document;
static void answer_late(struct request_guard *guard);

void order_status(struct request *request, h2o_iovec_t rest)
{
    struct order_id id;
    if (order_id_parse(rest.base, rest.len, &id) != 0) {
        reply_problem(request, PROBLEM_INVALID_ORDER_ID, NULL);
        return;
    }
    struct api *api = request->api;
    struct order_status *status =
        request_guard_new(request, sizeof(*status), ANSWER_TIMEOUT_MS, PROBLEM_DEADLINE_EXCEEDED);
    status->guard.answer_late = answer_late;
    status->id = id;
    status->asked = 3;
    if (api->search->has_document(api->search->self, &id, on_document, status) != 0)
        on_document(status, ORDER_DOCUMENT_UNKNOWN);
    if (api->store->fate(api->store->self, &id, on_fate, status) != 0)
        on_fate(status, ORDER_STORE_UNAVAILABLE, NULL);
    if (api->cache->get(api->cache->self, &id, on_entry, status) != 0)
        on_entry(status, ORDER_CACHE_UNAVAILABLE, NULL, 0);
}

/* ---- the answer ---- */

static const char *state_of(const struct order_status *status)
{
    if (status->searchable == FACT_TRUE)
        return "searchable";
    /* There is no document without a row. */
    if (status->died && (status->searchable == FACT_FALSE || status->stored == FACT_FALSE))
        return "dead";
    return status->stored == FACT_TRUE ? "stored" : "accepted";
}

static json_t *fact_json(enum fact fact)
{
    return fact == FACT_UNKNOWN ? json_null() : json_boolean(fact == FACT_TRUE);
}

static void send_status(const struct order_status *status)
{
    json_t *body = json_object();
    json_add(body, "order_id", json_order_id(&status->id));
    json_add(body, "state", json_string(state_of(status)));
    json_add(body, "accepted_at", status->dated ? json_time(status->accepted_at_us) : NULL);
    json_add(body, "stored", fact_json(status->stored));
    json_add(body, "searchable", fact_json(status->searchable));
    json_add(body, "dead_letters", json_incref(status->letters));
    reply_json(status->guard.request, 200, body);
}

/* Answer, unless that is done. */
static void answer(const struct order_status *status)
{
    struct request *request = status->guard.request;
    if (request == NULL)
        return;
    bool stored_asked = status->cached == FACT_TRUE || status->stored != FACT_UNKNOWN;
    bool known = status->cached == FACT_TRUE || status->stored == FACT_TRUE ||
                 status->searchable == FACT_TRUE || json_array_size(status->letters) > 0;
    if (stored_asked && known) {
        send_status(status);
        return;
    }
    reply_problem(request,
                  stored_asked && status->cached == FACT_FALSE ? PROBLEM_ORDER_NOT_FOUND
                                                               : PROBLEM_ORDER_STATE_UNKNOWN,
                  NULL);
}

static void answer_late(struct request_guard *guard)
{
    answer((struct order_status *)guard);
}

static void source_answered(struct order_status *status)
{
    if (--status->asked > 0)
        return;
    answer(status);
    json_decref(status->letters);
    request_guard_end(&status->guard);
}

/* ---- the sources ---- */

static void on_document(void *arg, enum order_document document)
{
    struct order_status *status = arg;
    switch (document) {
    case ORDER_DOCUMENT_FOUND:
        status->searchable = FACT_TRUE;
        break;
    case ORDER_DOCUMENT_ABSENT:
        status->searchable = FACT_FALSE;
        break;
    case ORDER_DOCUMENT_UNKNOWN:
        break;
    }
    source_answered(status);
}

static void on_entry(void *arg, enum order_cache_status result, const char *entry, size_t entry_len)
{
    struct order_status *status = arg;
    struct order order;
    if (result == ORDER_CACHE_ABSENT) {
        status->cached = FACT_FALSE;
    } else if (result == ORDER_CACHE_FOUND) {
        bool is_order = order_from_json(entry, entry_len, &order, NULL) == DECODE_OK &&
                        order_id_equal(&order.id, &status->id);
        status->cached = is_order ? FACT_TRUE : FACT_FALSE;
        if (is_order) {
            status->dated = true; /* as GET /api/orders/{id} shows it */
            status->accepted_at_us = order.created_at_us;
        }
    }
    source_answered(status);
}

/* Whether the letter tells of the order's own death. An order of the same id but another content
 * died of id_conflict, and nothing was an order that died before the stages. */
static bool is_death(const struct dead_letter_brief *letter)
{
    return (strcmp(letter->stage, "persist") == 0 || strcmp(letter->stage, "index") == 0) &&
           strcmp(letter->reason, "id_conflict") != 0;
}

/* A letter that is dead still is the order's end, and so is the newest one when it was discarded.
 * When the newest was replayed, the order is on its way again. */
static bool has_died(const struct order_fate *fate)
{
    const struct dead_letter_brief *newest = NULL;
    for (size_t i = 0; i < fate->letter_count; i++) {
        const struct dead_letter_brief *letter = &fate->letters[i];
        if (!is_death(letter))
            continue;
        if (strcmp(letter->state, "dead") == 0)
            return true;
        if (newest == NULL)
            newest = letter;
    }
    return newest != NULL && strcmp(newest->state, "discarded") == 0;
}

static json_t *letter_json(const struct dead_letter_brief *letter)
{
    json_t *json = json_object();
    json_add(json, "id", json_integer(letter->id));
    json_add(json, "reason", json_string(letter->reason));
    json_add(json, "stage", json_string(letter->stage));
    json_add(json, "died_at", json_time(letter->died_at_us));
    json_add(json, "state", json_string(letter->state));
    json_add(json, "replayed_as", letter->replayed ? json_order_id(&letter->replayed_as) : NULL);
    return json;
}

static void on_fate(void *arg, enum order_store_status result, const struct order_fate *fate)
{
    struct order_status *status = arg;
    if (result == ORDER_STORE_OK) {
        status->stored = fate->stored ? FACT_TRUE : FACT_FALSE;
        if (fate->archived) {
            status->died = has_died(fate);
            status->letters = json_array();
            for (size_t i = 0; i < fate->letter_count; i++)
                if (json_array_append_new(status->letters, letter_json(&fate->letters[i])) != 0)
                    abort(); /* out of memory */
        }
        if (fate->dated && status->cached != FACT_TRUE && (fate->stored || fate->archived)) {
            status->dated = true;
            status->accepted_at_us = fate->created_at_us;
        }
    }
    source_answered(status);
}
