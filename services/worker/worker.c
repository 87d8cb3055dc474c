/* Ties the parts of a worker together: bridge_link (sockets), batcher (decisions) and the batch on
 * its way into the store, on one loop; logs, metrics and health; stopping. */
#include "services/worker/worker.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include "services/worker/batcher.h"
#include "services/worker/bridge_link.h"
#include "services/worker/held_orders.h"
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#define BRIDGE_PATIENCE_MS 3000 /* until it is said that there is none */
#define UNTRIED_MS 15000        /* a store that nothing tries counts as its own look says */
#define UNTRIED_CAP_MS 600000
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
    struct loop_timer *no_bridge; /* runs from the start until a bridge is heard of */
    struct loop_watch *stop_watch;
    struct batch batches[BATCHES];
    int64_t batches_since_us[BATCHES];
    int64_t tried_ms;    /* when orders were last tried */
    int64_t patience_ms; /* after that, until the store's own look counts */
    bool connected;      /* the bridges have been connected to */
    unsigned connected_bridges;
    int64_t stopping_since_ms; /* 0 = not stopping */
    struct health_check *bridge_health;
    struct metric_histogram *batch_orders, *batch_seconds;
    struct metric_counter *done, *failed[CODES_MAX];
    struct metric_gauge *held, *at_once, *bridges;
};

/* ---- the batcher's ports ---- */

static void report_failure(struct worker *worker, const struct held_order *held,
                           const struct verdict *verdict, bool store_down)
{
    for (size_t i = 0; worker->options.codes[i].prefix; i++) {
        const struct worker_code *code = &worker->options.codes[i];
        if (code->outcome == verdict->outcome &&
            strncmp(verdict->code, code->prefix, strlen(code->prefix)) == 0) {
            metric_add(worker->failed[i], 1);
            break;
        }
    }
    static struct log_limit rejects, retries;
    char id[ORDER_ID_TEXT_LEN + 1], trace_id[TRACE_ID_TEXT_LEN + 1];
    order_id_format(&held->order.id, id);
    trace_id_format(&held->trace_id, trace_id);
    if (verdict->outcome == OUTCOME_REJECT)
        log_warn_limited(&rejects, "order rejected", log_text("order_id", id),
                         log_text("trace_id", trace_id), log_text("code", verdict->code));
    else if (!store_down) /* else report_store() tells it */
        log_warn_limited(&retries, "order refused for now, others are taken",
                         log_text("order_id", id), log_text("trace_id", trace_id),
                         log_text("code", verdict->code), log_text("detail", verdict->detail));
}

static void report_store(struct worker *worker, const struct verdict *cause)
{
    if (cause == NULL) {
        worker->patience_ms = UNTRIED_MS;
        if (health_set(worker->options.store_health, true, NULL))
            log_info("backend works again");
        return;
    }
    char reason[VERDICT_CODE_SIZE + 2 + VERDICT_DETAIL_SIZE];
    (void)snprintf(reason, sizeof(reason), "%s: %s", cause->code, cause->detail); /* it fits */
    if (health_set(worker->options.store_health, false, reason))
        log_warn("backend fails, orders wait in the bridge", log_text("code", cause->code),
                 log_text("detail", cause->detail));
}

/* Other workers may have taken the orders that failed here, and then none comes to try the store
 * with. While the store fails, one of many workers is tried seldom: so each time that orders fail
 * after all, it takes twice as long. */
static void look_at_untried_store(struct worker *worker)
{
    const struct batch_store *store = &worker->options.store;
    if (health_up(worker->options.store_health) ||
        clock_monotonic_ms() - worker->tried_ms < worker->patience_ms ||
        !store->looks_usable(store->self))
        return;
    worker->patience_ms = MIN(2 * worker->patience_ms, UNTRIED_CAP_MS);
    if (health_set(worker->options.store_health, true, NULL))
        log_info("backend looks usable, no order has come to try it with");
}

static void on_batch(void *self, unsigned number, const struct held_orders *held, size_t first,
                     size_t count, const struct verdict verdicts[], const struct verdict *cause)
{
    struct worker *worker = self;
    worker->tried_ms = clock_monotonic_ms();
    metric_observe(worker->batch_orders, (double)count);
    metric_observe(worker->batch_seconds,
                   (double)(clock_monotonic_us() - worker->batches_since_us[number]) / 1e6);
    metric_set(worker->held, (double)batcher_orders_held(worker->batcher));
    metric_set(worker->at_once, (double)batcher_width(worker->batcher));
    uint64_t done = 0;
    for (size_t i = 0; i < count; i++)
        if (verdicts[i].outcome == OUTCOME_DONE)
            done++;
        else
            report_failure(worker, held_orders_at(held, first + i), &verdicts[i], cause != NULL);
    metric_add(worker->done, done);
    report_store(worker, cause);
}

