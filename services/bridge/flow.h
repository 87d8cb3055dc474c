/* The life of every order inside the bridge, as a pure state machine: what comes in from the broker
 * (deliveries), from the workers (replies) and from the dead-letter publisher (results) goes in by
 * function calls with the time; what must happen goes out through `struct flow_ports`. It reads no
 * clock, makes no random number, does no input or output, and so can be simulated.
 *
 *   delivered → WAITING(first stage) → PUSHED → WAITING(next stage) → PUSHED → DONE → acked
 *                   ↑ retry: HELD ↲ │               ↑ retry: HELD ↲ │
 *                                   └ reject ─→ DEAD_WAITING ←──────┘
 *                                               → DEAD_SENT → confirmed → DONE → acked
 *   PUSHED for 10 s → nacked with requeue
 *
 * No port calls back into the flow. */
#ifndef BRIDGE_FLOW_H
#define BRIDGE_FLOW_H

#include "proto/job.h"
#include "proto/reply.h"
#include "services/bridge/retry_policy.h"
#include "services/clients/rabbitmq/content.h"

#define FLOW_HANG_MS 10000             /* at workers, all stages together, without an outcome */
#define FLOW_ACK_PAUSE_MS 10           /* between two acks */
#define FLOW_ACK_ALONE_MS 100          /* a finished order behind a straggler is acked by itself */
#define FLOW_FORGET_MS 15000           /* without a delivery: then a failed stage counts as up */
#define FLOW_RENEW_MS (20 * 60 * 1000) /* well before RabbitMQ's consumer_timeout of 30 min */

/* All that a dead letter says, beside its content. Valid during the call only. */
struct dead_letter_report {
    uint64_t epoch, delivery_tag;    /* to be given back with the result */
    const struct order_id *order_id; /* NULL when it is no order */
    const struct trace_id *trace_id;
    const char *reason; /* stable: "malformed", "id_conflict", "retries_exhausted", … */
    const char *stage;  /* NULL when it never reached one */
    const char *detail; /* SQLSTATE and the like, for a person */
    unsigned attempts;
    int64_t first_attempt_ms, last_attempt_ms; /* on the flow's clock; 0 without attempts */
};

struct workers;
struct intake;
struct dead_letter_queue;
struct report;

/* What the flow needs of the other parts of the bridge, each function with the part that it is a
 * function of. */
struct flow_ports {
    uint32_t (*random)(void); /* uniform */

    struct workers *workers;
    /* Send 1..JOB_MAX_ORDERS orders to some worker of the stage. Returns 0, or -1 when no worker
     * takes them now: the flow then sends no job to that stage until flow_writable(). */
    int (*push)(struct workers *workers, const struct job_route *route,
                const struct job_item *items, size_t count);

    struct intake *intake;
    /* Settle deliveries, in the order of the calls; `multiple`: all unsettled up to this tag. */
    void (*ack)(struct intake *intake, uint64_t delivery_tag, bool multiple);
    void (*requeue)(struct intake *intake, uint64_t delivery_tag);

    struct dead_letter_queue *dead_letters;
    /* Begin to publish a dead letter; the result comes to flow_dead_letter_result(). Takes its own
     * reference to the content. Returns 0, or -1 when it takes none now: the flow asks again. */
    int (*dead_letter)(struct dead_letter_queue *queue, struct content *content,
                       const struct dead_letter_report *report, int64_t now_ms);

    struct report *report; /* to log and count */
    /* An outcome, with the time that the order was at the worker. */
    void (*on_outcome)(struct report *report, enum stage stage, const struct reply_item *item,
                       const struct order *order, int64_t at_worker_ms);
    /* A stage has another state; `item` is the outcome that did it, or NULL when it is up because
     * no order is left to try it with. */
    void (*on_stage)(struct report *report, enum stage stage, enum stage_state state,
                     const struct reply_item *item);
    void (*on_dead_letter)(struct report *report, const struct dead_letter_report *letter);
};

struct flow_options {
    uint8_t incarnation[16]; /* random for each process */
    size_t window;           /* deliveries in flight at most: the prefetch count */
};

struct stage_stats {
    uint64_t pushed, jobs, done;        /* counted since the start */
    uint64_t waiting, at_workers, held; /* now */
    enum stage_state state;
};

struct flow_stats {
    /* counted since the start; dropped: with their connection */
    uint64_t delivered, acked, ack_calls, dead_lettered, dead_letter_failures, stale_replies;
    uint64_t requeued_hung, requeued_stopping, dropped;
    uint64_t in_flight, dead_waiting, dead_sent, done_unacked; /* now */
    int64_t oldest_ms; /* when the oldest in flight was delivered; 0 when there is none */
    struct stage_stats stage[STAGES];
};

struct flow;

/* The ports must outlive the flow, and be complete before anything else is called. */
struct flow *flow_new(const struct flow_options *options, const struct flow_ports *ports);
void flow_free(struct flow *flow);

/* The consuming connection is lost or replaced: forget every delivery. `epoch` names the new
 * connection, never used before; 0: there is none, nothing may be delivered. */
void flow_reset(struct flow *flow, uint64_t epoch);

/* An order was delivered; takes the reference to its content. Returns 0, or -1 when the broker
 * broke the window or the order of tags: then the connection must be given up. */
int flow_deliver(struct flow *flow, uint64_t delivery_tag, struct content *content, int64_t now_ms)
    __attribute__((warn_unused_result));

/* A reply has come. What matches no push is counted and dropped. */
void flow_reply(struct flow *flow, const struct job_route *route, const struct reply_item *items,
                size_t count, int64_t now_ms);

void flow_dead_letter_result(struct flow *flow, uint64_t epoch, uint64_t delivery_tag,
                             bool confirmed, int64_t now_ms);

/* A worker of the stage can take jobs again. */
void flow_writable(struct flow *flow, enum stage stage);

/* Do all that is due: expire deadlines, push what waits, ack what is finished. To be called after
 * each batch of the calls above, and at flow_next_ms(). Returns false when RabbitMQ is about to
 * close the channel, because the oldest delivery is in flight for FLOW_RENEW_MS: then give all
 * deliveries back and consume again, on a new connection. Says so once, and rests until
 * flow_reset(). */
bool flow_turn(struct flow *flow, int64_t now_ms) __attribute__((warn_unused_result));
/* When flow_turn() must be called next, if nothing else happens; INT64_MAX for never. */
int64_t flow_next_ms(const struct flow *flow);

/* Stop: give back every delivery that is not at a worker, now and from now on; finish the others.
 * flow_turn() follows. */
void flow_stop(struct flow *flow);

void flow_stats(const struct flow *flow, struct flow_stats *ret_stats);

#endif
