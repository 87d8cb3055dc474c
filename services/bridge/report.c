/* What the bridge says of itself. The counters and gauges of the flow are rows of a table: each
 * names a number in the flow's statistics. */
#include "services/bridge/report.h"
#include "proto/timestamp.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include "services/runtime/health.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORKERLESS_AFTER_MS 3000
#define SERIES_MAX 128 /* a worker that makes up codes must not fill the memory */
#define LABELS_SIZE 128

struct stage_report {
    struct metric_gauge *up;
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
    struct metric_histogram *queue_seconds;
    int64_t started_ms;
    struct flow_stats last;
};

static const char outcomes_help[] = "Outcomes that workers answered, by reason.";
static const char letters_help[] = "Deliveries sent to the dead-letter queue, by reason.";
static const char requeued_help[] = "Deliveries given back.";

/* A uint64_t in struct flow_stats or struct stage_stats. The stage's labels come before `labels`.
 */
struct row {
    enum { COUNTER, GAUGE } kind;
    size_t offset;
    const char *name, *labels, *help;
};

#define FLOW(field) offsetof(struct flow_stats, field)
static const struct row flow_rows[] = {
    {COUNTER, FLOW(delivered), "bridge_delivered_total", "", "Deliveries taken from the queue."},
    {COUNTER, FLOW(acked), "bridge_acked_total", "", "Deliveries acked."},
    {COUNTER, FLOW(ack_calls), "bridge_ack_frames_total", "", "Acks that took."},
    {COUNTER, FLOW(requeued_hung), "bridge_requeued_total", "reason=\"hung\"", requeued_help},
    {COUNTER, FLOW(requeued_stopping), "bridge_requeued_total", "reason=\"stopping\"",
     requeued_help},
    {COUNTER, FLOW(dropped), "bridge_dropped_total", "",
     "Deliveries forgotten with the connection they came from."},
    {COUNTER, FLOW(stale_replies), "bridge_stale_replies_total", "",
     "Outcomes that match no order at a worker."},
    {COUNTER, FLOW(dead_lettered), "bridge_dead_letters_confirmed_total", "",
     "Dead letters that the broker has."},
    {COUNTER, FLOW(dead_letter_failures), "bridge_dead_letter_failures_total", "",
     "Dead letters that must be published again."},
    {GAUGE, FLOW(in_flight), "bridge_in_flight", "", "Deliveries neither acked nor back."},
    {GAUGE, FLOW(dead_waiting), "bridge_dead_letters_waiting", "",
     "Not taken by the publisher yet."},
    {GAUGE, FLOW(dead_sent), "bridge_dead_letters_unconfirmed", "",
     "Published, not confirmed yet."},
};

#define STAGE(field) offsetof(struct stage_stats, field)
static const struct row stage_rows[] = {
    {COUNTER, STAGE(pushed), "bridge_pushed_orders_total", "", "Orders given to workers."},
    {COUNTER, STAGE(jobs), "bridge_pushed_jobs_total", "", "Jobs they travelled in."},
    {COUNTER, STAGE(done), "bridge_outcomes_total", ",outcome=\"done\",code=\"\"", outcomes_help},
    {GAUGE, STAGE(waiting), "bridge_waiting_orders", "", "Orders that wait for a worker."},
    {GAUGE, STAGE(at_workers), "bridge_orders_at_workers", "", "Orders without outcome."},
    {GAUGE, STAGE(held), "bridge_held_orders", "", "Orders that wait for their next attempt."},
};

static uint64_t number_at(const void *stats, size_t offset)
{
    uint64_t number;
    memcpy(&number, (const char *)stats + offset, sizeof number);
    return number;
}

static void report_rows(const struct row *rows, size_t count, const char *stage_labels,
                        const void *now, const void *last)
{
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &rows[i];
        char labels[LABELS_SIZE];
        (void)snprintf(labels, sizeof labels, "%s%s", stage_labels, row->labels); /* it fits */
        uint64_t number = number_at(now, row->offset);
        if (row->kind == COUNTER)
            metric_add(metric_counter(row->name, labels, row->help),
                       number - number_at(last, row->offset));
        else
            metric_set(metric_gauge(row->name, labels, row->help), (double)number);
    }
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
    struct coded_counter *coded = &report->coded[i];
    if (i == report->coded_count) {
        report->coded_count++;
        coded->name = name;
        memcpy(coded->labels, text, sizeof text);
        coded->counter = metric_counter(name, text, help);
    }
    metric_add(coded->counter, 1);
}

/* Events */

static double seconds_since(int64_t then_us)
{
    int64_t us = timestamp_now_us() - then_us;
    return us > 0 ? (double)us / 1e6 : 0; /* clocks differ */
}

void report_delivery(struct report *report, const struct content *content)
{
    if (content->fault == NULL)
        metric_observe(report->queue_seconds, seconds_since(content->order->created_at_us));
}

void report_outcome(struct report *report, enum stage stage, const struct reply_item *item,
                    const struct order *order, int64_t at_worker_ms)
{
    struct stage_report *about = &report->stages[stage];
    metric_observe(about->worker_seconds, (double)at_worker_ms / 1e3);
    if (item->verdict.outcome == OUTCOME_DONE) {
        metric_observe(about->age_seconds, seconds_since(order->created_at_us));
        return;
    }
    char labels[64];
    (void)snprintf(labels, sizeof labels, "stage=\"%s\",outcome=\"%s\",code", stages[stage].name,
                   outcome_name(item->verdict.outcome)); /* it fits */
    count_coded(report, "bridge_outcomes_total", labels, item->verdict.code, outcomes_help);
}

