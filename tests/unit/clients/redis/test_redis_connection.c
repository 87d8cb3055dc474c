/* A connection to Redis servers that answer with errors, are elsewhere, or end what is idle. The
 * servers are private to this test: `one` at 127.0.0.2, `two` at 127.0.0.3, on the same port. */
#include "services/base/clock.h"
#include "services/clients/redis/redis_connection.h"
#include "services/loop/event_loop.h"
#include "tests/unit/support/cmocka_headers.h"
#include "tests/unit/support/loopback.h"
#include "tests/unit/support/name_service.h"
#include "tests/unit/support/real_time.h"
#include "tests/unit/support/server_process.h"
#include "tests/unit/support/test_clock.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACK_MS 2000 /* a Redis that is well again is used after this time at most */

/* ---- the servers ---- */

struct redis {
    struct server_process process;
    char socket[SERVER_FOLDER_SIZE + 16];
    redisContext *admin; /* a plain connection, to meddle */
};

static char folder[SERVER_FOLDER_SIZE], port_text[8], cluster_port_text[8];
static uint16_t port;

static bool is_there(struct redis *redis)
{
    redis->admin = redisConnectUnix(redis->socket);
    redisReply *answer = redis->admin->err == 0 ? redisCommand(redis->admin, "PING") : NULL;
    freeReplyObject(answer); /* PONG, or LOADING */
    if (answer == NULL)
        redisFree(redis->admin);
    return answer != NULL;
}

#define REDIS(name, address, server_port, ...)                                                     \
    {                                                                                              \
        .process = {                                                                               \
            .argv =                                                                                \
                (const char *const[]){"redis-server", "--bind", address, "--port", server_port,    \
                                      "--dir", #name, "--unixsocket", "socket", "--save",          \
                                      "3600 1000000", "--appendonly", "no", __VA_ARGS__, NULL},    \
            .folder = folder,                                                                      \
            .end_signal = SIGKILL,                                                                 \
            .ready = name##_is_there                                                               \
        }                                                                                          \
    }

static bool one_is_there(void), two_is_there(void), three_is_there(void), four_is_there(void);
static struct redis one = REDIS(one, "127.0.0.2", port_text, "--enable-debug-command", "yes",
                                "--key-load-delay", "5000", /* microseconds */
                                "--loading-process-events-interval-bytes", "1024"),
                    two = REDIS(two, "127.0.0.3", port_text, "--protected-mode", "no"),
                    three =
                        REDIS(three, "127.0.0.2", cluster_port_text, "--cluster-enabled", "yes"),
                    four = REDIS(four, "127.0.0.3", cluster_port_text, "--cluster-enabled", "yes");

static bool one_is_there(void)
{
    return is_there(&one);
}

static bool two_is_there(void)
{
    return is_there(&two);
}

static bool three_is_there(void)
{
    return is_there(&three);
}

static bool four_is_there(void)
{
    return is_there(&four);
}

static void start_server(struct redis *redis, const char *name)
{
    char path[SERVER_FOLDER_SIZE + 8];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(redis->socket, sizeof(redis->socket), "%s/socket", path);
    server_process_start(&redis->process);
}

static void kill_server(struct redis *redis)
{
    redisFree(redis->admin);
    server_process_end(&redis->process, SIGKILL);
}

