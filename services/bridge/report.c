#include "services/bridge/report.h"
#include "proto/timestamp.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include "services/runtime/health.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STAGES 2
#define WORKERLESS_AFTER_MS 3000
#define SERIES_MAX 128 /* of codes that workers choose: a broken one must not fill the memory */
#define LABELS_SIZE 128

struct stage_report {
    struct metric_counter *pushed, *jobs, *done;
    struct metric_gauge *up, *waiting, *at_workers, *held;
    struct metric_histogram *worker_seconds, *age_seconds;
    struct health_check *health;
    struct error failure; /* while the stage is not up */
    int64_t alive_ms;     /* when a worker last took a job or finished an order */
};

struct coded_counter {
    const char *name;
    char labels[LABELS_SIZE];
    struct metric_counter *counter;
};

struct report {
    struct stage_report stages[STAGES];
    struct coded_counter coded[SERIES_MAX];
    size_t coded_count;
    struct metric_counter *delivered, *acked, *acks, *hung, *stopping, *dropped, *stale;
    struct metric_counter *letters_confirmed, *letters_failed;
    struct metric_gauge *in_flight, *letters_waiting, *letters_sent, *oldest_seconds;
    struct metric_histogram *queue_seconds;
    struct flow_stats last;
};

static const char *const workers_of[STAGES] = {"persisters", "indexers"};
static const char outcomes_help[] = "Outcomes that workers answered, by reason.";
static const char letters_help[] = "Messages sent to the dead-letter queue, by reason.";

static struct stage_report *stage_of(struct report *report, enum stage stage)
{
    return &report->stages[stage - 1];
}

/* The counter of `name` with `labels`, which end in the label's name of the code; or, past
 * SERIES_MAX of them, of "other". */
static void count_coded(struct report *report, const char *name, const char *labels,
                        const char *code, const char *help)
{
    char text[LABELS_SIZE];
    int len = snprintf(text, sizeof text, "%s=\"", labels);
    for (; *code != '\0' && len < (int)sizeof text - 2; code++)
        text[len++] = *code < ' ' || *code > '~' || *code == '"' || *code == '\\' ? '_' : *code;
    (void)snprintf(text + len, sizeof text - (size_t)len, "\""); /* there is room */

    size_t i = 0;
    while (i < report->coded_count &&
           (strcmp(report->coded[i].labels, text) != 0 || strcmp(report->coded[i].name, name) != 0))
        i++;
    if (i == SERIES_MAX) {
        (void)snprintf(text, sizeof text, "%s=\"other\"", labels);
        metric_add(metric_counter(name, text, help), 1);
        return;
    }
    if (i == report->coded_count) {
        struct coded_counter *coded = &report->coded[report->coded_count++];
        coded->name = name;
        memcpy(coded->labels, text, sizeof text);
        coded->counter = metric_counter(name, text, help);
    }
    metric_add(report->coded[i].counter, 1);
}

/* Events */

static double seconds_since(int64_t then_us)
{
    int64_t us = timestamp_now_us() - then_us;
    return us > 0 ? (double)us / 1e6 : 0; /* clocks differ */
}

void report_message(struct report *report, const struct message *message)
{
    if (message->fault == NULL)
        metric_observe(report->queue_seconds, seconds_since(message->order->created_at_us));
}

void report_outcome(struct report *report, enum stage stage, const struct reply_item *item,
                    const struct order *order, int64_t at_worker_ms)
{
    struct stage_report *about = stage_of(report, stage);
    metric_observe(about->worker_seconds, (double)at_worker_ms / 1e3);
    if (item->outcome == OUTCOME_DONE) {
        metric_observe(about->age_seconds, seconds_since(order->created_at_us));
        return;
    }
    char labels[64];
    (void)snprintf(labels, sizeof labels, "stage=\"%s\",outcome=\"%s\",code", stage_name(stage),
                   outcome_name(item->outcome)); /* it fits */
    count_coded(report, "bridge_outcomes_total", labels, item->code, outcomes_help);
}

