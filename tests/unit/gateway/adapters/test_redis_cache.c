/* The cache on a private redis-server of this test, which is stopped, killed and restarted. Its
 * deadlines are short, and the machine may stand still for longer: so the cache's time passes
 * only where the test lets it. */
#include "services/gateway/adapters/redis_cache.h"
#include "services/loop/event_loop.h"
#include "tests/unit/support/loopback.h"
#include "tests/unit/support/name_service.h"
#include "tests/unit/support/real_time.h"
#include "tests/unit/support/server_process.h"
#include "tests/unit/support/test_clock.h"
#include <hiredis/hiredis.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define TTL_S 3600

static char folder[SERVER_FOLDER_SIZE], socket_path[96], port_text[8], address[128];
static uint16_t port;
static redisContext *admin; /* a plain connection, to look and to meddle */

static struct event_loop *events;
static struct order_cache *cache;
static atomic_uint owed; /* by all caches */
static bool up;
static unsigned changes;
static char reason[256];

/* ---- the server ---- */

/* It has answered, and `admin` is connected to it. */
static bool ready(void)
{
    admin = redisConnectUnix(socket_path);
    redisReply *pong = admin->err == 0 ? redisCommand(admin, "PING") : NULL;
    freeReplyObject(pong);
    if (pong == NULL)
        redisFree(admin);
    return pong != NULL;
}

static struct server_process server = {
    /* on both addresses of localhost, where ::1 exists */
    .argv =
        (const char *const[]){"redis-server", "--port", port_text, "--bind", "127.0.0.1", "-::1",
                              "--unixsocket", socket_path, "--save", "",
                              /* what README says the gateway needs */
                              "--user", "least", "on", ">pass", "resetchannels", "~order:*",
                              "-@all", "+set", "+get", "+expire", "+eval", "+ttl", "+del", NULL},
    .folder = folder,
    .end_signal = SIGKILL,
    .ready = ready};

static void kill_server(void)
{
    redisFree(admin);
    server_process_end(&server, SIGKILL);
}

static int start_all(void **state)
{
    (void)state;
    server_folder_make(folder, NULL);
    snprintf(socket_path, sizeof(socket_path), "%s/socket", folder);
    port = loopback_free_ports(1);
    snprintf(port_text, sizeof(port_text), "%u", port);
    redis_cache_register_metrics();
    server_process_start(&server);
    return 0;
}

static int stop_all(void **state)
{
    (void)state;
    kill_server();
    server_folder_remove(folder);
    return 0;
}

/* An integer that Redis answers. */
static long long ask(const char *command, const char *id)
{
    redisReply *reply = redisCommand(admin, "%s order:%s", command, id);
    assert_non_null(reply);
    assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
    long long integer = reply->integer;
    freeReplyObject(reply);
    return integer;
}

static void tell(const char *command)
{
    redisReply *reply = redisCommand(admin, command);
    assert_non_null(reply);
    assert_int_not_equal(reply->type, REDIS_REPLY_ERROR);
    freeReplyObject(reply);
}

/* ---- the cache ---- */

static void on_state(void *arg, bool is_up, const char *why)
{
    (void)arg;
    up = is_up;
    changes++;
    snprintf(reason, sizeof(reason), "%s", why != NULL ? why : "");
}

static void turn(int wait_ms)
{
    redis_cache_flush(cache);
    event_loop_turn(events, wait_ms);
}

#define turn_until(condition) wait_until(condition, turn(1))

/* `ms` of the cache's time pass at each turn. */
#define turn_until_passing(condition, ms) wait_until(condition, test_clock_advance(ms); turn(1))

#define pass(ms) test_clock_pass(ms, turn(0))

static void open_cache(const char *username, const char *password)
{
    events = event_loop_new();
    up = false;
    changes = 0;
    cache = redis_cache_new(
        events,
        &(struct redis_options){
            .address = address, .username = username, .password = password, .on_state = on_state},
        TTL_S, &owed);
}

static void close_cache(void)
{
    redis_cache_free(cache);
    event_loop_free(events);
}

/* As a user who may do what README says, and no more. */
static int set_up(void **state)
{
    (void)state;
    tell("FLUSHALL");
    snprintf(address, sizeof(address), "unix:%s", socket_path);
    open_cache("least", "pass");
    turn_until(up);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    close_cache();
    return 0;
}

#define ID "0190c1f0-1111-7222-8333-444455556666"

static struct order_id an_id(void)
{
    struct order_id id;
    assert_int_equal(order_id_parse(ID, 36, &id), 0);
    return id;
}

