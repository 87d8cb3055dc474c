/* The batcher of a worker against fake bridges and a fake backend. */
#include "services/worker/batcher.h"
#include "services/worker/held_orders.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BRIDGES 2
#define BATCH 100
#define HOLD_MAX (2 * BATCH + JOB_MAX_ORDERS)
#define TAGS 16384

struct answered {
    unsigned times;
    enum outcome outcome;
    char code[VERDICT_CODE_SIZE];
};

struct fake {
    struct batcher *batcher;
    /* bridges */
    size_t messages[BRIDGES]; /* waiting to be read */
    size_t orders_a_message;
    uint64_t next_tag[BRIDGES];
    bool wanted;
    struct answered answered[BRIDGES][TAGS];
    size_t replies, orders_answered;
    int64_t step_ms; /* -1: none set */
    /* backend */
    bool answers_at_once, down_at_once;
    struct {
        size_t count; /* 0 = not written, or ended */
        const struct order *const *orders;
        struct verdict *verdicts;
        batch_done_fn *on_done; /* under way */
        void *arg;
    } written[BATCHES];
    size_t writes;
    unsigned width, under_way, most_under_way;
    size_t batches, batch; /* the size of the one that is out; 0 = none */
    uint64_t first_tag;    /* of the batch's first order */
    unsigned number;       /* the batch's */
    struct verdict *verdicts;
    size_t orders_answered_then; /* when the batch went out */
    batch_done_fn *on_done;
    void *arg;
    size_t reported;
};

static void route_of(unsigned bridge, struct job_route *route)
{
    memset(route, 0, sizeof(*route));
    route->incarnation[0] = (uint8_t)(bridge + 1);
    route->epoch = 7 + bridge;
    route->stage = STAGE_PERSIST;
    route->version = FRAME_VERSION;
}

static bool fake_read(struct bridge_link *link, unsigned bridge, struct job *job)
{
    struct fake *fake = (void *)link;
    if (fake->messages[bridge] == 0)
        return false;
    fake->messages[bridge]--;
    route_of(bridge, &job->route);
    job->count = fake->orders_a_message;
    for (size_t i = 0; i < job->count; i++) {
        memset(&job->orders[i], 0, sizeof(job->orders[i]));
        uint64_t tag = fake->next_tag[bridge]++;
        job->orders[i].amount_cents = (int64_t)tag;
        job->items[i] = (struct job_item){
            .delivery_tag = tag,
            .attempt = (uint32_t)tag + 1,
            .trace_id = {{(uint8_t)tag}},
            .order = &job->orders[i],
        };
    }
    return true;
}

static void fake_want_jobs(struct bridge_link *link, bool wanted)
{
    struct fake *fake = (void *)link;
    assert_true(fake->wanted != wanted);
    fake->wanted = wanted;
}

static void fake_reply(struct bridge_link *link, unsigned bridge, const struct job_route *route,
                       const struct reply_item items[], size_t count)
{
    struct fake *fake = (void *)link;
    struct job_route expected;
    route_of(bridge, &expected);
    assert_memory_equal(route->incarnation, expected.incarnation, sizeof(expected.incarnation));
    assert_int_equal(route->epoch, expected.epoch);
    assert_int_equal(route->version, expected.version);
    assert_in_range(count, 1, REPLY_MAX_ITEMS);
    fake->replies++;
    fake->orders_answered += count;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(items[i].attempt, items[i].delivery_tag + 1);
        struct answered *answered = &fake->answered[bridge][items[i].delivery_tag];
        answered->times++;
        answered->outcome = items[i].verdict.outcome;
        strcpy(answered->code, items[i].verdict.code);
    }
}

static void fake_step_after(struct loop_timer *step, int64_t delay_ms)
{
    struct fake *fake = (void *)step;
    fake->step_ms = delay_ms;
}

static void fake_on_batch(void *self, unsigned number, const struct held_orders *held, size_t first,
                          size_t count, const struct verdict verdicts[],
                          const struct verdict *cause)
{
    assert_in_range(number, 0, BATCHES - 1);
    for (size_t i = 0; i < count; i++) {
        const struct held_order *order = held_orders_at(held, first + i);
        assert_int_equal(order->trace_id.bytes[0], (uint8_t)order->delivery_tag);
        assert_int_equal(order->order.amount_cents, order->delivery_tag);
    }
    (void)verdicts;
    (void)cause;
    struct fake *fake = self;
    fake->reported += count;
}