static void tell(const struct redis *redis, const char *command)
{
    redisReply *reply = redisCommand(redis->admin, command);
    assert_non_null(reply);
    if (reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", command, reply->str);
    freeReplyObject(reply);
}

static int start_all(void **state)
{
    (void)state;
    server_folder_make(folder, NULL);
    port = loopback_free_ports(2);
    (void)snprintf(port_text, sizeof(port_text), "%u", port);
    (void)snprintf(cluster_port_text, sizeof(cluster_port_text), "%u", port + 1);
    start_server(&one, "one");
    start_server(&two, "two");
    return 0;
}

static int stop_all(void **state)
{
    (void)state;
    kill_server(&one);
    kill_server(&two);
    server_folder_remove(folder);
    return 0;
}

/* ---- the connection ---- */

static struct event_loop *events;
static struct redis_connection *connection;
static struct redis_options options;
static char address[128];
static bool up;
static unsigned changes, errors, answers;
static char reason[256];

static void on_state(void *arg, bool is_up, const char *why)
{
    (void)arg;
    up = is_up;
    changes++;
    (void)snprintf(reason, sizeof(reason), "%s", why != NULL ? why : "");
}

static void on_error(void *arg, const char *error)
{
    (void)arg;
    errors++;
    assert_string_not_equal(error, "");
}

static void on_done(void *arg, const redisReply *reply)
{
    (void)arg;
    answers += reply != NULL && reply->type != REDIS_REPLY_ERROR;
}

static int send_set(void)
{
    const struct redis_word words[] = {REDIS_WORD("SET"), REDIS_WORD("order:1"),
                                       REDIS_WORD("value"), REDIS_WORD("EX"), REDIS_WORD("60")};
    return redis_connection_send(connection, words, 5, on_done, NULL);
}

/* A millisecond passes at each turn. */
static void turn(void)
{
    redis_connection_flush(connection);
    event_loop_turn(events, 1);
    test_clock_advance(1);
}

static void connect_to(const char *to, const char *username, const char *password)
{
    (void)snprintf(address, sizeof(address), "%s", to);
    options = (struct redis_options){.address = address,
                                     .username = username,
                                     .password = password,
                                     .on_state = on_state,
                                     .on_error = on_error};
    events = event_loop_new();
    up = false;
    changes = errors = 0;
    connection = redis_connection_new(events, &options);
}

static void connect_to_socket(const struct redis *redis, const char *username, const char *password)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "unix:%s", redis->socket);
    connect_to(path, username, password);
}

static void connect_by_name(const char *server_port)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "found.test:%s", server_port);
    connect_to(name, NULL, NULL);
}

static void leave(void)
{
    redis_connection_free(connection);
    event_loop_free(events);
}

static void expect_use(void)
{
    unsigned before = answers;
    wait_until(send_set() == 0, turn());
    wait_until(answers == before + 1, turn());
}

static void expect_back_in_time(void)
{
    int64_t start_ms = clock_monotonic_ms();
    wait_until(up, turn());
    assert_in_range(clock_monotonic_ms() - start_ms, 0, BACK_MS);
    expect_use();
}

static bool starts_with(const char *text, const char *word)
{
    return strncmp(text, word, strlen(word)) == 0;
}

/* ---- tests ---- */

/* What README says the gateway needs. */
static const char least_user[] = "ACL SETUSER gateway reset on >pass resetchannels ~order:* +set "
                                 "+get +expire +eval +ttl +del";

struct fault {
    const char *error; /* its first word */
    const char *provoke[3], *mend[2];
    bool anyone; /* no user and no password */
};

static const struct fault faults[] = {
    {"READONLY", {"REPLICAOF 127.0.0.1 1"}, {"REPLICAOF NO ONE"}, false},
    {"MASTERDOWN",
     {"CONFIG SET replica-serve-stale-data no", "CONFIG SET replica-read-only no",
      "REPLICAOF 127.0.0.1 1"},
     {"REPLICAOF NO ONE", "CONFIG SET replica-read-only yes"},
     false},
    {"OOM", {"CONFIG SET maxmemory 1"}, {"CONFIG SET maxmemory 0"}, false},
    {"NOREPLICAS",
     {"CONFIG SET min-replicas-to-write 1"},
     {"CONFIG SET min-replicas-to-write 0"},
     false},
    {"NOPERM", {"ACL SETUSER gateway -set"}, {"ACL SETUSER gateway +set"}, false},
    {"NOPERM",
     {"ACL SETUSER gateway -eval", "CLIENT KILL USER gateway"},
     {"ACL SETUSER gateway +eval"},
     false},
    {"WRONGPASS",
     {"ACL SETUSER gateway resetpass >other", "CLIENT KILL USER gateway"},
     {"ACL SETUSER gateway >pass"},
     false},
    {"NOAUTH",
     {"ACL SETUSER default resetpass", "CLIENT KILL TYPE normal SKIPME yes"},
     {"ACL SETUSER default nopass"},
     true},
    {"MISCONF",
     {"CONFIG SET stop-writes-on-bgsave-error yes", "BGSAVE"},
     {"CONFIG SET stop-writes-on-bgsave-error no"},
     false},
};

