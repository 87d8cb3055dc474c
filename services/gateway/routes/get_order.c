/* GET /api/orders/{id}: from the cache, else from the store; else it may be a dead letter.
 *
 * An order that was accepted never answers 404. Between its 202 and its row it is found in the
 * cache alone, so "not in the store" means "no such order" only when the cache has been asked too:
 * while it cannot be, the answer is 503. Orders accepted during an outage of the cache are written
 * to it when it is back (adapters/redis_cache.c). Left is a cache that loses what it had been given
 * (restarted without persistence, evicting) before the order is stored.
 *
 * Both ways the answer is the order encoded anew, so that HIT and MISS are the same bytes
 * whichever program wrote the entry. */
#include "proto/order_json.h"
#include "services/gateway/api.h"
#include "services/gateway/routes/routes.h"

struct get_order {
    struct request_guard guard;
    struct api *api;
    struct order_id id;
    bool cache_answered;
    bool letters_asked;
};

/* The callbacks, in the order of the flow. */
static order_cache_done_fn on_entry;
static void look_in_store(struct get_order *get);
static order_store_found_fn on_row;
static void look_for_letters(struct get_order *get);
static order_store_fate_fn on_fate;

void get_order(struct request *request, h2o_iovec_t rest)
{
    struct order_id id;
    if (order_id_parse(rest.base, rest.len, &id) != 0) {
        reply_problem(request, PROBLEM_INVALID_ORDER_ID, NULL);
        return;
    }

    struct get_order *get =
        request_guard_new(request, sizeof(*get), ORDER_STORE_TIMEOUT_MS, PROBLEM_DEADLINE_EXCEEDED);
    get->api = request->api;
    get->id = id;
    struct order_cache *cache = get->api->cache;
    if (cache->get(cache->self, &get->id, on_entry, get) != 0)
        on_entry(get, ORDER_CACHE_UNAVAILABLE, NULL, 0);
}

static void answer(struct get_order *get, const char *cache, const char *json, size_t json_len)
{
    struct request *request = get->guard.request;
    reply_header(request, "x-cache", cache);
    reply_header(request, "cache-control", "no-store");
    reply_send(request, 200, "application/json", json, json_len);
    request_guard_end(&get->guard);
}

static void on_entry(void *arg, enum order_cache_status status, const char *entry, size_t entry_len)
{
    struct get_order *get = arg;
    const struct api_metrics *metrics = get->api->metrics;
    struct order order;

    if (status == ORDER_CACHE_FOUND &&
        order_from_json(entry, entry_len, &order, NULL) == DECODE_OK &&
        order_id_equal(&order.id, &get->id)) {
        char json[ORDER_JSON_SIZE];
        size_t len = order_to_json(&order, json);
        metric_add(metrics->cache_hits, 1);
        answer(get, "HIT", json, len);
        return;
    }

    get->cache_answered = status == ORDER_CACHE_ABSENT;
    metric_add(get->cache_answered ? metrics->cache_misses : metrics->cache_failures, 1);
    look_in_store(get);
}

static void look_in_store(struct get_order *get)
{
    struct order_reader *reader = get->api->reader;
    if (reader->find(reader->self, &get->id, on_row, get) != 0)
        on_row(get, ORDER_STORE_UNAVAILABLE, NULL);
}

static void on_row(void *arg, enum order_store_status status, const struct order *order)
{
    struct get_order *get = arg;
    if (status != ORDER_STORE_OK) {
        request_guard_fail(&get->guard, order_store_problem(status));
    } else if (order == NULL && !get->cache_answered) {
        request_guard_fail(&get->guard, PROBLEM_ORDER_STATE_UNKNOWN);
    } else if (order == NULL && get->letters_asked) {
        /* It is stored; this answer is that of a read that began before, for several requests. */
        request_guard_fail(&get->guard, PROBLEM_ORDER_STATE_UNKNOWN);
    } else if (order == NULL) {
        look_for_letters(get);
    } else {
        struct order_cache *cache = get->api->cache;
        char json[ORDER_JSON_SIZE];
        size_t len = order_to_json(order, json);
        cache->fill(cache->self, &get->id, json, len);
        answer(get, "MISS", json, len);
    }
}

static void look_for_letters(struct get_order *get)
{
    struct order_store *store = get->api->store;
    get->letters_asked = true;
    if (store->fate(store->self, &get->id, on_fate, get) != 0)
        on_fate(get, ORDER_STORE_UNAVAILABLE, NULL);
}

static void on_fate(void *arg, enum order_store_status status, const struct order_fate *fate)
{
    struct get_order *get = arg;
    if (status != ORDER_STORE_OK) {
        request_guard_fail(&get->guard, order_store_problem(status));
    } else if (fate->stored) {
        look_in_store(get); /* it was stored meanwhile, as the order of a replayed letter is */
    } else if (fate->archived && fate->letter_count > 0) {
        request_guard_fail(&get->guard, PROBLEM_ORDER_DEAD);
    } else {
        request_guard_fail(&get->guard, PROBLEM_ORDER_NOT_FOUND);
    }
}
