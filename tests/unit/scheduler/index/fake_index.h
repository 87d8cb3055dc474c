/* A fake Elasticsearch with the alias "orders": it takes _bulk, and tells of the index. An order's
 * number is in the first 8 digits of its id; "poison" is refused. */
#ifndef TESTS_FAKE_INDEX_H
#define TESTS_FAKE_INDEX_H

#include "tests/unit/support/http_peer.h"
#include <stdatomic.h>
#include <stdbool.h>

#define FAKE_INDEX_NUMBERS 20000

struct fake_index {
    struct http_peer *peer;
    char url[64];
    atomic_int status;       /* of its answers; 0: it is silent */
    atomic_uint items_max;   /* of a request: more are too large */
    atomic_bool overloaded;  /* each second item is refused the first time */
    atomic_bool absent;      /* there is no index */
    atomic_uint incarnation; /* of the index */
    atomic_uint requests;
    atomic_uint requests_max;                /* more are answered with 503 */
    atomic_uint written[FAKE_INDEX_NUMBERS]; /* how often */
};

void fake_index_start(struct fake_index *index);
void fake_index_stop(struct fake_index *index);

#endif
