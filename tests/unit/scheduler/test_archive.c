/* The archive between a RabbitMQ and a PostgreSQL of its own. */
#include "services/clients/postgres/dead_letter_archive.h"
#include "services/clients/rabbitmq/content.h"
#include "services/scheduler/archive.h"
#include "tests/unit/clients/postgres/fixture.h"
#include "tests/unit/clients/postgres/postgres_server.h"
#include "tests/unit/clients/rabbitmq/queues.h"
#include "tests/unit/clients/rabbitmq/rabbitmq_server.h"
#include "tests/unit/support/metric_now.h"
#include "tests/unit/support/run_loop.h"
#include <stdio.h>
#include <string.h>

static struct {
    struct archive *archive;
    const char *queue;
    char dead[64];
    bool stopped;
} now;

static void on_stopped(void *arg)
{
    (void)arg;
    now.stopped = true;
}

static void start(struct fixture *fixture, const char *queue, enum archive_mode mode,
                  int64_t max_bytes)
{
    now.queue = queue;
    now.stopped = false;
    snprintf(now.dead, sizeof now.dead, "%s.dead", queue);
    now.archive = archive_new(fixture->loop,
                              &(struct archive_options){
                                  .dsn = fixture->dsn,
                                  .broker = {.url = rabbitmq_server_url(), .name = "test archive"},
                                  .queues = queue,
                                  .queue_type = QUEUE_QUORUM,
                                  .mode = mode,
                                  .max_bytes = max_bytes,
                                  .retention_ms = 1000000,
                                  .on_stopped = on_stopped,
                              });
}

static int set_up(void **state)
{
    return fixture_setup(state);
}

static int tear_down(void **state)
{
    archive_free(now.archive);
    now.archive = NULL;
    return fixture_teardown(state);
}

static void wait_well(struct fixture *fixture)
{
    run_loop_until(fixture->loop, archive_fault(now.archive) == NULL &&
                                      metric_now("dead_letter_archive_bytes") >= 0);
}

static void publish(unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++) {
        char body[16];
        int len = snprintf(body, sizeof body, "letter %u", i);
        queue_publish(now.dead, body, (size_t)len);
    }
}

static void letters_are_stored_and_acknowledged(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, "stored", ARCHIVE_ON, 1 << 30);
    wait_well(fixture);
    publish(0, 20);
    run_until_query(fixture, "SELECT count(DISTINCT body) FROM dead_letters", "20");
    assert_string_equal(archive_state(now.archive), "on");
    archive_stop(now.archive);
    assert_false(now.stopped);
    run_until(fixture, &now.stopped);
    assert_int_equal(queue_depth(now.dead), 0);
    archive_free(now.archive);
    now.archive = NULL;
    wait_until(queue_depth(now.dead) == 0, (void)0); /* nothing was given back */
    assert_string_equal(query(fixture, "SELECT sum(copies) FROM dead_letters"), "0");
}

static void letters_stay_when_the_archive_is_full(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, "full", ARCHIVE_ON, 1);
    wait_well(fixture);
    publish(0, 1);
    run_loop_until(fixture->loop, metric_now("dead_letter_archive_fault{fault=\"full\"}") == 1);
    assert_non_null(strstr(archive_fault(now.archive), "DEAD_LETTER_ARCHIVE_MAX is 1"));
    publish(1, 3);
    run_for(fixture, 300);
    wait_until(queue_depth(now.dead) == 3, (void)0);
    assert_string_equal(query(fixture, "SELECT count(*) FROM dead_letters"), "1");
}

static void letters_that_nobody_could_acknowledge_are_no_second_rows(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, "again", ARCHIVE_ON, 1 << 30);
    wait_well(fixture);
    execute(fixture, "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS"
                     " 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END';"
                     "CREATE TRIGGER wait BEFORE INSERT ON dead_letters FOR EACH ROW"
                     " EXECUTE FUNCTION wait(); SELECT pg_advisory_lock(1)");
    publish(0, 5);
    run_loop_until(fixture->loop, queue_depth(now.dead) == 0); /* all in hand */
    run_until_query(fixture, "SELECT count(*) FROM pg_locks WHERE NOT granted", "1");
    archive_free(now.archive); /* the statement goes on without it */
    now.archive = NULL;
    execute(fixture, "SELECT pg_advisory_unlock(1)");
    run_until_query(fixture, "SELECT count(*) > 0 FROM dead_letters", "t");
    start(fixture, "again", ARCHIVE_ON, 1 << 30);
    run_until_query(fixture, "SELECT count(DISTINCT body) FROM dead_letters", "5");
    run_loop_until(fixture->loop, queue_depth(now.dead) == 0);
    archive_stop(now.archive);
    run_until(fixture, &now.stopped);
    assert_int_equal(queue_depth(now.dead), 0);
    assert_string_equal(query(fixture, "SELECT count(*) FROM dead_letters"), "5");
    assert_string_equal(query(fixture, "SELECT sum(copies) > 0 FROM dead_letters"), "t");
}