static void tell_all(const char *const commands[], size_t count)
{
    for (size_t i = 0; i < count && commands[i] != NULL; i++)
        tell(&two, commands[i]);
}

static void meet(const struct fault *fault)
{
    print_message("           %s\n", fault->error);
    connect_to_socket(&two, fault->anyone ? NULL : "gateway", fault->anyone ? NULL : "pass");
    wait_until(up, turn());
    expect_use();
    tell_all(fault->provoke, COUNT(fault->provoke));

    /* Traffic meets the error; a lost connection meets it at the login. */
    wait_until(!up && starts_with(reason, fault->error), (void)!send_set(); turn());
    assert_in_range(errors, 1, 2);
    assert_int_equal(send_set(), -1);
    struct error err = {""};
    assert_int_equal(redis_reach(&options, &err), -1);
    assert_true(starts_with(err.message, fault->error));
    unsigned told = errors;
    for (int i = 0; i < 300; i++) { /* it is tried again and again, and not told each time */
        turn();
        test_clock_advance(9);
    }
    assert_false(up);
    assert_in_range(errors, told, told + 1); /* one attempt may have taken too long */

    tell_all(fault->mend, COUNT(fault->mend));
    expect_back_in_time();
    assert_int_equal(redis_reach(&options, &err), 0);
    leave();
}

static void test_errors_that_are_the_servers(void **state)
{
    (void)state;
    char blocked[SERVER_FOLDER_SIZE + 16];
    (void)snprintf(blocked, sizeof(blocked), "%s/two/dump.rdb", folder);
    (void)unlink(blocked);                     /* FLUSHALL may have written it */
    assert_int_equal(mkdir(blocked, 0700), 0); /* so BGSAVE fails */
    tell(&two, least_user);
    for (size_t i = 0; i < COUNT(faults); i++)
        meet(&faults[i]);
    assert_int_equal(rmdir(blocked), 0);
}

/* Whether anybody uses it or not, a replica is noticed; its reads would be good. */
static void test_an_error_without_traffic(void **state)
{
    (void)state;
    connect_to_socket(&two, NULL, NULL);
    wait_until(up, turn());
    tell(&two, "REPLICAOF 127.0.0.1 1");
    int64_t start_ms = clock_monotonic_ms();
    wait_until(!up, turn());
    assert_in_range(clock_monotonic_ms() - start_ms, 0, 3000);
    assert_true(starts_with(reason, "READONLY"));
    tell(&two, "REPLICAOF NO ONE");
    expect_back_in_time();
    leave();
}

/* An error about one key says nothing about the server. */
static void test_errors_of_one_command(void **state)
{
    (void)state;
    connect_to_socket(&two, NULL, NULL);
    wait_until(up, turn());
    tell(&two, "DEL order:list");
    tell(&two, "RPUSH order:list x");
    const struct redis_word get[] = {REDIS_WORD("GET"), REDIS_WORD("order:list")},
                            wrong[] = {REDIS_WORD("GETT"), REDIS_WORD("order:list")};
    assert_int_equal(redis_connection_send(connection, get, 2, on_done, NULL), 0);
    assert_int_equal(redis_connection_send(connection, wrong, 2, on_done, NULL), 0);
    wait_until(errors == 2, turn());
    assert_true(up);
    assert_int_equal(changes, 1);
    expect_use();
    leave();
}

/* Nothing is left of the probe. */
static void test_the_probe_leaves_nothing(void **state)
{
    (void)state;
    tell(&two, "FLUSHALL");
    connect_to_socket(&two, NULL, NULL);
    wait_until(up, turn());
    redisReply *reply = redisCommand(two.admin, "DBSIZE");
    assert_int_equal(reply->integer, 0);
    freeReplyObject(reply);
    leave();
}

