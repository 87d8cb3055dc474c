/* A worker: takes jobs of one stage from its bridges, has a backend execute them in batches and
 * answers order by order. Everything runs on one loop in the calling thread.
 * Metrics: worker_batch_*, worker_orders_*, worker_bridge_*. Health: "bridge". */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "services/loop/event_loop.h"
#include "services/runtime/health.h"
#include "services/worker/backend.h"

/* Verdicts are counted by the first entry of their outcome that their code begins with. */
struct worker_code {
    enum outcome outcome;
    const char *prefix;
};

struct worker_options {
    const char *bridge_endpoints; /* comma-separated list */
    enum stage stage;
    size_t batch_max;
    const struct worker_code *codes; /* ends with prefix NULL */
    /* Set to down while the backend fails, with what it said, and up when it does not. */
    struct health_check *backend_health;
};

struct worker;

/* Makes the loop and the sockets. Returns NULL with `err` set when an endpoint is malformed. */
struct worker *worker_new(const struct worker_options *options, struct error *err)
    __attribute__((warn_unused_result));

/* After the backend, which must not call back any more. */
void worker_free(struct worker *worker);

/* What the backend runs on. */
struct event_loop *worker_event_loop(struct worker *worker);

/* To be called by the backend when it has become usable; again, it does nothing. Before, the worker
 * is not even connected to a bridge, so that it is sent no jobs. */
void worker_backend_ready(struct worker *worker);

/* Blocks until `stop_fd` is readable and then what was read is answered, but at most 8 s more. */
void worker_run(struct worker *worker, const struct worker_backend *backend, int stop_fd);

#endif
