/* A worker: takes jobs of one stage from its bridges, puts their orders into a store in batches and
 * answers order by order. Everything runs on one loop in the calling thread.
 * Metrics: worker_batch_*, worker_orders_*, worker_bridge_*. Health: "bridge". */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "proto/error.h"
#include "proto/stage.h"
#include "services/loop/event_loop.h"
#include "services/runtime/health.h"
#include "services/worker/batch.h"
#include "services/worker/link_key.h"

/* Verdicts are counted by the first entry of their outcome that their code begins with. */
struct worker_code {
    enum outcome outcome;
    const char *prefix;
};

struct worker_options {
    const char *bridge_endpoints; /* comma-separated list */
    const struct link_key *key;   /* NULL: none; stays the caller's */
    enum stage stage;
    size_t batch_max;
    unsigned width_max; /* batches at once, at most: 1, or 2 where the store takes more so */
    int64_t spacing_ms; /* of batches that are not full: see batcher_new() */
    const struct worker_code *codes; /* ends with prefix NULL */
    struct batch_store store;
    /* Set to down while the store fails, with what it said, and up when it does not. */
    struct health_check *store_health;
};

struct worker;

/* Makes the loop and the sockets. Returns NULL with `err` set when an endpoint is malformed. */
struct worker *worker_new(const struct worker_options *options, struct error *err)
    __attribute__((warn_unused_result));

/* After the store, which must not answer any more. */
void worker_free(struct worker *worker);

/* What the store runs on. */
struct event_loop *worker_event_loop(struct worker *worker);

/* To be called when the store has become usable; again, it does nothing. Before, the worker is not
 * even connected to a bridge, so that it is sent no jobs. */
void worker_store_ready(struct worker *worker);

/* Blocks until `stop_fd` is readable and then what was read is answered, but at most 8 s more. */
void worker_run(struct worker *worker, int stop_fd);

#endif