void report_stage(struct report *report, enum stage stage, enum stage_state state,
                  const struct reply_item *item)
{
    struct stage_report *about = stage_of(report, stage);
    metric_set(about->up, state == STAGE_UP);
    if (state == STAGE_UP) {
        log_info("stage works again", log_text("stage", stage_name(stage)));
        return; /* report_flow() tells its health */
    }
    error_set(&about->failure, "%s: %s: %.150s", stage_state_name(state), item->code, item->detail);
    (void)health_set(about->health, false, about->failure.message); /* logged here */
    log_error(state == STAGE_SYSTEMIC
                  ? "stage rejects every order: stopped, the configuration must be repaired"
                  : "stage is down: its orders wait",
              log_text("stage", stage_name(stage)), log_text("code", item->code),
              log_text("detail", item->detail));
}

void report_dead_letter(struct report *report, const struct dead_letter_report *letter)
{
    static struct log_limit limit;
    count_coded(report, "bridge_dead_letters_total", "reason", letter->reason, letters_help);
    log_warn_limited(&limit, "message is a dead letter", log_text("reason", letter->reason),
                     log_text("detail", letter->detail),
                     log_text("stage", letter->stage != NULL ? letter->stage : "none"),
                     log_number("attempts", letter->attempts));
}

/* States */

static void report_counters(struct report *report, const struct flow_stats *now)
{
    const struct flow_stats *last = &report->last;
    const struct {
        struct metric_counter *counter;
        uint64_t now, last;
    } counters[] = {
        {report->delivered, now->delivered, last->delivered},
        {report->acked, now->acked, last->acked},
        {report->acks, now->ack_calls, last->ack_calls},
        {report->hung, now->requeued_hung, last->requeued_hung},
        {report->stopping, now->requeued_stopping, last->requeued_stopping},
        {report->dropped, now->dropped, last->dropped},
        {report->stale, now->stale_replies, last->stale_replies},
        {report->letters_confirmed, now->dead_lettered, last->dead_lettered},
        {report->letters_failed, now->dead_letter_failures, last->dead_letter_failures},
        {report->stages[0].pushed, now->stage[0].pushed, last->stage[0].pushed},
        {report->stages[1].pushed, now->stage[1].pushed, last->stage[1].pushed},
        {report->stages[0].jobs, now->stage[0].jobs, last->stage[0].jobs},
        {report->stages[1].jobs, now->stage[1].jobs, last->stage[1].jobs},
        {report->stages[0].done, now->stage[0].done, last->stage[0].done},
        {report->stages[1].done, now->stage[1].done, last->stage[1].done},
    };
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++)
        metric_add(counters[i].counter, counters[i].now - counters[i].last);
}

static void report_readiness(struct report *report, const struct flow *flow, enum stage stage,
                             int64_t now_ms)
{
    struct stage_report *about = stage_of(report, stage);
    if (flow_stage_state(flow, stage) != STAGE_UP)
        return; /* report_stage() has told */
    bool alive = now_ms - about->alive_ms < WORKERLESS_AFTER_MS;
    if (!health_set(about->health, alive, alive ? NULL : "no worker takes jobs"))
        return;
    if (alive)
        log_info("workers take jobs", log_text("stage", stage_name(stage)));
    else
        log_warn("no worker takes jobs: orders wait", log_text("stage", stage_name(stage)));
}

void report_flow(struct report *report, const struct flow *flow, const bool writable[2],
                 int64_t now_ms)
{
    struct flow_stats now;
    flow_stats(flow, &now);
    report_counters(report, &now);
    metric_set(report->in_flight, (double)now.in_flight);
    metric_set(report->letters_waiting, (double)now.dead_waiting);
    metric_set(report->letters_sent, (double)now.dead_sent);
    metric_set(report->oldest_seconds,
               now.in_flight > 0 ? (double)(now_ms - now.oldest_ms) / 1e3 : 0);
    for (size_t i = 0; i < STAGES; i++) {
        struct stage_report *about = &report->stages[i];
        metric_set(about->waiting, (double)now.waiting[i]);
        metric_set(about->at_workers, (double)now.pushed[i]);
        metric_set(about->held, (double)now.held[i]);
        if (writable[i] || now.stage[i].done > report->last.stage[i].done)
            about->alive_ms = now_ms;
        report_readiness(report, flow, i == 0 ? STAGE_PERSIST : STAGE_INDEX, now_ms);
    }
    report->last = now;
}