static uint32_t fake_random(void)
{
    return UINT32_MAX; /* the longest wait */
}

static int64_t now_ms;

static int64_t fake_now_ms(void)
{
    return now_ms;
}

/* Answer the batch that is out, all alike. */
static void execute_done(struct fake *fake)
{
    for (size_t i = 0; i < fake->batch; i++)
        verdict_done(&fake->verdicts[i], 7);
    fake->batch = 0;
    fake->under_way--;
    fake->on_done(fake->arg, false);
}

static void execute_down(struct fake *fake)
{
    for (size_t i = 0; i < fake->batch; i++)
        verdict_fail(&fake->verdicts[i], OUTCOME_RETRY, "store_unavailable", "no connection");
    fake->batch = 0;
    fake->under_way--;
    fake->on_done(fake->arg, true);
}

/* Make a batch of several the one that is out. */
static void choose(struct fake *fake, unsigned number)
{
    assert_non_null(fake->written[number].on_done);
    fake->batch = fake->written[number].count;
    fake->verdicts = fake->written[number].verdicts;
    fake->on_done = fake->written[number].on_done;
    fake->arg = fake->written[number].arg;
    fake->written[number].on_done = NULL;
}

static void fake_write(void *self, unsigned number, const struct order *const orders[],
                       size_t count, struct verdict verdicts[])
{
    struct fake *fake = self;
    assert_in_range(number, 0, BATCHES - 1);
    assert_in_range(count, 1, BATCH);
    assert_true(fake->width == 2 ? fake->written[number].on_done == NULL
                                 : fake->batch == 0 || number != fake->number);
    fake->writes++;
    fake->written[number].count = count;
    fake->written[number].orders = orders;
    fake->written[number].verdicts = verdicts;
}

static void fake_execute(void *self, unsigned number, batch_done_fn *on_done, void *arg)
{
    struct fake *fake = self;
    assert_true(fake->under_way < fake->width);
    fake->under_way++;
    fake->most_under_way =
        fake->under_way > fake->most_under_way ? fake->under_way : fake->most_under_way;
    size_t count = fake->written[number].count;
    const struct order *const *orders = fake->written[number].orders;
    assert_in_range(count, 1, BATCH);
    for (size_t i = 0; i < count; i++)
        assert_in_range(orders[i]->amount_cents, 0, TAGS);
    fake->written[number].on_done = on_done;
    fake->written[number].arg = arg;
    fake->batches++;
    fake->batch = count;
    fake->number = number;
    fake->first_tag = (uint64_t)orders[0]->amount_cents;
    fake->orders_answered_then = fake->orders_answered;
    fake->verdicts = fake->written[number].verdicts;
    fake->on_done = on_done;
    fake->arg = arg;
    if (fake->down_at_once)
        execute_down(fake);
    else if (fake->answers_at_once)
        execute_done(fake);
}

static struct fake *fake_of(size_t orders_a_message, unsigned width, int64_t spacing_ms)
{
    struct fake *fake = calloc(1, sizeof(*fake));
    assert_non_null(fake);
    fake->orders_a_message = orders_a_message;
    fake->step_ms = -1;
    fake->width = width;
    fake->batcher = batcher_new(BRIDGES, BATCH, width, spacing_ms,
                                &(struct batcher_ports){
                                    .link = (void *)fake,
                                    .read = fake_read,
                                    .want_jobs = fake_want_jobs,
                                    .reply = fake_reply,
                                    .step = (void *)fake,
                                    .step_after = fake_step_after,
                                    .self = fake,
                                    .write = fake_write,
                                    .execute = fake_execute,
                                    .on_batch = fake_on_batch,
                                    .random = fake_random,
                                    .now_ms = fake_now_ms,
                                });
    return fake;
}

static struct fake *fake_of_width(size_t orders_a_message, unsigned width)
{
    return fake_of(orders_a_message, width, 0);
}

static struct fake *fake_new(size_t orders_a_message)
{
    return fake_of_width(orders_a_message, 1);
}

static void fake_free(struct fake *fake)
{
    batcher_free(fake->batcher);
    free(fake);
}

