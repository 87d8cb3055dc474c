/* The index of the orders, kept in place: created where it is missing, with its name as an alias,
 * and looked after from then on. An index, or an alias of that name, that is there and whose
 * mapping fits is used as it is. The template is a safety net: it gives an index of that name its
 * mapping when another program or _bulk creates one. Any number of indexers may do the same at
 * once. Works on Elasticsearch 7.17 to 9 and OpenSearch 2 and 3, with view_index_metadata where the
 * index is there, else also with manage on the numbered indices and the alias. */
#ifndef INDEXER_INDEX_SETUP_H
#define INDEXER_INDEX_SETUP_H

#include "services/clients/elasticsearch/elasticsearch.h"
#include "services/clients/elasticsearch/index_definition.h"
#include "services/loop/event_loop.h"
#include <stdbool.h>

struct index_setup;

struct index_setup_options {
    struct elasticsearch *client; /* stays the caller's; one request at a time is sent */
    const char *index;            /* stays the caller's */
    const struct index_definition *definition; /* stays the caller's */
    /* Called when the index has become usable (at first it is not), and after each failed round. */
    void (*on_state)(void *arg, bool usable, const char *reason);
    /* Called when the template is refused. The index is used all the same. */
    void (*on_warning)(void *arg, const char *reason);
    void *arg;
};

/* Begins at once, and tries again by itself, with backoff, until it succeeds. */
struct index_setup *index_setup_new(struct event_loop *loop,
                                    const struct index_setup_options *options);
void index_setup_free(struct index_setup *setup); /* after the client */

/* Whether the index was there at the last look, and if not, why. */
bool index_setup_usable(const struct index_setup *setup);
const char *index_setup_reason(const struct index_setup *setup);

/* Whether _bulk should write to an alias only: always but where the last look found an index of the
 * name itself. A _bulk that may write to an index would create one that is missing. */
bool index_setup_requires_alias(const struct index_setup *setup);

/* Something is wrong with the index or the server: look now. */
void index_setup_check(struct index_setup *setup);

/* For --check: whether the index can be seen, and is usable or not there yet. Blocks at most 5 s.
 * Returns 0, or -1 with `err` set. */
int index_setup_reach(const struct elasticsearch_options *server, const char *index,
                      struct error *err) __attribute__((warn_unused_result));

#endif
