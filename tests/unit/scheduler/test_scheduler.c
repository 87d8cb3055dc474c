/* The scheduler against a real, private PostgreSQL, behind a proxy that cuts its connections. */
#include "services/scheduler/scheduler.h"
#include "services/scheduler/settings.h"
#include "tests/unit/clients/postgres/fixture.h"
#include "tests/unit/clients/postgres/postgres_server.h"
#include "tests/unit/support/stalling_proxy.h"
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct running {
    struct stalling_proxy *proxy;
    char dsn[120];
    int stop_fd;
    pthread_t thread;
};

static void *run(void *arg)
{
    struct running *running = arg;
    static char schedule[] = "@yearly", index[] = "orders", queue[] = "order_queue";
    static char url[] = "amqp://127.0.0.1:1"; /* nobody listens, */
    const struct scheduler_settings settings = {
        .postgres_dsn = running->dsn,
        .schedule = schedule,
        .elasticsearch = {.url = "http://127.0.0.1:1"}, /* here neither */
        .order_index = index,
        .rabbitmq_url = url,
        .order_queue = queue,
    };
    struct error err;
    assert_int_equal(scheduler_run(&settings, running->stop_fd, &err), 0);
    return NULL;
}

/* Returns when the first run of the schedule is done. */
static void start(struct running *running, struct fixture *fixture)
{
    running->proxy = stalling_proxy_new(postgres_server_port());
    snprintf(running->dsn, sizeof running->dsn, "host=127.0.0.1 port=%u user=postgres dbname=%s",
             (unsigned)stalling_proxy_port(running->proxy),
             query(fixture, "SELECT current_database()"));
    running->stop_fd = eventfd(0, 0);
    assert_int_equal(pthread_create(&running->thread, NULL, run, running), 0);
    run_until_query(fixture, "SELECT to_regclass('jobs') IS NOT NULL", "t");
    run_until_query(fixture, "SELECT count(finished_at) FROM sales_refresh", "1");
}

static void stop(struct running *running)
{
    assert_int_equal(eventfd_write(running->stop_fd, 1), 0);
    assert_int_equal(pthread_join(running->thread, NULL), 0);
    close(running->stop_fd);
    stalling_proxy_free(running->proxy);
}

/* The connection is lost after the claim was committed and before its answer came: the scheduler
 * does not know that it has the job, and must not renew its lease. */
static void test_the_answer_to_a_claim_is_lost(void **state)
{
    struct fixture *fixture = *state;
    struct running running;
    start(&running, fixture);
    execute(fixture, "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS"
                     " 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN new; END';"
                     "CREATE TRIGGER wait BEFORE UPDATE ON jobs FOR EACH ROW"
                     " WHEN (old.started IS DISTINCT FROM new.started) EXECUTE FUNCTION wait()");
    execute(fixture, "SELECT pg_advisory_lock(1)");
    execute(fixture, "INSERT INTO jobs (kind) VALUES ('refresh')");
    run_until_query(fixture,
                    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
                    " AND NOT granted",
                    "1");
    stalling_proxy_set(running.proxy, PROXY_HOLDS_REPLIES);
    run_for(fixture, 100); /* the proxy's thread has seen it */
    execute(fixture, "SELECT pg_advisory_unlock(1)");
    run_until_query(fixture, "SELECT state FROM jobs", "running");
    execute(fixture, "CREATE TABLE cut AS SELECT clock_timestamp() AS at");
    stalling_proxy_cut(running.proxy);
    stalling_proxy_set(running.proxy, PROXY_FORWARDS);
    run_until_query(fixture,
                    "SELECT count(*) FROM pg_stat_activity, cut WHERE backend_start > at"
                    " AND application_name = 'scheduler' AND datname = current_database()",
                    "2");

    execute(fixture, "UPDATE jobs SET lease = now() + interval '1 h'; DELETE FROM scheduler_seen");
    run_until_query(fixture, "SELECT count(*) FROM scheduler_seen", "1");
    assert_string_equal(query(fixture, "SELECT lease > now() + interval '30 min' FROM jobs"), "t");
    execute(fixture, "UPDATE jobs SET lease = now() - interval '1 s'");
    run_until_query(fixture, "SELECT state FROM jobs", "done");
    stop(&running);
}

int main(void)
{
    postgres_server_start();
    const struct CMUnitTest tests[] = {DATABASE_TEST(test_the_answer_to_a_claim_is_lost)};
    int failures = cmocka_run_group_tests_name("scheduler", tests, NULL, NULL);
    postgres_server_stop();
    return failures != 0;
}
