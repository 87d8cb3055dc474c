/* order_search on Elasticsearch or OpenSearch. */
#ifndef GATEWAY_ADAPTERS_ELASTICSEARCH_SEARCH_H
#define GATEWAY_ADAPTERS_ELASTICSEARCH_SEARCH_H

#include "services/clients/elasticsearch/elasticsearch.h"
#include "services/gateway/ports/order_search.h"

/* `on_state` is called with each change, as answers tell it, and with each failure: the reason is
 * NULL when up. */
struct elasticsearch_search_options {
    struct elasticsearch_options client;
    const char *index;
    void (*on_state)(void *arg, bool up, const char *reason);
    void *arg;
};

struct order_search *elasticsearch_search_new(struct event_loop *loop,
                                              const struct elasticsearch_search_options *options);
void elasticsearch_search_free(struct order_search *search);

/* For --check: whether the orders can be counted, or have no index yet. Blocks at most 5 s. Returns
 * 0, or -1 with `err` set. */
int elasticsearch_search_reach(const struct elasticsearch_options *server, const char *index,
                               struct error *err) __attribute__((warn_unused_result));

#endif
