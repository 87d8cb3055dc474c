/* Wires the parts together: intake → flow → workers → flow → intake, with dead letters on the side.
 * Each part hands a batch of news to the flow and then calls turn(), where the flow acts on all of
 * it at once. */
#include "services/bridge/bridge.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/bridge/dead_letter_queue.h"
#include "services/bridge/flow.h"
#include "services/bridge/intake.h"
#include "services/bridge/report.h"
#include "services/bridge/settings.h"
#include "services/bridge/workers.h"
#include "services/loop/event_loop.h"
#include <stdlib.h>
#include <string.h>

#define REPORT_MS 250
#define STOP_DEADLINE_MS 7000 /* for orders at workers: most finish, the rest is redelivered */
#define STOP_DRAIN_MS 500     /* for dead letters without confirm, after that */

struct bridge {
    struct event_loop *loop;
    struct intake *intake;
    struct workers *workers;
    struct dead_letter_queue *dead_letters;
    struct flow_ports ports;
    struct flow *flow;
    struct report *report;
    struct loop_timer *deadline, *report_timer, *stop_timer;
    struct loop_watch *stop_watch;
    int64_t deadline_ms; /* when `deadline` fires; INT64_MAX: it is stopped */
};

/* The loop */

static bool drained(const struct bridge *bridge)
{
    struct flow_stats stats;
    flow_stats(bridge->flow, &stats);
    return stats.in_flight == 0 && intake_unsent(bridge->intake) == 0;
}

static void set_deadline(struct bridge *bridge, int64_t now_ms)
{
    int64_t next_ms = flow_next_ms(bridge->flow);
    /* An earlier timer just finds nothing to do: most deadlines never come. */
    if (next_ms >= bridge->deadline_ms)
        return;
    bridge->deadline_ms = next_ms;
    loop_timer_start(bridge->deadline, next_ms > now_ms ? next_ms - now_ms : 0);
}

static void turn(void *arg)
{
    struct bridge *bridge = arg;
    int64_t now_ms = clock_monotonic_ms();
    bool keep = flow_turn(bridge->flow, now_ms);
    intake_flush(bridge->intake);
    if (!keep)
        intake_renew(bridge->intake);
    set_deadline(bridge, now_ms);
    if (loop_timer_running(bridge->stop_timer) && drained(bridge)) /* stopping */
        event_loop_stop(bridge->loop);
}

static void on_deadline(void *arg)
{
    struct bridge *bridge = arg;
    bridge->deadline_ms = INT64_MAX;
    turn(bridge);
}

static void on_report(void *arg)
{
    struct bridge *bridge = arg;
    bool writable[STAGES];
    for (enum stage stage = 0; stage < STAGES; stage++)
        writable[stage] = workers_writable(bridge->workers, stage);
    report_flow(bridge->report, bridge->flow, writable, clock_monotonic_ms());
    loop_timer_start(bridge->report_timer, REPORT_MS);
}

/* News of the intake */

static void on_connection(void *arg, uint64_t epoch)
{
    struct bridge *bridge = arg;
    flow_reset(bridge->flow, epoch);
    dead_letter_queue_set_reachable(bridge->dead_letters, epoch != 0);
}

static int on_delivery(void *arg, uint64_t delivery_tag, struct content *content)
{
    struct bridge *bridge = arg;
    report_delivery(bridge->report, content);
    return flow_deliver(bridge->flow, delivery_tag, content, clock_monotonic_ms());
}

/* Stopping */

static void on_stop_deadline(void *arg)
{
    struct bridge *bridge = arg;
    struct flow_stats stats;
    flow_stats(bridge->flow, &stats);
    log_warn("stopped with orders in flight: the broker delivers them again",
             log_number("orders", stats.in_flight));
    event_loop_stop(bridge->loop);
}

static void on_stop(void *arg, bool readable, bool writable)
{
    (void)readable, (void)writable;
    struct bridge *bridge = arg;
    loop_watch_want(bridge->stop_watch, false, false);
    loop_timer_start(bridge->stop_timer, STOP_DEADLINE_MS);
    intake_cancel(bridge->intake);
    flow_stop(bridge->flow);
    turn(bridge);
}

