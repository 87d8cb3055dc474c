/* Finding the index of a job: a real PostgreSQL, a fake Elasticsearch, and a kind that does no more
 * than that. */
#include "services/clients/elasticsearch/elasticsearch.h"
#include "services/scheduler/index/index_context.h"
#include "services/scheduler/index/index_target.h"
#include "tests/unit/clients/postgres/fixture.h"
#include "tests/unit/clients/postgres/postgres_server.h"
#include "tests/unit/scheduler/test_runner.h"
#include "tests/unit/support/http_peer.h"
#include "tests/unit/support/real_time.h"
#include "tests/unit/support/test_clock.h"
#include <curl/curl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define OURS "00000000-0000-4000-8000-00000000000a"
#define OURS_IN_CAPITALS "00000000-0000-4000-8000-00000000000A"
#define ANOTHER "00000000-0000-4000-8000-000000000002"

#define ALIAS "\"orders\":{\"is_write_index\":true}"
#define LOOK(name, alias, meta)                                                                    \
    "{\"" name "\":{\"aliases\":{" alias "},\"mappings\":{\"_meta\":{" meta "},\"properties\":"    \
    "{\"product_name\":{\"type\":\"text\"}}},\"settings\":{\"index\":{\"uuid\":\"u\"}}}}"
#define META(deployment) "\"deployment\":\"" deployment "\""
#define ABSENT "{\"error\":{\"type\":\"index_not_found_exception\",\"reason\":\"no such index\"}}"

struct answer {
    int status;
    const char *body;
};

struct stand {
    int64_t absent_max_ms;
    bool row_is_gone;
    struct answer answer;
    atomic_uint absent; /* so many looks find no index */
    atomic_uint looks;
    struct index_context context;
    struct index_target *target;
    struct job_run *run;
    char found[300];
};

static int serve(void *arg, const char *request, char *body, size_t size)
{
    struct stand *stand = arg;
    if (strncmp(request, "GET /orders?filter_path=", 24) != 0)
        return 400;
    bool absent = atomic_fetch_add(&stand->looks, 1) < atomic_load(&stand->absent);
    snprintf(body, size, "%s", absent ? ABSENT : stand->answer.body);
    return absent ? 404 : stand->answer.status;
}

static void *begin(void *arg, struct job_run *run)
{
    struct stand *stand = arg;
    stand->run = run;
    stand->target = index_target_new(&stand->context, run, stand->absent_max_ms);
    return stand;
}

static void step(void *work)
{
    struct stand *stand = work;
    const struct index_look *look = index_target_step(stand->target);
    if (look == NULL)
        return;
    snprintf(stand->found, sizeof stand->found, ": %s %s", look->name,
             look->form == INDEX_ALIAS ? "by its alias" : "itself");
    job_run_done(stand->run);
}

static void end(void *work)
{
    struct stand *stand = work;
    index_target_free(stand->target);
}

/* Runs a job; returns its state, its error and what it has found. */
static const char *find(struct stand *stand, struct fixture *fixture)
{
    static char outcome[600];
    char url[64];
    struct http_peer *peer = http_peer_new_answering(serve, stand);
    snprintf(url, sizeof url, "http://127.0.0.1:%u", (unsigned)http_peer_port(peer));
    const struct elasticsearch_options server = {.url = url};
    const struct job_kind kind = {
        .name = "repair", .arg = stand, .begin = begin, .step = step, .end = end};
    stand->context =
        (struct index_context){.loop = fixture->loop, .server = &server, .index = "orders"};
    struct job_runner *runner = test_runner_new(fixture, &kind, 1, NULL);
    run_until_query(fixture, "SELECT to_regclass('search_index') IS NOT NULL", "t");
    test_runner_lengthen_leases(fixture);
    execute(fixture, stand->row_is_gone ? "DELETE FROM search_index"
                                        : "UPDATE search_index SET deployment = '" OURS "'");
    execute(fixture, "INSERT INTO jobs (kind) VALUES ('repair')");
    wait_until(strcmp(query(fixture, "SELECT bool_and(finished IS NOT NULL) FROM jobs"), "t") == 0,
               test_clock_turn(event_loop_turn(fixture->loop, 2)));
    snprintf(outcome, sizeof outcome, "%s%s",
             query(fixture, "SELECT concat(state, ': ' || error) FROM jobs ORDER BY id DESC"),
             stand->found);
    job_runner_free(runner);
    http_peer_free(peer);
    return outcome;
}

static void test_index_target(void **state)
{
    static const struct {
        struct answer answer;
        const char *expected;
    } cases[] = {
        {{200, LOOK("orders-000007", ALIAS, META(OURS))}, "done: orders-000007 by its alias"},
        {{200, LOOK("orders", "", META(OURS_IN_CAPITALS))}, "done: orders itself"},
        {{200, LOOK("orders", "", "")}, "done: orders itself"},
        {{200, LOOK("orders-000007", ALIAS, META(ANOTHER))},
         "failed: the index orders-000007 belongs to the deployment " ANOTHER ", and this is " OURS
         ": are ELASTICSEARCH_URL, ORDER_INDEX and POSTGRES_DSN of one system?"},
        {{200, "{}"}, "failed: the answer to a look at orders names no index"},
        {{403, "{\"error\":{\"type\":\"security_exception\",\"reason\":\"no\"}}"},
         "failed: looking for the index: the privilege view_index_metadata is missing: "
         "security_exception: no"},
        {{404, ABSENT}, "failed: there is no index orders"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stand stand = {.answer = cases[i].answer};
        assert_string_equal(find(&stand, *state), cases[i].expected);
        assert_int_equal(atomic_load(&stand.looks), 1);
    }
}

static void test_not_there_yet(void **state)
{
    struct stand stand = {.absent_max_ms = 3600 * 1000,
                          .answer = {200, LOOK("orders-000001", ALIAS, "")}};
    atomic_store(&stand.absent, 3);
    assert_string_equal(find(&stand, *state), "done: orders-000001 by its alias");
    assert_int_equal(atomic_load(&stand.looks), 4);

    struct stand impatient = {.absent_max_ms = 2500, .answer = {404, ABSENT}};
    assert_string_equal(find(&impatient, *state), "failed: there is no index orders");
    assert_true(atomic_load(&impatient.looks) > 1);
}

/* Then nobody knows whose index it is. */
static void test_the_row_is_gone(void **state)
{
    struct stand stand = {.answer = {200, LOOK("orders-000001", ALIAS, "")}, .row_is_gone = true};
    assert_string_equal(find(&stand, *state),
                        "failed: PostgreSQL does not say which deployment this is: the table "
                        "search_index is empty");
    assert_int_equal(atomic_load(&stand.looks), 0);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
    postgres_server_start();
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_index_target),
        DATABASE_TEST(test_not_there_yet),
        DATABASE_TEST(test_the_row_is_gone),
    };
    int failures = cmocka_run_group_tests_name("index_target", tests, NULL, NULL);
    postgres_server_stop();
    curl_global_cleanup();
    return failures != 0;
}