static void offer(struct fake *fake, unsigned bridge, size_t messages)
{
    fake->messages[bridge] += messages;
    if (fake->wanted)
        batcher_jobs_readable(fake->batcher);
}

static size_t orders_read(const struct fake *fake)
{
    return fake->next_tag[0] + fake->next_tag[1];
}

/* Every order that was read has been answered, once. */
static void assert_all_answered(const struct fake *fake)
{
    assert_int_equal(batcher_orders_held(fake->batcher), 0);
    for (unsigned bridge = 0; bridge < BRIDGES; bridge++)
        for (uint64_t tag = 0; tag < fake->next_tag[bridge]; tag++)
            assert_int_equal(fake->answered[bridge][tag].times, 1);
}

static void reads_nothing_before_start(void **state)
{
    (void)state;
    struct fake *fake = fake_new(1);
    offer(fake, 0, 1);
    batcher_step(fake->batcher);
    assert_false(fake->wanted);
    assert_int_equal(orders_read(fake), 0);
    batcher_start(fake->batcher);
    assert_true(fake->wanted);
    assert_int_equal(fake->batch, 1);
    execute_done(fake);
    assert_all_answered(fake);
    fake_free(fake);
}

static void executes_at_once_when_idle(void **state)
{
    (void)state;
    struct fake *fake = fake_new(3);
    batcher_start(fake->batcher);
    offer(fake, 1, 1);
    assert_int_equal(fake->batch, 3);
    execute_done(fake);
    assert_int_equal(fake->replies, 1);
    assert_int_equal(fake->answered[1][2].outcome, OUTCOME_DONE);
    assert_int_equal(fake->reported, 3);
    assert_all_answered(fake);
    fake_free(fake);
}

static void next_batch_is_what_came_meanwhile(void **state)
{
    (void)state;
    struct fake *fake = fake_new(10);
    batcher_start(fake->batcher);
    offer(fake, 0, 1);
    offer(fake, 0, 2);
    offer(fake, 1, 3);
    assert_int_equal(fake->batch, 10);
    execute_done(fake);
    assert_int_equal(fake->batch, 50);
    execute_done(fake);
    assert_int_equal(fake->batches, 2);
    assert_int_equal(fake->replies, 3); /* neighbours of one bridge share a message */
    assert_all_answered(fake);
    fake_free(fake);
}

/* A step that is due. */
static void step(struct fake *fake)
{
    assert_true(fake->step_ms >= 0);
    now_ms += fake->step_ms;
    batcher_step(fake->batcher);
}

/* Of a worker that has just executed a batch of two orders. */
static struct fake *fake_spaced(void)
{
    struct fake *fake = fake_of(2, 1, 20);
    now_ms += 1000;
    fake->answers_at_once = true;
    batcher_start(fake->batcher);
    offer(fake, 0, 1);
    assert_int_equal(fake->batches, 1); /* the first one waits for nothing */
    fake->orders_a_message = 1;
    return fake;
}

static void small_batches_begin_apart(void **state)
{
    (void)state;
    struct fake *fake = fake_spaced();
    for (int i = 1; i < 20; i++) {
        now_ms += 1;
        offer(fake, 1, 1);
        assert_int_equal(fake->batches, 1);
        assert_int_equal(fake->step_ms, 20 - i);
    }
    step(fake);
    assert_int_equal(fake->batches, 2);
    assert_int_equal(fake->step_ms, 1000);
    assert_all_answered(fake);
    fake_free(fake);
}

static void a_full_batch_waits_for_no_spacing(void **state)
{
    (void)state;
    struct fake *fake = fake_spaced();
    offer(fake, 0, BATCH);
    assert_int_equal(fake->batches, 2);
    assert_all_answered(fake);
    fake_free(fake);
}

static void orders_one_by_one_wait_for_no_spacing(void **state)
{
    (void)state;
    struct fake *fake = fake_spaced();
    now_ms += 20;
    for (size_t i = 2; i < 10; i++) {
        offer(fake, 1, 1);
        assert_int_equal(fake->batches, i);
        now_ms += 1;
    }
    assert_all_answered(fake);
    fake_free(fake);
}

