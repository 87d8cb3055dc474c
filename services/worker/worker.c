/* Ties the parts together: bridge_link (sockets) and batcher (decisions) on one loop, with the
 * backend; logs, metrics and health; stopping. */
#include "services/worker/worker.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include "services/worker/batcher.h"
#include "services/worker/bridge_link.h"
#include <stdlib.h>
#include <string.h>

#define STOP_TICK_MS 20
#define STOP_DEADLINE_MS 8000
#define STOP_UNSENT_MS 1000 /* for a bridge that does not take its replies */
#define CODES_MAX 16

struct worker {
    struct worker_options options;
    struct event_loop *loop;
    struct bridge_link *link;
    struct batcher *batcher;
    struct loop_timer *step, *stop_tick;
    struct loop_watch *stop_watch;
    struct worker_backend backend;
    bool connected; /* the bridges have been connected to */
    bool finished;
    int64_t stopping_since_ms; /* 0 = not stopping */
    int64_t batch_since_us;
    struct health_check *bridge_health;
    struct metric_histogram *batch_orders, *batch_seconds;
    struct metric_counter *done, *failed[CODES_MAX];
    struct metric_gauge *held, *bridges;
};

/* ---- the batcher's ports ---- */

static bool port_read(void *self, unsigned bridge, struct job_message *ret_job)
{
    struct worker *worker = self;
    return bridge_link_read(worker->link, bridge, ret_job);
}

static void port_want_jobs(void *self, bool wanted)
{
    struct worker *worker = self;
    bridge_link_want_jobs(worker->link, wanted);
}

static void port_reply(void *self, unsigned bridge, const struct job_route *route,
                       const struct reply_item items[], size_t count)
{
    struct worker *worker = self;
    bridge_link_reply(worker->link, bridge, route, items, count);
}

static void port_step_after(void *self, int64_t delay_ms)
{
    struct worker *worker = self;
    loop_timer_start(worker->step, delay_ms);
}

static uint32_t port_random(void *self)
{
    (void)self;
    return arc4random();
}

static void report_order(struct worker *worker, const struct order *order,
                         const struct verdict *verdict)
{
    if (verdict->outcome == OUTCOME_DONE) {
        metric_add(worker->done, 1);
        return;
    }
    for (size_t i = 0; worker->options.codes[i].prefix; i++) {
        const struct worker_code *code = &worker->options.codes[i];
        if (code->outcome == verdict->outcome &&
            strncmp(verdict->code, code->prefix, strlen(code->prefix)) == 0) {
            metric_add(worker->failed[i], 1);
            break;
        }
    }
    if (verdict->outcome == OUTCOME_REJECT) {
        static struct log_limit limit;
        char id[ORDER_ID_TEXT_LEN + 1];
        order_id_format(&order->id, id);
        log_warn_limited(&limit, "order rejected", log_text("order_id", id),
                         log_text("code", verdict->code));
    }
}

static void report_backend(struct worker *worker, const struct verdict verdicts[], size_t count,
                           bool down)
{
    if (!down) {
        if (health_set(worker->options.backend_health, true, NULL))
            log_info("backend works again");
        return;
    }
    const struct verdict *cause = verdicts;
    while (cause < verdicts + count - 1 && cause->outcome != OUTCOME_RETRY)
        cause++;
    char reason[REPLY_CODE_SIZE + 2 + REPLY_DETAIL_SIZE];
    (void)snprintf(reason, sizeof(reason), "%s: %s", cause->code, cause->detail); /* it fits */
    if (health_set(worker->options.backend_health, false, reason))
        log_warn("backend fails, orders wait in the bridge", log_text("code", cause->code),
                 log_text("detail", cause->detail));
}

static void port_on_batch(void *self, const struct order *const orders[], size_t count,
                          const struct verdict verdicts[], bool backend_down)
{
    struct worker *worker = self;
    metric_observe(worker->batch_orders, (double)count);
    metric_observe(worker->batch_seconds,
                   (double)(clock_monotonic_us() - worker->batch_since_us) / 1e6);
    metric_set(worker->held, (double)batcher_orders_held(worker->batcher));
    for (size_t i = 0; i < count; i++)
        report_order(worker, orders[i], &verdicts[i]);
    report_backend(worker, verdicts, count, backend_down);
}

static void timed_execute(void *self, const struct order *const orders[], size_t count,
                          struct verdict verdicts[], worker_executed_fn *on_executed, void *arg)
{
    struct worker *worker = self;
    worker->batch_since_us = clock_monotonic_us();
    worker->backend.execute(worker->backend.self, orders, count, verdicts, on_executed, arg);
}

/* ---- events ---- */

static void on_readable(void *arg)
{
    struct worker *worker = arg;
    batcher_jobs_readable(worker->batcher);
}

static void on_step(void *arg)
{
    struct worker *worker = arg;
    batcher_step(worker->batcher);
    metric_set(worker->held, (double)batcher_orders_held(worker->batcher));
}

