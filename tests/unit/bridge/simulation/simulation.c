/* Runs the bridge's flow through seeded schedules of faults, as print_help() says. Schedule i has
 * seed S + i. */
#include "services/base/memory.h"
#include "tests/unit/bridge/simulation/world.h"
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#define CALM_LIMIT_MS                                                                              \
    (200000 * STAGES) /* everything must be finished so long after the last fault */
#define EVENT_LIMIT 2000000
#define SCHEDULES 100000
#define NOT_VACUOUS_FROM 10000 /* schedules */
#define PROGRESS_SCHEDULES 50000

enum fault {
    FAULT_CONNECTION,
    FAULT_BRIDGE_CRASH,
    FAULT_BRIDGE_STOP,
    FAULT_WORKER_CRASH,
    FAULT_WORKER_STOP,
    FAULT_BACKEND,
    FAULT_NONE,
    FAULTS
};

/* The process is gone, and a new one starts with the same first epoch and tags. */
static void replace_bridge(struct world *world)
{
    broker_lose_connection(world, 1 + world_below(world, 2000));
    struct flow_stats stats;
    flow_stats(world->flow, &stats);
    CHECK(world, stats.in_flight == 0, "deliveries survived their connection");
    flow_free(world->flow);
    bridge_start(world);
}

static void break_worker(struct world *world, bool crash)
{
    unsigned number = world_below(world, WORKERS);
    if (crash)
        worker_crash(world, number);
    else
        worker_stop(world, number);
    world_schedule(world, 1 + world_below(world, 15000),
                   (struct event){.kind = EVENT_MEND, .number = number});
}

static void break_backend(struct world *world, enum backend how, int64_t outage_ms)
{
    unsigned stage = world_below(world, STAGES);
    world->backend[stage] = how;
    world_schedule(world, outage_ms, (struct event){.kind = EVENT_MEND, .number = WORKERS + stage});
}

static void break_something(struct world *world)
{
    enum fault fault = (enum fault)world_below(world, FAULTS);
    if ((world->fault_mask & 1u << fault) == 0)
        return;
    switch (fault) {
    case FAULT_CONNECTION:
        broker_lose_connection(world, 1 + world_below(world, 2000));
        break;
    case FAULT_BRIDGE_CRASH:
        world->tally->bridge_crashes++;
        replace_bridge(world);
        break;
    case FAULT_BRIDGE_STOP:
        if (world->connected && !world->stopping)
            bridge_stop(world);
        else if (world->stopping)
            replace_bridge(world);
        break;
    case FAULT_WORKER_CRASH:
    case FAULT_WORKER_STOP:
        break_worker(world, fault == FAULT_WORKER_CRASH);
        break;
    case FAULT_BACKEND:
        break_backend(world, (enum backend)(1 + world_below(world, 3)),
                      1 + world_below(world, 20000));
        break;
    case FAULT_NONE:
    case FAULTS:
        break;
    }
}

static void mend(struct world *world, unsigned number)
{
    if (number < WORKERS)
        worker_mend(world, number);
    else
        world->backend[number - WORKERS] = BACKEND_GOOD;
}

static void become_calm(struct world *world)
{
    if (!world->calm) {
        world->calm = true;
        world->lose_reply = world->late_reply = world->double_reply = world->forge_reply = 0;
        world->retry = 0;
        if (world->stopping)
            replace_bridge(world);
        for (unsigned i = 0; i < WORKERS + STAGES; i++)
            mend(world, i);
    }
    broker_publish(world, HEALTHY);
    world_schedule(world, 1000, (struct event){.kind = EVENT_CALM});
}