static void stopping_waits_for_no_spacing(void **state)
{
    (void)state;
    struct fake *fake = fake_spaced();
    offer(fake, 1, 1);
    assert_int_equal(fake->batches, 1);
    batcher_stop(fake->batcher);
    assert_int_equal(fake->batches, 2);
    assert_all_answered(fake);
    fake_free(fake);
}

static void a_failure_during_the_spacing_gives_all_back(void **state)
{
    (void)state;
    struct fake *fake = fake_spaced();
    offer(fake, 1, 1);
    fake->answers_at_once = false;
    fake->down_at_once = true;
    step(fake);
    assert_int_equal(fake->answered[1][0].outcome, OUTCOME_RETRY);
    offer(fake, 0, 1); /* a failing worker probes the store in steps of its own */
    step(fake);
    assert_int_equal(fake->answered[0][2].outcome, OUTCOME_RETRY);
    assert_all_answered(fake);
    fake_free(fake);
}

/* A store with a backlog must not wait for the worker. */
static void a_full_batch_is_written_before_it_is_its_turn(void **state)
{
    (void)state;
    struct fake *fake = fake_new(10);
    batcher_start(fake->batcher);
    offer(fake, 0, 1);
    assert_int_equal(fake->writes, 1);
    offer(fake, 0, 9);
    assert_int_equal(fake->writes, 1); /* more may come */
    offer(fake, 0, 1);
    assert_int_equal(fake->writes, 2);
    offer(fake, 0, 5);
    assert_int_equal(fake->writes, 2);
    execute_done(fake);
    assert_int_equal(fake->batch, BATCH);
    assert_int_equal(fake->first_tag, 10);
    assert_int_equal(fake->orders_answered_then, 0); /* sent first, the answers follow */
    assert_int_equal(fake->orders_answered, 10);
    execute_done(fake);
    assert_int_equal(fake->batch, 50);
    execute_done(fake);
    assert_int_equal(fake->writes, 3);
    assert_all_answered(fake);
    fake_free(fake);
}

static void what_is_written_is_given_back_when_the_backend_is_down(void **state)
{
    (void)state;
    struct fake *fake = fake_new(10);
    batcher_start(fake->batcher);
    offer(fake, 0, 1);
    offer(fake, 0, 15);
    assert_int_equal(fake->writes, 2);
    execute_down(fake);
    assert_int_equal(fake->batches, 1);
    assert_int_equal(fake->orders_answered, 160);
    assert_all_answered(fake);
    offer(fake, 0, 1);
    batcher_step(fake->batcher);
    assert_int_equal(fake->batch, 10);
    assert_int_equal(fake->first_tag, 160);
    execute_done(fake);
    assert_all_answered(fake);
    fake_free(fake);
}

static void holds_no_more_than_the_bound(void **state)
{
    (void)state;
    struct fake *fake = fake_new(JOB_MAX_ORDERS);
    batcher_start(fake->batcher);
    offer(fake, 0, 20);
    offer(fake, 1, 20);
    assert_int_equal(orders_read(fake), HOLD_MAX);
    assert_false(fake->wanted);
    while (fake->batch > 0)
        execute_done(fake);
    assert_true(fake->wanted);
    assert_int_equal(orders_read(fake), 40 * JOB_MAX_ORDERS);
    assert_int_equal(fake->batches, 40 * JOB_MAX_ORDERS / BATCH);
    assert_all_answered(fake);
    fake_free(fake);
}

/* Full batches follow how long the last ones took, and so does the hand. */
static void follows_the_pace_of_the_store(void **state)
{
    (void)state;
    static const struct {
        int64_t took_ms;
        size_t next;
    } cases[] = {
        {0, 100},   {999, 100}, {1000, 50}, {999, 50}, {501, 50}, {500, 100}, {4000, 50},
        {1000, 25}, {1000, 12}, {1000, 6},  {1000, 3}, {1000, 1}, {1000, 1},  {500, 2},
        {0, 4},     {0, 8},     {0, 16},    {0, 32},   {0, 64},   {0, 100},   {0, 100},
    };
    struct fake *fake = fake_new(1);
    batcher_start(fake->batcher);
    offer(fake, 0, 1);
    fake->messages[0] = 2000;
    batcher_jobs_readable(fake->batcher);
    execute_done(fake); /* the first order alone */
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        now_ms += cases[i].took_ms;
        execute_done(fake);
        assert_int_equal(fake->batch, cases[i].next);
    }
    assert_int_equal(batcher_orders_held(fake->batcher), 2 * BATCH + 1);
    fake->messages[0] = 0;
    while (fake->batch > 0)
        execute_done(fake);
    offer(fake, 0, 1);
    now_ms += 1000;
    execute_done(fake);
    offer(fake, 0, 200);
    assert_int_equal(batcher_orders_held(fake->batcher), 2 * 1 + 1);
    while (fake->batch > 0)
        execute_done(fake);
    assert_all_answered(fake);
    fake_free(fake);
}

