/* Workers with short queues, each on one stage, and the two backends behind them. */
#include "services/base/memory.h"
#include "tests/unit/bridge/simulation/world.h"
#include <stdlib.h>
#include <string.h>

/* As the bridge's sockets: tells of room once after each job that no worker took. */
void workers_writable(struct world *world, enum stage stage)
{
    if (!world->blocked[stage])
        return;
    world->blocked[stage] = false;
    flow_writable(world->flow, stage);
}

static void start_next(struct world *world, unsigned number)
{
    struct worker *worker = &world->workers[number];
    if (worker->busy != NULL || worker->queued == 0 || worker->stopped || !worker->alive)
        return;
    worker->busy = worker->queue[0];
    memmove(worker->queue, worker->queue + 1, --worker->queued * sizeof worker->queue[0]);

    enum backend backend = world->backend[worker->stage];
    int64_t duration_ms = 1 + world_below(world, world->slow);
    if (backend == BACKEND_FAILS_FAST)
        duration_ms = 1 + world_below(world, 50);
    else if (backend == BACKEND_FAILS_SLOWLY)
        duration_ms = 4000 + world_below(world, 2000);
    world_schedule(
        world, duration_ms,
        (struct event){.kind = EVENT_WORKED, .number = number, .generation = worker->generation});
    workers_writable(world, worker->stage);
}

void workers_start(struct world *world)
{
    for (unsigned i = 0; i < WORKERS; i++)
        world->workers[i] = (struct worker){
            .stage = (enum stage)(i % STAGES),
            .alive = i < STAGES || world_chance(world, 50),
        };
}

int workers_push(struct world *world, const struct job_route *route, const struct job_item *items,
                 size_t count)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        unsigned number = (world->next_worker + i) % WORKERS;
        struct worker *worker = &world->workers[number];
        if (worker->stage != route->stage || !worker->alive || worker->queued == WORKER_QUEUE)
            continue;
        struct parcel *parcel = memory_new(sizeof *parcel);
        parcel->route = *route;
        parcel->count = count;
        for (size_t k = 0; k < count; k++)
            parcel->items[k] = (struct parcel_item){
                .tag = items[k].delivery_tag,
                .attempt = items[k].attempt,
                .message = (unsigned)items[k].order->amount_cents,
            };
        worker->queue[worker->queued++] = parcel;
        world->next_worker = number + 1;
        start_next(world, number);
        return 0;
    }
    return -1;
}

static enum outcome outcome_of(struct world *world, enum stage stage, struct sim_message *message)
{
    switch (world->backend[stage]) {
    case BACKEND_FAILS_FAST:
    case BACKEND_FAILS_SLOWLY:
        return OUTCOME_RETRY;
    case BACKEND_REJECTS_ALL:
        return OUTCOME_REJECT;
    case BACKEND_GOOD:
        break;
    }
    if (message->kind == REJECTED && message->rejected_by == stage)
        return OUTCOME_REJECT;
    if (world_chance(world, message->kind == FLAKY ? 97 : world->retry))
        return OUTCOME_RETRY;

    for (enum stage before = STAGE_FIRST; before != stage; before = stages[before].next)
        CHECK(world, message->done[before], "%s before %s", stages[stage].name,
              stages[before].name);
    message->done[stage] = true;
    return OUTCOME_DONE;
}

static void execute(struct world *world, struct parcel *parcel)
{
    for (size_t i = 0; i < parcel->count; i++)
        parcel->items[i].outcome =
            outcome_of(world, parcel->route.stage, &world->messages[parcel->items[i].message]);
}

static void send_reply(struct world *world, const struct parcel *parcel, int64_t delay_ms)
{
    struct parcel *reply = memory_new(sizeof *reply);
    *reply = *parcel;
    world_schedule(world, delay_ms, (struct event){.kind = EVENT_REPLY, .parcel = reply});
}

/* A reply to something that nobody pushed, nor will (then nobody could tell): it must change
 * nothing. */
static void forge_reply(struct world *world, const struct parcel *parcel)
{
    struct parcel forged = *parcel;
    switch (world_below(world, 5)) {
    case 0:
        forged.route.incarnation[3] ^= 1;
        break;
    case 1:
        forged.route.epoch--;
        break;
    case 2:
        forged.items[0].attempt--;
        break;
    case 3:
        forged.route.stage = (forged.route.stage + 1) % STAGES;
        break;
    case 4:
        forged.items[0].tag += 1000000;
        break;
    }
    forged.count = 1;
    forged.items[0].outcome = (enum outcome)(1 + world_below(world, 3));
    send_reply(world, &forged, world_below(world, 20));
}

static void answer(struct world *world, struct worker *worker)
{
    struct parcel *parcel = worker->busy;
    worker->busy = NULL;
    execute(world, parcel);
    if (!world_chance(world, world->lose_reply))
        send_reply(world, parcel,
                   world_chance(world, world->late_reply) ? 8000 + world_below(world, 8000)
                                                          : world_below(world, 5));
    if (world_chance(world, world->double_reply))
        send_reply(world, parcel, world_below(world, 3000));
    if (world_chance(world, world->forge_reply))
        forge_reply(world, parcel);
    free(parcel);
}

void worker_worked(struct world *world, const struct event *event)
{
    struct worker *worker = &world->workers[event->number];
    if (worker->generation != event->generation)
        return;
    if (worker->stopped) {
        worker->finished_while_stopped = true;
        return;
    }
    answer(world, worker);
    start_next(world, event->number);
}

static void lose_jobs(struct worker *worker)
{
    free(worker->busy);
    worker->busy = NULL;
    for (size_t i = 0; i < worker->queued; i++)
        free(worker->queue[i]);
    worker->queued = 0;
    worker->generation++;
    worker->finished_while_stopped = false;
}

/* It may die before or after its batch is durable, but always before the reply. */
void worker_crash(struct world *world, unsigned number)
{
    struct worker *worker = &world->workers[number];
    if (!worker->alive)
        return;
    world->tally->worker_crashes++;
    if (worker->busy != NULL && world_chance(world, 50))
        execute(world, worker->busy);
    lose_jobs(worker);
    worker->alive = false;
    worker->stopped = false;
}

void worker_stop(struct world *world, unsigned number)
{
    world->workers[number].stopped = world->workers[number].alive;
}

void worker_mend(struct world *world, unsigned number)
{
    struct worker *worker = &world->workers[number];
    worker->alive = true;
    if (worker->stopped) {
        worker->stopped = false;
        if (worker->finished_while_stopped)
            answer(world, worker);
        worker->finished_while_stopped = false;
    }
    start_next(world, number);
    workers_writable(world, worker->stage);
}

void workers_free(struct world *world)
{
    for (unsigned i = 0; i < WORKERS; i++)
        lose_jobs(&world->workers[i]);
}