static void letters_wait_for_postgresql(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, "waits", ARCHIVE_ON, 1 << 30);
    wait_well(fixture);
    postgres_server_kill();
    run_loop_until(fixture->loop,
                   metric_now("dead_letter_archive_fault{fault=\"no_postgres\"}") == 1);
    assert_string_equal(archive_fault(now.archive), "no connection to PostgreSQL");
    publish(0, 200); /* more than the archive would hold */
    wait_until(queue_depth(now.dead) == 200, (void)0);
    postgres_server_restart();
    fixture_reconnect(fixture);
    run_until_query(fixture, "SELECT count(DISTINCT body) FROM dead_letters", "200");
    run_loop_until(fixture->loop, archive_fault(now.archive) == NULL);
}

/* Of two groups of services: each letter has the name of its order queue. */
static void letters_of_several_queues_are_stored(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, "several,other", ARCHIVE_ON, 1 << 30);
    wait_well(fixture);
    queue_publish("several.dead", "a", 1);
    queue_publish("other.dead", "b", 1);
    queue_publish("several.dead", "c", 1);
    run_until_query(fixture,
                    "SELECT string_agg(queue || ' ' || encode(body, 'escape'), ',' ORDER BY body)"
                    " FROM dead_letters",
                    "several a,other b,several c");
    wait_until(queue_depth("several.dead") + queue_depth("other.dead") == 0, (void)0);
}

/* One that is broken for all letters is told; when it is mended, all are stored. */
static void a_table_that_takes_no_letter_is_told(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, "refused", ARCHIVE_ON, 1 << 30);
    wait_well(fixture);
    execute(fixture, "ALTER TABLE dead_letters ADD CONSTRAINT never CHECK (false) NOT VALID");
    publish(0, 3);
    run_loop_until(fixture->loop, metric_now("dead_letter_archive_fault{fault=\"refused\"}") == 1);
    assert_non_null(strstr(archive_fault(now.archive), "never"));
    execute(fixture, "ALTER TABLE dead_letters DROP CONSTRAINT never");
    run_until_query(fixture, "SELECT count(DISTINCT body) FROM dead_letters", "3");
    run_loop_until(fixture->loop, archive_fault(now.archive) == NULL);
    assert_string_equal(query(fixture, "SELECT sum(copies) FROM dead_letters"), "0");
}

/* The letters that were refused come again after the connection was lost. */
static void a_refusal_ends_when_its_letters_are_gone(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, "refused_again", ARCHIVE_ON, 1 << 30);
    wait_well(fixture);
    execute(fixture, "ALTER TABLE dead_letters ADD CONSTRAINT never CHECK (false) NOT VALID");
    publish(0, 3);
    run_loop_until(fixture->loop, metric_now("dead_letter_archive_fault{fault=\"refused\"}") == 1);
    rabbitmq_server_ctl("close_all_connections for_a_test");
    wait_until(queue_depth(now.dead) == 3, (void)0);
    execute(fixture, "ALTER TABLE dead_letters DROP CONSTRAINT never");
    run_until_query(fixture, "SELECT count(DISTINCT body) FROM dead_letters", "3");
    run_loop_until(fixture->loop, archive_fault(now.archive) == NULL);
}

