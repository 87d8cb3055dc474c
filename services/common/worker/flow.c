/* Three ways to go:
 *
 * STEADY: jobs are read while a batch executes, up to two batches in hand, and the next batch is
 * whatever came meanwhile; so batches grow with the load and an idle worker does not linger. A
 * batch that takes long leaves the hand full; then one message per bridge and step is read beyond
 * that bound, because libzmq drops a link that is not read (see link_socket.c).
 *
 * FAILING, from the first batch of which nothing succeeded because the backend is down: all that
 * is in hand is answered "retry". Then a few orders are read each backoff step, which are the probe
 * of the backend, or, if the last probe still has no answer, are answered "retry" at once. So a
 * worker that fails fast draws few jobs away from healthy ones, and yet what lies in its sockets'
 * queues is answered long before the bridge's deadline. A batch that succeeds ends it.
 *
 * STOPPING: nothing is read any more. */
#include "services/common/worker/flow.h"
#include "services/common/backoff.h"
#include "services/common/memory.h"
#include "services/common/worker/held_orders.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define STEADY_STEP_MS 1000
#define FAILING_STEP_BASE_MS 50
#define FAILING_STEP_CAP_MS 500
#define PROBE_ORDERS 100    /* read of each bridge in a failing step, and up to a message more */
#define OVERFULL_MESSAGES 6 /* of each bridge beyond two batches: a batch takes up to 6 s */

enum flow_state { FLOW_UNSTARTED, FLOW_STEADY, FLOW_FAILING, FLOW_STOPPING };

struct flow {
    enum flow_state state;
    struct worker_ports ports;
    struct worker_backend backend;
    unsigned bridge_count;
    unsigned next_bridge; /* to read from: they take turns */
    size_t batch_max, hold_max;
    struct held_orders *held;
    size_t executing; /* the oldest of held; 0 = no batch is out */
    bool advancing;
    bool jobs_wanted;
    struct backoff backoff;
    struct verdict cause; /* of the last failure of the backend */
    const struct order **batch;
    struct verdict *verdicts;
    struct job_message job; /* just read */
};

struct flow *flow_new(unsigned bridge_count, size_t batch_max, const struct worker_ports *ports,
                      const struct worker_backend *backend)
{
    struct flow *flow = memory_new(sizeof(*flow));
    flow->ports = *ports;
    flow->backend = *backend;
    flow->bridge_count = bridge_count;
    flow->batch_max = batch_max;
    flow->hold_max = 2 * batch_max + JOB_MAX_ORDERS;
    flow->held =
        held_orders_new(flow->hold_max + OVERFULL_MESSAGES * JOB_MAX_ORDERS * bridge_count);
    flow->backoff =
        (struct backoff){.base_ms = FAILING_STEP_BASE_MS, .cap_ms = FAILING_STEP_CAP_MS};
    flow->batch = memory_new_array(batch_max, sizeof(flow->batch[0]));
    flow->verdicts = memory_new_array(batch_max, sizeof(flow->verdicts[0]));
    return flow;
}

void flow_free(struct flow *flow)
{
    if (!flow)
        return;
    held_orders_free(flow->held);
    free(flow->batch);
    free(flow->verdicts);
    free(flow);
}

size_t flow_orders_held(const struct flow *flow)
{
    return held_orders_count(flow->held);
}

/* ---- answering ---- */

static bool same_route(const struct held_order *a, const struct held_order *b)
{
    return a->bridge == b->bridge && a->route.epoch == b->route.epoch &&
           a->route.stage == b->route.stage &&
           memcmp(a->route.incarnation, b->route.incarnation, sizeof(a->route.incarnation)) == 0;
}

/* Answer the orders in hand from place `from` up to `to`, neighbours of one route in one message.
 * Their verdicts are one after another, `stride` apart (0: all have the same). */
static void answer(struct flow *flow, size_t from, size_t to, const struct verdict *verdict,
                   size_t stride)
{
    struct reply_item items[REPLY_MAX_ITEMS];
    size_t count = 0;
    for (size_t place = from; place < to; place++, verdict += stride) {
        const struct held_order *held = held_orders_at(flow->held, place);
        struct reply_item *item = &items[count++];
        item->delivery_tag = held->delivery_tag;
        item->attempt = held->attempt;
        item->outcome = verdict->outcome;
        strcpy(item->code, verdict->code); /* of the same size */
        strcpy(item->detail, verdict->detail);
        item->created_at_us = verdict->created_at_us;

        if (place + 1 == to || count == REPLY_MAX_ITEMS ||
            !same_route(held, held_orders_at(flow->held, place + 1))) {
            flow->ports.reply(flow->ports.self, held->bridge, &held->route, items, count);
            count = 0;
        }
    }
}

/* The backend is down: whatever waits in hand is answered with the reason. */
static void give_back_waiting(struct flow *flow)
{
    answer(flow, flow->executing, held_orders_count(flow->held), &flow->cause, 0);
    held_orders_truncate(flow->held, flow->executing);
}

/* ---- reading ---- */

