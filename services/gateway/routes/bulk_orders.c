/* POST /api/bulk-orders: many orders, all or none, straight into the store; their outbox rows bring
 * them to the queue, and so into the search.
 *
 * With an Idempotency-Key the ids come from the key and each order's place, so the store recognises
 * a replay and other content. A replay with fewer orders would look like one that is complete; that
 * the key stands for no further order is asked after the store has answered, when nobody can add
 * one any more. */
#include "proto/order_json.h"
#include "proto/timestamp.h"
#include "services/gateway/api.h"
#include "services/gateway/idempotency_key.h"
#include "services/gateway/routes/routes.h"
#include <stdlib.h>
#include <string.h>

struct bulk_orders {
    struct request_guard guard;
    struct api *api;
    bool keyed;
    struct order_id beyond; /* the id of the order after the last, with a key */
    size_t count;
    struct order orders[];
};

/* The steps, in the order of the flow. */
static void store_bulk(struct request *request, const struct order *orders, size_t count,
                       const h2o_iovec_t *key);
static order_store_inserted_fn on_stored;
static order_store_found_fn on_beyond;
static void answer(struct bulk_orders *bulk);

void bulk_orders(struct request *request, h2o_iovec_t rest)
{
    (void)rest;
    h2o_iovec_t key;
    enum idempotency_key_result keyed = idempotency_key_read(request, &key);
    if (keyed == IDEMPOTENCY_KEY_INVALID) {
        reply_problem(request, PROBLEM_INVALID_IDEMPOTENCY_KEY, NULL);
        return;
    }

    const h2o_iovec_t body = request->req->entity;
    struct order *orders = h2o_mem_alloc(ORDER_BULK_MAX_ITEMS * sizeof(*orders));
    size_t count = 0;
    struct error err;
    enum decode_result decoded =
        bulk_request_from_json(body.base != NULL ? body.base : "", body.len, orders, &count, &err);
    if (decoded == DECODE_OK)
        store_bulk(request, orders, count, keyed == IDEMPOTENCY_KEY_GIVEN ? &key : NULL);
    else
        reply_problem(request, decode_problem(decoded), err.message);
    free(orders);
}

/* Store the orders, of which only names and amounts are known yet. */
static void store_bulk(struct request *request, const struct order *orders, size_t count,
                       const h2o_iovec_t *key)
{
    struct bulk_orders *bulk =
        request_guard_new(request, sizeof(*bulk) + count * sizeof(bulk->orders[0]),
                          2 * ORDER_STORE_TIMEOUT_MS, PROBLEM_OUTCOME_UNKNOWN);
    bulk->api = request->api;
    bulk->count = count;
    bulk->keyed = key != NULL;
    int64_t now_us = timestamp_now_us();
    for (size_t i = 0; i < count; i++) {
        struct order *order = &bulk->orders[i];
        order_copy(order, &orders[i]);
        order->created_at_us = now_us;
        order->id = key != NULL ? idempotency_key_bulk_order(request, *key, i)
                                : order_id_new(now_us / 1000);
    }
    if (key != NULL)
        bulk->beyond = idempotency_key_bulk_order(request, *key, count);

    struct order_store *store = bulk->api->store;
    if (store->insert_bulk(store->self, bulk->orders, bulk->count, &bulk->guard.trace, on_stored,
                           bulk) != 0)
        request_guard_fail(&bulk->guard, PROBLEM_STORE_UNAVAILABLE);
}

static void on_stored(void *arg, enum order_store_status status)
{
    struct bulk_orders *bulk = arg;
    struct order_reader *reader = bulk->api->reader;
    if (status != ORDER_STORE_OK) {
        request_guard_fail(&bulk->guard, order_store_problem(status));
        return;
    }
    if (!bulk->keyed)
        answer(bulk);
    else if (reader->find(reader->self, &bulk->beyond, on_beyond, bulk) != 0)
        on_beyond(bulk, ORDER_STORE_UNAVAILABLE, NULL);
}

static void on_beyond(void *arg, enum order_store_status status, const struct order *order)
{
    struct bulk_orders *bulk = arg;
    if (status != ORDER_STORE_OK) /* the same key tells it later */
        request_guard_fail(&bulk->guard, PROBLEM_OUTCOME_UNKNOWN);
    else if (order != NULL)
        request_guard_fail(&bulk->guard, PROBLEM_IDEMPOTENCY_KEY_REUSED);
    else
        answer(bulk);
}

static void answer(struct bulk_orders *bulk)
{
    static const char head[] = "{\"order_ids\":[", tail[] = "]}";
    char *json = h2o_mem_alloc(sizeof(head) + sizeof(tail) +
                               bulk->count * (ORDER_ID_TEXT_LEN + sizeof("\"\",")));
    size_t len = sizeof(head) - 1;
    memcpy(json, head, len);
    for (size_t i = 0; i < bulk->count; i++) {
        if (i > 0)
            json[len++] = ',';
        json[len++] = '"';
        order_id_format(&bulk->orders[i].id, json + len);
        len += ORDER_ID_TEXT_LEN;
        json[len++] = '"';
    }
    memcpy(json + len, tail, sizeof(tail) - 1);
    len += sizeof(tail) - 1;

    reply_header(bulk->guard.request, "cache-control", "no-store");
    reply_send(bulk->guard.request, 201, "application/json", json, len);
    free(json);
    metric_add(bulk->api->metrics->bulk_orders_accepted, bulk->count);
    request_guard_end(&bulk->guard);
}
