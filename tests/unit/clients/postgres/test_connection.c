/* The connection itself: statements, loss, deadlines, sessions. */
#include "services/base/clock.h"
#include "services/clients/postgres/dsn.h"
#include "tests/unit/clients/postgres/fixture.h"
#include "tests/unit/clients/postgres/postgres_server.h"
#include "tests/unit/support/loopback.h"
#include "tests/unit/support/run_loop.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void test_statements(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    struct reply replies[16];
    memset(replies, 0, sizeof replies);
    /* a failing statement among others harms none; each kind is prepared once, or not at all */
    static const char good[] = "SELECT 42", failing[] = "SELECT 1 / (SELECT 0)",
                      wrong[] = "SELECT FROM nowhere";
    static const char *const kinds[] = {good, failing, wrong, good};
    for (int round = 0; round < 3; round++) {
        memset(replies, 0, sizeof replies);
        for (size_t i = 0; i < COUNT(replies); i++)
            assert_int_equal(database_send(connection.database, kinds[i % COUNT(kinds)], NULL,
                                           false, on_reply, &replies[i]),
                             0);
        struct reply refused = {.done = false};
        assert_int_equal(/* max_in_flight */
                         database_send(connection.database, good, NULL, false, on_reply, &refused),
                         -1);
        run_until(*state, &replies[COUNT(replies) - 1].done);
        for (size_t i = 0; i < COUNT(replies); i++) {
            assert_true(replies[i].done);
            const char *kind = kinds[i % COUNT(kinds)];
            if (kind == good)
                assert_string_equal(replies[i].value, "42");
            else
                assert_string_equal(replies[i].answer.sqlstate,
                                    kind == failing ? "22012" : "42P01");
        }
        assert_false(refused.done);
    }
    struct reply reply;
    send_and_wait(&connection, "SELECT count(*) FROM pg_prepared_statements", &reply);
    assert_string_equal(reply.value, "3"); /* good, failing, and this one */
    assert_int_equal(connection.ups, 1);
    connection_close(&connection);
}

/* More kinds of statements than are prepared. */
static void test_many_kinds(void **state)
{
    static char sql[40][32];
    struct connection connection;
    connection_open(&connection, *state);
    for (int i = 0; i < 80; i++) {
        snprintf(sql[i % 40], sizeof sql[0], "SELECT %d", i % 40);
        struct reply reply;
        send_and_wait(&connection, sql[i % 40], &reply);
        assert_string_equal(reply.value, sql[i % 40] + strlen("SELECT "));
    }
    connection_close(&connection);
}

