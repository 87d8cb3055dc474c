/* The bridge's state machine in scenarios: each step is a command and everything that the flow does
 * in answer to it, as text. The steps of a scenario share one flow with a window of 100, all jitter
 * at its maximum, and a clock that starts at 0 and moves by "+ms" only.
 *
 *   deliver A..B          poison A REASON        done|retry|reject|conflict A..B (the right reply)
 *   reply EPOCH TAG STAGE ATTEMPT OUTCOME        (any reply)               foreign TAG
 *   block|unblock STAGE   refuse|take dead       confirm|deny EPOCH TAG    reset EPOCH   stop
 *
 * Answers: "persist[1:1 2:1]" a job with tag:attempt, "ack 3", "ack ..3" multiple, "requeue 1",
 * "dead 1 reason stage attempts", "renew", "persist down", "persist up by default". */
#include "services/base/memory.h"
#include "services/bridge/flow.h"
#include "tests/unit/support/cmocka_headers.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW 100
#define TAGS 4096

#define SENT_AT_US 2000000
#define STORED_AT_US 1000000 /* an order sent again: the first instant stays */

struct world {
    struct flow_ports ports;
    struct flow *flow;
    int64_t now_ms;
    uint64_t epoch;
    bool blocked[STAGES], refuse_dead;
    bool conflict;          /* the reason of a reject */
    enum stage stage[TAGS]; /* of the last push */
    uint32_t attempt[TAGS];
    size_t large_bytes;
    char log[16384];
    size_t log_len;
};

static const uint8_t incarnation[16] = "this incarnation";

