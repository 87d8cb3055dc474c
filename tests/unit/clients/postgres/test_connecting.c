/* Making a connection, on the test's own clock: servers and name services that are silent, several
 * hosts, and a process without descriptors. libpq's connect_timeout goes by the wall clock. */
#include "services/clients/postgres/schema.h"
#include "tests/unit/clients/postgres/fixture.h"
#include "tests/unit/clients/postgres/postgres_server.h"
#include "tests/unit/support/loopback.h"
#include "tests/unit/support/name_service.h"
#include "tests/unit/support/real_time.h"
#include "tests/unit/support/run_loop.h"
#include "tests/unit/support/stalling_proxy.h"
#include "tests/unit/support/test_clock.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define STEP_TIMEOUT_MS 5000
#define BACKOFF_CAP_MS 1500

/* Begin to connect to this place: libpq's host, port and more. */
static void start(struct connection *connection, struct fixture *fixture, const char *place)
{
    char dsn[400];
    snprintf(dsn, sizeof dsn, "%s user=postgres dbname=%s", place,
             query(fixture, "SELECT current_database()"));
    struct database_options options = connection_options(connection, fixture);
    options.dsn = dsn;
    connection->database = database_new(fixture->loop, &options);
}

static void start_by(struct connection *connection, struct fixture *fixture,
                     const struct stalling_proxy *proxy)
{
    char place[100];
    snprintf(place, sizeof place, "host=127.0.0.1 port=%u connect_timeout=2",
             (unsigned)stalling_proxy_port(proxy));
    start(connection, fixture, place);
}

static void run_until_down(struct connection *connection, const char *reason)
{
    connection->down = false;
    run_until(connection->fixture, &connection->down);
    assert_false(database_up(connection->database));
    assert_non_null(strstr(connection->reason, reason));
}

/* The next attempt may come after no time at all. */
static void run_until_up_again(struct connection *connection)
{
    test_clock_advance(BACKOFF_CAP_MS);
    run_until_up(connection);
}