static void bridges_take_turns(void **state)
{
    (void)state;
    struct fake *fake = fake_new(10);
    batcher_start(fake->batcher);
    offer(fake, 0, 1);
    fake->messages[0] = fake->messages[1] = 100;
    batcher_jobs_readable(fake->batcher);
    assert_in_range(fake->next_tag[0], 100, HOLD_MAX - 100);
    assert_in_range(fake->next_tag[1], 100, HOLD_MAX - 100);
    while (fake->batch > 0)
        execute_done(fake);
    fake_free(fake);
}

static void answers_each_order_with_its_own_verdict(void **state)
{
    (void)state;
    struct fake *fake = fake_new(3);
    batcher_start(fake->batcher);
    offer(fake, 0, 1);
    verdict_done(&fake->verdicts[0], 7);
    verdict_fail(&fake->verdicts[1], OUTCOME_REJECT, "sqlstate_23514", "check \"positive\"\n");
    verdict_fail(&fake->verdicts[2], OUTCOME_RETRY, "sqlstate_55P03", "");
    fake->batch = 0;
    fake->under_way--;
    fake->on_done(fake->arg, false);
    assert_int_equal(fake->answered[0][0].outcome, OUTCOME_DONE);
    assert_string_equal(fake->answered[0][0].code, "");
    assert_int_equal(fake->answered[0][1].outcome, OUTCOME_REJECT);
    assert_string_equal(fake->answered[0][1].code, "sqlstate_23514");
    assert_int_equal(fake->answered[0][2].outcome, OUTCOME_RETRY);
    assert_true(fake->wanted); /* not a failing backend */
    assert_all_answered(fake);
    fake_free(fake);
}

static void gives_everything_back_when_the_backend_is_down(void **state)
{
    (void)state;
    struct fake *fake = fake_new(10);
    batcher_start(fake->batcher);
    offer(fake, 0, 1);
    offer(fake, 1, 5);
    execute_down(fake);
    assert_int_equal(fake->batches, 1); /* the waiting ones were not tried */
    assert_int_equal(fake->answered[1][49].outcome, OUTCOME_RETRY);
    assert_string_equal(fake->answered[1][49].code, "store_unavailable");
    assert_false(fake->wanted);
    assert_in_range(fake->step_ms, 1, 500);
    assert_all_answered(fake);
    fake_free(fake);
}

/* A worker that fails at once must not draw the jobs of healthy ones. */
static void draws_few_jobs_while_failing(void **state)
{
    (void)state;
    static const size_t orders_a_message[] = {1, 7, JOB_MAX_ORDERS};
    for (size_t c = 0; c < 3; c++) {
        struct fake *fake = fake_new(orders_a_message[c]);
        fake->down_at_once = true;
        batcher_start(fake->batcher);
        offer(fake, 0, 2000);
        for (unsigned step = 0; step < 10; step++) {
            size_t before = orders_read(fake), batches = fake->batches;
            batcher_step(fake->batcher);
            assert_in_range(orders_read(fake) - before, 100, 100 + orders_a_message[c] - 1);
            assert_int_equal(fake->batches, batches + 1);
            assert_false(fake->wanted);
        }
        assert_int_equal(fake->step_ms, 500); /* the cap */
        assert_all_answered(fake);
        fake_free(fake);
    }
}