/* Life */

static void make_flow(struct bridge *bridge, size_t window)
{
    struct flow_options options = {.window = window};
    arc4random_buf(options.incarnation, sizeof options.incarnation);
    bridge->report = report_new(window);
    bridge->flow = flow_new(&options, &bridge->ports);
}

static void make_queues(struct bridge *bridge, const struct bridge_settings *settings)
{
    struct broker_options broker = {.url = settings->rabbitmq_url,
                                    .ca_file = settings->rabbitmq_ca_file,
                                    .name = "bridge intake"};
    enum queue_type type = (enum queue_type)settings->order_queue_type;
    bridge->intake = intake_new(bridge->loop, &(struct intake_options){
                                                  .broker = broker,
                                                  .queue = settings->order_queue,
                                                  .queue_type = type,
                                                  .prefetch = (uint16_t)settings->prefetch,
                                                  .on_connection = on_connection,
                                                  .on_delivery = on_delivery,
                                                  .on_turn = turn,
                                                  .arg = bridge,
                                              });
    broker.name = "bridge dead letters";
    bridge->dead_letters = dead_letter_queue_new(bridge->loop, &(struct dead_letter_queue_options){
                                                                   .broker = broker,
                                                                   .queue = settings->order_queue,
                                                                   .queue_type = type,
                                                                   .flow = bridge->flow,
                                                                   .on_turn = turn,
                                                                   .arg = bridge,
                                                               });
}

static void run_loop(struct bridge *bridge, int stop_fd)
{
    bridge->deadline = event_loop_timer(bridge->loop, on_deadline, bridge);
    bridge->deadline_ms = INT64_MAX;
    bridge->report_timer = event_loop_timer(bridge->loop, on_report, bridge);
    bridge->stop_timer = event_loop_timer(bridge->loop, on_stop_deadline, bridge);
    bridge->stop_watch = event_loop_watch(bridge->loop, stop_fd, on_stop, bridge);
    loop_watch_want(bridge->stop_watch, true, false);
    on_report(bridge);
    intake_start(bridge->intake);
    event_loop_run(bridge->loop);
    loop_watch_free(bridge->stop_watch);
    loop_timer_free(bridge->stop_timer);
    loop_timer_free(bridge->report_timer);
    loop_timer_free(bridge->deadline);
}

int bridge_run(const void *arg, int stop_fd, struct error *err)
{
    const struct bridge_settings *settings = arg;
    struct bridge bridge = {.loop = event_loop_new()};
    struct link_key key;
    make_flow(&bridge, (size_t)settings->prefetch);
    bridge.workers = workers_new(bridge.loop,
                                 &(struct workers_options){
                                     .bind = settings->bind,
                                     .key = link_settings_key(&settings->link, &key),
                                     .flow = bridge.flow,
                                     .on_turn = turn,
                                     .arg = &bridge,
                                 },
                                 err);
    bool bound = bridge.workers != NULL;
    if (bound) {
        make_queues(&bridge, settings);
        bridge.ports = (struct flow_ports){
            .random = arc4random,
            .workers = bridge.workers,
            .push = workers_push,
            .intake = bridge.intake,
            .ack = intake_ack,
            .requeue = intake_requeue,
            .dead_letters = bridge.dead_letters,
            .dead_letter = dead_letter_queue_publish,
            .report = bridge.report,
            .on_outcome = report_outcome,
            .on_stage = report_stage,
            .on_dead_letter = report_dead_letter,
        };
        run_loop(&bridge, stop_fd);
    }
    dead_letter_queue_free(bridge.dead_letters, STOP_DRAIN_MS);
    flow_free(bridge.flow);
    intake_free(bridge.intake);
    workers_free(bridge.workers);
    report_free(bridge.report);
    event_loop_free(bridge.loop);
    return bound ? 0 : -1;
}
