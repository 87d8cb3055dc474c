/* The broker: a queue with manual acks and a prefetch count, and a channel that delays. It knows
 * nothing of the bridge but what arrives on the current connection. */
#include "services/base/memory.h"
#include "tests/unit/bridge/simulation/world.h"
#include <string.h>

void broker_publish(struct world *world, enum message_kind kind)
{
    if (world->message_count == MESSAGES_MAX)
        return;
    unsigned number = (unsigned)world->message_count++;
    world->messages[number] = (struct sim_message){.kind = kind, .state = READY};
    if (kind == REJECTED)
        world->messages[number].rejected_by = (enum stage)world_below(world, STAGES);
    world->ready[world->ready_count++] = number;
    broker_deliver_more(world);
}

bool broker_message_done(const struct sim_message *message)
{
    for (enum stage stage = 0; stage < STAGES; stage++)
        if (!message->done[stage])
            return false;
    return true;
}

static struct sim_delivery *new_delivery(struct world *world, unsigned message)
{
    uint64_t tag = ++world->tags;
    if (tag >= world->delivery_capacity) {
        world->delivery_capacity = world->delivery_capacity > 0 ? 2 * world->delivery_capacity : 64;
        world->deliveries =
            memory_resize(world->deliveries, world->delivery_capacity * sizeof *world->deliveries);
    }
    world->deliveries[tag] = (struct sim_delivery){.message = message, .at_broker = true};
    return &world->deliveries[tag];
}

/* Delays that keep the order, as TCP does. */
static int64_t arrival(struct world *world, int64_t *last_ms)
{
    int64_t at_ms = world->now_ms + (world_chance(world, 20) ? world_below(world, 4) : 0);
    if (at_ms < *last_ms)
        at_ms = *last_ms;
    *last_ms = at_ms;
    return at_ms - world->now_ms;
}

void broker_deliver_more(struct world *world)
{
    /* a stopping bridge has cancelled its consumer */
    while (world->connected && !world->stopping && world->unacked < world->window &&
           world->ready_count > 0) {
        unsigned number = world->ready[0];
        memmove(world->ready, world->ready + 1, --world->ready_count * sizeof world->ready[0]);
        struct sim_message *message = &world->messages[number];
        message->state = UNACKED;
        if (message->deliveries++ > 0)
            world->tally->redelivered++;
        new_delivery(world, number);
        world->unacked++;
        world_schedule(world, arrival(world, &world->last_delivery_ms),
                       (struct event){.kind = EVENT_DELIVER,
                                      .connection = world->connection,
                                      .tag = world->tags});
    }
}

static void put_back(struct world *world, struct sim_delivery *delivery)
{
    world->messages[delivery->message].state = READY;
    memmove(world->ready + 1, world->ready, world->ready_count++ * sizeof world->ready[0]);
    world->ready[0] = delivery->message;
}

void broker_lose_connection(struct world *world, int64_t pause_ms)
{
    if (!world->connected)
        return;
    world->connected = false;
    world->tally->connections_lost++;
    for (uint64_t tag = world->tags; tag > 0; tag--)
        if (world->deliveries[tag].at_broker)
            put_back(world, &world->deliveries[tag]);
    world->unacked = 0;
    flow_reset(world->flow, 0);
    world_schedule(world, pause_ms,
                   (struct event){.kind = EVENT_CONNECT, .connection = world->connection});
}

void broker_send_settle(struct world *world, uint64_t tag, bool multiple, bool requeue)
{
    world_schedule(world, arrival(world, &world->last_settle_ms),
                   (struct event){.kind = EVENT_SETTLE,
                                  .connection = world->connection,
                                  .tag = tag,
                                  .flag = multiple,
                                  .requeue = requeue});
}

static void settle(struct world *world, uint64_t tag, bool requeue)
{
    struct sim_delivery *delivery = &world->deliveries[tag];
    delivery->at_broker = false;
    world->unacked--;
    if (requeue) {
        put_back(world, delivery);
        return;
    }
    world->messages[delivery->message].state = GONE;
    if (delivery->message < world->original_count)
        world->originals_gone++;
}

void broker_settled(struct world *world, const struct event *event)
{
    CHECK(world, event->tag <= world->tags && world->deliveries[event->tag].at_broker,
          "406 PRECONDITION_FAILED: unknown delivery tag %llu", (unsigned long long)event->tag);
    if (world->failed)
        return;
    if (event->flag) {
        for (uint64_t tag = world->first_at_broker; tag <= event->tag; tag++)
            if (world->deliveries[tag].at_broker)
                settle(world, tag, false);
        world->first_at_broker = event->tag + 1;
    } else {
        settle(world, event->tag, event->requeue);
    }
    broker_deliver_more(world);
}