struct seen {
    unsigned answers;
    enum order_cache_status status;
    char json[64];
};

static void on_done(void *arg, enum order_cache_status status, const char *json, size_t json_len)
{
    struct seen *seen = arg;
    seen->answers++;
    seen->status = status;
    snprintf(seen->json, sizeof(seen->json), "%.*s", (int)json_len, json != NULL ? json : "");
}

static struct seen reserve(const char *json)
{
    struct seen seen = {0};
    struct order_id id = an_id();
    assert_int_equal(cache->reserve(cache->self, &id, json, strlen(json), on_done, &seen), 0);
    assert_int_equal(seen.answers, 0); /* never from inside */
    turn_until(seen.answers == 1);
    return seen;
}

static struct seen put(const char *json)
{
    struct seen seen = {0};
    struct order_id id = an_id();
    assert_int_equal(cache->put(cache->self, &id, json, strlen(json), on_done, &seen), 0);
    turn_until(seen.answers == 1);
    return seen;
}

static struct seen confirm(const char *json)
{
    struct seen seen = {0};
    struct order_id id = an_id();
    assert_int_equal(cache->confirm(cache->self, &id, json, strlen(json), on_done, &seen), 0);
    turn_until(seen.answers == 1);
    return seen;
}

static struct seen replace(const char *json)
{
    struct seen seen = {0};
    struct order_id id = an_id();
    assert_int_equal(cache->replace(cache->self, &id, json, strlen(json), on_done, &seen), 0);
    turn_until(seen.answers == 1);
    return seen;
}

static struct seen keep(const char *json)
{
    struct seen seen = {0};
    struct order_id id = an_id();
    assert_int_equal(cache->keep(cache->self, &id, json, strlen(json), on_done, &seen), 0);
    turn_until(seen.answers == 1);
    return seen;
}

static struct seen remove_entry(void)
{
    struct seen seen = {0};
    struct order_id id = an_id();
    assert_int_equal(cache->remove(cache->self, &id, on_done, &seen), 0);
    turn_until(seen.answers == 1);
    return seen;
}

static struct seen get(void)
{
    struct seen seen = {0};
    struct order_id id = an_id();
    assert_int_equal(cache->get(cache->self, &id, on_done, &seen), 0);
    turn_until(seen.answers == 1);
    return seen;
}

/* ---- tests ---- */

static void test_reserve_then_confirm(void **state)
{
    (void)state;
    assert_int_equal(get().status, ORDER_CACHE_ABSENT);
    assert_int_equal(reserve("first").status, ORDER_CACHE_CREATED);
    assert_in_range(ask("TTL", ID), ORDER_CACHE_PROVISIONAL_S - 20, ORDER_CACHE_PROVISIONAL_S);

    struct seen second = reserve("second");
    assert_int_equal(second.status, ORDER_CACHE_FOUND);
    assert_string_equal(second.json, "first");

    assert_int_equal(confirm("first").status, ORDER_CACHE_OK);
    assert_in_range(ask("TTL", ID), TTL_S - 60, TTL_S);
    struct seen got = get();
    assert_int_equal(got.status, ORDER_CACHE_FOUND);
    assert_string_equal(got.json, "first");
}

static void test_put(void **state)
{
    (void)state;
    assert_int_equal(put("order").status, ORDER_CACHE_OK);
    assert_in_range(ask("TTL", ID), TTL_S - 60, TTL_S);
    assert_string_equal(get().json, "order");
}

static void test_confirm_what_has_vanished(void **state)
{
    (void)state;
    assert_int_equal(confirm("order").status, ORDER_CACHE_OK);
    assert_in_range(ask("TTL", ID), TTL_S - 60, TTL_S);
    assert_string_equal(get().json, "order");
}

static void test_remove_spares_what_was_confirmed(void **state)
{
    (void)state;
    reserve("order");
    assert_int_equal(remove_entry().status, ORDER_CACHE_OK);
    assert_int_equal(ask("EXISTS", ID), 0);
    reserve("order");
    confirm("order");
    assert_int_equal(remove_entry().status, ORDER_CACHE_OK);
    assert_int_equal(ask("EXISTS", ID), 1);
}

/* An order that takes the place of another of its id, which was confirmed. */
static void test_replace_then_keep(void **state)
{
    (void)state;
    confirm("former");
    assert_int_equal(replace("corrected").status, ORDER_CACHE_OK);
    assert_in_range(ask("TTL", ID), ORDER_CACHE_PROVISIONAL_S - 20, ORDER_CACHE_PROVISIONAL_S);
    assert_string_equal(get().json, "corrected");
    assert_int_equal(keep("corrected").status, ORDER_CACHE_OK);
    assert_in_range(ask("TTL", ID), TTL_S - 60, TTL_S);
    assert_string_equal(get().json, "corrected");
}