static void note(struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void note(struct world *world, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t room = sizeof world->log - world->log_len;
    if (world->log_len > 0 && world->log[world->log_len - 1] != '[')
        world->log_len += (size_t)snprintf(world->log + world->log_len, room, " ");
    room = sizeof world->log - world->log_len;
    world->log_len += (size_t)vsnprintf(world->log + world->log_len, room, format, args);
    va_end(args);
    assert_true(world->log_len < sizeof world->log);
}

static uint32_t port_random(void)
{
    return UINT32_MAX;
}

static int port_push(struct workers *self, const struct job_route *route,
                     const struct job_item *items, size_t count)
{
    struct world *world = (void *)self;
    assert_memory_equal(route->incarnation, incarnation, sizeof incarnation);
    assert_int_equal(route->epoch, world->epoch);
    assert_in_range(count, 1, JOB_MAX_ORDERS);
    if (world->blocked[route->stage])
        return -1;
    note(world, "%s[", stages[route->stage].name);
    for (size_t i = 0; i < count; i++) {
        uint64_t tag = items[i].delivery_tag;
        note(world, "%llu:%u", (unsigned long long)tag, items[i].attempt);
        assert_int_equal(items[i].order->amount_cents, tag);
        assert_int_equal(items[i].trace_id.bytes[0], (uint8_t)tag);
        /* the document shows what the row has */
        assert_int_equal(items[i].order->created_at_us,
                         route->stage == STAGE_INDEX ? STORED_AT_US : SENT_AT_US);
        world->stage[tag] = route->stage;
        world->attempt[tag] = items[i].attempt;
    }
    world->log[world->log_len++] = ']';
    world->log[world->log_len] = '\0';
    return 0;
}

static void port_ack(struct intake *self, uint64_t delivery_tag, bool multiple)
{
    note((void *)self, "ack %s%llu", multiple ? ".." : "", (unsigned long long)delivery_tag);
}

static void port_requeue(struct intake *self, uint64_t delivery_tag)
{
    note((void *)self, "requeue %llu", (unsigned long long)delivery_tag);
}

static int port_dead_letter(struct dead_letter_queue *self, struct content *content,
                            const struct dead_letter_report *report, int64_t now_ms)
{
    struct world *world = (void *)self;
    assert_non_null(content);
    assert_int_equal(now_ms, world->now_ms);
    if (world->refuse_dead)
        return -1;
    note((void *)self, "dead %llu %s %s %u", (unsigned long long)report->delivery_tag,
         report->reason, report->stage != NULL ? report->stage : "-", report->attempts);
    return 0;
}

static void port_on_outcome(struct report *self, enum stage stage, const struct reply_item *item,
                            const struct order *order, int64_t at_worker_ms)
{
    struct world *world = (void *)self;
    assert_int_equal(stage, world->stage[item->delivery_tag]);
    assert_int_equal(order->amount_cents, item->delivery_tag);
    assert_in_range(at_worker_ms, 0, FLOW_HANG_MS);
}

static void port_on_stage(struct report *self, enum stage stage, enum stage_state state,
                          const struct reply_item *item)
{
    note((void *)self, "%s %s%s", stages[stage].name, stage_state_name(state),
         item == NULL ? " by default" : "");
}

static void port_on_dead_letter(struct report *self, const struct dead_letter_report *letter)
{
    (void)self;
    assert_non_null(letter->reason);
    assert_non_null(letter->order_id);
    assert_int_equal(letter->trace_id->bytes[0], (uint8_t)letter->delivery_tag);
}

static void turn(struct world *world)
{
    if (!flow_turn(world->flow, world->now_ms))
        note(world, "renew");
}

static struct content *make_content(struct world *world, uint64_t tag, const char *fault)
{
    struct content_head head = {.body_size = 0, .trace.id.bytes = {(uint8_t)tag}};
    struct content *content = content_new(&head, &world->large_bytes);
    if (fault != NULL)
        content_set_fault(content, fault, &(struct error){""});
    struct order order = {.amount_cents = (int64_t)tag, .created_at_us = SENT_AT_US};
    order_set_name(&order, "x", 1);
    content_set_order(content, &order);
    return content;
}

static void reply(struct world *world, uint64_t epoch, uint64_t tag, enum stage stage,
                  uint32_t attempt, enum outcome outcome, bool foreign)
{
    struct job_route route = {.epoch = epoch, .stage = stage};
    memcpy(route.incarnation, incarnation, sizeof incarnation);
    if (foreign)
        route.incarnation[0] ^= 1;
    struct reply_item item = {
        .delivery_tag = tag, .attempt = attempt, .verdict = {.outcome = outcome}};
    if (outcome == OUTCOME_DONE && stage == STAGE_PERSIST)
        item.verdict.created_at_us = STORED_AT_US;
    if (outcome == OUTCOME_REJECT)
        snprintf(item.verdict.code, sizeof item.verdict.code, "%s",
                 world->conflict ? "id_conflict" : "bad_row");
    flow_reply(world->flow, &route, &item, 1, world->now_ms);
}

static enum stage stage_of(const char *name)
{
    return strcmp(name, "persist") == 0 ? STAGE_PERSIST : STAGE_INDEX;
}

static enum outcome outcome_of(const char *name)
{
    for (int outcome = OUTCOME_DONE; outcome <= OUTCOME_REJECT; outcome++)
        if (strcmp(name, outcome_name((enum outcome)outcome)) == 0)
            return (enum outcome)outcome;
    fail_msg("no such outcome: %s", name);
    return OUTCOME_DONE;
}

static void run_command(struct world *world, const char *command)
{
    unsigned long long first = 0, last = 0, epoch = 0;
    char verb[16] = "", word[32] = "", word2[32] = "";
    unsigned attempt = 0;
    int delay;

    if (sscanf(command, "+%d", &delay) == 1) {
        world->now_ms += delay;
        return;
    }
    assert_int_equal(sscanf(command, "%15s", verb), 1);
    const char *rest = command + strlen(verb);
    if (strcmp(verb, "reply") == 0) {
        assert_int_equal(
            sscanf(rest, "%llu %llu %31s %u %31s", &epoch, &first, word, &attempt, word2), 5);
        reply(world, epoch, first, stage_of(word), attempt, outcome_of(word2), false);
    } else if (strcmp(verb, "foreign") == 0) {
        assert_int_equal(sscanf(rest, "%llu", &first), 1);
        reply(world, world->epoch, first, world->stage[first], world->attempt[first], OUTCOME_DONE,
              true);
    } else if (strcmp(verb, "poison") == 0) {
        static const char *const reasons[] = {"malformed", "message_id_mismatch"};
        assert_int_equal(sscanf(rest, "%llu %31s", &first, word), 2);
        const char *reason = reasons[strcmp(word, reasons[0]) == 0 ? 0 : 1];
        assert_int_equal(
            flow_deliver(world->flow, first, make_content(world, first, reason), world->now_ms), 0);
    } else if (strcmp(verb, "block") == 0 || strcmp(verb, "unblock") == 0) {
        assert_int_equal(sscanf(rest, "%31s", word), 1);
        world->blocked[stage_of(word)] = verb[0] == 'b';
        if (verb[0] == 'u')
            flow_writable(world->flow, stage_of(word));
    } else if (strcmp(verb, "refuse") == 0 || strcmp(verb, "take") == 0) {
        world->refuse_dead = verb[0] == 'r';
    } else if (strcmp(verb, "confirm") == 0 || strcmp(verb, "deny") == 0) {
        assert_int_equal(sscanf(rest, "%llu %llu", &epoch, &first), 2);
        flow_dead_letter_result(world->flow, epoch, first, verb[0] == 'c', world->now_ms);
    } else if (strcmp(verb, "reset") == 0) {
        assert_int_equal(sscanf(rest, "%llu", &epoch), 1);
        world->epoch = epoch;
        flow_reset(world->flow, epoch);
    } else if (strcmp(verb, "stop") == 0) {
        flow_stop(world->flow);
    } else {
        int found = sscanf(rest, "%llu..%llu", &first, &last);
        assert_in_range(found, 1, 2);
        if (found == 1)
            last = first;
        world->conflict = strcmp(verb, "conflict") == 0;
        for (uint64_t tag = first; tag <= last; tag++) {
            if (strcmp(verb, "deliver") == 0)
                assert_int_equal(
                    flow_deliver(world->flow, tag, make_content(world, tag, NULL), world->now_ms),
                    0);
            else
                reply(world, world->epoch, tag, world->stage[tag], world->attempt[tag],
                      world->conflict ? OUTCOME_REJECT : outcome_of(verb), false);
        }
    }
}

struct step {
    const char *command, *answer;
};

#define END                                                                                        \
    {                                                                                              \
        NULL, NULL                                                                                 \
    }
#define MAX_STEPS 24

static const struct scenario {
    const char *name;
    struct step steps[MAX_STEPS];
} scenarios[] = {
    {"an order passes both stages, then is acked",
     {{"deliver 1", "persist[1:1]"}, {"done 1", "index[1:2]"}, {"done 1", "ack 1"}, END}},
    {"what waits together travels together and is acked at once",
     {{"deliver 1..3", "persist[1:1 2:1 3:1]"},
      {"done 1..3", "index[1:2 2:2 3:2]"},
      {"done 1..3", "ack ..3"},
      END}},
    {"finished ones behind a straggler are acked alone after a short while",
     {{"deliver 1..4", "persist[1:1 2:1 3:1 4:1]"},
      {"done 2..4", "index[2:2 3:2 4:2]"},
      {"done 2..3", ""},
      {"+99", ""},
      {"+1", "ack 2 ack 3"},
      {"done 1", "index[1:2]"},
      {"done 1", "ack 1"},
      END}},
    {"between two acks are 10 ms",
     {{"deliver 1..4", "persist[1:1 2:1 3:1 4:1]"},
      {"done 1..4", "index[1:2 2:2 3:2 4:2]"},
      {"done 1", "ack 1"},
      {"done 2", ""},
      {"+9", ""},
      {"done 3", ""},
      {"+1", "ack ..3"},
      {"+10", ""},
      {"done 4", "ack 4"},
      END}},
    {"the straggler comes in time: one ack for all",
     {{"deliver 1..3", "persist[1:1 2:1 3:1]"},
      {"done 1..3", "index[1:2 2:2 3:2]"},
      {"done 2..3", ""},
      {"+5", ""},
      {"done 1", "ack ..3"},
      {"+100", ""},
      END}},
    {"retry: held with backoff, then pushed again to the same stage",
     {{"deliver 1", "persist[1:1]"},
      {"retry 1", ""},
      {"+99", ""},
      {"+1", "persist[1:2]"},
      {"retry 1", ""},
      {"+199", ""},
      {"+1", "persist[1:3]"},
      {"done 1", "index[1:4]"},
      {"retry 1", ""},
      {"+100", "index[1:5]"},
      {"done 1", "ack 1"},
      END}},
    {"reject: dead-lettered, confirmed, then acked",
     {{"deliver 1..2", "persist[1:1 2:1]"},
      {"reject 1", "dead 1 bad_row persist 1"},
      {"done 2", "index[2:2]"},
      {"reject 2", "dead 2 bad_row index 2"},
      {"+60000", ""},
      {"confirm 7 1", "ack 1"},
      {"confirm 7 2", ""},
      {"+10", "ack 2"},
      END}},
    {"poison is never pushed",
     {{"poison 1 malformed", "dead 1 malformed - 0"},
      {"deliver 2", "persist[2:1]"},
      {"poison 3 message_id_mismatch", "dead 3 message_id_mismatch - 0"},
      {"confirm 7 3", ""},
      {"+100", "ack 3"},
      {"confirm 7 1", "ack 1"},
      END}},
    {"a dead letter that is not confirmed is published again, and not acked before",
     {{"poison 1 malformed", "dead 1 malformed - 0"},
      {"deny 7 1", ""},
      {"+99", ""},
      {"+1", "dead 1 malformed - 0"},
      {"deny 7 1", ""},
      {"+200", "dead 1 malformed - 0"},
      {"confirm 7 1", "ack 1"},
      END}},
    {"the publisher takes no dead letters for a while: healthy orders flow on",
     {{"refuse dead", ""},
      {"poison 1 malformed", ""},
      {"deliver 2", "persist[2:1]"},
      {"done 2", "index[2:2]"},
      {"done 2", ""},
      {"+100", "ack 2"},
      {"take dead", ""},
      {"+200", "dead 1 malformed - 0"},
      {"confirm 7 1", "ack 1"},
      {"confirm 7 1", ""},
      END}},
    {"hang: given back 10 s after the push, the late reply is dropped",
     {{"deliver 1", "persist[1:1]"},
      {"+9999", ""},
      {"+1", "requeue 1"},
      {"done 1", ""},
      {"deliver 2", "persist[2:1]"},
      END}},
    {"hang: both stages share the 10 s",
     {{"deliver 1", "persist[1:1]"},
      {"+6000", ""},
      {"done 1", "index[1:2]"},
      {"+3999", ""},
      {"+1", "requeue 1"},
      END}},
    {"hang: persisted at the last moment leaves no time for the index",
     {{"deliver 1", "persist[1:1]"},
      {"+9999", ""},
      {"done 1", "index[1:2]"},
      {"+1", "requeue 1"},
      END}},
    {"hang: waiting for a worker does not count",
     {{"block persist", ""},
      {"deliver 1", ""},
      {"+60000", ""},
      {"unblock persist", "persist[1:1]"},
      {"+4000", ""},
      {"block index", ""},
      {"done 1", ""},
      {"+60000", ""},
      {"unblock index", "index[1:2]"},
      {"+5999", ""},
      {"done 1", "ack 1"},
      END}},
    {"hang: an answer \"retry\" starts the 10 s anew",
     {{"deliver 1", "persist[1:1]"},
      {"+9000", ""},
      {"retry 1", ""},
      {"+100", "persist[1:2]"},
      {"+9999", ""},
      {"+1", "requeue 1"},
      END}},
    {"replies that match no push are dropped",
     {{"deliver 1", "persist[1:1]"},
      {"reply 6 1 persist 1 done", ""}, /* another connection */
      {"reply 7 2 persist 1 done", ""}, /* another delivery */
      {"reply 7 1 index 1 done", ""},   /* another stage */
      {"reply 7 1 persist 2 done", ""}, /* another attempt */
      {"foreign 1", ""},                /* another bridge */
      {"reply 7 1 persist 1 done", "index[1:2]"},
      {"reply 7 1 persist 1 done", ""}, /* twice */
      {"reply 7 1 index 2 done", "ack 1"},
      {"reply 7 1 index 2 reject", ""},
      END}},
    {"a new connection: tags start again, old replies and results change nothing",
     {{"deliver 1..2", "persist[1:1 2:1]"},
      {"reject 2", "dead 2 bad_row persist 1"},
      {"reset 8", ""},
      {"deliver 1", "persist[1:1]"},
      {"poison 2 malformed", "dead 2 malformed - 0"},
      {"reply 7 1 persist 1 done", ""},
      {"confirm 7 2", ""},
      {"+20", ""},
      {"done 1", "index[1:2]"},
      {"done 1", "ack 1"},
      {"confirm 8 2", ""},
      {"+10", "ack 2"},
      END}},
    {"stage down: after a second of failures only probes go out; done brings it up",
     {{"deliver 1..12", "persist[1:1 2:1 3:1 4:1 5:1 6:1 7:1 8:1 9:1 10:1 11:1 12:1]"},
      {"retry 1", ""},
      {"+1000", "persist[1:2]"},
      {"retry 2..12", "persist down"},
      {"deliver 13", ""},
      {"+199", ""},
      {"+1", "persist[2:2 3:2 4:2 5:2 6:2 7:2 8:2 9:2 10:2 11:2]"},
      {"retry 2", ""},
      {"+399", ""},
      {"+1", "persist[12:2 13:1 2:3]"},
      {"deliver 14", ""},
      {"done 12", "persist up index[12:3] persist[14:1]"},
      {"done 12", ""},
      END}},
    {"stage down: one stage does not stop the other",
     {{"deliver 1", "persist[1:1]"},
      {"done 1", "index[1:2]"},
      {"retry 1", ""},
      {"+1000", "index[1:3]"},
      {"retry 1", "index down"},
      {"deliver 2", "persist[2:1]"},
      {"done 2", ""},
      {"+200", "index[1:4 2:2]"},
      {"done 2", "index up"},
      {"+100", "ack 2"},
      {"done 1", "ack 1"},
      END}},
    {"stage down: one that rejects an order works",
     {{"deliver 1..2", "persist[1:1 2:1]"},
      {"retry 1", ""},
      {"+1000", "persist[1:2]"},
      {"retry 1..2", "persist down"},
      {"+200", "persist[1:3 2:2]"},
      {"reject 1", "persist up dead 1 bad_row persist 3"},
      {"retry 2", ""},
      {"+999", "persist[2:3]"},
      {"retry 2", ""},
      {"+1", ""},
      END}},
    {"stage down: one that finds a conflict works",
     {{"deliver 1", "persist[1:1]"},
      {"retry 1", ""},
      {"+1000", "persist[1:2]"},
      {"retry 1", "persist down"},
      {"+200", "persist[1:3]"},
      {"conflict 1", "persist up dead 1 id_conflict persist 3"},
      END}},
    {"stage down: after 15 s without a delivery it counts as up",
     {{"deliver 1", "persist[1:1]"},
      {"retry 1", ""},
      {"+1000", "persist[1:2]"},
      {"retry 1", "persist down"},
      {"reset 8", ""},
      {"+14999", ""},
      {"deliver 1", "persist[1:1]"},
      {"+1", ""},
      {"retry 1", ""},
      {"reset 9", ""},
      {"+14999", ""},
      {"+1", "persist up by default"},
      {"deliver 1", "persist[1:1]"},
      {"retry 1", ""},
      {"+100", "persist[1:2]"},
      {"retry 1", ""},
      {"reset 10", ""},
      {"+15000", ""},
      END}},
    {"a slow stage is not down: no failures",
     {{"deliver 1..2", "persist[1:1 2:1]"},
      {"+5000", ""},
      {"done 1", "index[1:2]"},
      {"deliver 3", "persist[3:1]"},
      END}},
    {"systemic: the 20th reject in a row stops the line; a success opens it again",
     {{"deliver 1..25",
       "persist[1:1 2:1 3:1 4:1 5:1 6:1 7:1 8:1 9:1 10:1 11:1 12:1 13:1 14:1 15:1 16:1 17:1 18:1 "
       "19:1 20:1 21:1 22:1 23:1 24:1 25:1]"},
      {"reject 1..18",
       "dead 1 bad_row persist 1 dead 2 bad_row persist 1 dead 3 bad_row persist 1 dead 4 bad_row "
       "persist 1 dead 5 bad_row persist 1 dead 6 bad_row persist 1 dead 7 bad_row persist 1 dead "
       "8 bad_row persist 1 dead 9 bad_row persist 1 dead 10 bad_row persist 1 dead 11 bad_row "
       "persist 1 dead 12 bad_row persist 1 dead 13 bad_row persist 1 dead 14 bad_row persist 1 "
       "dead 15 bad_row persist 1 dead 16 bad_row persist 1 dead 17 bad_row persist 1 dead 18 "
       "bad_row persist 1"},
      {"reject 19..24", "persist systemic dead 19 bad_row persist 1"},
      {"+200", "persist[20:2 21:2 22:2 23:2 24:2]"},
      {"reject 20..23", ""},
      {"+400", "persist[20:3 21:3 22:3 23:3]"},
      {"done 20", "persist up index[20:4]"},
      {"reject 21", "dead 21 bad_row persist 3"},
      END}},
    {"rejects among successes are not systemic",
     {{"deliver 1..3", "persist[1:1 2:1 3:1]"},
      {"reject 1", "dead 1 bad_row persist 1"},
      {"done 2", "index[2:2]"},
      {"reject 3", "dead 3 bad_row persist 1"},
      END}},
    {"renew: the oldest was held for 20 min",
     {{"block persist", ""},
      {"deliver 1", ""},
      {"+1199999", ""},
      {"deliver 2", ""},
      {"+1", "renew"},
      {"unblock persist", ""},
      {"+1000000", ""},
      {"reset 8", ""},
      {"deliver 1", "persist[1:1]"},
      END}},
    {"stop: gives back what no worker has, finishes the rest",
     {{"deliver 1..3", "persist[1:1 2:1 3:1]"},
      {"retry 2", ""},
      {"block persist", ""},
      {"deliver 4", ""},
      {"stop", "requeue 2 requeue 4"},
      {"deliver 5", "requeue 5"},
      {"done 1", "index[1:2]"},
      {"retry 3", "requeue 3"},
      {"done 1", "ack 1"},
      END}},
};

static struct world *world_new(void)
{
    struct world *world = memory_new(sizeof *world);
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
    struct flow_options options = {.window = WINDOW};
    memcpy(options.incarnation, incarnation, sizeof incarnation);
    world->flow = flow_new(&options, &world->ports);
    world->epoch = 7;
    flow_reset(world->flow, world->epoch);
    return world;
}

static void world_free(struct world *world)
{
    flow_free(world->flow);
    free(world);
}

static const char *answer_to(struct world *world, const char *command)
{
    world->log_len = 0;
    world->log[0] = '\0';
    run_command(world, command);
    turn(world);
    return world->log;
}

static void test_scenario(void **state)
{
    const struct scenario *scenario = *state;
    struct world *world = world_new();
    for (const struct step *step = scenario->steps; step->command != NULL; step++) {
        int64_t wanted_ms = flow_next_ms(world->flow);
        (void)answer_to(world, step->command);
        if (step->command[0] == '+' && world->log_len > 0)
            assert_true(wanted_ms <= world->now_ms); /* it asked for the time to act */
        if (strcmp(world->log, step->answer) != 0)
            fail_msg("\n  after:    %s\n  expected: %s\n  got:      %s", step->command,
                     step->answer, world->log);
        assert_true(flow_next_ms(world->flow) > world->now_ms);
    }
    world_free(world);
}

/* The rest needs more than a line of text. */

/* Without waiting: an ack of a quarter of the window, and acks behind a straggler once half of it
 * is finished. */
static void test_acks_of_a_part_of_the_window(void **state)
{
    (void)state;
    struct world *world = world_new();
    (void)answer_to(world, "deliver 1..100");
    (void)answer_to(world, "done 1..100");
    assert_string_equal(answer_to(world, "done 1"), "ack 1");
    assert_string_equal(answer_to(world, "done 2..25"), "");
    assert_string_equal(answer_to(world, "done 26"), "ack ..26");
    assert_string_equal(answer_to(world, "done 51..99"), "");
    assert_string_equal(answer_to(world, "done 100"), "ack 51");
    assert_string_equal(answer_to(world, "done 28"), "ack 52");
    assert_string_equal(answer_to(world, "done 27"), "ack ..28");
    world_free(world);
}

/* A stage that rejected all counts as up when nothing is left to try it with; one more reject shows
 * that it still does. */
static void test_a_systemic_stage_is_forgotten(void **state)
{
    (void)state;
    struct world *world = world_new();
    (void)answer_to(world, "deliver 1..20");
    (void)answer_to(world, "reject 1..19");
    assert_string_equal(answer_to(world, "reject 20"), "persist systemic");
    assert_string_equal(answer_to(world, "reset 8"), "");
    assert_string_equal(answer_to(world, "+15000"), "persist up by default");
    assert_string_equal(answer_to(world, "deliver 1..2"), "persist[1:1 2:1]");
    assert_string_equal(answer_to(world, "reject 1"), "persist systemic");
    world_free(world);
}

static void test_window_and_order_of_tags(void **state)
{
    (void)state;
    struct world *world = world_new();
    for (uint64_t tag = 1; tag <= WINDOW; tag++)
        assert_int_equal(flow_deliver(world->flow, tag, make_content(world, tag, NULL), 0), 0);
    assert_int_equal(flow_deliver(world->flow, WINDOW + 1, make_content(world, 1, NULL), 0), -1);
    flow_reset(world->flow, 8);
    assert_int_equal(flow_deliver(world->flow, 5, make_content(world, 5, NULL), 0), 0);
    assert_int_equal(flow_deliver(world->flow, 5, make_content(world, 5, NULL), 0), -1);
    assert_int_equal(flow_deliver(world->flow, 4, make_content(world, 4, NULL), 0), -1);
    world_free(world);
}

/* One order fails 20 times while every other one succeeds. */
static void test_retries_exhausted(void **state)
{
    (void)state;
    struct world *world = world_new();
    assert_int_equal(flow_deliver(world->flow, 1, make_content(world, 1, NULL), 0), 0);
    turn(world);
    uint64_t tag = 1;
    for (int round = 1; round <= RETRY_EXHAUSTED_STRIKES; round++) {
        tag++;
        assert_int_equal(
            flow_deliver(world->flow, tag, make_content(world, tag, NULL), world->now_ms), 0);
        turn(world);
        reply(world, 7, tag, STAGE_PERSIST, 1, OUTCOME_DONE, false);
        turn(world);
        reply(world, 7, tag, STAGE_INDEX, 2, OUTCOME_DONE, false);
        assert_null(strstr(world->log, "dead"));
        reply(world, 7, 1, STAGE_PERSIST, world->attempt[1], OUTCOME_RETRY, false);
        turn(world);
        world->now_ms += 20000;
        turn(world);
    }
    assert_non_null(strstr(world->log, "dead 1 retries_exhausted persist 20"));
    world_free(world);
}

/* The same many failures while nobody succeeds are the stage's, not the order's. */
static void test_outage_exhausts_nobody(void **state)
{
    (void)state;
    struct world *world = world_new();
    assert_int_equal(flow_deliver(world->flow, 1, make_content(world, 1, NULL), 0), 0);
    turn(world);
    for (int round = 1; round <= 10 * RETRY_EXHAUSTED_STRIKES; round++) {
        assert_int_equal(world->attempt[1], round);
        reply(world, 7, 1, STAGE_PERSIST, world->attempt[1], OUTCOME_RETRY, false);
        turn(world);
        world->now_ms += 5000;
        turn(world);
        world->log_len = 0;
    }
    struct flow_stats stats;
    flow_stats(world->flow, &stats);
    assert_int_equal(stats.stage[STAGE_PERSIST].state, STAGE_DOWN);
    assert_int_equal(stats.in_flight, 1);
    assert_int_equal(stats.dead_waiting + stats.dead_sent, 0);
    world_free(world);
}

int main(void)
{
    enum { SCENARIOS = sizeof scenarios / sizeof scenarios[0], OTHERS = 5 };
    struct CMUnitTest tests[SCENARIOS + OTHERS] = {
        cmocka_unit_test(test_acks_of_a_part_of_the_window),
        cmocka_unit_test(test_a_systemic_stage_is_forgotten),
        cmocka_unit_test(test_window_and_order_of_tags),
        cmocka_unit_test(test_retries_exhausted),
        cmocka_unit_test(test_outage_exhausts_nobody),
    };
    for (size_t i = 0; i < SCENARIOS; i++)
        tests[OTHERS + i] = (struct CMUnitTest){
            .name = scenarios[i].name,
            .test_func = test_scenario,
            .initial_state = (void *)(uintptr_t)&scenarios[i],
        };
    return cmocka_run_group_tests_name("flow", tests, NULL, NULL);
}