static void answers_at_once_while_a_probe_is_out(void **state)
{
    (void)state;
    struct fake *fake = fake_new(10);
    batcher_start(fake->batcher);
    offer(fake, 0, 1);
    execute_down(fake);
    fake->messages[0] = fake->messages[1] = 5;
    batcher_step(fake->batcher); /* the probe */
    assert_int_equal(fake->batch, BATCH);
    size_t before = fake->orders_answered;
    fake->messages[0] = 2;
    fake->messages[1] = 0;
    batcher_step(fake->batcher);
    assert_int_equal(fake->orders_answered, before + 20);
    assert_int_equal(batcher_orders_held(fake->batcher), BATCH);
    execute_down(fake);
    assert_all_answered(fake);
    fake_free(fake);
}

/* A socket hands out few messages at once: those behind them must not wait for the next step. */
static void answers_what_comes_later_in_a_failing_step(void **state)
{
    (void)state;
    struct fake *fake = fake_new(10);
    batcher_start(fake->batcher);
    offer(fake, 0, 1);
    execute_down(fake);
    fake->messages[0] = 2;
    batcher_step(fake->batcher); /* the probe */
    assert_int_equal(fake->batch, 20);
    assert_true(fake->wanted);
    size_t before = fake->orders_answered;
    offer(fake, 1, 3);
    assert_int_equal(fake->orders_answered, before + 30);
    offer(fake, 0, 9); /* more than a step may read */
    assert_int_equal(fake->orders_answered, before + 80);
    assert_false(fake->wanted);
    assert_int_equal(fake->batches, 2);
    execute_down(fake);
    batcher_step(fake->batcher);
    execute_down(fake);
    assert_int_equal(orders_read(fake), 10 + 20 + 30 + 90);
    assert_all_answered(fake);
    fake_free(fake);
}

static void the_first_to_come_in_a_failing_step_are_the_probe(void **state)
{
    (void)state;
    struct fake *fake = fake_new(10);
    batcher_start(fake->batcher);
    offer(fake, 0, 1);
    execute_down(fake);
    batcher_step(fake->batcher); /* nothing is there yet */
    assert_int_equal(fake->batches, 1);
    offer(fake, 0, 1);
    assert_int_equal(fake->batches, 2);
    execute_down(fake);
    offer(fake, 0, 1); /* the step has had its probe */
    assert_int_equal(fake->batches, 2);
    batcher_step(fake->batcher);
    offer(fake, 1, 1);
    assert_int_equal(fake->batches, 3);
    execute_done(fake);
    offer(fake, 0, 1);
    assert_int_equal(fake->batches, 4);
    execute_done(fake);
    assert_int_equal(orders_read(fake), 50);
    assert_all_answered(fake);
    fake_free(fake);
}

static void a_probe_that_succeeds_ends_it(void **state)
{
    (void)state;
    struct fake *fake = fake_new(10);
    batcher_start(fake->batcher);
    offer(fake, 0, 1);
    execute_down(fake);
    fake->messages[0] = 20;
    batcher_step(fake->batcher);
    assert_int_equal(fake->batch, 100);
    execute_done(fake);
    assert_true(fake->wanted);
    assert_int_equal(orders_read(fake), 210);
    execute_done(fake);
    assert_all_answered(fake);
    fake_free(fake);
}

/* libzmq drops a link that is not read for 3 s. */
static void keeps_links_alive_while_a_batch_takes_long(void **state)
{
    (void)state;
    struct fake *fake = fake_new(JOB_MAX_ORDERS);
    batcher_start(fake->batcher);
    offer(fake, 0, 20);
    offer(fake, 1, 20);
    for (unsigned step = 0; step < 6; step++) {
        assert_in_range(fake->step_ms, 1, 2000);
        batcher_step(fake->batcher);
        assert_int_equal(orders_read(fake), HOLD_MAX + (step + 1) * BRIDGES * JOB_MAX_ORDERS);
    }
    batcher_step(fake->batcher); /* but not without a bound */
    assert_int_equal(orders_read(fake), HOLD_MAX + 6 * BRIDGES * JOB_MAX_ORDERS);
    while (fake->batch > 0)
        execute_done(fake);
    assert_all_answered(fake);
    fake_free(fake);
}

