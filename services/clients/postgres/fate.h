/* What PostgreSQL knows of one order: its row, and the dead letters of its id. Plain values. */
#ifndef CLIENTS_POSTGRES_FATE_H
#define CLIENTS_POSTGRES_FATE_H

#include "proto/order_id.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FATE_LETTERS_MAX 100 /* the newest */

struct dead_letter_brief {
    int64_t id;
    const char *reason, *stage, *state; /* `state` is "dead", "replayed" or "discarded" */
    int64_t died_at_us;
    bool replayed;
    struct order_id replayed_as; /* the id of the order in the replay */
};

struct order_fate {
    bool stored;   /* its row is committed */
    bool archived; /* dead letters are archived now, so `letters` may be believed */
    bool dated;    /* `created_at_us` is known: of the row, else of the newest letter's body */
    int64_t created_at_us;
    const struct dead_letter_brief *letters; /* newest first */
    size_t letter_count;
};

#endif