/* Two replace the same entry, and one of them is refused afterwards. In whatever order, the entry
 * does not stay another's content. */
static void test_replaced_by_two(void **state)
{
    (void)state;
    replace("winner");
    replace("loser");
    assert_int_equal(keep("winner").status, ORDER_CACHE_OK); /* the entry is not its own */
    assert_in_range(ask("TTL", ID), 0, ORDER_CACHE_PROVISIONAL_S);
    assert_int_equal(remove_entry().status, ORDER_CACHE_OK);
    assert_int_equal(get().status, ORDER_CACHE_ABSENT);
    assert_int_equal(keep("winner").status, ORDER_CACHE_OK); /* nor is one made */
    assert_int_equal(get().status, ORDER_CACHE_ABSENT);

    replace("loser");
    replace("winner");
    keep("winner");
    remove_entry();
    assert_string_equal(get().json, "winner");
}

static void test_fill_overwrites_nothing(void **state)
{
    (void)state;
    struct order_id id = an_id();
    cache->fill(cache->self, &id, "filled", 6);
    assert_string_equal(get().json, "filled"); /* commands are executed in their order */
    assert_in_range(ask("TTL", ID), TTL_S - 60, TTL_S);
    cache->fill(cache->self, &id, "again", 5);
    assert_string_equal(get().json, "filled");
}

static void test_errors_of_redis(void **state)
{
    (void)state;
    tell("RPUSH order:" ID " x");
    assert_int_equal(get().status, ORDER_CACHE_UNAVAILABLE); /* WRONGTYPE */
    assert_true(up);
}

/* An empty entry is the probe of a connection that begins. */
static void test_an_empty_entry_is_none(void **state)
{
    (void)state;
    redisReply *reply = redisCommand(admin, "SET order:" ID " %s", "");
    assert_non_null(reply);
    freeReplyObject(reply);
    assert_int_equal(get().status, ORDER_CACHE_ABSENT);
}

/* A demoted Redis is one that is away: orders accepted meanwhile are written when it is well. */
static void test_a_replica_is_not_used(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct order_id id = an_id();
    reserve("order");
    tell("REPLICAOF 127.0.0.1 1");
    assert_int_equal(confirm("order").status, ORDER_CACHE_UNAVAILABLE);
    turn_until(!up);
    assert_non_null(strstr(reason, "READONLY"));
    assert_int_equal(cache->get(cache->self, &id, on_done, &seen), -1);
    tell("REPLICAOF NO ONE");
    turn_until_passing(up, 5);
    turn_until_passing(ask("TTL", ID) > ORDER_CACHE_PROVISIONAL_S, 5);
    assert_string_equal(get().json, "order");
}

/* A read that is not answered fails when its time is over, and not before. Its time begins when it
 * is written. */
static void expect_overdue(void)
{
    struct seen seen = {0};
    struct order_id id = an_id();
    assert_int_equal(cache->get(cache->self, &id, on_done, &seen), 0);
    turn(0);
    pass(REDIS_COMMAND_TIMEOUT_MS - 1);
    assert_int_equal(seen.answers, 0);
    pass(1);
    turn_until(seen.answers == 1);
    assert_int_equal(seen.status, ORDER_CACHE_UNAVAILABLE);
}

static void test_stall(void **state)
{
    (void)state;
    unsigned changes_before = changes;
    struct order_id id = an_id();
    kill(server.pid, SIGSTOP);
    expect_overdue();
    static struct seen seen;
    seen = (struct seen){0};
    assert_int_equal(cache->get(cache->self, &id, on_done, &seen), -1); /* the breaker */

    /* a short stall costs no connection */
    pass(900);
    kill(server.pid, SIGCONT);
    turn_until(cache->get(cache->self, &id, on_done, &seen) == 0);
    turn_until(seen.answers == 1);
    assert_int_equal(seen.status, ORDER_CACHE_ABSENT);
    assert_int_equal(changes, changes_before);

    /* deadlines are kept after it too */
    kill(server.pid, SIGSTOP);
    expect_overdue();
    pass(999);
    assert_true(up);
    pass(1);
    turn_until(!up);
    assert_string_equal(reason, "Redis does not answer");
    kill(server.pid, SIGCONT);
    turn_until_passing(up, 5);
    assert_int_equal(get().status, ORDER_CACHE_ABSENT);
}

