/* How long a job pauses for the live traffic. */
#include "services/scheduler/index/live_pressure.h"
#include "tests/unit/clients/rabbitmq/queues.h"
#include "tests/unit/clients/rabbitmq/rabbitmq_server.h"
#include "tests/unit/support/cmocka_headers.h"
#include "tests/unit/support/run_loop.h"

static void test_pause(void **state)
{
    (void)state;
    static const struct {
        struct queue_depth depth;
        size_t rows;
        int64_t took_ms, pause_ms;
    } cases[] = {
        {{true, 0, 0}, 2000, 50, 0},
        {{true, 999, 0}, 2000, 50, 0},
        {{true, 1000, 0}, 2000, 50, 50},
        {{true, 5000, 0}, 2000, 50, 250},
        {{true, 5000, -1000}, 2000, 50, 250}, /* it shrinks */
        {{true, 0, 99}, 2000, 50, 0},
        {{true, 0, 500}, 2000, 50, 250}, /* 5,000 in 10 s */
        {{true, 1000, 100}, 2000, 50, 100},
        {{true, 1000000, 0}, 2000, 50, 9950}, /* 200 rows a second */
        {{true, 1000000, 0}, 1, 50, 0},
        {{true, 1000000, 0}, 2000, 20000, 0}, /* Elasticsearch itself is slower */
        {{false, 0, 0}, 2000, 50, 50},
        {{false, 0, 0}, 2000, 8000, 2000},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(live_pressure_pause_ms(&cases[i].depth, cases[i].rows, cases[i].took_ms),
                         cases[i].pause_ms);
}

/* The queues of two groups count together. */
static void test_two_queues(void **state)
{
    (void)state;
    struct event_loop *loop = event_loop_new();
    struct live_pressure *pressure = live_pressure_new(
        loop, &(struct live_pressure_options){
                  .broker = {.url = rabbitmq_server_url(), .name = "test pressure"},
                  .queues = "one,two",
                  .queue_type = QUEUE_QUORUM,
              });
    assert_false(live_pressure_depth(pressure).known);
    live_pressure_begin(pressure);
    run_loop_until(loop, live_pressure_depth(pressure).known);
    for (int i = 0; i < 5; i++)
        queue_publish(i < 2 ? "one" : "two", "order", 5);
    run_loop_until(loop, live_pressure_depth(pressure).messages == 5);
    live_pressure_end(pressure);
    live_pressure_free(pressure);
    event_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pause),
                                       cmocka_unit_test(test_two_queues)};
    rabbitmq_server_start();
    int failures = cmocka_run_group_tests_name("live_pressure", tests, NULL, NULL);
    rabbitmq_server_stop();
    return failures != 0;
}
