/* Each delivery has one state (delivery_table.h keeps the lists), each stage one health
 * (retry_policy.h). Calls that bring news only change states; flow_turn() then acts on the lists:
 * so a batch of news makes a batch of pushes and one ack. */
#include "services/bridge/flow.h"
#include "services/base/memory.h"
#include "services/bridge/delivery_table.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#define DEAD_LETTER_BASE_MS 100
#define DEAD_LETTER_CAP_MS 5000

struct flow {
    const struct flow_ports *ports;
    struct job_route route; /* of this process and connection; the stage is set per job */
    struct delivery_table table;
    struct stage_health health[STAGES];
    bool blocked[STAGES]; /* no worker took the last job */
    int64_t ack_at_ms;    /* the next ack is not sent before this, unless many wait for it */
    struct backoff dead_letter_backoff;
    int64_t dead_letter_at_ms; /* no dead letter is offered before this */
    bool renewing, stopping;
    int64_t idle_since_ms;   /* INT64_MAX: there are deliveries */
    struct flow_stats stats; /* the counters only */
};

struct flow *flow_new(const struct flow_options *options, const struct flow_ports *ports)
{
    struct flow *flow = memory_new(sizeof *flow);
    flow->ports = ports;
    flow->idle_since_ms = INT64_MAX;
    memcpy(flow->route.incarnation, options->incarnation, sizeof flow->route.incarnation);
    flow->dead_letter_backoff =
        (struct backoff){.base_ms = DEAD_LETTER_BASE_MS, .cap_ms = DEAD_LETTER_CAP_MS};
    delivery_table_init(&flow->table, options->window);
    for (size_t i = 0; i < STAGES; i++)
        stage_health_init(&flow->health[i]);
    return flow;
}

void flow_free(struct flow *flow)
{
    if (flow == NULL)
        return;
    delivery_table_release(&flow->table);
    free(flow);
}

void flow_reset(struct flow *flow, uint64_t epoch)
{
    flow->stats.dropped += flow->table.count;
    delivery_table_clear(&flow->table);
    flow->route.epoch = epoch;
    flow->renewing = false;
}

/* Transitions */

/* `counter` is one of flow->stats.requeued_… */
static void give_back(struct flow *flow, struct delivery *delivery, uint64_t *counter)
{
    ++*counter;
    flow->ports->requeue(flow->ports->intake, delivery->tag);
    delivery_set_state(&flow->table, delivery, DELIVERY_FREE, delivery->stage);
}

static void wait_for(struct flow *flow, struct delivery *delivery, enum stage stage)
{
    if (flow->stopping && flow->health[stage].state != STAGE_UP)
        give_back(flow, delivery, &flow->stats.requeued_stopping);
    else
        delivery_set_state(&flow->table, delivery, DELIVERY_WAITING, stage);
}

/* The dead letter tells the last failure, under another `reason` when there is one. */
static void condemn(struct flow *flow, struct delivery *delivery, const char *reason)
{
    if (reason != NULL)
        (void)snprintf(delivery->failure->code, sizeof delivery->failure->code, "%s", reason);
    delivery_set_state(&flow->table, delivery, DELIVERY_DEAD_WAITING, delivery->stage);
}

static void finish(struct flow *flow, struct delivery *delivery, int64_t now_ms)
{
    delivery->done_ms = now_ms;
    delivery_set_state(&flow->table, delivery, DELIVERY_DONE, delivery->stage);
}

int flow_deliver(struct flow *flow, uint64_t delivery_tag, struct content *content, int64_t now_ms)
{
    assert(flow->route.epoch != 0);
    struct delivery *delivery = delivery_add(&flow->table, delivery_tag, content, now_ms);
    if (delivery == NULL) {
        content_unref(content);
        return -1;
    }
    flow->stats.delivered++;
    delivery->dones_seen = flow->health[STAGE_FIRST].dones;
    if (flow->stopping) {
        give_back(flow, delivery, &flow->stats.requeued_stopping);
    } else if (content->fault != NULL) {
        verdict_fail(delivery_failure(delivery), OUTCOME_REJECT, content->fault,
                     content->fault_detail->message);
        condemn(flow, delivery, NULL);
    }
    return 0;
}

