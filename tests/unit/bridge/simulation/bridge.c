/* The flow under test, and beside it the model: for each delivery, what the flow was validly told.
 * Each port checks that the flow was entitled to what it does. */
#include "services/base/memory.h"
#include "tests/unit/bridge/simulation/world.h"
#include <inttypes.h>
#include <string.h>
#include <sys/param.h>

#define DEADLINE_SLACK_MS 1

static struct sim_delivery *delivery_of(struct world *world, uint64_t tag)
{
    CHECK(world, tag >= 1 && tag <= world->tags && world->deliveries[tag].received,
          "the flow speaks of tag %llu, which it never got", (unsigned long long)tag);
    return world->failed ? NULL : &world->deliveries[tag];
}

static bool is_finished(const struct sim_delivery *delivery)
{
    return delivery->next == STAGES || delivery->buried;
}

static struct world *current; /* for port_random(), which has no argument */

static uint32_t port_random(void)
{
    return world_random(current);
}

static int port_push(struct workers *self, const struct job_route *route,
                     const struct job_item *items, size_t count)
{
    struct world *world = (void *)self;
    CHECK(world, world->connected && route->epoch == world->epoch, "push without a connection");
    CHECK(world, count >= 1 && count <= WINDOW_MAX, "a job of %zu", count);
    world->blocked[route->stage] = workers_push(world, route, items, count) != 0;
    if (world->failed || world->blocked[route->stage])
        return -1;
    for (size_t i = 0; i < count; i++) {
        struct sim_delivery *delivery = delivery_of(world, items[i].delivery_tag);
        if (delivery == NULL)
            return -1;
        CHECK(world, !delivery->settled, "push of a settled delivery");
        CHECK(world, !delivery->at_worker, "pushed twice without an answer");
        CHECK(world, !delivery->rejected || !delivery->believed, "push of a rejected order");
        CHECK(world, world->messages[delivery->message].kind != POISON, "poison was pushed");
        CHECK(world, items[i].attempt == delivery->attempt + 1, "attempts are not consecutive");
        CHECK(world, route->stage == delivery->next, "pushed to %s out of turn",
              stages[route->stage].name);
        delivery->at_worker = true;
        delivery->stage = route->stage;
        delivery->attempt = items[i].attempt;
        delivery->pushed_ms = world->now_ms;
    }
    return 0;
}

static void check_finished(struct world *world, uint64_t tag)
{
    struct sim_delivery *delivery = delivery_of(world, tag);
    if (delivery == NULL || delivery->settled)
        return;
    const struct sim_message *message = &world->messages[delivery->message];
    CHECK(world, is_finished(delivery), "acked tag %llu before it was finished",
          (unsigned long long)tag);
    CHECK(world, broker_message_done(message) || message->dead_letters > 0,
          "acked tag %llu, which is nowhere", (unsigned long long)tag);
    delivery->settled = true;
    world->tally->acked++;
}

static void port_ack(struct intake *self, uint64_t delivery_tag, bool multiple)
{
    struct world *world = (void *)self;
    struct sim_delivery *delivery = delivery_of(world, delivery_tag);
    if (delivery == NULL)
        return;
    CHECK(world, !delivery->settled, "settled twice");
    world->settled_ms = world->now_ms;
    if (multiple) {
        world->tally->multiple_acks++;
        for (; world->first_unsettled <= delivery_tag; world->first_unsettled++)
            check_finished(world, world->first_unsettled);
    } else {
        world->tally->single_acks++;
        check_finished(world, delivery_tag);
    }
    broker_send_settle(world, delivery_tag, multiple, false);
}

static void port_requeue(struct intake *self, uint64_t delivery_tag)
{
    struct world *world = (void *)self;
    struct sim_delivery *delivery = delivery_of(world, delivery_tag);
    if (delivery == NULL)
        return;
    CHECK(world, !delivery->settled, "settled twice");
    CHECK(world, !delivery->dead_sent && !delivery->buried, "requeued and dead-lettered");
    CHECK(world, !is_finished(delivery), "requeued though it is finished");
    int64_t at_workers_ms = delivery->at_workers_ms;
    if (delivery->at_worker)
        at_workers_ms += world->now_ms - delivery->pushed_ms;
    if (!world->stopping) {
        CHECK(world, at_workers_ms >= FLOW_HANG_MS, "requeued though no worker hangs");
        world->tally->requeued_hung++;
    } else {
        CHECK(world, !delivery->at_worker || at_workers_ms >= FLOW_HANG_MS,
              "requeued at the stop while at a worker");
    }
    delivery->settled = true;
    world->settled_ms = world->now_ms;
    delivery->at_worker = false;
    broker_send_settle(world, delivery_tag, false, true);
}

