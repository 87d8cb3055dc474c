/* What is common to the routes: their metrics, and the words for what the store says. */
#include "services/gateway/api.h"
#include <stdlib.h>

const struct api_metrics *api_metrics(void)
{
    static struct api_metrics metrics;
    const char *cache_help = "Reads of orders by what the cache said";

    metrics.orders_accepted = metric_counter("orders_accepted_total", "route=\"post_order\"",
                                             "Orders accepted over HTTP");
    metrics.bulk_orders_accepted = metric_counter("orders_accepted_total", "route=\"bulk_orders\"",
                                                  "Orders accepted over HTTP");
    metrics.cache_hits = metric_counter("order_cache_reads_total", "result=\"hit\"", cache_help);
    metrics.cache_misses = metric_counter("order_cache_reads_total", "result=\"miss\"", cache_help);
    metrics.cache_failures =
        metric_counter("order_cache_reads_total", "result=\"failure\"", cache_help);
    metrics.outcomes_unknown =
        metric_counter("order_outcomes_unknown_total", NULL,
                       "Orders published without a confirm until their deadline");
    const char *waits_help = "Requests that waited for their order's row, by how that ended";
    metrics.waits_stored = metric_counter("order_waits_total", "result=\"stored\"", waits_help);
    metrics.waits_dead = metric_counter("order_waits_total", "result=\"dead\"", waits_help);
    metrics.waits_over = metric_counter("order_waits_total", "result=\"over\"", waits_help);
    metrics.waits_refused = metric_counter("order_waits_total", "result=\"refused\"", waits_help);
    return &metrics;
}

enum problem decode_problem(enum decode_result result)
{
    return result == DECODE_MALFORMED ? PROBLEM_MALFORMED_ORDER : PROBLEM_UNACCEPTABLE_ORDER;
}

enum problem order_store_problem(enum order_store_status status)
{
    switch (status) {
    case ORDER_STORE_OK:
        break;
    case ORDER_STORE_CONFLICT:
        return PROBLEM_IDEMPOTENCY_KEY_REUSED;
    case ORDER_STORE_UNKNOWN:
        return PROBLEM_OUTCOME_UNKNOWN;
    case ORDER_STORE_UNAVAILABLE:
        return PROBLEM_STORE_UNAVAILABLE;
    case ORDER_STORE_FAILED:
        return PROBLEM_STORE_FAILED;
    case ORDER_STORE_UNFINISHED:
        return PROBLEM_SALES_UNFINISHED;
    case ORDER_STORE_IMPOSSIBLE:
        return PROBLEM_LIVE_SALES_IMPOSSIBLE;
    }
    abort(); /* success is no problem */
}