/* Outcomes */

static void on_done(struct flow *flow, struct delivery *delivery, int64_t created_at_us,
                    int64_t now_ms)
{
    flow->stats.stage[delivery->stage].done++;
    stage_health_done(&flow->health[delivery->stage]);
    enum stage next = stages[delivery->stage].next;
    if (next == STAGES) {
        finish(flow, delivery, now_ms);
        return;
    }
    delivery->at_workers_ms += now_ms - delivery->pushed_ms;
    if (delivery->at_workers_ms >= FLOW_HANG_MS) { /* no time is left for the next stage */
        give_back(flow, delivery, &flow->stats.requeued_hung);
        return;
    }
    if (delivery->stage == STAGE_PERSIST) /* later stages show what the row says */
        delivery->content->order->created_at_us = created_at_us;
    delivery->retries = delivery->strikes = 0;
    delivery->dones_seen = flow->health[next].dones;
    wait_for(flow, delivery, next);
}

/* The stage failed, so the order waits: for its own next attempt while the stage takes other
 * orders, else for the stage. */
static void hold(struct flow *flow, struct delivery *delivery, int64_t now_ms)
{
    delivery->at_workers_ms = 0;
    if (flow->stopping) {
        give_back(flow, delivery, &flow->stats.requeued_stopping);
    } else if (flow->health[delivery->stage].state != STAGE_UP) {
        wait_for(flow, delivery, delivery->stage);
    } else {
        delivery->retries++;
        delivery->deadline_ms = now_ms + retry_delay_ms(delivery->retries, flow->ports->random());
        delivery_set_state(&flow->table, delivery, DELIVERY_HELD, delivery->stage);
    }
}

static void on_retry(struct flow *flow, struct delivery *delivery, int64_t now_ms)
{
    struct stage_health *health = &flow->health[delivery->stage];
    if (health->dones > delivery->dones_seen)
        delivery->strikes++;
    delivery->dones_seen = health->dones;
    stage_health_retry(health, now_ms, flow->ports->random());
    if (delivery->strikes >= RETRY_EXHAUSTED_STRIKES)
        condemn(flow, delivery, "retries_exhausted");
    else
        hold(flow, delivery, now_ms);
}

static void on_reject(struct flow *flow, struct delivery *delivery, int64_t now_ms)
{
    struct stage_health *health = &flow->health[delivery->stage];
    /* A conflict is the fault of two orders, never of the stage, however many come in a row. */
    bool conflict = strcmp(delivery->failure->code, "id_conflict") == 0;
    if (conflict)
        stage_health_judged(health);
    if (conflict || stage_health_reject(health, now_ms, flow->ports->random()))
        condemn(flow, delivery, delivery->failure->code[0] != '\0' ? NULL : "rejected");
    else
        hold(flow, delivery, now_ms);
}

static void on_outcome(struct flow *flow, struct delivery *delivery, const struct reply_item *item,
                       int64_t now_ms)
{
    enum stage stage = delivery->stage;
    enum stage_state before = flow->health[stage].state;
    flow->ports->on_outcome(flow->ports->report, stage, item, delivery->content->order,
                            now_ms - delivery->pushed_ms);

    if (item->verdict.outcome != OUTCOME_DONE)
        *delivery_failure(delivery) = item->verdict;
    switch (item->verdict.outcome) {
    case OUTCOME_DONE:
        on_done(flow, delivery, item->verdict.created_at_us, now_ms);
        break;
    case OUTCOME_RETRY:
        on_retry(flow, delivery, now_ms);
        break;
    case OUTCOME_REJECT:
        on_reject(flow, delivery, now_ms);
        break;
    }

    if (flow->health[stage].state != before)
        flow->ports->on_stage(flow->ports->report, stage, flow->health[stage].state, item);
}