/* `count` letters of this size lie in each of the two queues when the archive starts. */
static void fill_two_queues(struct fixture *fixture, const char *const queues[2], char count,
                            size_t size)
{
    static char body[4 * CONTENT_KEEP_BYTES];
    char list[64], dead[64];
    snprintf(list, sizeof list, "%s,%s", queues[0], queues[1]);
    start(fixture, list, ARCHIVE_ON, 1 << 30); /* makes the queues and the table */
    wait_well(fixture);
    archive_free(now.archive);
    now.archive = NULL;
    for (body[0] = 0; body[0] < count; body[0]++)
        for (size_t i = 0; i < 2; i++) {
            snprintf(dead, sizeof dead, "%s.dead", queues[i]);
            queue_publish(dead, body, size);
        }
}

/* A letter that is refused has its second try before another queue's letter has its first. */
static void a_refusal_concerns_its_own_queue(void **state)
{
    struct fixture *fixture = *state;
    fill_two_queues(fixture, (const char *const[]){"mine", "yours"}, 10, 1);
    execute(fixture, "ALTER TABLE dead_letters ADD CONSTRAINT plain CHECK"
                     " (queue <> 'mine' OR detail LIKE 'PostgreSQL refused%') NOT VALID");
    start(fixture, "mine,yours", ARCHIVE_ON, 1 << 30);
    run_until_query(fixture, "SELECT count(*) FROM dead_letters", "20");
    assert_string_equal(query(fixture, "SELECT count(*) FROM dead_letters WHERE queue = 'yours'"
                                       " AND detail LIKE 'PostgreSQL refused%'"),
                        "0");
}

/* One queue's letters are refused in any form: the other queue's are stored, and go on being so. */
static void a_refusal_stops_no_other_queue(void **state)
{
    struct fixture *fixture = *state;
    fill_two_queues(fixture, (const char *const[]){"stuck", "free"}, 10, 1);
    execute(fixture, "ALTER TABLE dead_letters ADD CONSTRAINT never CHECK"
                     " (queue <> 'stuck') NOT VALID");
    start(fixture, "stuck,free", ARCHIVE_ON, 1 << 30);
    run_loop_until(fixture->loop, metric_now("dead_letter_archive_fault{fault=\"refused\"}") == 1);
    run_until_query(fixture, "SELECT count(*) FROM dead_letters", "10");
    queue_publish("free.dead", "later", 5);
    run_until_query(fixture, "SELECT count(*) FROM dead_letters", "11");
    assert_non_null(strstr(archive_fault(now.archive), "never"));
}

/* Their frames alternate. */
static void large_letters_of_several_queues_are_stored(void **state)
{
    struct fixture *fixture = *state;
    fill_two_queues(fixture, (const char *const[]){"large", "larger"}, 4, 4 * CONTENT_KEEP_BYTES);
    start(fixture, "large,larger", ARCHIVE_ON, 1 << 30);
    run_until_query(fixture, "SELECT count(*) FROM dead_letters", "8");
    run_loop_until(fixture->loop, queue_depth("large.dead") + queue_depth("larger.dead") == 0);
}

static void the_list_of_queues_is_checked(void **state)
{
    (void)state;
    char longest[244], too_long[244];
    memset(longest, 'q', sizeof longest);
    longest[242] = '\0';
    memset(too_long, 'q', sizeof too_long);
    too_long[243] = '\0';
    const struct {
        const char *list;
        bool valid;
    } cases[] = {{"a", true},       {"a,b,c,d", true}, {longest, true}, {"a,b,c,d,e", false},
                 {"a,", false},     {",a", false},     {"a,,b", false}, {"a,b,a", false},
                 {too_long, false}, {"amq.x", false},  {"", false}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error err;
        assert_true((archive_queues_validate(cases[i].list, &err) == 0) == cases[i].valid);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_list_of_queues_is_checked),
        TEST(large_letters_of_several_queues_are_stored),
        TEST(a_refusal_concerns_its_own_queue),
        TEST(a_refusal_stops_no_other_queue),
        TEST(letters_are_stored_and_acknowledged),
        TEST(letters_of_several_queues_are_stored),
        TEST(letters_stay_when_the_archive_is_full),
        TEST(letters_that_nobody_could_acknowledge_are_no_second_rows),
        TEST(a_table_that_takes_no_letter_is_told),
        TEST(a_refusal_ends_when_its_letters_are_gone),
        TEST(letters_wait_for_postgresql),
    };
    postgres_server_start();
    rabbitmq_server_start();
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    rabbitmq_server_stop();
    postgres_server_stop();
    return failures != 0;
}