static void test_loading(void **state)
{
    (void)state;
    tell(&one, "DEBUG POPULATE 20000 key 100"); /* loaded in 100 s, if it is let */
    tell(&one, "SAVE");
    connect_to_socket(&one, NULL, NULL);
    wait_until(up, turn());
    kill_server(&one);
    wait_until(!up, turn());
    server_process_start(&one.process);
    wait_until(starts_with(reason, "LOADING"), turn());
    assert_false(up);
    tell(&one, "CONFIG SET key-load-delay 0");
    wait_until(redis_reach(&options, NULL) == 0, );
    expect_back_in_time();
    leave();
    tell(&one, "FLUSHALL");
}

/* Another address behind the name, or another server among its addresses. */
static void test_another_server(void **state)
{
    (void)state;
    tell(&two, "FLUSHALL");
    name_service_set("127.0.0.2");
    connect_by_name(port_text);
    wait_until(up, turn());
    assert_true(loopback_keeps_alive(port));
    name_service_set("127.0.0.2,127.0.0.3");
    tell(&one, "REPLICAOF 127.0.0.1 1");
    wait_until(!up, (void)!send_set(); turn());
    assert_true(starts_with(reason, "READONLY"));
    expect_back_in_time();
    redisReply *reply = redisCommand(two.admin, "EXISTS order:1");
    assert_int_equal(reply->integer, 1);
    freeReplyObject(reply);
    tell(&one, "REPLICAOF NO ONE");

    name_service_set("127.0.0.2");
    kill_server(&two);
    turn();
    expect_back_in_time();
    leave();
    name_service_set(NULL);
    server_process_start(&two.process);
}

static void test_cluster(void **state)
{
    (void)state;
    char command[64];
    start_server(&three, "three");
    start_server(&four, "four");
    name_service_set("127.0.0.2");
    connect_by_name(cluster_port_text);
    wait_until(starts_with(reason, "CLUSTERDOWN"), turn());
    tell(&four, "CLUSTER ADDSLOTSRANGE 0 16383");
    (void)snprintf(command, sizeof(command), "CLUSTER MEET 127.0.0.3 %s", cluster_port_text);
    tell(&three, command);
    wait_until(starts_with(reason, "MOVED"), turn());
    assert_false(up);
    name_service_set("127.0.0.3");
    expect_back_in_time();
    leave();
    name_service_set(NULL);
    kill_server(&three);
    kill_server(&four);
}

static long long client_count_ever(const struct redis *redis)
{
    long long count = 0;
    redisReply *reply = redisCommand(redis->admin, "INFO stats");
    const char *line = strstr(reply->str, "total_connections_received:");
    assert_non_null(line);
    assert_int_equal(sscanf(line, "total_connections_received:%lld", &count), 1);
    freeReplyObject(reply);
    return count;
}

static void test_an_idle_connection_is_cut(void **state)
{
    (void)state;
    connect_to_socket(&two, NULL, NULL);
    wait_until(up, turn());
    expect_use();
    test_clock_advance(5000);
    long long before = client_count_ever(&two);
    tell(&two, "CONFIG SET timeout 1");
    wait_until(client_count_ever(&two) > before, turn());
    assert_int_equal(changes, 1);
    assert_true(up);
    assert_int_equal(errors, 0);
    tell(&two, "CONFIG SET timeout 0");
    expect_use();
    assert_int_equal(changes, 1);

    /* When there is no other connection to be had, it is a failure. */
    test_clock_advance(5000);
    kill_server(&two);
    wait_until(!up, turn());
    server_process_start(&two.process);
    expect_back_in_time();
    leave();
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as service_main() does */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_probe_leaves_nothing),
        cmocka_unit_test(test_errors_of_one_command),
        cmocka_unit_test(test_an_error_without_traffic),
        cmocka_unit_test(test_another_server),
        cmocka_unit_test(test_an_idle_connection_is_cut),
        cmocka_unit_test(test_loading),
        cmocka_unit_test(test_cluster),
        cmocka_unit_test(test_errors_that_are_the_servers),
    };
    return cmocka_run_group_tests(tests, start_all, stop_all);
}
