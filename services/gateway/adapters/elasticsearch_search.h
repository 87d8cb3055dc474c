/* order_search on Elasticsearch or OpenSearch. */
#ifndef GATEWAY_ADAPTERS_ELASTICSEARCH_SEARCH_H
#define GATEWAY_ADAPTERS_ELASTICSEARCH_SEARCH_H

#include "services/clients/elasticsearch/elasticsearch.h"
#include "services/gateway/ports/order_search.h"

/* `on_state` is called on each change, as answers tell it: the reason is NULL when up. */
struct elasticsearch_search_options {
    struct elasticsearch_options client;
    const char *index;
    void (*on_state)(void *arg, bool up, const char *reason);
    void *arg;
};

struct order_search *elasticsearch_search_new(struct event_loop *loop,
                                              const struct elasticsearch_search_options *options);
void elasticsearch_search_free(struct order_search *search);

#endif
