/* POST /api/orders: accept one order.
 *
 * Without a key:  publish → put the cache entry → 202.
 * With a key:     what does the key stand for? cache, then store
 *                 → reserve the cache entry → publish → confirm the entry → 202.
 *
 * Without a key nobody knows the id before the 202, so there is no entry before the confirm. With
 * one, another request may have the same id, and the reserved entry decides whose order it names.
 * Nothing is kept when the order is refused for certain. When the outcome is unknown the reserved
 * entry stays: should the client come back with the same key in time, the very same order is
 * published again (same created_at), and one that was stored already is the same row.
 *
 * What a key stands for is remembered by the cache (for its TTL) and by the store (for ever). One
 * of the two must have been asked: with the store down, a key that the cache does not know is taken
 * for new; with both down the answer is 503. What slips through is one row still: the persister
 * finds that the id has another content (id_conflict).
 *
 * A 202 while the cache is down: see get_order.c.
 *
 * With Prefer: wait=N the accepted order's row is waited for: 201 when it is there within N seconds
 * from the confirm. Whatever happens then, the order was accepted, so every other answer is 202: a
 * client that is told of a refusal would send it again as another order. */
#include "proto/order_json.h"
#include "proto/timestamp.h"
#include "services/base/clock.h"
#include "services/base/json_text.h"
#include "services/base/log.h"
#include "services/gateway/api.h"
#include "services/gateway/idempotency_key.h"
#include "services/gateway/prefer.h"
#include "services/gateway/routes/routes.h"
#include <stdio.h>
#include <string.h>

#define ANSWER_TIMEOUT_MS 5000
#define PUBLISH_TIMEOUT_MS 4800 /* of these, until the confirm: the cache takes its time, too */

struct post_order {
    struct request_guard guard;
    struct api *api;
    int64_t began_ms, confirmed_ms;
    unsigned wait_s;   /* that the client prefers to wait; 0: not at all */
    bool stored;       /* its row was seen */
    bool keyed;        /* it has an Idempotency-Key */
    bool reserved;     /* this request created the cache entry */
    bool cache_absent; /* the cache has answered that it does not know the key */
    struct order_id id;
    size_t json_len;
    char json[]; /* the order, for cache and queue; with room for any created_at */
};

/* The steps, each with the callback in which the flow goes on. */
static void look_in_cache(struct post_order *post);
static order_cache_done_fn on_entry;
static void look_in_store(struct post_order *post);
static order_store_found_fn on_row;
static void reserve(struct post_order *post);
static order_cache_done_fn on_reserved;
static void publish(struct post_order *post);
static order_queue_done_fn on_published;
static void write_entry(struct post_order *post);
static order_cache_done_fn on_entry_written;
static order_wait_done_fn on_waited;
static void refuse(struct post_order *post);
static order_cache_done_fn on_entry_removed;

static struct post_order *post_order_new(struct request *request, const struct order *order)
{
    char json[ORDER_JSON_SIZE];
    size_t json_len = order_to_json(order, json);
    struct post_order *post =
        request_guard_new(request, sizeof(*post) + json_len + TIMESTAMP_TEXT_SIZE,
                          ANSWER_TIMEOUT_MS, PROBLEM_OUTCOME_UNKNOWN);
    post->api = request->api;
    post->began_ms = request->started_us / 1000;
    post->wait_s = prefer_wait_s(request);
    post->id = order->id;
    post->json_len = json_len;
    memcpy(post->json, json, json_len);
    return post;
}

void post_order(struct request *request, h2o_iovec_t rest)
{
    (void)rest;
    struct api *api = request->api;
    struct order order;
    struct error err;
    const h2o_iovec_t body = request->req->entity;
    enum decode_result decoded =
        order_request_from_json(body.base != NULL ? body.base : "", body.len, &order, &err);
    if (decoded != DECODE_OK) {
        reply_problem(request, decode_problem(decoded), err.message);
        return;
    }

    h2o_iovec_t key;
    enum idempotency_key_result keyed = idempotency_key_read(request, &key);
    if (keyed == IDEMPOTENCY_KEY_INVALID) {
        reply_problem(request, PROBLEM_INVALID_IDEMPOTENCY_KEY, NULL);
        return;
    }
    if (!api->queue->accepts(api->queue->self)) {
        reply_problem(request, PROBLEM_QUEUE_UNAVAILABLE, NULL);
        return;
    }

    order.created_at_us = timestamp_now_us();
    order.id = keyed == IDEMPOTENCY_KEY_GIVEN ? idempotency_key_order(request, key)
                                              : order_id_new(order.created_at_us / 1000);

    struct post_order *post = post_order_new(request, &order);
    post->keyed = keyed == IDEMPOTENCY_KEY_GIVEN;
    if (post->keyed)
        look_in_cache(post);
    else
        publish(post);
}