static int port_dead_letter(struct dead_letter_queue *self, struct content *content,
                            const struct dead_letter_report *report, int64_t now_ms)
{
    struct world *world = (void *)self;
    struct sim_delivery *delivery = delivery_of(world, report->delivery_tag);
    if (delivery == NULL)
        return -1;
    struct sim_message *sim_message = &world->messages[delivery->message];
    bool exhausted = strcmp(report->reason, "retries_exhausted") == 0;
    CHECK(world, content->order->amount_cents == (int64_t)delivery->message, "another's message");
    CHECK(world, report->epoch == world->epoch && now_ms == world->now_ms,
          "dead letter of another connection");
    CHECK(world, !delivery->settled && !delivery->at_worker, "dead letter out of turn");
    CHECK(world,
          sim_message->kind == POISON || (delivery->rejected && delivery->believed) ||
              (exhausted && delivery->retries >= RETRY_EXHAUSTED_STRIKES),
          "a dead letter without a cause: %s", report->reason);
    CHECK(world, !delivery->dead_sent, "two dead letters of one delivery at once");
    CHECK(world, report->attempts == delivery->attempt, "wrong count of attempts");
    if (!world->calm && world_chance(world, world->publisher_down))
        return -1;

    /* confirmed, or lost and stored all the same, or lost */
    unsigned fate = world->calm ? 0 : world_below(world, 4);
    if (fate <= 2)
        sim_message->dead_letters++;
    if (exhausted && fate <= 1)
        world->tally->exhausted++;
    delivery->dead_sent = true;
    world_schedule(world, world_below(world, fate <= 1 ? 20 : 6000),
                   (struct event){.kind = EVENT_DEAD_LETTER,
                                  .connection = world->connection,
                                  .generation = world->process,
                                  .epoch = report->epoch,
                                  .tag = report->delivery_tag,
                                  .flag = fate <= 1});
    return 0;
}

static void port_on_outcome(struct report *self, enum stage stage, const struct reply_item *item,
                            const struct order *order, int64_t at_worker_ms)
{
    struct world *world = (void *)self;
    struct sim_delivery *delivery = delivery_of(world, item->delivery_tag);
    if (delivery != NULL)
        CHECK(world,
              stage == delivery->stage && order->amount_cents == (int64_t)delivery->message &&
                  at_worker_ms == world->now_ms - delivery->pushed_ms,
              "wrong outcome reported");
}

static void port_on_stage(struct report *self, enum stage stage, enum stage_state state,
                          const struct reply_item *item)
{
    struct world *world = (void *)self;
    struct flow_stats stats;
    flow_stats(world->flow, &stats);
    enum outcome outcome = item != NULL ? item->verdict.outcome : OUTCOME_DONE;
    bool right = item == NULL          ? state == STAGE_UP && stats.in_flight == 0
                 : state == STAGE_UP   ? outcome != OUTCOME_RETRY
                 : state == STAGE_DOWN ? outcome == OUTCOME_RETRY
                                       : outcome == OUTCOME_REJECT;
    CHECK(world, right, "%s is %s by mistake", stages[stage].name, stage_state_name(state));
    world->tally->forgotten += item == NULL;
    world->tally->stage_down += state == STAGE_DOWN;
    world->tally->stage_systemic += state == STAGE_SYSTEMIC;
}

static void port_on_dead_letter(struct report *self, const struct dead_letter_report *letter)
{
    struct world *world = (void *)self;
    CHECK(world, world->deliveries[letter->delivery_tag].dead_sent, "no dead letter was sent");
}

void bridge_start(struct world *world)
{
    current = world;
    world->ports = (struct flow_ports){
        .random = port_random,
        .workers = (void *)world,
        .push = port_push,
        .intake = (void *)world,
        .ack = port_ack,
        .requeue = port_requeue,
        .dead_letters = (void *)world,
        .dead_letter = port_dead_letter,
        .report = (void *)world,
        .on_outcome = port_on_outcome,
        .on_stage = port_on_stage,
        .on_dead_letter = port_on_dead_letter,
    };
    struct flow_options options = {.window = world->window};
    for (size_t i = 0; i < sizeof world->incarnation; i++)
        world->incarnation[i] = (uint8_t)world_random(world);
    memcpy(options.incarnation, world->incarnation, sizeof options.incarnation);
    world->flow = flow_new(&options, &world->ports);
    world->process++;
    world->epoch = 0;
    world->stopping = false;
    memset(world->rejects_in_row, 0, sizeof world->rejects_in_row);
    memset(world->blocked, 0, sizeof world->blocked);
    world->turn_at_ms = INT64_MAX;
}