void flow_reply(struct flow *flow, const struct job_route *route, const struct reply_item *items,
                size_t count, int64_t now_ms)
{
    bool ours =
        flow->route.epoch != 0 && route->epoch == flow->route.epoch &&
        memcmp(route->incarnation, flow->route.incarnation, sizeof flow->route.incarnation) == 0;
    for (size_t i = 0; i < count; i++) {
        struct delivery *delivery =
            ours ? delivery_find(&flow->table, items[i].delivery_tag) : NULL;
        if (delivery == NULL || delivery->state != DELIVERY_PUSHED ||
            delivery->stage != route->stage || delivery->attempt != items[i].attempt)
            flow->stats.stale_replies++;
        else
            on_outcome(flow, delivery, &items[i], now_ms);
    }
}

/* Deadlines */

static void expire(struct flow *flow, int64_t now_ms)
{
    struct delivery *delivery;
    while ((delivery = delivery_first_deadline(&flow->table)) != NULL &&
           delivery->deadline_ms <= now_ms) {
        if (delivery->state == DELIVERY_HELD)
            wait_for(flow, delivery, delivery->stage);
        else
            give_back(flow, delivery, &flow->stats.requeued_hung);
    }
}

/* Pushing */

static void at_worker(struct flow *flow, struct delivery *delivery, int64_t now_ms)
{
    if (delivery->attempt++ == 0)
        delivery->first_push_ms = now_ms;
    delivery->pushed_ms = now_ms;
    delivery->deadline_ms = now_ms + FLOW_HANG_MS - delivery->at_workers_ms;
    delivery_set_state(&flow->table, delivery, DELIVERY_PUSHED, delivery->stage);
}

/* One job of at most `limit` orders from the head of the stage's line, which is not empty. */
static void push_job(struct flow *flow, enum stage stage, size_t limit, int64_t now_ms)
{
    struct delivery_list *waiting = &flow->table.waiting[stage];
    struct delivery *delivery = TAILQ_FIRST(waiting);
    struct job_item items[JOB_MAX_ORDERS];
    size_t count = 0;
    do {
        items[count++] = (struct job_item){
            .delivery_tag = delivery->tag,
            .attempt = delivery->attempt + 1,
            .trace_id = delivery->content->head.trace.id,
            .order = delivery->content->order,
        };
        delivery = TAILQ_NEXT(delivery, by_state);
    } while (delivery != NULL && count < limit);

    flow->route.stage = stage;
    if (flow->ports->push(flow->ports->workers, &flow->route, items, count) != 0) {
        flow->blocked[stage] = true;
        return;
    }
    flow->stats.stage[stage].jobs++;
    flow->stats.stage[stage].pushed += count;
    for (size_t i = 0; i < count; i++)
        at_worker(flow, TAILQ_FIRST(waiting), now_ms);
}

static void push_stage(struct flow *flow, enum stage stage, int64_t now_ms)
{
    struct stage_health *health = &flow->health[stage];
    size_t limit;
    while (!flow->blocked[stage] && !TAILQ_EMPTY(&flow->table.waiting[stage]) &&
           (limit = stage_health_allowance(health, now_ms, JOB_MAX_ORDERS)) > 0) {
        push_job(flow, stage, limit, now_ms);
        if (health->state != STAGE_UP && !flow->blocked[stage])
            stage_health_probed(health, now_ms, flow->ports->random());
    }
}

void flow_writable(struct flow *flow, enum stage stage)
{
    flow->blocked[stage] = false;
}

/* Dead letters */

static void pause_dead_letters(struct flow *flow, int64_t now_ms)
{
    flow->dead_letter_at_ms =
        now_ms + backoff_next_ms(&flow->dead_letter_backoff, flow->ports->random());
}