/* ---- what does the key stand for? ---- */

/* The order of a cache entry. An entry of a foreign writer may be none: it counts for nothing. */
static bool parse_entry(const struct post_order *post, const char *json, size_t json_len,
                        struct order *ret_order)
{
    return order_from_json(json, json_len, ret_order, NULL) == DECODE_OK &&
           order_id_equal(&ret_order->id, &post->id);
}

/* The key stands for `stored` already. Returns true when this request is a replay of it: then the
 * stored order takes the place of the request's own. Else the request is answered and `post` is
 * gone. */
static bool take_stored(struct post_order *post, const struct order *stored)
{
    struct order own;
    if (order_from_json(post->json, post->json_len, &own, NULL) != DECODE_OK ||
        !order_same_payload(&own, stored)) {
        request_guard_fail(&post->guard, PROBLEM_IDEMPOTENCY_KEY_REUSED);
        return false;
    }
    post->json_len = order_to_json(stored, post->json); /* differs in created_at alone */
    return true;
}

static void look_in_cache(struct post_order *post)
{
    struct order_cache *cache = post->api->cache;
    if (cache->get(cache->self, &post->id, on_entry, post) != 0)
        on_entry(post, ORDER_CACHE_UNAVAILABLE, NULL, 0);
}

static void on_entry(void *arg, enum order_cache_status status, const char *json, size_t json_len)
{
    struct post_order *post = arg;
    struct order stored;
    if (status == ORDER_CACHE_FOUND && parse_entry(post, json, json_len, &stored)) {
        if (take_stored(post, &stored))
            publish(post);
        return;
    }
    post->cache_absent = status == ORDER_CACHE_ABSENT;
    look_in_store(post);
}

static void look_in_store(struct post_order *post)
{
    struct order_reader *reader = post->api->reader;
    if (reader->find(reader->self, &post->id, on_row, post) != 0)
        on_row(post, ORDER_STORE_UNAVAILABLE, NULL);
}

static void on_row(void *arg, enum order_store_status status, const struct order *row)
{
    struct post_order *post = arg;
    if (status == ORDER_STORE_OK && row != NULL) {
        /* The order is in the store, so it came through the queue: there is nothing to publish. */
        if (take_stored(post, row)) {
            post->stored = true;
            write_entry(post);
        }
    } else if (status == ORDER_STORE_OK || post->cache_absent) {
        reserve(post);
    } else {
        request_guard_fail(&post->guard, PROBLEM_IDEMPOTENCY_UNAVAILABLE);
    }
}

/* ---- reserve the entry ---- */

static void reserve(struct post_order *post)
{
    struct order_cache *cache = post->api->cache;
    if (cache->reserve(cache->self, &post->id, post->json, post->json_len, on_reserved, post) != 0)
        publish(post);
}

static void on_reserved(void *arg, enum order_cache_status status, const char *json,
                        size_t json_len)
{
    struct post_order *post = arg;
    struct order stored;
    if (status == ORDER_CACHE_CREATED)
        post->reserved = true;
    else if (status == ORDER_CACHE_FOUND && parse_entry(post, json, json_len, &stored) &&
             !take_stored(post, &stored))
        return;
    publish(post);
}

/* ---- publish ---- */

static void publish(struct post_order *post)
{
    struct order_queue *queue = post->api->queue;
    const struct order_message message = {
        .id = &post->id,
        .json = post->json,
        .json_len = post->json_len,
        .trace = &post->guard.trace,
    };
    if (queue->publish(queue->self, &message, post->began_ms + PUBLISH_TIMEOUT_MS, on_published,
                       post) != 0)
        refuse(post);
}

static void log_unknown(const struct post_order *post)
{
    static struct log_limit limit;
    char id[ORDER_ID_TEXT_LEN + 1], trace_id[TRACE_ID_TEXT_LEN + 1];
    order_id_format(&post->id, id);
    trace_id_format(&post->guard.trace.id, trace_id);
    log_warn_limited(&limit, "an order may or may not be in the queue", log_text("order_id", id),
                     log_text("trace_id", trace_id));
}

static void on_published(void *arg, enum publish_result result)
{
    struct post_order *post = arg;
    switch (result) {
    case PUBLISH_CONFIRMED:
        write_entry(post);
        return;
    case PUBLISH_REFUSED:
        refuse(post);
        return;
    case PUBLISH_UNKNOWN:
        metric_add(post->api->metrics->outcomes_unknown, 1);
        log_unknown(post);
        request_guard_fail(&post->guard, PROBLEM_OUTCOME_UNKNOWN);
        return;
    }
}

