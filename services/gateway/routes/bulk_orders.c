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
#include "services/gateway/problem.h"
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

static void finish(struct bulk_orders *bulk)
{
    request_guard_close(&bulk->guard);
    free(bulk);
}

static void fail(struct bulk_orders *bulk, enum problem problem)
{
    problem_send(bulk->guard.request, problem, NULL);
    finish(bulk);
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
    finish(bulk);
}

static void on_beyond(void *arg, enum order_store_status status, const struct order *order)
{
    struct bulk_orders *bulk = arg;
    if (status != ORDER_STORE_OK)
        fail(bulk, PROBLEM_OUTCOME_UNKNOWN);
    else if (order != NULL)
        fail(bulk, PROBLEM_IDEMPOTENCY_KEY_REUSED);
    else
        answer(bulk);
}

static void on_stored(void *arg, enum order_store_status status)
{
    struct bulk_orders *bulk = arg;
    struct order_queue *queue = bulk->api->queue;
    struct order_store *store = bulk->api->store;
    switch (status) {
    case ORDER_STORE_OK:
        queue->wake_outbox(queue->self);
        if (!bulk->keyed)
            answer(bulk);
        else if (store->find(store->self, &bulk->beyond, on_beyond, bulk) != 0)
            fail(bulk, PROBLEM_OUTCOME_UNKNOWN); /* the same key tells it later */
        return;
    case ORDER_STORE_CONFLICT:
        fail(bulk, PROBLEM_IDEMPOTENCY_KEY_REUSED);
        return;
    case ORDER_STORE_UNKNOWN:
        fail(bulk, PROBLEM_OUTCOME_UNKNOWN);
        return;
    case ORDER_STORE_UNAVAILABLE:
        fail(bulk, PROBLEM_STORE_UNAVAILABLE);
        return;
    case ORDER_STORE_FAILED:
        fail(bulk, PROBLEM_STORE_FAILED);
        return;
    }
}

/* A bulk of `orders` with their ids, ready to be stored. */
static struct bulk_orders *bulk_new(struct request *request, const struct order *orders,
                                    size_t count, const h2o_iovec_t *key)
{
    struct bulk_orders *bulk = h2o_mem_alloc(sizeof(*bulk) + count * sizeof(bulk->orders[0]));
    bulk->api = request->api;
    bulk->count = count;
    bulk->keyed = key != NULL;
    int64_t now_us = timestamp_now_us();
    for (size_t i = 0; i < count; i++) {
        struct order *order = &bulk->orders[i];
        order_set_name(order, orders[i].product_name, orders[i].product_name_len);
        order->amount_cents = orders[i].amount_cents;
        order->created_at_us = now_us;
        order->id = key != NULL ? idempotency_key_bulk_order(request, *key, i)
                                : order_id_new(now_us / 1000);
    }
    if (key != NULL)
        bulk->beyond = idempotency_key_bulk_order(request, *key, count);
    return bulk;
}

void bulk_orders(struct request *request, h2o_iovec_t rest)
{
    (void)rest;
    h2o_iovec_t key;
    enum idempotency_key_result keyed = idempotency_key_read(request, &key);
    if (keyed == IDEMPOTENCY_KEY_INVALID) {
        problem_send(request, PROBLEM_INVALID_IDEMPOTENCY_KEY, NULL);
        return;
    }

    const h2o_iovec_t body = request->req->entity;
    struct order *orders = h2o_mem_alloc(ORDER_BULK_MAX_ITEMS * sizeof(*orders));
    size_t count = 0;
    struct error err;
    struct bulk_orders *bulk = NULL;
    switch (bulk_request_from_json(body.base != NULL ? body.base : "", body.len, orders, &count,
                                   &err)) {
    case DECODE_MALFORMED:
        problem_send(request, PROBLEM_MALFORMED_ORDER, err.message);
        break;
    case DECODE_UNACCEPTABLE:
        problem_send(request, PROBLEM_UNACCEPTABLE_ORDER, err.message);
        break;
    case DECODE_OK:
        bulk = bulk_new(request, orders, count, keyed == IDEMPOTENCY_KEY_GIVEN ? &key : NULL);
        break;
    }
    free(orders);
    if (bulk == NULL)
        return;

    request_guard_open(&bulk->guard, request, 2 * ORDER_STORE_TIMEOUT_MS, PROBLEM_OUTCOME_UNKNOWN);
    struct order_store *store = bulk->api->store;
    if (store->insert_bulk(store->self, bulk->orders, bulk->count, on_stored, bulk) != 0)
        fail(bulk, PROBLEM_STORE_UNAVAILABLE);
}