static void test_session(void **state)
{
    static const char *const settings[][2] = {
        {"SHOW timezone", "UTC"},
        {"SHOW client_encoding", "UTF8"},
        {"SHOW statement_timeout", "1s"},
        {"SHOW lock_timeout", "500ms"},
        {"SHOW idle_in_transaction_session_timeout", "15s"},
        {"SHOW default_transaction_isolation", "read committed"},
        {"SHOW application_name", "under test"},
        {"SHOW search_path", "elsewhere, public"},
        {"SHOW synchronous_commit", "on"},
        {"SHOW client_connection_check_interval", "2s"},
    };
    struct fixture *fixture = *state;
    execute(fixture,
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = ''Asia/Tokyo''',"
            " current_database());"
            " EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database());"
            " EXECUTE format('ALTER DATABASE %I SET search_path = elsewhere, public',"
            " current_database());"
            " EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation ="
            " serializable', current_database()); END $$");
    struct connection connection;
    connection_open_hasty(&connection, fixture);
    for (size_t i = 0; i < COUNT(settings); i++) {
        struct reply reply;
        send_and_wait(&connection, settings[i][0], &reply);
        assert_string_equal(reply.value, settings[i][1]);
    }
    connection_close(&connection);
}

static void test_server_killed(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    struct reply reply = {.done = false};
    assert_int_equal(
        database_send(connection.database, "SELECT pg_sleep(30)", NULL, false, on_reply, &reply),
        0);
    run_for(fixture, 50);
    postgres_server_kill();
    run_until(fixture, &connection.down);
    assert_true(reply.done);
    assert_int_equal(reply.answer.status, DATABASE_UNAVAILABLE);
    unsigned downs = connection.downs;
    run_for(fixture, 1500); /* attempts, each told, that get rarer */
    assert_in_range(connection.downs - downs, 0, 8);
    for (int i = 0; i < 1000 && connection.downs == downs; i++)
        run_for(fixture, 20);
    assert_true(connection.downs > downs);
    postgres_server_restart();
    fixture_reconnect(fixture);
    run_until_up(&connection);
    send_and_wait(&connection, "SELECT 7", &reply);
    assert_string_equal(reply.value, "7");
    connection_close(&connection);
}

/* lock_timeout, then statement_timeout, both by the server; the connection goes on. */
static void test_server_timeouts(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open_hasty(&connection, fixture);
    bool kept = false;
    for (int attempt = 0; attempt < 5 && !kept; attempt++) { /* the server may pause */
        struct reply locked, slow;
        unsigned downs = connection.downs;
        execute(fixture, "BEGIN; LOCK TABLE orders");
        send_and_wait(&connection, "SELECT count(*) FROM orders", &locked);
        run_until_up(&connection);
        send_and_wait(&connection, "SELECT pg_sleep(10)", &slow);
        run_until_up(&connection);
        execute(fixture, "COMMIT");
        kept = connection.downs == downs;
        if (kept) {
            assert_string_equal(locked.answer.sqlstate, "55P03");
            assert_string_equal(slow.answer.sqlstate, "57014");
        }
    }
    assert_true(kept);
    struct reply reply;
    send_and_wait(&connection, "SELECT count(*) FROM orders", &reply);
    assert_string_equal(reply.value, "0");
    connection_close(&connection);
}

/* The server's process is frozen: its own timeouts do nothing, ours does. */
static void test_client_deadline(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open_hasty(&connection, fixture);
    int64_t took_ms = INT64_MAX;
    for (int attempt = 0; attempt < 5 && took_ms > 3000; attempt++) { /* the machine may pause */
        struct reply reply = {.done = false}, second = {.done = false};
        pid_t backend =
            (pid_t)strtol(query(fixture, "SELECT pid FROM pg_stat_activity WHERE application_name ="
                                         " 'under test' ORDER BY backend_start DESC LIMIT 1"),
                          NULL, 10);
        assert_true(backend > 0);
        kill(backend, SIGSTOP);
        int64_t start_ms = clock_monotonic_ms();
        assert_int_equal(
            database_send(connection.database, "SELECT 1", NULL, false, on_reply, &reply), 0);
        run_for(fixture, 300);
        bool in_time = !reply.done;
        if (in_time)
            assert_int_equal(
                database_send(connection.database, "SELECT 2", NULL, false, on_reply, &second), 0);
        run_until(fixture, &reply.done);
        if (in_time)
            took_ms = clock_monotonic_ms() - start_ms;
        assert_true(clock_monotonic_ms() - start_ms >= 1400);
        kill(backend, SIGCONT);
        assert_int_equal(reply.answer.status, DATABASE_UNAVAILABLE);
        assert_int_equal(second.done, in_time);
        if (in_time)
            assert_int_equal(second.answer.status, DATABASE_UNAVAILABLE);
        run_until_up(&connection);
    }
    assert_in_range(took_ms, 1400, 3000);
    connection_close(&connection);
}

/* A free from within a callback, with more statements behind. */
static void free_database(void *arg, const struct database_answer *answer)
{
    struct connection *connection = arg;
    assert_int_equal(answer->status, DATABASE_OK);
    connection_close(connection);
    connection->down = true;
}

static void must_not_come(void *arg, const struct database_answer *answer)
{
    (void)arg, (void)answer;
    fail_msg("a callback after database_free()");
}

static void test_freed_in_callback(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    assert_int_equal(
        database_send(connection.database, "SELECT 1", NULL, false, free_database, &connection), 0);
    assert_int_equal(
        database_send(connection.database, "SELECT 1", NULL, false, must_not_come, NULL), 0);
    run_until(*state, &connection.down);
    run_for(*state, 50);
    /* and at once, in each state of an attempt */
    struct fixture *fixture = *state;
    struct database_options options = connection_options(&connection, fixture);
    for (int turns = 0; turns < 12; turns++) {
        struct database *database = database_new(fixture->loop, &options);
        for (int i = 0; i < turns; i++)
            event_loop_turn(fixture->loop, 5);
        database_free(database);
    }
    database_free(NULL);
}

/* Does a DSN with these settings connect, over TLS? */
static bool connects_by_tls(struct fixture *fixture, const char *settings)
{
    char dsn[600];
    snprintf(dsn, sizeof dsn, "%s port=%u user=postgres dbname=%s", settings,
             postgres_server_port(), query(fixture, "SELECT current_database()"));
    struct connection connection;
    struct database_options options = connection_options(&connection, fixture);
    options.dsn = dsn;
    connection.database = database_new(fixture->loop, &options);
    run_loop_until(fixture->loop, connection.up || connection.down);
    if (connection.up) {
        struct reply reply; /* more than one TLS record */
        send_and_wait(&connection,
                      "SELECT ssl, repeat('x', 1000) FROM pg_stat_ssl, generate_series(1, 1000)"
                      " WHERE pid = pg_backend_pid()",
                      &reply);
        assert_int_equal(reply.rows, 1000);
        assert_string_equal(reply.value, "t");
    }
    connection_close(&connection);
    return connection.up;
}

static void use_certificate(struct fixture *fixture, int number)
{
    char command[200], file[120];
    static const char *const settings[][2] = {{"ssl_key_file", "key"}, {"ssl_cert_file", "crt"}};
    for (size_t i = 0; i < 2; i++) {
        snprintf(file, sizeof file, "%s/%d.%s", postgres_server_folder(), number, settings[i][1]);
        snprintf(command, sizeof command, "ALTER SYSTEM SET %s = '%s'", settings[i][0], file);
        execute(fixture, command);
    }
    execute(fixture, "SELECT pg_reload_conf()");
    run_until_query(fixture, "SHOW ssl_cert_file", file);
}

static void trust_certificate(int number)
{
    char command[300];
    snprintf(command, sizeof command, "cd %s && cp %d.crt trusted.crt", postgres_server_folder(),
             number);
    assert_int_equal(system(command), 0);
}

/* The host's name is what the certificate is checked against. */
static void test_tls(void **state)
{
    struct fixture *fixture = *state;
    char command[600], settings[300];
    const char *folder = postgres_server_folder();
    for (int i = 0; i < 2; i++) { /* the second is not the server's */
        snprintf(command, sizeof command,
                 "cd %s && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
                 " -addext subjectAltName=DNS:localhost -keyout %d.key -out %d.crt 2> openssl.log"
                 " && chmod 600 %d.key && chown --reference=. %d.key %d.crt",
                 folder, i, i, i, i, i);
        assert_int_equal(system(command), 0);
    }
    execute(fixture, "ALTER SYSTEM SET ssl = on");
    use_certificate(fixture, 0);

    snprintf(settings, sizeof settings, "host=localhost sslmode=verify-full sslrootcert=%s/0.crt",
             folder);
    assert_true(connects_by_tls(fixture, settings));
    snprintf(settings, sizeof settings, "host=127.0.0.1 sslmode=verify-full sslrootcert=%s/0.crt",
             folder);
    assert_false(connects_by_tls(fixture, settings));
    snprintf(settings, sizeof settings, "host=localhost sslmode=verify-full sslrootcert=%s/1.crt",
             folder);
    assert_false(connects_by_tls(fixture, settings));

    /* The server's certificate and the authorities are replaced while both run. */
    snprintf(settings, sizeof settings,
             "host=localhost sslmode=verify-full sslrootcert=%s/trusted.crt", folder);
    trust_certificate(0);
    assert_true(connects_by_tls(fixture, settings));
    use_certificate(fixture, 1);
    assert_false(connects_by_tls(fixture, settings));
    trust_certificate(1);
    assert_true(connects_by_tls(fixture, settings));
    execute(fixture, "ALTER SYSTEM RESET ssl");
    execute(fixture, "SELECT pg_reload_conf()");
}

static void test_defaults(void **state)
{
    static const struct {
        const char *settings, *keyword, *expected;
    } cases[] = {
        {"", "gssencmode", "disable"},
        {"gssencmode=prefer", "gssencmode", "prefer"},
        {"", "keepalives_idle", "10"},
        {"keepalives_idle=60", "keepalives_idle", "60"},
        {"", "connect_timeout", "5"},
        {"connect_timeout=7", "connect_timeout", "7"},
        {"client_encoding=LATIN1", "client_encoding", "UTF8"},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char dsn[300];
        struct error err;
        snprintf(dsn, sizeof dsn, "%s %s", fixture->dsn, cases[i].settings);
        PGconn *conn = dsn_connect(dsn, "test", &err);
        assert_non_null(conn);
        PQconninfoOption *options = PQconninfo(conn);
        assert_non_null(options);
        const PQconninfoOption *option = options;
        while (strcmp(option->keyword, cases[i].keyword) != 0)
            option++;
        assert_string_equal(option->val, cases[i].expected);
        PQconninfoFree(options);
        PQfinish(conn);
    }
}

static void test_validate_and_reach(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {""};
    assert_int_equal(database_dsn_validate("host=db password=secret", &err), 0);
    assert_int_equal(database_dsn_validate("postgresql://u:secret@db/x", &err), 0);
    assert_int_equal(database_dsn_validate("host=@abstract,@other", &err), 0);
    assert_int_equal(database_dsn_validate("postgresql://u:sec@ret@db/x", &err), -1);
    assert_null(strstr(err.message, "ret@db"));
    assert_int_equal(database_dsn_validate("password=secret hunter2", &err), -1);
    assert_null(strstr(err.message, "hunter2"));
    static const char *const right[] = {
        "",
        "host=a,b,c port=1,2,65535",
        "host=a,b,c port=5432",
        "host=a,b port=,5433",
        "postgresql://a:5432,b:5433/x?target_session_attrs=primary&connect_timeout=3",
        "sslmode=verify-full sslrootcert=/etc/ssl/certs/ca-certificates.crt",
        "sslmode=disable sslrootcert=/nonexistent",
        "keepalives=0 keepalives_idle=60 keepalives_interval=-1 tcp_user_timeout=1000",
        "gssencmode=prefer channel_binding=prefer ssl_min_protocol_version=TLSv1.3",
    };
    for (size_t i = 0; i < COUNT(right); i++)
        if (database_dsn_validate(right[i], &err) != 0)
            fail_msg("%s: %s", right[i], err.message);
    static const struct {
        const char *dsn, *keyword;
    } wrong[] = {
        {"port=0", "port"},
        {"port=65536", "port"},
        {"port=canary", "port"},
        {"port=5432canary", "port"},
        {"port=99999999999999999999", "port"},
        {"host=a,b port=1,canary", "port"},
        {"host=a,b,c port=1,2", "libpq"},
        {"postgresql://u:p@host:canary/x", "port"},
        {"host=a,b hostaddr=127.0.0.1", "host"},
        {"sslmode=canary", "sslmode"},
        {"host=a,b sslmode=canary", "sslmode"},
        {"gssencmode=canary", "gssencmode"},
        {"channel_binding=canary", "channel_binding"},
        {"target_session_attrs=canary", "target_session_attrs"},
        {"ssl_min_protocol_version=canary", "ssl_min_protocol_version"},
        {"connect_timeout=canary", "connect_timeout"},
        {"connect_timeout=5s", "connect_timeout"},
        {"connect_timeout=1,2", "connect_timeout"},
        {"keepalives=canary", "keepalives"},
        {"keepalives_idle=canary", "keepalives_idle"},
        {"keepalives_interval=9999999999", "keepalives_interval"},
        {"keepalives_count=canary", "keepalives_count"},
        {"tcp_user_timeout=canary", "tcp_user_timeout"},
        {"service=canary", "service"},
        {"sslmode=verify-ca sslrootcert=/canary", "sslrootcert"},
        {"sslmode=verify-ca sslrootcert=/etc", "sslrootcert"},
        {"sslmode=verify-ca sslrootcert=/etc/passwd", "sslrootcert"},
    };
    for (size_t i = 0; i < COUNT(wrong); i++) {
        if (database_dsn_validate(wrong[i].dsn, &err) == 0 ||
            strstr(err.message, wrong[i].keyword) == NULL || strstr(err.message, "canary") != NULL)
            fail_msg("%s: %s", wrong[i].dsn, err.message);
    }
    assert_int_equal(database_reach(fixture->dsn, DATABASE_ALL_USES, &err), 0);
    assert_string_equal(query(fixture, "SELECT to_regclass('orders') IS NULL"), "t");
    assert_int_equal(database_reach("host=127.0.0.1 port=1", 0, &err), -1);
    assert_non_null(strstr(err.message, "refused"));
    char dsn[300];
    snprintf(dsn, sizeof dsn, "host=%s port=%u user=postgres dbname=absent",
             postgres_server_folder(), postgres_server_port());
    assert_int_equal(database_reach(dsn, 0, &err), -1);
    assert_non_null(strstr(err.message, "absent"));
}

int run_connection_tests(void)
{
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_statements),        DATABASE_TEST(test_many_kinds),
        DATABASE_TEST(test_session),           DATABASE_TEST(test_server_killed),
        DATABASE_TEST(test_server_timeouts),   DATABASE_TEST(test_client_deadline),
        DATABASE_TEST(test_freed_in_callback), DATABASE_TEST(test_tls),
        DATABASE_TEST(test_defaults),          DATABASE_TEST(test_validate_and_reach),
    };
    return cmocka_run_group_tests_name("connection", tests, NULL, NULL);
}