static void stopping_finishes_what_was_read(void **state)
{
    (void)state;
    struct fake *fake = fake_new(JOB_MAX_ORDERS);
    batcher_start(fake->batcher);
    offer(fake, 0, 20);
    batcher_stop(fake->batcher);
    assert_false(fake->wanted);
    while (fake->batch > 0)
        execute_done(fake);
    batcher_step(fake->batcher);
    batcher_start(fake->batcher);
    assert_int_equal(orders_read(fake), HOLD_MAX);
    assert_int_equal(fake->answered[0][HOLD_MAX - 1].outcome, OUTCOME_DONE);
    assert_all_answered(fake);
    fake_free(fake);
}

static void stopping_gives_back_what_the_backend_does_not_take(void **state)
{
    (void)state;
    struct fake *fake = fake_new(JOB_MAX_ORDERS);
    batcher_start(fake->batcher);
    offer(fake, 0, 20);
    batcher_stop(fake->batcher);
    execute_down(fake);
    assert_int_equal(fake->batches, 1);
    assert_all_answered(fake);
    fake_free(fake);
}

static void a_backend_may_answer_at_once(void **state)
{
    (void)state;
    struct fake *fake = fake_new(JOB_MAX_ORDERS);
    fake->answers_at_once = true;
    batcher_start(fake->batcher);
    offer(fake, 0, 30);
    offer(fake, 1, 30);
    assert_int_equal(orders_read(fake), 60 * JOB_MAX_ORDERS);
    assert_all_answered(fake);
    fake_free(fake);
}

/* ---- two batches at once ---- */

#define HALF (BATCH / 2)

/* The number of the batch that went out first. */
static unsigned oldest_out(const struct fake *fake)
{
    unsigned oldest = BATCHES;
    for (unsigned i = 0; i < BATCHES; i++)
        if (fake->written[i].on_done != NULL &&
            (oldest == BATCHES || fake->written[i].orders[0]->amount_cents <
                                      fake->written[oldest].orders[0]->amount_cents))
            oldest = i;
    assert_true(oldest < BATCHES);
    return oldest;
}

/* A backlog without an end, until `batches` more have ended: each 100 ms after the last, or
 * `with_two_ms`, where two are under way. */
static void end_batches(struct fake *fake, size_t batches, int64_t with_two_ms)
{
    for (size_t i = 0; i < batches; i++) {
        now_ms += batcher_width(fake->batcher) == 1 ? 100 : with_two_ms;
        fake->messages[0] = 4;
        batcher_jobs_readable(fake->batcher);
        choose(fake, oldest_out(fake));
        execute_done(fake);
    }
}

/* Begins with one batch at a time, measured at 100 orders in 100 ms, and comes to try two. */
static struct fake *fake_with_two(void)
{
    struct fake *fake = fake_of_width(JOB_MAX_ORDERS, 2);
    now_ms = 0;
    batcher_start(fake->batcher);
    offer(fake, 0, 5);
    while (batcher_width(fake->batcher) == 1)
        end_batches(fake, 1, 45);
    assert_in_range(now_ms, 1000, 2000);
    return fake;
}

/* The times of two batches at once are of those that end one after the other. */
static void two_are_kept_when_the_store_takes_more(void **state)
{
    (void)state;
    struct fake *fake = fake_with_two();
    end_batches(fake, 60, 45); /* 50 orders in 45 ms instead of 100 in 100 */
    assert_int_equal(batcher_width(fake->batcher), 2);
    assert_int_equal(fake->most_under_way, 2);
    assert_int_equal(fake->written[oldest_out(fake)].count, HALF);
    assert_in_range(batcher_orders_held(fake->batcher), 1, HOLD_MAX);
    fake_free(fake);
}

static void one_is_kept_when_the_store_takes_no_more(void **state)
{
    (void)state;
    struct fake *fake = fake_with_two();
    end_batches(fake, 60, 48); /* less than a tenth more */
    assert_int_equal(batcher_width(fake->batcher), 1);
    end_batches(fake, 20, 48);
    assert_int_equal(fake->under_way, 1);
    assert_int_equal(fake->written[oldest_out(fake)].count, BATCH);
    fake_free(fake);
}