static unsigned reads_done(void)
{
    unsigned calls = 0;
    redisReply *reply = redisCommand(admin, "INFO commandstats");
    assert_non_null(reply);
    const char *line = strstr(reply->str, "cmdstat_get:calls=");
    if (line != NULL)
        assert_int_equal(sscanf(line, "cmdstat_get:calls=%u", &calls), 1);
    freeReplyObject(reply);
    return calls;
}

/* The time that other work takes in a turn does not count: neither before commands are written nor
 * before replies are read, however many. */
static void test_a_busy_loop_is_no_stall(void **state)
{
    (void)state;
    static struct seen seen[500];
    static char json[200];
    struct order_id id = an_id();
    memset(json, 'x', sizeof(json) - 1);
    confirm(json);
    memset(seen, 0, sizeof(seen));
    tell("CONFIG RESETSTAT");
    for (size_t i = 0; i < 500; i++) /* their replies are several reads of hiredis */
        assert_int_equal(cache->get(cache->self, &id, on_done, &seen[i]), 0);
    test_clock_advance(2 * REDIS_COMMAND_TIMEOUT_MS);
    turn(0);
    wait_until(reads_done() == 500, );
    tell("PING"); /* the replies are written now */
    test_clock_advance(2 * REDIS_COMMAND_TIMEOUT_MS);
    turn(0);
    for (size_t i = 0; i < 500; i++)
        assert_int_equal(seen[i].status, ORDER_CACHE_FOUND);
}

static void test_lost_connection(void **state)
{
    (void)state;
    struct order_id id = an_id();
    static struct seen seen[100];
    memset(seen, 0, sizeof(seen));
    kill(server.pid, SIGSTOP);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(cache->get(cache->self, &id, on_done, &seen[i]), 0);
    kill_server();
    turn_until(!up);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(seen[i].answers, 1);
        assert_int_equal(seen[i].status, ORDER_CACHE_UNAVAILABLE);
    }
    assert_int_equal(cache->get(cache->self, &id, on_done, &seen[0]), -1);
    for (int i = 0; i < 3; i++)
        pass(100); /* attempts that fail */
    server_process_start(&server);
    turn_until_passing(up, 5);
    assert_int_equal(get().status, ORDER_CACHE_ABSENT);
}

static long long count_keys(void)
{
    redisReply *reply = redisCommand(admin, "DBSIZE");
    assert_non_null(reply);
    long long keys = reply->integer;
    freeReplyObject(reply);
    return keys;
}

/* Orders accepted while Redis is away are written when it is back. */
static void test_debts(void **state)
{
    (void)state;
    struct order_id id = an_id();
    static struct seen seen;
    seen = (struct seen){0};
    kill(server.pid, SIGSTOP);
    assert_int_equal(cache->put(cache->self, &id, "order", 5, on_done, &seen), 0);
    turn(0);
    pass(REDIS_COMMAND_TIMEOUT_MS);
    turn_until(seen.answers == 1);
    assert_int_equal(seen.status, ORDER_CACHE_UNAVAILABLE);
    for (uint8_t i = 0; i < 200; i++) {
        id.bytes[14] = 0;
        id.bytes[15] = i;
        int (*write)(void *, const struct order_id *, const char *, size_t, order_cache_done_fn *,
                     void *) = i % 2 == 0 ? cache->put : cache->confirm;
        assert_int_equal(write(cache->self, &id, "late", 4, on_done, &seen), -1);
    }
    assert_int_equal(owed, 201);
    turn_until_passing(!up, 5);
    kill(server.pid, SIGCONT);
    turn_until_passing(up, 5);
    turn_until_passing(owed == 0, 1);
    assert_int_equal(count_keys(), 201);
    turn_until(cache->get(cache->self, &id, on_done, &seen) == 0); /* the last answer is there */
    turn_until(seen.answers == 2);
    assert_string_equal(get().json, "order");
    assert_in_range(ask("TTL", ID), TTL_S - 60, TTL_S);
    assert_in_range(ask("TTL", "0190c1f0-1111-7222-8333-444455550000"), TTL_S - 60, TTL_S);
    assert_in_range(ask("TTL", "0190c1f0-1111-7222-8333-4444555500c7"), TTL_S - 60, TTL_S);
}