static void write_batch(void *self, unsigned number, const struct order *const orders[],
                        size_t count, struct verdict verdicts[])
{
    struct worker *worker = self;
    batch_write(&worker->batches[number], number, &worker->options.store, orders, count, verdicts);
}

static void execute(void *self, unsigned number, batch_done_fn *on_done, void *arg)
{
    struct worker *worker = self;
    worker->batches_since_us[number] = clock_monotonic_us();
    batch_begin(&worker->batches[number], on_done, arg, clock_monotonic_ms());
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
    look_at_untried_store(worker);
    metric_set(worker->held, (double)batcher_orders_held(worker->batcher));
}

static void on_connected(void *arg, unsigned connected)
{
    struct worker *worker = arg;
    worker->connected_bridges = connected;
    loop_timer_stop(worker->no_bridge);
    metric_set(worker->bridges, connected);
    log_info("bridge connections changed", log_number("connected", connected));
    (void)health_set(worker->bridge_health, connected > 0,
                     connected > 0 ? NULL : "no bridge is connected"); /* logged above */
}

static void on_refused(void *arg, const char *reason)
{
    struct worker *worker = arg;
    static struct log_limit limit = {.period_ms = 60000};
    loop_timer_stop(worker->no_bridge);
    log_warn_limited(&limit, "no link to a bridge", log_text("reason", reason));
    if (worker->connected_bridges == 0)
        (void)health_set(worker->bridge_health, false, reason);
}

static void on_no_bridge(void *arg)
{
    const struct worker *worker = arg;
    const char *reason =
        worker->connected ? "none could be connected to" : "not tried before the store can be used";
    if (health_set(worker->bridge_health, false, reason))
        log_warn("no link to a bridge", log_text("reason", reason));
}

void worker_store_ready(struct worker *worker)
{
    if (worker->connected || worker->stopping_since_ms)
        return;
    worker->connected = true;
    loop_timer_start(worker->no_bridge, BRIDGE_PATIENCE_MS);
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
    event_loop_stop(worker->loop);
}

static void on_stop(void *arg, bool readable, bool writable)
{
    (void)readable, (void)writable;
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
        metric_histogram("worker_batch_orders", NULL, "Orders in a batch.", METRIC_SIZES);
    worker->batch_seconds = metric_histogram("worker_batch_seconds", NULL,
                                             "Time the backend took for a batch.", METRIC_SECONDS);
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
    worker->at_once = metric_gauge("worker_batches_at_once", NULL,
                                   "Batches under way at once while there is a backlog.");
    metric_set(worker->at_once, 1);
    worker->bridges = metric_gauge("worker_bridges_connected", NULL, "Bridges connected to.");
}

struct worker *worker_new(const struct worker_options *options, struct error *err)
{
    struct endpoint_list bridges;
    if (endpoint_list_parse(options->bridge_endpoints, &bridges, err) != 0)
        return NULL;
    struct worker *worker = memory_new(sizeof(*worker));
    worker->options = *options;
    worker->patience_ms = UNTRIED_MS;
    worker->loop = event_loop_new();
    worker->link = bridge_link_new(
        &(struct bridge_link_options){
            .loop = worker->loop,
            .bridges = &bridges,
            .key = options->key,
            .stage = options->stage,
            .on_readable = on_readable,
            .on_connected = on_connected,
            .on_refused = on_refused,
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
    worker->no_bridge = event_loop_timer(worker->loop, on_no_bridge, worker);
    worker->batcher = batcher_new((unsigned)bridges.count, options->batch_max, options->width_max,
                                  options->spacing_ms,
                                  &(struct batcher_ports){
                                      .link = worker->link,
                                      .read = bridge_link_read,
                                      .want_jobs = bridge_link_want_jobs,
                                      .reply = bridge_link_reply,
                                      .step = worker->step,
                                      .step_after = loop_timer_start,
                                      .self = worker,
                                      .write = write_batch,
                                      .execute = execute,
                                      .on_batch = on_batch,
                                      .random = arc4random,
                                      .now_ms = clock_monotonic_ms,
                                  });
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
    loop_timer_free(worker->no_bridge);
    batcher_free(worker->batcher);
    bridge_link_free(worker->link);
    event_loop_free(worker->loop);
    free(worker);
}

struct event_loop *worker_event_loop(struct worker *worker)
{
    return worker->loop;
}

void worker_run(struct worker *worker, int stop_fd)
{
    worker->stop_watch = event_loop_watch(worker->loop, stop_fd, on_stop, worker);
    loop_watch_want(worker->stop_watch, true, false);
    if (!worker->connected)
        loop_timer_start(worker->no_bridge, BRIDGE_PATIENCE_MS);
    event_loop_run(worker->loop);
    loop_watch_free(worker->stop_watch);
}
