/* A fake Elasticsearch with the alias "orders" of an index, for comparisons. Orders have the
 * numbers from 1 on, in the first 8 digits of their ids. */
#ifndef TESTS_UNIT_SCHEDULER_INDEX_FAKE_DOCUMENTS_H
#define TESTS_UNIT_SCHEDULER_INDEX_FAKE_DOCUMENTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define ORDERS_MAX 105000 /* more than the candidates of a round */
#define PER_HOUR 5000
#define EXTRA_ID "ffffffff-0000-4000-8000-000000000000"

struct fake_documents {
    atomic_bool present[ORDERS_MAX + 1]; /* in the index */
    atomic_uint written[ORDERS_MAX + 1]; /* how often */
    atomic_uint requests;
    atomic_uint refused; /* this order's document cannot be indexed; 0: none */
    atomic_bool another; /* the index is another deployment's */
    atomic_uint gone;    /* a search still finds this order until the next refresh; 0: none */
    atomic_uint refreshes;
    atomic_bool refuses_refresh;
    atomic_bool extra; /* a document without an order, EXTRA_ID, is dated in the year 2150 */
};

/* An http_peer_answer: `arg` is a struct fake_documents. */
int fake_documents_serve(void *arg, const char *request, char *body, size_t size);

#endif