void bridge_connected(struct world *world)
{
    world->connected = true;
    world->connection++;
    world->tags = 0;
    world->unacked = 0;
    world->first_at_broker = world->first_unsettled = 1;
    world->last_delivery_ms = world->last_settle_ms = 0;
    flow_reset(world->flow, ++world->epoch);
}

void bridge_delivered(struct world *world, const struct event *event)
{
    struct sim_delivery *delivery = &world->deliveries[event->tag];
    delivery->received = true;
    /* Each message takes one byte of this account for as long as it lives. */
    struct content_head head = {.body_size = 1};
    struct content *content = content_new(&head, &world->live_messages);
    content->large_bytes = &world->live_messages;
    world->live_messages++;
    content_set_order(content, &(struct order){.amount_cents = (int64_t)delivery->message});
    if (world->messages[delivery->message].kind == POISON)
        content_set_fault(content, "malformed", &(struct error){""});
    int delivered = flow_deliver(world->flow, event->tag, content, world->now_ms);
    CHECK(world, delivered == 0, "a delivery within the window was refused");
}

/* What the model learns from a reply; the flow must find the same by itself. */
static void learn(struct world *world, const struct job_route *route,
                  const struct parcel_item *item)
{
    if (!world->connected || route->epoch != world->epoch ||
        memcmp(route->incarnation, world->incarnation, sizeof world->incarnation) != 0 ||
        item->tag < 1 || item->tag > world->tags)
        goto stale;
    struct sim_delivery *delivery = &world->deliveries[item->tag];
    if (!delivery->at_worker || delivery->stage != route->stage ||
        delivery->attempt != item->attempt)
        goto stale;

    unsigned *rejects_in_row = &world->rejects_in_row[route->stage];
    delivery->at_worker = false;
    switch (item->outcome) {
    case OUTCOME_DONE:
        *rejects_in_row = 0;
        delivery->at_workers_ms += world->now_ms - delivery->pushed_ms;
        delivery->retries = 0;
        delivery->next = stages[route->stage].next;
        delivery->finished_ms = world->now_ms;
        return;
    case OUTCOME_RETRY:
        world->tally->retries++;
        delivery->retries++;
        delivery->at_workers_ms = 0;
        return;
    case OUTCOME_REJECT:
        world->tally->rejects++;
        delivery->at_workers_ms = 0;
        delivery->rejected = true;
        delivery->believed = ++*rejects_in_row < STAGE_SYSTEMIC_REJECTS;
        return;
    }
stale:
    world->tally->stale_replies++;
}

void bridge_replied(struct world *world, struct parcel *parcel)
{
    struct reply_item items[WINDOW_MAX];
    for (size_t i = 0; i < parcel->count; i++) {
        learn(world, &parcel->route, &parcel->items[i]);
        items[i] = (struct reply_item){
            .delivery_tag = parcel->items[i].tag,
            .attempt = parcel->items[i].attempt,
            .verdict = {.outcome = parcel->items[i].outcome},
        };
    }
    flow_reply(world->flow, &parcel->route, items, parcel->count, world->now_ms);
}

void bridge_dead_letter_result(struct world *world, const struct event *event)
{
    if (event->generation != world->process)
        return; /* it was for a bridge that is gone */
    world->tally->dead_letters += event->flag;
    world->tally->dead_letter_failures += !event->flag;
    if (world->connected && event->connection == world->connection) {
        world->deliveries[event->tag].dead_sent = false;
        world->deliveries[event->tag].buried = event->flag;
        world->deliveries[event->tag].finished_ms = world->now_ms;
    }
    flow_dead_letter_result(world->flow, event->epoch, event->tag, event->flag, world->now_ms);
}

/* After its turn the flow has pushed all that a working stage takes. */
static void check_pushed(struct world *world)
{
    struct flow_stats stats;
    flow_stats(world->flow, &stats);
    for (enum stage stage = 0; stage < STAGES; stage++)
        CHECK(world,
              stats.stage[stage].waiting == 0 || world->blocked[stage] ||
                  stats.stage[stage].state != STAGE_UP,
              "%" PRIu64 " orders wait for %s, which takes them", stats.stage[stage].waiting,
              stages[stage].name);
}