/* ---- accepted ---- */

static void write_entry(struct post_order *post)
{
    const struct order_cache *cache = post->api->cache;
    post->confirmed_ms = clock_monotonic_ms();
    if ((post->keyed ? cache->confirm : cache->put)(cache->self, &post->id, post->json,
                                                    post->json_len, on_entry_written, post) != 0)
        on_entry_written(post, ORDER_CACHE_UNAVAILABLE, NULL, 0);
}

/* What has become of the order, with its reason if that is known. */
static void answer(const struct post_order *post, int http_status, const char *status,
                   const char *reason)
{
    struct request *request = post->guard.request;
    char location[64], body[1024];
    char *id = stpcpy(location, "/api/orders/");
    order_id_format(&post->id, id);
    char *end = stpcpy(stpcpy(stpcpy(body, "{\"status\":\""), status), "\"");
    if (reason != NULL) {
        char text[768];
        json_text_escape(reason, strlen(reason), text, sizeof(text));
        end = stpcpy(stpcpy(stpcpy(end, ",\"reason\":\""), text), "\"");
    }
    end = stpcpy(stpcpy(stpcpy(end, ",\"order_id\":\""), id), "\"}");
    reply_header(request, "location", location);
    reply_header(request, "cache-control", "no-store");
    reply_send(request, http_status, "application/json", body, (size_t)(end - body));
}

static void answer_accepted(const struct post_order *post)
{
    answer(post, 202, "processing", NULL);
}

static void answer_stored(const struct post_order *post)
{
    char applied[24];
    snprintf(applied, sizeof(applied), "wait=%u", post->wait_s);
    reply_header(post->guard.request, "preference-applied", applied);
    answer(post, 201, "stored", NULL);
}

static void answer_late(struct request_guard *guard)
{
    answer_accepted((struct post_order *)guard);
}

/* Returns false when nobody waits for the order's row. */
static bool begin_wait(struct post_order *post)
{
    struct order_waits *waits = post->api->waits;
    struct order order;
    int64_t ends_ms = post->confirmed_ms + INT64_C(1000) * post->wait_s;
    if (post->wait_s == 0 || post->guard.request == NULL)
        return false;
    if (order_from_json(post->json, post->json_len, &order, NULL) != DECODE_OK ||
        waits->wait(waits->self, &order, post->began_ms, ends_ms, on_waited, post) != 0) {
        metric_add(post->api->metrics->waits_refused, 1);
        return false;
    }
    post->guard.answer_late = answer_late;
    request_guard_set_apart(&post->guard, ends_ms);
    return true;
}

/* The cache's answer does not matter: an entry that it could not write, it keeps for later
 * (order_cache.h). */
static void on_entry_written(void *arg, enum order_cache_status status, const char *entry,
                             size_t entry_len)
{
    (void)status, (void)entry, (void)entry_len;
    struct post_order *post = arg;
    metric_add(post->api->metrics->orders_accepted, 1);
    if (post->wait_s > 0 && post->stored) {
        on_waited(post, ORDER_WAIT_STORED, NULL);
    } else if (!begin_wait(post)) {
        answer_accepted(post);
        request_guard_end(&post->guard);
    }
}

static void on_waited(void *arg, enum order_wait_result result, const char *reason)
{
    struct post_order *post = arg;
    const struct api_metrics *metrics = post->api->metrics;
    switch (result) {
    case ORDER_WAIT_STORED:
        metric_add(metrics->waits_stored, 1);
        answer_stored(post);
        break;
    case ORDER_WAIT_DIED:
        metric_add(metrics->waits_dead, 1);
        answer(post, 202, "dead", reason);
        break;
    case ORDER_WAIT_OVER:
        metric_add(metrics->waits_over, 1);
        answer_accepted(post);
        break;
    }
    request_guard_end(&post->guard);
}

/* ---- refused ---- */

static void refuse(struct post_order *post)
{
    struct order_cache *cache = post->api->cache;
    if (!post->reserved || cache->remove(cache->self, &post->id, on_entry_removed, post) != 0)
        request_guard_fail(&post->guard, PROBLEM_QUEUE_UNAVAILABLE);
}

/* The cache's answer does not matter: an entry that could not be removed vanishes by itself. */
static void on_entry_removed(void *arg, enum order_cache_status status, const char *entry,
                             size_t entry_len)
{
    (void)status, (void)entry, (void)entry_len;
    struct post_order *post = arg;
    request_guard_fail(&post->guard, PROBLEM_QUEUE_UNAVAILABLE);
}