static unsigned count_threads(void)
{
    unsigned count = 0;
    DIR *folder = opendir("/proc/self/task");
    assert_non_null(folder);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

/* The server, or what is between, is silent while the session is prepared: up to a statement with
 * this text. */
static const struct {
    const char *text;
    int64_t limit_ms;
} stalls[] = {
    {"pg_backend_pid", STEP_TIMEOUT_MS},         /* the look at the server */
    {"set_config", STEP_TIMEOUT_MS},             /* the settings */
    {"to_regclass", STEP_TIMEOUT_MS},            /* the schema's check */
    {"CREATE TABLE", SCHEMA_INSTALL_TIMEOUT_MS}, /* its installation */
};

static void test_stalls_while_preparing(void **state)
{
    struct fixture *fixture = *state;
    struct stalling_proxy *proxy = stalling_proxy_new(postgres_server_port());
    for (size_t i = 0; i < COUNT(stalls); i++) {
        struct connection connection;
        execute(fixture, "DROP TABLE IF EXISTS order_pipeline_schema");
        stalling_proxy_stall_at(proxy, stalls[i].text);
        start_by(&connection, fixture, proxy);
        run_loop_until(fixture->loop, stalling_proxy_mode(proxy) == PROXY_STALLS);
        run_for(fixture, 50);
        test_clock_advance(stalls[i].limit_ms - 1);
        run_for(fixture, 50);
        assert_int_equal(connection.downs, 0);
        test_clock_advance(1);
        run_until_down(&connection, "the session is not ready in time");
        assert_int_equal(connection.downs, 1);
        stalling_proxy_stall_at(proxy, NULL);
        stalling_proxy_set(proxy, PROXY_FORWARDS);
        run_until_up_again(&connection);
        connection_close(&connection);
    }
    stalling_proxy_free(proxy);
}

/* libpq's own limit holds for each address, before the start-up packet is answered too. */
static void test_stalls_while_connecting(void **state)
{
    static const enum proxy_mode modes[] = {PROXY_STALLS, PROXY_HOLDS_REPLIES};
    struct fixture *fixture = *state;
    struct stalling_proxy *proxies[COUNT(modes)];
    struct connection connections[COUNT(modes)];
    for (size_t i = 0; i < COUNT(modes); i++) {
        proxies[i] = stalling_proxy_new(postgres_server_port());
        stalling_proxy_set(proxies[i], modes[i]);
        start_by(&connections[i], fixture, proxies[i]);
    }
    event_loop_turn(fixture->loop, 0);
    test_clock_advance(STEP_TIMEOUT_MS - 1);
    run_for(fixture, 50);
    for (size_t i = 0; i < COUNT(modes); i++)
        assert_int_equal(connections[i].downs, 0);
    test_clock_advance(1); /* it is told, and the attempt goes on */
    event_loop_turn(fixture->loop, 0);
    for (size_t i = 0; i < COUNT(modes); i++) {
        assert_int_equal(connections[i].downs, 1);
        assert_string_equal(connections[i].reason, "no connection in time");
    }
    for (size_t i = 0; i < COUNT(modes); i++) {
        run_loop_until(fixture->loop, connections[i].downs == 2);
        assert_non_null(strstr(connections[i].reason, "timeout expired"));
        stalling_proxy_set(proxies[i], PROXY_FORWARDS);
        run_until_up_again(&connections[i]);
        connection_close(&connections[i]);
        stalling_proxy_free(proxies[i]);
    }
}

/* Several hosts, of which some do not exist, refuse, or accept and never answer. */
static void test_many_hosts(void **state)
{
    struct fixture *fixture = *state;
    uint16_t silent_port;
    int silent = loopback_listen(&silent_port);

    const char *name = query(fixture, "SELECT current_database()");
    char dsn[300];
    snprintf(dsn, sizeof dsn,
             "postgresql://postgres@no-such-host.invalid:1,127.0.0.1:%u,localhost:1,localhost:%u/%s"
             "?connect_timeout=3",
             silent_port, postgres_server_port(), name);
    struct connection connection;
    struct database_options options = connection_options(&connection, fixture);
    options.dsn = dsn;
    connection.database = database_new(fixture->loop, &options);
    run_until_up(&connection);
    assert_int_equal(connection.downs, 0); /* one attempt goes through all of them */
    struct reply reply;
    send_and_wait(&connection, "SELECT inet_server_port()", &reply);
    assert_int_equal(strtol(reply.value, NULL, 10), postgres_server_port());
    connection_close(&connection);

    options.dsn = "host=no-such-host.invalid";
    connection.down = false;
    connection.database = database_new(fixture->loop, &options);
    run_until(fixture, &connection.down);
    assert_non_null(strstr(connection.reason, "no-such-host.invalid"));
    connection_close(&connection);
    close(silent);
}

/* A name service without an answer holds up one thread for each connection, no more. */
static void test_silent_name_service(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    unsigned threads = count_threads();
    name_service_be_silent();
    start(&connection, fixture, "host=slow.test");
    for (int i = 0; i < 3; i++) {
        event_loop_turn(fixture->loop, 0);
        test_clock_advance(STEP_TIMEOUT_MS);
        run_until_down(&connection, "no connection in time");
    }
    assert_int_equal(connection.downs, 3);
    assert_int_equal(count_threads(), threads + 1);
    name_service_speak();
    run_until_down(&connection, "could not translate host name \"slow.test\"");
    connection_close(&connection);

    char place[50];
    name_service_set("127.0.0.1");
    snprintf(place, sizeof place, "host=found.test port=%u", postgres_server_port());
    start(&connection, fixture, place);
    run_until_up(&connection);
    connection_close(&connection);
}

/* Nobody waits for the thread, which ends soon: at once if there is a connection, which is shut
 * down; else when libpq has ended to connect. */
static void test_freed_while_connecting(void **state)
{
    static const char sessions_sql[] =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'under test'";
    struct fixture *fixture = *state;
    struct stalling_proxy *proxy = stalling_proxy_new(postgres_server_port());
    struct connection connection;
    unsigned threads = count_threads();
    for (size_t i = 0; i < COUNT(stalls); i++) {
        stalling_proxy_stall_at(proxy, stalls[i].text);
        start_by(&connection, fixture, proxy);
        run_loop_until(fixture->loop, stalling_proxy_mode(proxy) == PROXY_STALLS);
        connection_close(&connection);
        wait_until(count_threads() == threads, usleep(1000));
        stalling_proxy_set(proxy, PROXY_FORWARDS);
    }
    stalling_proxy_stall_at(proxy, NULL);
    stalling_proxy_set(proxy, PROXY_HOLDS_REPLIES);
    start_by(&connection, fixture, proxy);
    event_loop_turn(fixture->loop, 0);
    connection_close(&connection);
    stalling_proxy_set(proxy, PROXY_FORWARDS); /* now it succeeds, for nobody */
    wait_until(count_threads() == threads, usleep(1000));
    assert_string_equal(query(fixture, "SELECT to_regclass('orders') IS NULL"), "t");
    assert_int_equal(connection.ups + connection.downs, 0);
    stalling_proxy_free(proxy);

    threads = count_threads();                 /* without the proxy's */
    start(&connection, fixture, fixture->dsn); /* a session that is ready, but not taken yet */
    event_loop_turn(fixture->loop, 0);
    wait_until(count_threads() == threads, usleep(1000));
    assert_string_equal(query(fixture, sessions_sql), "1");
    connection_close(&connection);
    run_until_query(fixture, sessions_sql, "0");
}

static void test_without_descriptors(void **state)
{
    struct fixture *fixture = *state;
    struct rlimit usual;
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
    for (int more = 0; more < 2; more++) { /* none for the thread's end; none for libpq */
        struct connection connection;
        start(&connection, fixture, fixture->dsn);
        assert_int_equal(
            setrlimit(RLIMIT_NOFILE, &(struct rlimit){(rlim_t)(next + more), usual.rlim_max}), 0);
        run_until_down(&connection, "Too many open files");
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
        run_until_up_again(&connection);
        connection_close(&connection);
    }
}

/* Stays last: the process ends while its threads are in libpq, and nothing has leaked. */
static void test_process_ends_while_connecting(void **state)
{
    struct fixture *fixture = *state;
    uint16_t silent_port;
    char place[80];
    struct connection connection;
    name_service_be_silent();
    (void)loopback_listen(&silent_port);
    snprintf(place, sizeof place, "host=127.0.0.1 port=%u connect_timeout=60", silent_port);
    const char *const places[] = {place, "host=slow.test"};
    for (size_t i = 0; i < COUNT(places); i++) {
        start(&connection, fixture, places[i]);
        run_for(fixture, 50);
        connection_close(&connection);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_stalls_while_preparing),
        DATABASE_TEST(test_stalls_while_connecting),
        DATABASE_TEST(test_many_hosts),
        DATABASE_TEST(test_silent_name_service),
        DATABASE_TEST(test_freed_while_connecting),
        DATABASE_TEST(test_without_descriptors),
        DATABASE_TEST(test_process_ends_while_connecting),
    };
    postgres_server_start();
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    postgres_server_stop();
    return failures != 0;
}