static void send_dead_letters(struct flow *flow, int64_t now_ms)
{
    struct delivery *delivery;
    while (now_ms >= flow->dead_letter_at_ms &&
           (delivery = TAILQ_FIRST(&flow->table.dead_waiting)) != NULL) {
        const struct content *content = delivery->content;
        struct dead_letter_report report = {
            .epoch = flow->route.epoch,
            .delivery_tag = delivery->tag,
            .order_id = content->order != NULL ? &content->order->id : NULL,
            .trace_id = &content->head.trace.id,
            .reason = delivery->failure->code,
            .stage = delivery->attempt > 0 ? stages[delivery->stage].name : NULL,
            .detail = delivery->failure->detail,
            .attempts = delivery->attempt,
            .first_attempt_ms = delivery->first_push_ms,
            .last_attempt_ms = delivery->pushed_ms,
        };
        if (flow->ports->dead_letter(flow->ports->dead_letters, delivery->content, &report,
                                     now_ms) != 0) {
            pause_dead_letters(flow, now_ms);
            return;
        }
        flow->ports->on_dead_letter(flow->ports->report, &report);
        delivery_set_state(&flow->table, delivery, DELIVERY_DEAD_SENT, delivery->stage);
    }
}

void flow_dead_letter_result(struct flow *flow, uint64_t epoch, uint64_t delivery_tag,
                             bool confirmed, int64_t now_ms)
{
    if (confirmed) {
        flow->stats.dead_lettered++;
        backoff_reset(&flow->dead_letter_backoff);
    } else {
        flow->stats.dead_letter_failures++;
        if (now_ms >= flow->dead_letter_at_ms) /* many fail together: one step for all */
            pause_dead_letters(flow, now_ms);
    }

    /* If the connection was lost meanwhile, RabbitMQ delivers the order again, and the order may be
     * dead-lettered twice. */
    struct delivery *delivery =
        epoch == flow->route.epoch ? delivery_find(&flow->table, delivery_tag) : NULL;
    if (delivery == NULL || delivery->state != DELIVERY_DEAD_SENT)
        return;
    if (confirmed)
        finish(flow, delivery, now_ms);
    else
        delivery_set_state(&flow->table, delivery, DELIVERY_DEAD_WAITING, delivery->stage);
}

/* Acks */

static void ack(struct flow *flow, uint64_t tag, size_t count)
{
    flow->stats.acked += count;
    flow->stats.ack_calls++;
    flow->ports->ack(flow->ports->intake, tag, count > 1);
}

static size_t finished(const struct flow *flow)
{
    size_t count = 0;
    for (enum stage stage = 0; stage < STAGES; stage++)
        count += flow->table.in_state[DELIVERY_DONE][stage];
    return count;
}

static void ack_oldest(struct flow *flow, int64_t now_ms)
{
    struct delivery *delivery;
    uint64_t tag = 0;
    size_t count = 0;
    for (;
         (delivery = TAILQ_FIRST(&flow->table.by_tag)) != NULL && delivery->state == DELIVERY_DONE;
         count++) {
        tag = delivery->tag;
        delivery_set_state(&flow->table, delivery, DELIVERY_FREE, delivery->stage);
    }
    if (count == 0)
        return;
    ack(flow, tag, count);
    flow->ack_at_ms = now_ms + FLOW_ACK_PAUSE_MS;
}

/* One ack settles all finished deliveries from the oldest on, up to the first that is not finished.
 * RabbitMQ writes each ack to the log of a quorum queue, which costs it as much as several orders:
 * so there is a pause between two, unless a quarter of the window is finished.
 *
 * A finished delivery behind one that is not has an ack of its own when it has waited for
 * FLOW_ACK_ALONE_MS, or when half of the window is finished. */

static void send_acks(struct flow *flow, int64_t now_ms)
{
    struct delivery *delivery;
    if (now_ms >= flow->ack_at_ms || finished(flow) >= flow->table.capacity / 4)
        ack_oldest(flow, now_ms);
    while ((delivery = TAILQ_FIRST(&flow->table.done)) != NULL &&
           (delivery->done_ms + FLOW_ACK_ALONE_MS <= now_ms ||
            finished(flow) >= MAX(1, flow->table.capacity / 2))) {
        ack(flow, delivery->tag, 1);
        delivery_set_state(&flow->table, delivery, DELIVERY_FREE, delivery->stage);
    }
}

/* Orders that showed a stage to be down may have become dead letters or gone to another bridge, and
 * then none comes back to show that it works. */