void bridge_turn(struct world *world)
{
    if (!flow_turn(world->flow, world->now_ms)) {
        world->tally->renewals++;
        broker_lose_connection(world, 1);
    }
    int64_t next_ms = flow_next_ms(world->flow);
    CHECK(world, next_ms > world->now_ms, "the flow wants its turn again at once");
    check_pushed(world);
    if (next_ms < world->turn_at_ms) {
        world->turn_at_ms = next_ms;
        world_schedule(world, next_ms - world->now_ms, (struct event){.kind = EVENT_TURN});
    }
}

void bridge_stop(struct world *world)
{
    world->stopping = true;
    world->tally->stops++;
    flow_stop(world->flow);
}

/* What the flow says of itself is what the model says of its unsettled deliveries: each is in one
 * state, none is forgotten, none is held any longer than that. */
static void compare(struct world *world, const struct flow_stats *stats)
{
    uint64_t in_flight = 0, at_worker[STAGES] = {0}, dead_sent = 0, finished = 0;
    for (uint64_t tag = world->first_unsettled; tag <= world->tags && world->connected; tag++) {
        const struct sim_delivery *delivery = &world->deliveries[tag];
        if (!delivery->received || delivery->settled)
            continue;
        in_flight++;
        at_worker[delivery->stage] += delivery->at_worker;
        dead_sent += delivery->dead_sent;
        finished += is_finished(delivery);
    }
    CHECK(world, stats->in_flight == in_flight, "%" PRIu64 " deliveries in flight, not %" PRIu64,
          stats->in_flight, in_flight);
    for (enum stage stage = 0; stage < STAGES; stage++)
        CHECK(world, stats->stage[stage].at_workers == at_worker[stage],
              "%" PRIu64 " at workers of %s, not %" PRIu64, stats->stage[stage].at_workers,
              stages[stage].name, at_worker[stage]);
    CHECK(world, stats->dead_sent == dead_sent, "%" PRIu64 " dead letters under way, not %" PRIu64,
          stats->dead_sent, dead_sent);
    CHECK(world, stats->done_unacked == finished, "%" PRIu64 " finished, not %" PRIu64,
          stats->done_unacked, finished);
    CHECK(world, world->live_messages == in_flight, "%zu messages kept for %" PRIu64 " deliveries",
          world->live_messages, in_flight);
}

void bridge_check(struct world *world)
{
    struct flow_stats stats;
    flow_stats(world->flow, &stats);
    CHECK(world, stats.in_flight <= world->window, "%" PRIu64 " in flight", stats.in_flight);
    uint64_t sum = stats.dead_waiting + stats.dead_sent + stats.done_unacked;
    for (enum stage stage = 0; stage < STAGES; stage++)
        sum += stats.stage[stage].waiting + stats.stage[stage].at_workers + stats.stage[stage].held;
    CHECK(world, stats.in_flight == sum, "states do not add up");
    while (world->connected && world->first_unsettled <= world->tags &&
           world->deliveries[world->first_unsettled].settled)
        world->first_unsettled++;
    compare(world, &stats);
    bool all_finished = true;             /* all up to this tag; */
    int64_t since_ms = world->settled_ms; /* since then, or when the last one was settled */
    for (uint64_t tag = world->first_unsettled; tag <= world->tags && world->connected; tag++) {
        const struct sim_delivery *delivery = &world->deliveries[tag];
        CHECK(world,
              !delivery->at_worker ||
                  delivery->at_workers_ms + world->now_ms - delivery->pushed_ms <=
                      FLOW_HANG_MS + DEADLINE_SLACK_MS,
              "tag %llu hangs for too long", (unsigned long long)tag);
        all_finished = all_finished && (delivery->settled || is_finished(delivery));
        since_ms = MAX(since_ms, delivery->finished_ms);
        CHECK(world,
              delivery->settled || !is_finished(delivery) ||
                  world->now_ms - delivery->finished_ms <= FLOW_ACK_ALONE_MS,
              "tag %llu, behind a straggler, is finished and not acked", (unsigned long long)tag);
        CHECK(world,
              delivery->settled || !all_finished || world->now_ms - since_ms <= FLOW_ACK_PAUSE_MS,
              "tag %llu is finished and not acked", (unsigned long long)tag);
    }
}
