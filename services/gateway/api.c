#include "services/gateway/api.h"

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
    return &metrics;
}
