/* The index of the orders and its template, kept in place: installed at start, looked after from
 * then on, installed again when missing. The template gives the index its mapping, also
 * when another program or _bulk creates the index. Any number of indexers may do the
 * same at once. Works on Elasticsearch 7.17 to 9 and OpenSearch 2 and 3. */
#ifndef INDEXER_INDEX_SETUP_H
#define INDEXER_INDEX_SETUP_H

#include "services/clients/elasticsearch/elasticsearch.h"
#include "services/loop/event_loop.h"
#include <stdbool.h>

struct index_setup;

struct index_setup_options {
    struct elasticsearch *client; /* stays the caller's; one request at a time is sent */
    const char *index;            /* stays the caller's */
    /* Called when the index has become usable (at first it is not), and after each failed round. */
    void (*on_state)(void *arg, bool usable, const char *reason);
    void *arg;
};

/* Begins at once, and tries again by itself, with backoff, until it succeeds. */
struct index_setup *index_setup_new(struct event_loop *loop,
                                    const struct index_setup_options *options);
void index_setup_free(struct index_setup *setup); /* after the client */

/* Whether the index was there at the last look, and if not, why. */
bool index_setup_usable(const struct index_setup *setup);
const char *index_setup_reason(const struct index_setup *setup);

/* Something is wrong with the index or the server: look now. */
void index_setup_check(struct index_setup *setup);

#endif