static void handle(struct world *world, struct event *event)
{
    bool current = world->connected && event->connection == world->connection;
    switch (event->kind) {
    case EVENT_DELIVER:
        if (current)
            bridge_delivered(world, event);
        break;
    case EVENT_SETTLE:
        if (current)
            broker_settled(world, event);
        break;
    case EVENT_WORKED:
        worker_worked(world, event);
        break;
    case EVENT_REPLY:
        bridge_replied(world, event->parcel);
        free(event->parcel);
        break;
    case EVENT_DEAD_LETTER:
        bridge_dead_letter_result(world, event);
        break;
    case EVENT_CONNECT:
        if (!world->connected && event->connection == world->connection) {
            bridge_connected(world);
            broker_deliver_more(world);
        }
        break;
    case EVENT_TURN:
        world->turn_at_ms = INT64_MAX;
        break;
    case EVENT_FAULT:
        if (!world->calm) {
            break_something(world);
            world_schedule(world, 1 + world_below(world, 4000),
                           (struct event){.kind = EVENT_FAULT});
        }
        break;
    case EVENT_MEND:
        mend(world, event->number);
        break;
    case EVENT_CALM:
        become_calm(world);
        break;
    }
}

static void check_end(struct world *world)
{
    for (size_t i = 0; i < world->message_count; i++) {
        const struct sim_message *message = &world->messages[i];
        CHECK(world, i >= world->original_count || message->state == GONE,
              "message %zu starved, kind %d, after %u deliveries", i, (int)message->kind,
              message->deliveries);
        if (message->state != GONE)
            continue;
        CHECK(world, broker_message_done(message) || message->dead_letters > 0,
              "message %zu is lost", i);
        CHECK(world, message->kind != POISON || !message->done[STAGE_FIRST], "poison was stored");
    }
}

/* Swarm testing: each schedule has its own subset and strength of faults. */
static void choose_character(struct world *world)
{
    world->window = 1 + world_below(world, WINDOW_MAX);
    static const unsigned slow[] = {3, 20, 200, 3000};
    world->slow = slow[world_below(world, 4)];
    world->fault_mask = world_chance(world, 10) ? 0 : world_random(world);
    unsigned *const rates[] = {&world->lose_reply,  &world->late_reply, &world->double_reply,
                               &world->forge_reply, &world->retry,      &world->publisher_down};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++)
        *rates[i] = world_chance(world, 50) ? 0 : world_below(world, 30);
}

/* Some healthy order must always find room in the window: when all of it is held by orders that
 * their stage refuses, that is an outage to the bridge, and it rightly waits. */
static void publish_originals(struct world *world)
{
    unsigned healthy = 40 + world_below(world, 61);
    unsigned count = 5 + world_below(world, 40);
    size_t room = world->window - 1;
    for (unsigned i = 0; i < count; i++) {
        enum message_kind kind = world_chance(world, healthy)
                                     ? HEALTHY
                                     : (enum message_kind)world_below(world, REJECTED + 1);
        if (kind != HEALTHY && kind != POISON && room-- == 0) {
            kind = HEALTHY;
            room = 0;
        }
        broker_publish(world, kind);
    }
    world->original_count = world->message_count;
}

static bool run_schedule(uint64_t seed, struct tally *tally)
{
    struct world *world = memory_new(sizeof *world);
    world->seed = seed;
    world->random = (seed + 1) * UINT64_C(0x9E3779B97F4A7C15);
    world->tally = tally;
    choose_character(world);
    workers_start(world);
    bridge_start(world);
    world_schedule(world, 0, (struct event){.kind = EVENT_CONNECT});
    world_schedule(world, 1, (struct event){.kind = EVENT_FAULT});
    int64_t calm_ms = 1000 + world_below(world, 30000);
    if (world_below(world, 200) == 0) { /* longer than the broker lets a message be held */
        calm_ms += FLOW_RENEW_MS + FLOW_RENEW_MS / 4;
        world->fault_mask = 0;
        break_backend(world, BACKEND_FAILS_FAST, calm_ms);
    } else if (world_chance(world, 2)) { /* a mistake in the configuration */
        break_backend(world, BACKEND_REJECTS_ALL, calm_ms);
    }
    world_schedule(world, calm_ms, (struct event){.kind = EVENT_CALM});
    publish_originals(world);

    struct event event;
    uint64_t events = 0;
    while (!world->failed && world->originals_gone < world->original_count &&
           world_next_event(world, &event)) {
        world->now_ms = event.at_ms;
        handle(world, &event);
        /* what comes at one instant mostly makes one turn */
        bool more = world->event_count > 0 && world->events[0].at_ms == world->now_ms;
        if (!world->failed && (!more || world_chance(world, 10)))
            bridge_turn(world);
        if (!world->failed)
            bridge_check(world);
        CHECK(world, ++events < EVENT_LIMIT, "too many events");
        if (world->now_ms > calm_ms + CALM_LIMIT_MS)
            break;
    }
    tally->events += events;
    if (!world->failed)
        check_end(world);

    bool passed = !world->failed;
    flow_free(world->flow);
    workers_free(world);
    for (size_t i = 0; i < world->event_count; i++)
        free(world->events[i].parcel);
    free(world->events);
    free(world->deliveries);
    free(world);
    return passed;
}