/* Life */

static void register_stage(struct stage_report *about, enum stage stage)
{
    char labels[64], done[96];
    (void)snprintf(labels, sizeof labels, "stage=\"%s\"", stage_name(stage)); /* they fit */
    (void)snprintf(done, sizeof done, "%s,outcome=\"done\",code=\"\"", labels);
    about->pushed =
        metric_counter("bridge_pushed_orders_total", labels, "Orders given to workers.");
    about->jobs = metric_counter("bridge_pushed_jobs_total", labels, "Messages they travelled in.");
    about->done = metric_counter("bridge_outcomes_total", done, outcomes_help);
    about->up = metric_gauge("bridge_stage_up", labels, "0 while the stage is down or systemic.");
    about->waiting =
        metric_gauge("bridge_waiting_orders", labels, "Orders that wait for a worker.");
    about->at_workers = metric_gauge("bridge_orders_at_workers", labels, "Orders without outcome.");
    about->held =
        metric_gauge("bridge_held_orders", labels, "Orders that wait for their next attempt.");
    about->worker_seconds = metric_histogram_seconds("bridge_worker_seconds", labels,
                                                     "From giving an order away to its outcome.");
    about->age_seconds =
        metric_histogram_ages("bridge_order_age_seconds", labels, "From created_at to done.");
    metric_set(about->up, 1);
    about->alive_ms = -WORKERLESS_AFTER_MS;
    about->health = health_check(workers_of[stage - 1], HEALTH_REQUIRED);
}

struct report *report_new(size_t window)
{
    struct report *report = memory_new(sizeof *report);
    const char *requeued_name = "bridge_requeued_total", *requeued_help = "Orders given back.";
    report->delivered =
        metric_counter("bridge_delivered_total", NULL, "Messages taken from the queue.");
    report->acked = metric_counter("bridge_acked_total", NULL, "Messages acked.");
    report->acks = metric_counter("bridge_ack_frames_total", NULL, "Acks that took.");
    report->hung = metric_counter(requeued_name, "reason=\"hung\"", requeued_help);
    report->stopping = metric_counter(requeued_name, "reason=\"stopping\"", requeued_help);
    report->dropped = metric_counter("bridge_dropped_total", NULL,
                                     "Messages forgotten with the connection they came from.");
    report->stale = metric_counter("bridge_stale_replies_total", NULL,
                                   "Outcomes that match no order at a worker.");
    report->letters_confirmed = metric_counter("bridge_dead_letters_confirmed_total", NULL,
                                               "Dead letters that the broker has.");
    report->letters_failed = metric_counter("bridge_dead_letter_failures_total", NULL,
                                            "Dead letters that must be published again.");
    report->in_flight = metric_gauge("bridge_in_flight", NULL, "Messages neither acked nor back.");
    report->letters_waiting =
        metric_gauge("bridge_dead_letters_waiting", NULL, "Not taken by the publisher yet.");
    report->letters_sent =
        metric_gauge("bridge_dead_letters_unconfirmed", NULL, "Published, not confirmed yet.");
    report->oldest_seconds =
        metric_gauge("bridge_oldest_seconds", NULL, "How long the oldest is in flight.");
    report->queue_seconds =
        metric_histogram_ages("bridge_queue_seconds", NULL, "From created_at to the bridge.");
    metric_set(metric_gauge("bridge_window", NULL, "Messages in flight at most."), (double)window);
    for (size_t i = 0; i < STAGES; i++)
        register_stage(&report->stages[i], i == 0 ? STAGE_PERSIST : STAGE_INDEX);
    return report;
}

void report_free(struct report *report)
{
    free(report);
}