static void orders_are_answered_whichever_batch_ends_first(void **state)
{
    (void)state;
    struct fake *fake = fake_with_two();
    end_batches(fake, 2, 45);
    assert_int_equal(fake->under_way, 2);
    unsigned first = oldest_out(fake);
    for (unsigned i = 0; i < BATCHES; i++)
        if (i != first && fake->written[i].on_done != NULL) {
            size_t answered = fake->orders_answered, held = batcher_orders_held(fake->batcher);
            choose(fake, i);
            execute_done(fake);
            assert_int_equal(fake->orders_answered, answered + HALF);
            assert_in_range(batcher_orders_held(fake->batcher), held, HOLD_MAX); /* its place */
            break;
        }
    assert_int_equal(fake->under_way, 2); /* the next one has gone out */
    fake->messages[0] = 0;
    batcher_stop(fake->batcher);
    while (fake->under_way > 0) {
        choose(fake, oldest_out(fake));
        execute_done(fake);
    }
    assert_all_answered(fake);
    fake_free(fake);
}

/* Also while two are measured to be quicker. */
static void a_failure_ends_it_at_once(void **state)
{
    (void)state;
    struct fake *fake = fake_with_two();
    end_batches(fake, 60, 45);
    assert_int_equal(fake->under_way, 2);
    fake->messages[0] = 0;
    choose(fake, oldest_out(fake));
    execute_down(fake);
    assert_int_equal(batcher_width(fake->batcher), 1);
    assert_int_equal(fake->under_way, 1);
    assert_int_equal(batcher_orders_held(fake->batcher), HALF); /* all that waited is given back */
    choose(fake, oldest_out(fake));
    execute_down(fake);
    assert_all_answered(fake);
    fake->messages[0] = 10;
    batcher_step(fake->batcher);
    assert_int_equal(fake->under_way, 1); /* the probe */
    choose(fake, oldest_out(fake));
    execute_done(fake);
    assert_int_equal(fake->under_way, 1);
    assert_int_equal(fake->written[oldest_out(fake)].count, BATCH);
    fake_free(fake);
}

static void both_batches_are_finished_when_stopping(void **state)
{
    (void)state;
    struct fake *fake = fake_with_two();
    end_batches(fake, 2, 45);
    batcher_stop(fake->batcher);
    unsigned ended = 0;
    for (; fake->under_way > 0; ended++) {
        choose(fake, oldest_out(fake));
        execute_done(fake);
    }
    assert_true(ended >= 4);
    assert_all_answered(fake);
    fake_free(fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_nothing_before_start),
        cmocka_unit_test(executes_at_once_when_idle),
        cmocka_unit_test(next_batch_is_what_came_meanwhile),
        cmocka_unit_test(small_batches_begin_apart),
        cmocka_unit_test(a_full_batch_waits_for_no_spacing),
        cmocka_unit_test(orders_one_by_one_wait_for_no_spacing),
        cmocka_unit_test(stopping_waits_for_no_spacing),
        cmocka_unit_test(a_failure_during_the_spacing_gives_all_back),
        cmocka_unit_test(a_full_batch_is_written_before_it_is_its_turn),
        cmocka_unit_test(what_is_written_is_given_back_when_the_backend_is_down),
        cmocka_unit_test(holds_no_more_than_the_bound),
        cmocka_unit_test(follows_the_pace_of_the_store),
        cmocka_unit_test(bridges_take_turns),
        cmocka_unit_test(answers_each_order_with_its_own_verdict),
        cmocka_unit_test(gives_everything_back_when_the_backend_is_down),
        cmocka_unit_test(draws_few_jobs_while_failing),
        cmocka_unit_test(answers_at_once_while_a_probe_is_out),
        cmocka_unit_test(answers_what_comes_later_in_a_failing_step),
        cmocka_unit_test(the_first_to_come_in_a_failing_step_are_the_probe),
        cmocka_unit_test(a_probe_that_succeeds_ends_it),
        cmocka_unit_test(keeps_links_alive_while_a_batch_takes_long),
        cmocka_unit_test(stopping_finishes_what_was_read),
        cmocka_unit_test(stopping_gives_back_what_the_backend_does_not_take),
        cmocka_unit_test(a_backend_may_answer_at_once),
        cmocka_unit_test(two_are_kept_when_the_store_takes_more),
        cmocka_unit_test(one_is_kept_when_the_store_takes_no_more),
        cmocka_unit_test(orders_are_answered_whichever_batch_ends_first),
        cmocka_unit_test(a_failure_ends_it_at_once),
        cmocka_unit_test(both_batches_are_finished_when_stopping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