void report_stage(struct report *report, enum stage stage, enum stage_state state,
                  const struct reply_item *item)
{
    struct stage_report *about = &report->stages[stage];
    metric_set(about->up, state == STAGE_UP);
    if (state == STAGE_UP) {
        log_info(item != NULL ? "stage works again" : "no order is left to try the stage with",
                 log_text("stage", stages[stage].name));
        return; /* report_flow() tells its health */
    }
    error_set(&about->failure, "%s: %s: %.150s", stage_state_name(state), item->verdict.code,
              item->verdict.detail);
    (void)health_set(about->health, false, about->failure.message); /* logged here */
    log_error(state == STAGE_SYSTEMIC
                  ? "stage rejects every order: stopped, the configuration must be repaired"
                  : "stage is down: its orders wait",
              log_text("stage", stages[stage].name), log_text("code", item->verdict.code),
              log_text("detail", item->verdict.detail));
}

void report_dead_letter(struct report *report, const struct dead_letter_report *letter)
{
    static struct log_limit limit;
    count_coded(report, "bridge_dead_letters_total", "reason", letter->reason, letters_help);
    char id[ORDER_ID_TEXT_LEN + 1], trace_id[TRACE_ID_TEXT_LEN + 1];
    if (letter->order_id != NULL)
        order_id_format(letter->order_id, id);
    trace_id_format(letter->trace_id, trace_id);
    log_warn_limited(&limit, "message is a dead letter",
                     log_text("order_id", letter->order_id != NULL ? id : NULL),
                     log_text("trace_id", trace_id), log_text("reason", letter->reason),
                     log_text("detail", letter->detail),
                     log_text("stage", letter->stage != NULL ? letter->stage : "none"),
                     log_number("attempts", letter->attempts));
}

/* States */

static void report_readiness(struct stage_report *about, const char *stage, int64_t started_ms,
                             int64_t now_ms)
{
    bool alive = now_ms - about->alive_ms < WORKERLESS_AFTER_MS;
    if (!alive && now_ms - started_ms < WORKERLESS_AFTER_MS)
        return; /* they are connecting */
    if (!health_set(about->health, alive, alive ? NULL : "no worker takes jobs"))
        return;
    if (alive)
        log_info("workers take jobs", log_text("stage", stage));
    else
        log_warn("no worker takes jobs: orders wait", log_text("stage", stage));
}

void report_flow(struct report *report, const struct flow *flow, const bool writable[STAGES],
                 int64_t now_ms)
{
    struct flow_stats now;
    flow_stats(flow, &now);
    report_rows(flow_rows, sizeof flow_rows / sizeof flow_rows[0], "", &now, &report->last);
    metric_set(metric_gauge("bridge_oldest_seconds", NULL, "How long the oldest is in flight."),
               now.in_flight > 0 ? (double)(now_ms - now.oldest_ms) / 1e3 : 0);
    for (enum stage stage = 0; stage < STAGES; stage++) {
        struct stage_report *about = &report->stages[stage];
        const struct stage_stats *last = &report->last.stage[stage];
        char labels[64];
        (void)snprintf(labels, sizeof labels, "stage=\"%s\"", stages[stage].name); /* it fits */
        report_rows(stage_rows, sizeof stage_rows / sizeof stage_rows[0], labels, &now.stage[stage],
                    last);
        if (writable[stage] || now.stage[stage].done > last->done)
            about->alive_ms = now_ms;
        if (now.stage[stage].state == STAGE_UP) /* else report_stage() has told */
            report_readiness(about, stages[stage].name, report->started_ms, now_ms);
    }
    report->last = now;
}

/* Life */

struct report *report_new(size_t window)
{
    struct report *report = memory_new(sizeof *report);
    report->started_ms = clock_monotonic_ms();
    report->queue_seconds = metric_histogram("bridge_queue_seconds", NULL,
                                             "From created_at to the bridge.", METRIC_AGES);
    metric_set(metric_gauge("bridge_window", NULL, "Deliveries in flight at most."),
               (double)window);
    for (enum stage stage = 0; stage < STAGES; stage++) {
        struct stage_report *about = &report->stages[stage];
        char labels[64];
        (void)snprintf(labels, sizeof labels, "stage=\"%s\"", stages[stage].name); /* it fits */
        about->up = metric_gauge("bridge_stage_up", labels, "0 while it is down or systemic.");
        metric_set(about->up, 1);
        about->worker_seconds =
            metric_histogram("bridge_worker_seconds", labels,
                             "From giving an order away to its outcome.", METRIC_SECONDS);
        about->age_seconds = metric_histogram("bridge_order_age_seconds", labels,
                                              "From created_at to done.", METRIC_AGES);
        about->alive_ms = -WORKERLESS_AFTER_MS;
        about->health = health_check(stages[stage].workers, HEALTH_REQUIRED);
    }
    return report;
}

void report_free(struct report *report)
{
    free(report);
}
