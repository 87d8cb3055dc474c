/* The body of an answer, which counts in a budget from its first byte until answer_body_free(). */
#ifndef CLIENTS_HTTP_ANSWER_BODY_H
#define CLIENTS_HTTP_ANSWER_BODY_H

#include "services/base/byte_budget.h"
#include <stdbool.h>
#include <stddef.h>

struct answer_body {
    char *bytes; /* NULL as long as there are none */
    size_t len;
    /* private */
    size_t capacity;            /* what is allocated, and taken from the budget */
    struct byte_budget *budget; /* or NULL: no limit */
};

/* An empty answer. The budget must outlive it. */
struct answer_body *answer_body_new(struct byte_budget *budget);
void answer_body_free(struct answer_body *answer);

/* Add a piece. `expected_len` is how long the answer will be in all, as far as is known, or 0: so
 * much is allocated at once. Returns 0, or -1 when the budget does not allow it. */
int answer_body_append(struct answer_body *answer, const void *bytes, size_t len,
                       size_t expected_len) __attribute__((warn_unused_result));

#endif