static void on_connected(void *arg, unsigned connected)
{
    struct worker *worker = arg;
    metric_set(worker->bridges, connected);
    log_info("bridge connections changed", log_number("connected", connected));
    (void)health_set(worker->bridge_health, connected > 0,
                     connected > 0 ? NULL : "no bridge is connected"); /* logged above */
}

void worker_backend_ready(struct worker *worker)
{
    if (worker->connected || worker->stopping_since_ms)
        return;
    worker->connected = true;
    bridge_link_connect(worker->link);
    batcher_start(worker->batcher);
}

/* ---- stopping ---- */

static void on_stop_tick(void *arg)
{
    struct worker *worker = arg;
    int64_t elapsed_ms = clock_monotonic_ms() - worker->stopping_since_ms;
    size_t held = batcher_orders_held(worker->batcher);
    bool answered =
        held == 0 && (bridge_link_unsent(worker->link) == 0 || elapsed_ms >= STOP_UNSENT_MS);
    if (!answered && elapsed_ms < STOP_DEADLINE_MS) {
        loop_timer_start(worker->stop_tick, STOP_TICK_MS);
        return;
    }
    if (held > 0)
        log_warn("stopped with orders unanswered: their bridge delivers them again",
                 log_number("orders", held));
    worker->finished = true;
    event_loop_stop(worker->loop);
}

static void on_stop(void *arg, bool readable, bool writable)
{
    (void)readable;
    (void)writable;
    struct worker *worker = arg;
    loop_watch_want(worker->stop_watch, false, false);
    worker->stopping_since_ms = clock_monotonic_ms();
    log_info("finishing what was read",
             log_number("orders_held", batcher_orders_held(worker->batcher)));
    batcher_stop(worker->batcher);
    on_stop_tick(worker);
}

/* ---- life ---- */

static void register_metrics(struct worker *worker)
{
    worker->batch_orders =
        metric_histogram_sizes("worker_batch_orders", NULL, "Orders in a batch.");
    worker->batch_seconds = metric_histogram_seconds("worker_batch_seconds", NULL,
                                                     "Time the backend took for a batch.");
    const char *help = "Orders executed, by outcome and reason.";
    worker->done = metric_counter("worker_orders_total", "outcome=\"done\",code=\"\"", help);
    const struct worker_code *codes = worker->options.codes;
    for (size_t i = 0; i < CODES_MAX && codes[i].prefix; i++) {
        char labels[128];
        (void)snprintf(labels, sizeof(labels), "outcome=\"%s\",code=\"%s\"",
                       outcome_name(codes[i].outcome), codes[i].prefix); /* it fits */
        worker->failed[i] = metric_counter("worker_orders_total", labels, help);
    }
    worker->held = metric_gauge("worker_orders_held", NULL, "Orders read and not answered yet.");
    metric_set(metric_gauge("worker_batch_max_orders", NULL, "Orders in a batch at most."),
               (double)worker->options.batch_max);
    worker->bridges = metric_gauge("worker_bridges_connected", NULL, "Bridges connected to.");
}

struct worker *worker_new(const struct worker_options *options, struct error *err)
{
    struct endpoint_list bridges;
    if (endpoint_list_parse(options->bridge_endpoints, &bridges, err) != 0)
        return NULL;
    struct worker *worker = memory_new(sizeof(*worker));
    worker->options = *options;
    worker->loop = event_loop_new();
    worker->link = bridge_link_new(
        &(struct bridge_link_options){
            .loop = worker->loop,
            .bridges = &bridges,
            .stage = options->stage,
            .on_readable = on_readable,
            .on_connected = on_connected,
            .arg = worker,
        },
        err);
    if (!worker->link) {
        event_loop_free(worker->loop);
        free(worker);
        return NULL;
    }
    worker->step = event_loop_timer(worker->loop, on_step, worker);
    worker->stop_tick = event_loop_timer(worker->loop, on_stop_tick, worker);
    worker->batcher =
        batcher_new((unsigned)bridges.count, options->batch_max,
                    &(struct worker_ports){
                        .self = worker,
                        .read = port_read,
                        .want_jobs = port_want_jobs,
                        .reply = port_reply,
                        .step_after = port_step_after,
                        .on_batch = port_on_batch,
                        .random = port_random,
                    },
                    &(struct worker_backend){.self = worker, .execute = timed_execute});
    worker->bridge_health = health_check("bridge", HEALTH_REQUIRED);
    register_metrics(worker);
    return worker;
}

void worker_free(struct worker *worker)
{
    if (!worker)
        return;
    loop_timer_free(worker->step);
    loop_timer_free(worker->stop_tick);
    batcher_free(worker->batcher);
    bridge_link_free(worker->link);
    event_loop_free(worker->loop);
    free(worker);
}

struct event_loop *worker_event_loop(struct worker *worker)
{
    return worker->loop;
}

void worker_run(struct worker *worker, const struct worker_backend *backend, int stop_fd)
{
    worker->backend = *backend;
    worker->stop_watch = event_loop_watch(worker->loop, stop_fd, on_stop, worker);
    loop_watch_want(worker->stop_watch, true, false);
    event_loop_run(worker->loop);
    loop_watch_free(worker->stop_watch);
}
