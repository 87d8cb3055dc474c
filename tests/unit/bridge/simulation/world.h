/* A small world for the bridge's flow: a broker, workers, their backends, a dead-letter publisher
 * and a network, all simulated, with seeded faults and a virtual clock. The same seed gives the
 * same history. A model of what the flow has been told is kept beside it (bridge.c), and whatever
 * the flow does is checked against that model and against the stores, at once. */
#ifndef SIMULATION_WORLD_H
#define SIMULATION_WORLD_H

#include "proto/job.h"
#include "services/bridge/flow.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WINDOW_MAX 20
#define MESSAGES_MAX 512
#define WORKERS (3 * STAGES)
#define WORKER_QUEUE 2

/* Events */

enum event_kind {
    EVENT_DELIVER,     /* a message reaches the bridge */
    EVENT_SETTLE,      /* an ack or nack reaches the broker */
    EVENT_WORKED,      /* a worker has finished a job */
    EVENT_REPLY,       /* its reply reaches the bridge */
    EVENT_DEAD_LETTER, /* the publisher knows what became of a dead letter */
    EVENT_CONNECT,     /* the bridge connects again */
    EVENT_TURN,        /* flow_next_ms() */
    EVENT_FAULT,       /* something breaks */
    EVENT_MEND,        /* a worker or backend comes back */
    EVENT_CALM,        /* no more faults; fresh orders keep coming */
};

struct event {
    int64_t at_ms;
    uint64_t sequence; /* first come, first served among the same instant */
    enum event_kind kind;
    uint64_t connection; /* which one of the whole history; stale events are ignored */
    uint64_t epoch, tag;
    struct parcel *parcel;
    unsigned number;     /* of a worker or stage */
    uint64_t generation; /* of a worker, or of the bridge's process */
    bool flag;           /* multiple; confirmed */
    bool requeue;
};

/* A job on its way through a worker, and then its reply. */
struct parcel {
    struct job_route route;
    size_t count;
    struct parcel_item {
        uint64_t tag;
        uint32_t attempt;
        unsigned message;
        enum outcome outcome;
    } items[WINDOW_MAX];
};

/* The broker's side */

enum message_kind { HEALTHY, POISON, FLAKY, REJECTED /* by its stage */ };

struct sim_message {
    enum message_kind kind;
    enum stage rejected_by;
    enum { READY, UNACKED, GONE } state;
    bool done[STAGES];
    unsigned dead_letters, deliveries;
};

/* One delivery of one connection: the broker's view, and the model of what the flow knows. */
struct sim_delivery {
    unsigned message;
    bool at_broker; /* the broker has not seen it settled */
    bool received, settled;
    enum stage next; /* by the valid replies that reached the flow; STAGES: it is done */
    bool buried;     /* by a confirm that reached the flow */
    bool rejected, believed, dead_sent;
    bool at_worker;
    enum stage stage; /* of the last push */
    uint32_t attempt;
    unsigned retries;
    int64_t pushed_ms, at_workers_ms, finished_ms;
};

struct worker {
    enum stage stage;
    bool alive, stopped, finished_while_stopped;
    uint64_t generation;
    struct parcel *busy, *queue[WORKER_QUEUE];
    size_t queued;
};

enum backend { BACKEND_GOOD, BACKEND_FAILS_FAST, BACKEND_FAILS_SLOWLY, BACKEND_REJECTS_ALL };

/* What the schedules have met, to know that they are not vacuous. */
struct tally {
    uint64_t acked, requeued_hung, retries, rejects, dead_letters, dead_letter_failures, exhausted;
    uint64_t connections_lost, bridge_crashes, worker_crashes, stale_replies, redelivered, renewals;
    uint64_t stage_down, stage_systemic, forgotten, multiple_acks, single_acks, stops, events;
};

struct world {
    uint64_t seed, random;
    int64_t now_ms;
    bool calm, failed;

    struct event *events; /* a heap */
    size_t event_count, event_capacity;
    uint64_t event_sequence;

    struct sim_message messages[MESSAGES_MAX];
    size_t message_count, original_count, originals_gone;
    unsigned ready[MESSAGES_MAX]; /* numbers of messages, first in line first */
    size_t ready_count;

    bool connected;
    uint64_t connection; /* counts all; the epoch counts those of one bridge process */
    size_t window, unacked;
    uint64_t tags, first_at_broker, first_unsettled;
    int64_t settled_ms;              /* when the bridge last acked or requeued */
    struct sim_delivery *deliveries; /* by tag */
    size_t delivery_capacity;
    int64_t last_delivery_ms, last_settle_ms;

    struct flow_ports ports;
    struct flow *flow;
    uint8_t incarnation[16];
    uint64_t process, epoch;
    int64_t turn_at_ms;
    bool stopping;
    bool blocked[STAGES]; /* no worker took the last job */
    unsigned rejects_in_row[STAGES];
    size_t live_messages; /* that the flow has not freed */

    struct worker workers[WORKERS];
    unsigned next_worker;
    enum backend backend[STAGES];

    /* how this schedule treats the bridge, percent */
    unsigned lose_reply, late_reply, double_reply, forge_reply, retry, publisher_down;
    unsigned slow;       /* longest job, ms */
    unsigned fault_mask; /* which faults happen */
    struct tally *tally;
};

/* world.c: chance and events */
uint32_t world_random(struct world *world);
unsigned world_below(struct world *world, unsigned limit);
bool world_chance(struct world *world, unsigned percent);
void world_schedule(struct world *world, int64_t delay_ms, struct event event);
bool world_next_event(struct world *world, struct event *ret_event);
/* Report the first broken promise; the schedule ends after this event. */
void world_fail(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define CHECK(world, condition, ...) ((condition) ? (void)0 : world_fail((world), __VA_ARGS__))

/* broker.c */
void broker_publish(struct world *world, enum message_kind kind);
bool broker_message_done(const struct sim_message *message); /* in every stage */
void broker_deliver_more(struct world *world);
void broker_lose_connection(struct world *world, int64_t pause_ms);
void broker_settled(struct world *world, const struct event *event);
void broker_send_settle(struct world *world, uint64_t tag, bool multiple, bool requeue);

/* workers.c */
void workers_start(struct world *world);
int workers_push(struct world *world, const struct job_route *route, const struct job_item *items,
                 size_t count);
void worker_worked(struct world *world, const struct event *event);
void worker_crash(struct world *world, unsigned number);
void worker_stop(struct world *world, unsigned number);
void workers_writable(struct world *world, enum stage stage);
void worker_mend(struct world *world, unsigned number);
void workers_free(struct world *world);

/* bridge.c: the flow with its model */
void bridge_start(struct world *world);
void bridge_connected(struct world *world);
void bridge_delivered(struct world *world, const struct event *event);
void bridge_replied(struct world *world, struct parcel *parcel);
void bridge_dead_letter_result(struct world *world, const struct event *event);
void bridge_turn(struct world *world);
void bridge_stop(struct world *world);
void bridge_check(struct world *world);

#endif
