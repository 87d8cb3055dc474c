/* A batch on its way into a store, part by part: when the store refuses a part as a whole, it is
 * cut and the pieces are tried. */
#ifndef WORKER_PARTS_H
#define WORKER_PARTS_H

#include "services/worker/backend.h"

#define BATCH_MAX 1000 /* orders in the largest batch */

/* Orders first … first + count − 1 of the batch. */
struct part {
    size_t first, count;
};

/* The parts still to be tried: a queue, so that all of one size come before smaller ones. Each has
 * orders of its own, so there are never more than orders. A plain value; members are private. */
struct parts {
    struct part ring[BATCH_MAX];
    size_t next, count;
};

/* One part of all `count` orders, 1..BATCH_MAX. */
void parts_begin(struct parts *parts, size_t count);

/* Take the next one; false when there is none. */
bool parts_take(struct parts *parts, struct part *ret_part);

/* Queue a part, or the given number of pieces of it (fewer if it has fewer orders). */
void parts_add(struct parts *parts, struct part part);
void parts_cut(struct parts *parts, const struct part *part, size_t pieces);

#endif