static void forget_failures(struct flow *flow, int64_t now_ms)
{
    flow->idle_since_ms = flow->table.count > 0 ? INT64_MAX : MIN(flow->idle_since_ms, now_ms);
    if (now_ms - flow->idle_since_ms < FLOW_FORGET_MS)
        return;
    for (enum stage stage = 0; stage < STAGES; stage++) {
        if (flow->health[stage].state == STAGE_UP)
            continue;
        stage_health_forget(&flow->health[stage]);
        flow->ports->on_stage(flow->ports->report, stage, STAGE_UP, NULL);
    }
}

static int64_t renew_at_ms(const struct flow *flow)
{
    const struct delivery *oldest = TAILQ_FIRST(&flow->table.by_tag);
    return oldest != NULL ? oldest->delivered_ms + FLOW_RENEW_MS : INT64_MAX;
}

bool flow_turn(struct flow *flow, int64_t now_ms)
{
    if (flow->renewing)
        return true;
    expire(flow, now_ms);
    for (enum stage stage = STAGES; stage-- > 0;) /* later stages first: they end orders */
        push_stage(flow, stage, now_ms);
    send_dead_letters(flow, now_ms);
    send_acks(flow, now_ms);
    forget_failures(flow, now_ms);
    flow->renewing = now_ms >= renew_at_ms(flow);
    return !flow->renewing;
}

int64_t flow_next_ms(const struct flow *flow)
{
    if (flow->renewing)
        return INT64_MAX;
    int64_t next = renew_at_ms(flow);
    const struct delivery *delivery = delivery_first_deadline(&flow->table);
    if (delivery != NULL)
        next = MIN(next, delivery->deadline_ms);
    if ((delivery = TAILQ_FIRST(&flow->table.done)) != NULL)
        next = MIN(next, delivery->done_ms + FLOW_ACK_ALONE_MS);
    if ((delivery = TAILQ_FIRST(&flow->table.by_tag)) != NULL && delivery->state == DELIVERY_DONE)
        next = MIN(next, flow->ack_at_ms);
    if (!TAILQ_EMPTY(&flow->table.dead_waiting))
        next = MIN(next, flow->dead_letter_at_ms);
    for (size_t i = 0; i < STAGES; i++) {
        if (flow->health[i].state == STAGE_UP)
            continue;
        if (!flow->blocked[i] && !TAILQ_EMPTY(&flow->table.waiting[i]))
            next = MIN(next, flow->health[i].next_probe_ms);
        if (flow->idle_since_ms != INT64_MAX)
            next = MIN(next, flow->idle_since_ms + FLOW_FORGET_MS);
    }
    return next;
}

void flow_stop(struct flow *flow)
{
    flow->stopping = true;
    struct delivery *delivery = TAILQ_FIRST(&flow->table.by_tag);
    while (delivery != NULL) {
        struct delivery *next = TAILQ_NEXT(delivery, by_tag);
        bool begun =
            delivery->stage != STAGE_FIRST && flow->health[delivery->stage].state == STAGE_UP;
        if (delivery->state == DELIVERY_HELD || (delivery->state == DELIVERY_WAITING && !begun))
            give_back(flow, delivery, &flow->stats.requeued_stopping);
        delivery = next;
    }
}

void flow_stats(const struct flow *flow, struct flow_stats *ret_stats)
{
    const struct delivery_table *table = &flow->table;
    const struct delivery *oldest = TAILQ_FIRST(&table->by_tag);
    *ret_stats = flow->stats;
    ret_stats->in_flight = table->count;
    ret_stats->oldest_ms = oldest != NULL ? oldest->delivered_ms : 0;
    for (size_t i = 0; i < STAGES; i++) {
        ret_stats->dead_waiting += table->in_state[DELIVERY_DEAD_WAITING][i];
        ret_stats->dead_sent += table->in_state[DELIVERY_DEAD_SENT][i];
        ret_stats->done_unacked += table->in_state[DELIVERY_DONE][i];
        ret_stats->stage[i].state = flow->health[i].state;
        ret_stats->stage[i].waiting = table->in_state[DELIVERY_WAITING][i];
        ret_stats->stage[i].at_workers = table->in_state[DELIVERY_PUSHED][i];
        ret_stats->stage[i].held = table->in_state[DELIVERY_HELD][i];
    }
}