static bool print_tally(const struct tally *tally)
{
    const struct {
        const char *name;
        uint64_t count;
    } rows[] = {
        {"acked", tally->acked},
        {"multiple acks", tally->multiple_acks},
        {"single acks", tally->single_acks},
        {"requeued after a hang", tally->requeued_hung},
        {"redelivered", tally->redelivered},
        {"retries", tally->retries},
        {"rejects", tally->rejects},
        {"dead letters confirmed", tally->dead_letters},
        {"dead letters failed", tally->dead_letter_failures},
        {"retries exhausted", tally->exhausted},
        {"stale or forged replies", tally->stale_replies},
        {"connections lost", tally->connections_lost},
        {"bridge crashes", tally->bridge_crashes},
        {"bridge stops", tally->stops},
        {"worker crashes", tally->worker_crashes},
        {"stage down", tally->stage_down},
        {"stage systemic", tally->stage_systemic},
        {"stage forgotten", tally->forgotten},
        {"consumer renewed", tally->renewals},
    };
    bool each = true;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        printf("  %-24s %12" PRIu64 "\n", rows[i].name, rows[i].count);
        each = each && rows[i].count > 0;
    }
    return each;
}

static void print_help(void)
{
    printf(
        "Usage: ./dev test simulate [--schedules N] [--seed S]\n\n"
        "Runs the bridge's state machine against a simulated broker, workers and clock through N\n"
        "seeded schedules of lost connections, crashes, delays, duplicates and forged replies, "
        "and\n"
        "checks after every step that it keeps its promises.\n\n"
        "  --schedules N  how many (default %d)\n"
        "  --seed S       of the first; the next one has S + 1 (default: from the clock, "
        "printed)\n\n"
        "A broken promise prints the seed of its schedule; --seed THAT --schedules 1 replays it.\n",
        SCHEDULES);
}

static unsigned long long number_of(const char *text)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0) {
        fprintf(stderr, "'%s' is no number\n", text);
        exit(EX_USAGE);
    }
    return number;
}

static void print_progress(unsigned long long done, unsigned long long schedules, time_t started)
{
    printf("  %llu of %llu schedules, %lld s\n", done, schedules,
           (long long)(time(NULL) - started));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"schedules", required_argument, NULL, 'n'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    time_t started = time(NULL);
    unsigned long long schedules = SCHEDULES;
    unsigned long long seed = (unsigned long long)started * 1000000;
    int letter;
    while ((letter = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (letter) {
        case 'n':
            schedules = number_of(optarg);
            break;
        case 's':
            seed = number_of(optarg);
            break;
        case 'h':
            print_help();
            return EXIT_SUCCESS;
        default: /* getopt_long() has said what is wrong */
            return EX_USAGE;
        }
    }
    if (schedules == 0 || optind != argc) {
        fprintf(stderr, "Try --help.\n");
        return EX_USAGE;
    }
    printf("%llu schedules from seed %llu\n", schedules, seed);
    fflush(stdout);

    struct tally tally = {0};
    for (unsigned long long i = 0; i < schedules; i++) {
        if (!run_schedule(seed + i, &tally)) {
            printf("replay: ./dev test simulate --schedules 1 --seed %llu\n", seed + i);
            return EXIT_FAILURE;
        }
        if ((i + 1) % PROGRESS_SCHEDULES == 0)
            print_progress(i + 1, schedules, started);
    }
    bool each = print_tally(&tally);
    printf("%llu schedules, %" PRIu64 " events, each followed by all checks: no promise broken\n",
           schedules, tally.events);
    if (!each && schedules >= NOT_VACUOUS_FROM) {
        printf("but some of it never happened: the simulation proves too little\n");
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