/* Read one message of the bridge into the hand; returns its number of orders. */
static size_t read_message(struct flow *flow, unsigned bridge)
{
    if (held_orders_room(flow->held) < JOB_MAX_ORDERS ||
        !flow->ports.read(flow->ports.self, bridge, &flow->job))
        return 0;
    for (size_t i = 0; i < flow->job.count; i++)
        held_orders_append(flow->held, bridge, &flow->job.route, &flow->job.items[i]);
    return flow->job.count;
}

static bool below_bound(const struct flow *flow)
{
    return held_orders_count(flow->held) + JOB_MAX_ORDERS <= flow->hold_max;
}

/* Read all there is, up to the bound, the bridges taking turns. */
static void read_steadily(struct flow *flow)
{
    unsigned empty_handed = 0; /* bridges in a row */
    while (empty_handed < flow->bridge_count && below_bound(flow)) {
        empty_handed = read_message(flow, flow->next_bridge) ? 0 : empty_handed + 1;
        flow->next_bridge = (flow->next_bridge + 1) % flow->bridge_count;
    }
}

/* Read at least a message and about `orders` of each bridge, whatever is in hand. */
static void read_a_little(struct flow *flow, size_t orders)
{
    for (unsigned bridge = 0; bridge < flow->bridge_count; bridge++) {
        size_t total = 0, count;
        do {
            count = read_message(flow, bridge);
            total += count;
        } while (count > 0 && total < orders);
    }
}

/* ---- executing ---- */

static void advance(struct flow *flow); /* further below */

static void set_state(struct flow *flow, enum flow_state state)
{
    flow->state = state;
    switch (state) {
    case FLOW_UNSTARTED:
    case FLOW_STOPPING:
        break;
    case FLOW_STEADY:
        backoff_reset(&flow->backoff);
        flow->ports.step_after(flow->ports.self, STEADY_STEP_MS);
        break;
    case FLOW_FAILING:
        flow->ports.step_after(
            flow->ports.self,
            backoff_next_ms(&flow->backoff, flow->ports.random(flow->ports.self)));
        break;
    }
}

/* Why the backend is down: what it said to the first order that it did not take. */
static void remember_cause(struct flow *flow, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (flow->verdicts[i].outcome == OUTCOME_RETRY) {
            flow->cause = flow->verdicts[i];
            return;
        }
}

static void on_executed(void *arg, bool backend_down)
{
    struct flow *flow = arg;
    assert(flow->executing);
    size_t count = flow->executing;
    flow->executing = 0;
    flow->ports.on_batch(flow->ports.self, flow->batch, count, flow->verdicts, backend_down);
    answer(flow, 0, count, flow->verdicts, 1);
    held_orders_remove(flow->held, count);

    if (backend_down) {
        remember_cause(flow, count);
        give_back_waiting(flow);
        if (flow->state == FLOW_STEADY)
            set_state(flow, FLOW_FAILING);
    } else if (flow->state == FLOW_FAILING) {
        set_state(flow, FLOW_STEADY);
    }
    advance(flow);
}

static void execute_waiting(struct flow *flow)
{
    size_t count = held_orders_count(flow->held);
    if (count > flow->batch_max)
        count = flow->batch_max;
    for (size_t i = 0; i < count; i++) {
        flow->batch[i] = &held_orders_at(flow->held, i)->order;
        verdict_fail(&flow->verdicts[i], OUTCOME_RETRY, "unanswered", "");
    }
    flow->executing = count;
    flow->backend.execute(flow->backend.self, flow->batch, count, flow->verdicts, on_executed,
                          flow);
}

/* Go as far as possible now. A backend that answers from inside execute() comes here again: then
 * the outer call goes on. */
static void advance(struct flow *flow)
{
    if (flow->advancing)
        return;
    flow->advancing = true;
    for (;;) {
        if (flow->state == FLOW_STEADY)
            read_steadily(flow);
        if (flow->executing || held_orders_count(flow->held) == 0)
            break;
        execute_waiting(flow);
    }
    flow->advancing = false;

    bool wanted = flow->state == FLOW_STEADY && below_bound(flow);
    if (wanted != flow->jobs_wanted) {
        flow->jobs_wanted = wanted;
        flow->ports.want_jobs(flow->ports.self, wanted);
    }
}

/* ---- events ---- */

void flow_start(struct flow *flow)
{
    if (flow->state == FLOW_UNSTARTED) {
        set_state(flow, FLOW_STEADY);
        advance(flow);
    }
}

void flow_jobs_readable(struct flow *flow)
{
    advance(flow);
}

void flow_step(struct flow *flow)
{
    switch (flow->state) {
    case FLOW_UNSTARTED:
    case FLOW_STOPPING:
        return;
    case FLOW_STEADY:
        if (flow->executing && !below_bound(flow))
            read_a_little(flow, 1);
        break;
    case FLOW_FAILING:
        read_a_little(flow, PROBE_ORDERS);
        if (flow->executing)
            give_back_waiting(flow);
        break;
    }
    set_state(flow, flow->state); /* the next step */
    advance(flow);
}

void flow_stop(struct flow *flow)
{
    set_state(flow, FLOW_STOPPING);
    advance(flow);
}
