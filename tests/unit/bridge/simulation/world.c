#include "tests/unit/bridge/simulation/world.h"
#include "services/base/memory.h"
#include <stdarg.h>
#include <stdio.h>

/* xorshift64*, Vigna 2016 */
uint32_t world_random(struct world *world)
{
    world->random ^= world->random >> 12;
    world->random ^= world->random << 25;
    world->random ^= world->random >> 27;
    return (uint32_t)(world->random * UINT64_C(2685821657736338717) >> 32);
}

unsigned world_below(struct world *world, unsigned limit)
{
    return (unsigned)((uint64_t)world_random(world) * limit >> 32);
}

bool world_chance(struct world *world, unsigned percent)
{
    return world_below(world, 100) < percent;
}

static bool before(const struct event *a, const struct event *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->sequence < b->sequence;
}

void world_schedule(struct world *world, int64_t delay_ms, struct event event)
{
    if (world->event_count == world->event_capacity) {
        world->event_capacity = world->event_capacity > 0 ? 2 * world->event_capacity : 256;
        world->events =
            memory_resize(world->events, world->event_capacity * sizeof world->events[0]);
    }
    event.at_ms = world->now_ms + delay_ms;
    event.sequence = world->event_sequence++;
    size_t at = world->event_count++;
    while (at > 0 && before(&event, &world->events[(at - 1) / 2])) {
        world->events[at] = world->events[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    world->events[at] = event;
}

bool world_next_event(struct world *world, struct event *ret_event)
{
    if (world->event_count == 0)
        return false;
    *ret_event = world->events[0];
    struct event last = world->events[--world->event_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= world->event_count)
            break;
        if (child + 1 < world->event_count &&
            before(&world->events[child + 1], &world->events[child]))
            child++;
        if (!before(&world->events[child], &last))
            break;
        world->events[at] = world->events[child];
        at = child;
    }
    world->events[at] = last;
    return true;
}

void world_fail(struct world *world, const char *format, ...)
{
    if (world->failed)
        return;
    world->failed = true;
    fprintf(stderr, "seed %llu, at %lld ms, connection %llu: ", (unsigned long long)world->seed,
            (long long)world->now_ms, (unsigned long long)world->connection);
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}
