/* A connection for each queue asks how many messages wait there. What it does not know counts as
 * unknown, not as none. */
#include "services/scheduler/index/live_pressure.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/clients/rabbitmq/link.h"
#include <stdlib.h>
#include <string.h>

#define SOON_S 10 /* how far ahead growth is looked at */

/* ---- the rule ---- */

int64_t live_pressure_pause_ms(const struct queue_depth *depth, size_t rows, int64_t took_ms)
{
    int64_t slowest_ms = (int64_t)rows * 1000 / LIVE_PRESSURE_SLOWEST_ROWS - took_ms;
    int64_t pause_ms = took_ms;
    if (depth->known) {
        int64_t growth = depth->per_second > 0 ? depth->per_second * SOON_S : 0;
        int64_t load = depth->messages + growth;
        pause_ms = load < LIVE_PRESSURE_FREE ? 0 : took_ms * load / LIVE_PRESSURE_FREE;
    }
    return pause_ms < slowest_ms ? pause_ms : slowest_ms > 0 ? slowest_ms : 0;
}

/* ---- the look ---- */

struct watched_queue {
    char *name;
    struct broker_link *link;
    struct queue_depth depth;
    int64_t seen_ms; /* when the messages were counted */
};

struct live_pressure {
    unsigned users;
    size_t count;
    struct watched_queue *queues;
};

static void on_up(void *arg, const char *warning)
{
    (void)arg, (void)warning; /* gateways and bridges tell how the queue differs */
}

static void on_down(void *arg, const char *reason)
{
    static struct log_limit limit = {.period_ms = 60000};
    struct watched_queue *queue = arg;
    queue->depth = (struct queue_depth){.known = false};
    queue->seen_ms = 0;
    log_info_limited(&limit, "jobs about the index do not know how many orders wait",
                     log_text("queue", queue->name), log_text("reason", reason));
}

static void on_counts(void *arg, const amqp_queue_declare_ok_t *counts)
{
    struct watched_queue *queue = arg;
    int64_t now_ms = clock_monotonic_ms(), passed_ms = now_ms - queue->seen_ms;
    int64_t grown = (int64_t)counts->message_count - queue->depth.messages;
    bool first = queue->seen_ms == 0;
    queue->depth = (struct queue_depth){
        .known = true,
        .messages = counts->message_count,
        .per_second = first || passed_ms <= 0 ? 0 : grown * 1000 / passed_ms,
    };
    queue->seen_ms = now_ms;
}

static int on_frame(void *arg, const amqp_frame_t *frame, struct error *err)
{
    (void)arg, (void)frame;
    error_set(err, "a frame came that nobody asked for");
    return -1;
}

static void on_turn(void *arg)
{
    (void)arg;
}

static void hold(struct live_pressure *pressure, bool held)
{
    for (size_t i = 0; i < pressure->count; i++)
        broker_link_hold(pressure->queues[i].link, held);
}

void live_pressure_begin(struct live_pressure *pressure)
{
    if (pressure->users++ == 0)
        hold(pressure, false);
}

void live_pressure_end(struct live_pressure *pressure)
{
    if (--pressure->users == 0)
        hold(pressure, true);
}

struct queue_depth live_pressure_depth(const struct live_pressure *pressure)
{
    struct queue_depth all = {.known = true};
    for (size_t i = 0; i < pressure->count; i++) {
        const struct queue_depth *depth = &pressure->queues[i].depth;
        all.known = all.known && depth->known;
        all.messages += depth->messages;
        all.per_second += depth->per_second;
    }
    return all;
}

/* ---- life ---- */

struct live_pressure *live_pressure_new(struct event_loop *loop,
                                        const struct live_pressure_options *options)
{
    struct live_pressure *pressure = memory_new(sizeof *pressure);
    size_t count = 1;
    for (const char *at = options->queues; (at = strchr(at, ',')) != NULL; at++)
        count++;
    pressure->queues = memory_new_array(count, sizeof *pressure->queues);
    const char *name = options->queues;
    for (size_t i = 0; i < count; i++) {
        struct watched_queue *queue = &pressure->queues[i];
        size_t len = strcspn(name, ",");
        queue->name = memory_copy(name, len);
        name += len + 1;
        queue->link = broker_link_new(loop, &(struct broker_link_options){
                                                .broker = options->broker,
                                                .queue = queue->name,
                                                .queue_type = options->queue_type,
                                                .ask_queues = 1,
                                                .on_up = on_up,
                                                .on_down = on_down,
                                                .on_counts = on_counts,
                                                .on_frame = on_frame,
                                                .on_turn = on_turn,
                                                .arg = queue,
                                            });
    }
    pressure->count = count;
    return pressure;
}

void live_pressure_free(struct live_pressure *pressure)
{
    if (pressure == NULL)
        return;
    for (size_t i = 0; i < pressure->count; i++) {
        broker_link_free(pressure->queues[i].link);
        free(pressure->queues[i].name);
    }
    free(pressure->queues);
    free(pressure);
}
