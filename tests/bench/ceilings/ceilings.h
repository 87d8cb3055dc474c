/* The ceilings of the pipeline's parts, each as bare as it can be: one library, one server, nothing
 * between. Whatever a server refuses ends the program: a ceiling that is not reached honestly is
 * none. */
#ifndef BENCH_CEILINGS_H
#define BENCH_CEILINGS_H

#include "proto/order.h"

#define CEILING_BATCH 500

/* Print "ceilings: doing: why" and exit with 1. */
_Noreturn void die(const char *doing, const char *why);

/* The environment variable `name`, which must be set. */
const char *setting(const char *name);

/* The order that the ceilings store: new id, one of a few product names, now. */
void make_order(struct order *order, long number);

/* Time from sending to the confirm or to the answers. */
struct latency {
    double p50_ms, p99_ms;
};

/* Publish `count` orders into `queue`, as the gateway does, with at most `window` unconfirmed.
 * Declares the queue as the services do ("quorum" or "classic") if it does not exist. */
struct latency publish_confirmed(const char *queue, const char *type, long window, long count);

/* Take `count` messages out of `queue`, prefetch 2000, one ack for each batch. */
void consume_acknowledged(const char *queue, long count);

/* Insert `count` rows into a table of its own, a batch a statement; drops the table. */
void insert_batches(long count);

/* Index `count` documents into `index`, a batch a request. */
void bulk_batches(const char *index, long count);

/* Look `count` orders up, so many at once: their rows and dead letters in PostgreSQL, and their
 * documents in `index`. Their ids are 00000000-0000-0000-0000-N, N from 1 to `ids` in turn. */
struct latency look_up(const char *index, long connections, long ids, long count);

#endif