/* As long as any cache of the process owes an entry, nobody knows that there is no order. */
static void test_absence_while_entries_are_owed(void **state)
{
    (void)state;
    owed = 1; /* another cache's */
    assert_int_equal(get().status, ORDER_CACHE_UNAVAILABLE);
    put("order");
    assert_int_equal(get().status, ORDER_CACHE_FOUND);
    tell("FLUSHALL");
    owed = 0;
    assert_int_equal(get().status, ORDER_CACHE_ABSENT);
}

static void test_limit_of_commands(void **state)
{
    (void)state;
    struct order_id id = an_id();
    struct seen seen = {0};
    unsigned sent = 0;
    while (sent < 100000 && cache->get(cache->self, &id, on_done, &seen) == 0)
        sent++;
    assert_in_range(sent, 1000, 10000);
    turn_until(seen.answers == sent);
    assert_int_equal(get().status, ORDER_CACHE_ABSENT);
}

static void test_name_and_password(void **state)
{
    (void)state;
    tell("FLUSHALL");
    tell("CONFIG SET requirepass s3cret");
    tell("ACL SETUSER gateway on >pass ~* +@all");
    snprintf(address, sizeof(address), "localhost:%u", port);
    static const struct {
        const char *username, *password, *reason; /* NULL: right */
        bool anyone_may;
    } cases[] = {
        {NULL, NULL, "NOAUTH", false},
        {NULL, "wrong", "WRONGPASS", false},
        {NULL, "s3cret", NULL, false},
        {"gateway", "pass", NULL, false},
        {"gateway", "wrong", "WRONGPASS", false},
        /* A Redis that lets anyone in: what was said to it is wrong all the same. */
        {NULL, NULL, NULL, true},
        {NULL, "s3cret", "without any password configured", true},
        {"gateway", "pass", NULL, true},
        {"gateway", "wrong", "WRONGPASS", true},
        {"nobody", "pass", "WRONGPASS", true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const bool right = cases[i].reason == NULL;
        if (cases[i].anyone_may)
            tell("ACL SETUSER default nopass");
        open_cache(cases[i].username, cases[i].password);
        turn_until(changes > 0);
        assert_int_equal(up, right);
        if (up)
            assert_int_equal(get().status, ORDER_CACHE_ABSENT);
        else
            assert_non_null(strstr(reason, cases[i].reason));
        close_cache();

        struct error err;
        const struct redis_options options = {
            .address = address, .username = cases[i].username, .password = cases[i].password};
        int reached = -1; /* in 2 s of real time, if the machine lets it */
        for (int attempt = 0; attempt < (right ? 3 : 1) && reached != 0; attempt++)
            reached = redis_reach(&options, &err);
        assert_int_equal(reached, right ? 0 : -1);
    }
    tell("ACL SETUSER default nopass");
}

/* Nobody listens at the first, of the other family. */
static void test_addresses_of_both_families(void **state)
{
    (void)state;
    struct error err;
    snprintf(address, sizeof(address), "found.test:%u", port);
    name_service_set("127.0.0.2,::1");
    open_cache(NULL, NULL);
    turn_until_passing(up, 5);
    close_cache();
    if (redis_reach(&(struct redis_options){.address = address}, &err) != 0)
        fail_msg("%s", err.message);
    snprintf(address, sizeof(address), "[::1]:%u", port);
    open_cache(NULL, NULL);
    turn_until(up);
    close_cache();
    assert_int_equal(redis_reach(&(struct redis_options){.address = address}, NULL), 0);
}

static void test_unreachable(void **state)
{
    (void)state;
    static const char *const addresses[] = {"127.0.0.1:1", "unix:/nonexistent/socket",
                                            "no-such-host.invalid:6379"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(address, sizeof(address), "%s", addresses[i]);
        open_cache(NULL, NULL);
        turn_until_passing(changes > 0, 5);
        assert_false(up);
        assert_true(reason[0] != '\0');
        close_cache();
        struct error err;
        assert_int_equal(redis_reach(&(struct redis_options){.address = address}, &err), -1);
    }
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as service_main() does */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_put, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reserve_then_confirm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_confirm_what_has_vanished, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_remove_spares_what_was_confirmed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_replace_then_keep, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_replaced_by_two, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_fill_overwrites_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_errors_of_redis, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_empty_entry_is_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_replica_is_not_used, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stall, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_busy_loop_is_no_stall, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lost_connection, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_debts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_absence_while_entries_are_owed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_limit_of_commands, set_up, tear_down),
        cmocka_unit_test(test_name_and_password),
        cmocka_unit_test(test_addresses_of_both_families),
        cmocka_unit_test(test_unreachable),
    };
    return cmocka_run_group_tests(tests, start_all, stop_all);
}
