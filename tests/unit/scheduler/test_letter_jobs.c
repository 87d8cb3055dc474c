/* Mass replay and discard against a real PostgreSQL and a fake Elasticsearch. What is on the
 * orders' way from the outbox to the stores is played by the test: an order named "poison" becomes
 * a dead letter again, one named "slow" stays away, every other one gets its document. */
#include "proto/order_json.h"
#include "services/scheduler/letter_jobs.h"
#include "services/scheduler/order_documents.h"
#include "tests/unit/clients/postgres/fixture.h"
#include "tests/unit/clients/postgres/postgres_server.h"
#include "tests/unit/scheduler/test_runner.h"
#include "tests/unit/support/http_peer.h"
#include "tests/unit/support/real_time.h"
#include <curl/curl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stand {
    struct fixture *fixture;
    struct http_peer *elasticsearch;
    atomic_int status; /* of Elasticsearch's answers; 0: it is silent */
    atomic_bool alias; /* the index is an alias of two */
    struct order_documents *documents;
    struct job_kind kinds[2];
    struct job_runner *runner;
};

/* ---- the fake Elasticsearch: its documents are in a table ---- */

#define ALIAS_ERROR                                                                                \
    "{\"error\":{\"type\":\"illegal_argument_exception\",\"reason\":\"alias [orders] has more "    \
    "than one index associated with it\"}}"

static int serve(void *arg, const char *request, char *body, size_t size)
{
    struct stand *stand = arg;
    int status = atomic_load(&stand->status);
    bool get = strstr(request, "/orders/_mget ") != NULL;
    bool search = strstr(request, "/orders/_search ") != NULL;
    snprintf(body, size, "{}");
    if (status != 200 || !(get || search))
        return status;
    PGconn *conn = PQconnectdb(stand->fixture->dsn);
    size_t len = (size_t)snprintf(body, size, get ? "{\"docs\":[" : "{\"hits\":{\"hits\":[");
    const char *id = strstr(strstr(request, "\r\n\r\n"), "[\"");
    for (const char *comma = ""; id != NULL; id = strstr(id + 2, ",\"")) {
        char text[ORDER_ID_TEXT_LEN + 1] = "";
        memcpy(text, id + 2, ORDER_ID_TEXT_LEN);
        const char *const values[] = {text};
        PGresult *result = PQexecParams(conn, "SELECT json FROM documents WHERE id = $1", 1, NULL,
                                        values, NULL, NULL, 0);
        if (get && atomic_load(&stand->alias))
            len += (size_t)snprintf(body + len, size - len, "%s" ALIAS_ERROR, comma);
        else if (PQntuples(result) == 1)
            len += (size_t)snprintf(body + len, size - len,
                                    "%s{\"_id\":\"%s\",\"found\":true,\"_source\":%s}", comma, text,
                                    PQgetvalue(result, 0, 0));
        else if (get)
            len += (size_t)snprintf(body + len, size - len, "%s{\"_id\":\"%s\",\"found\":false}",
                                    comma, text);
        if (body[len - 1] == '}')
            comma = ",";
        PQclear(result);
    }
    snprintf(body + len, size - len, get ? "]}" : "]}}");
    PQfinish(conn);
    return 200;
}

/* ---- the stand ---- */

static void on_stopped(void *arg)
{
    (void)arg;
}

static void start(struct stand *stand, struct fixture *fixture)
{
    char url[64];
    stand->fixture = fixture;
    atomic_store(&stand->status, 200);
    atomic_store(&stand->alias, false);
    stand->elasticsearch = http_peer_new_answering(serve, stand);
    snprintf(url, sizeof url, "http://127.0.0.1:%u",
             (unsigned)http_peer_port(stand->elasticsearch));
    stand->documents = order_documents_new(
        fixture->loop, &(const struct elasticsearch_options){.url = url}, "orders");
    stand->kinds[0] = discard_kind();
    stand->kinds[1] = replay_kind(stand->documents);
    stand->runner = test_runner_new(fixture, stand->kinds, 2, on_stopped);
    run_until_query(fixture, "SELECT to_regclass('job_items') IS NOT NULL", "t");
    test_runner_lengthen_leases(fixture);
    execute(fixture, "CREATE TABLE documents (id text PRIMARY KEY, json text)");
}

static void stop(struct stand *stand)
{
    job_runner_free(stand->runner);
    order_documents_free(stand->documents);
    http_peer_free(stand->elasticsearch);
}

/* Add dead letters of orders of this name, with numbers from `first` on. */
static void add_letters(struct fixture *fixture, unsigned first, unsigned count, const char *name)
{
    for (unsigned i = first; i < first + count; i++) {
        char json[ORDER_JSON_SIZE], sql[2 * ORDER_JSON_SIZE + 400];
        struct order order = make_order(i, name, 1999);
        (void)order_to_json(&order, json);
        snprintf(sql, sizeof sql,
                 "INSERT INTO dead_letters (queue, reason, detail, stage, attempts, body,"
                 " body_bytes, properties, digest, died_at) VALUES ('order_queue', 'refused', '',"
                 " 'persist', 1, '%s', octet_length('%s'), '', '', now())",
                 json, json);
        execute(fixture, sql);
    }
}

/* All dead letters. */
static void add_job(struct fixture *fixture, const char *kind, const char *parameters)
{
    char sql[600];
    snprintf(sql, sizeof sql,
             "BEGIN; INSERT INTO jobs (kind, parameters, requested_by, total)"
             " SELECT '%s', '%s', 'eve', count(*) FROM dead_letters;"
             "INSERT INTO job_items (job, item) SELECT 1, id FROM dead_letters; COMMIT",
             kind, parameters);
    execute(fixture, sql);
}

#define STATE "SELECT state FROM jobs WHERE id = 1"
#define OUTCOME "SELECT concat_ws(' ', state, done, total, result::text) FROM jobs WHERE id = 1"

/* The orders' way, once; and what must hold at any time. */
static void turn(struct fixture *fixture)
{
    execute(fixture,
            "WITH gone AS (DELETE FROM order_outbox WHERE product_name <> 'slow' RETURNING *),"
            " died AS (INSERT INTO dead_letters (queue, reason, detail, stage, attempts, body,"
            " body_bytes, properties, digest, died_at, replay_of) SELECT 'order_queue', 'refused',"
            " '', 'persist', 1, convert_to(json, 'UTF8'), octet_length(json), '', '', now(),"
            " replay_of FROM gone WHERE product_name = 'poison')"
            " INSERT INTO documents SELECT order_id::text, json FROM gone"
            " WHERE product_name <> 'poison' ON CONFLICT DO NOTHING");
    assert_true(atoi(query(fixture, "SELECT count(*) FROM job_items WHERE state = 'sent'")) <= 10);
    run_for(fixture, 10);
}

static void run_until_state(struct fixture *fixture, const char *state)
{
    wait_until(strcmp(query(fixture, STATE), state) == 0, turn(fixture));
}

/* ---- the tests ---- */

static void test_replay(void **state)
{
    struct fixture *fixture = *state;
    struct stand stand;
    start(&stand, fixture);
    add_letters(fixture, 1, 30, "lamp");
    execute(fixture, "UPDATE dead_letters SET state = 'discarded' WHERE id = 3;"
                     "UPDATE dead_letters SET body = '{}', body_bytes = 2 WHERE id = 5");
    add_job(fixture, "replay", "{\"per_second\":1000}");
    run_until_state(fixture, "done");
    assert_string_equal(query(fixture, OUTCOME),
                        "done 30 30 {\"skipped\": 2, \"died_again\": 0, \"searchable\": 28}");
    assert_string_equal(query(fixture, "SELECT count(*) FROM dead_letters WHERE state = 'replayed'"
                                       " AND ended_by = 'eve' AND job = 1"),
                        "28");
    assert_string_equal(query(fixture, "SELECT count(*) FROM documents"), "28");
    assert_string_equal(query(fixture, "SELECT count(*) FROM job_items"), "0");
    stop(&stand);
}

/* As the row says: not more than so many in a second. */
static void test_per_second(void **state)
{
    struct fixture *fixture = *state;
    struct stand stand;
    start(&stand, fixture);
    add_letters(fixture, 1, 4, "lamp");
    add_job(fixture, "replay", "{\"per_second\":5}");
    run_until_state(fixture, "done");
    assert_string_equal(query(fixture, "SELECT min(later - ended_at) >= interval '190 ms' FROM"
                                       " (SELECT ended_at, lead(ended_at) OVER (ORDER BY id)"
                                       " AS later FROM dead_letters) AS pairs"),
                        "t");
    stop(&stand);
}

static void test_five_in_a_row(void **state)
{
    struct fixture *fixture = *state;
    struct stand stand;
    start(&stand, fixture);
    add_letters(fixture, 1, 2, "lamp");
    add_letters(fixture, 3, 30, "poison");
    add_job(fixture, "replay", "{\"per_second\":1000}");
    run_until_state(fixture, "failed");
    assert_non_null(
        strstr(query(fixture, "SELECT error FROM jobs"), "5 replayed letters in a row"));
    int replayed = atoi(
        query(fixture, "SELECT count(*) FROM dead_letters WHERE state = 'replayed' AND id > 2"));
    assert_in_range(replayed, 5, 14);
    run_until_query(fixture, "SELECT count(*) FROM job_items", "0");
    stop(&stand);
}

static void test_some_die_again(void **state)
{
    struct fixture *fixture = *state;
    struct stand stand;
    start(&stand, fixture);
    for (unsigned i = 0; i < 5; i++) {
        add_letters(fixture, 1 + 4 * i, 3, "lamp");
        add_letters(fixture, 4 + 4 * i, 1, "poison");
    }
    add_job(fixture, "replay", "{\"per_second\":1000}");
    run_until_state(fixture, "done");
    assert_string_equal(query(fixture, OUTCOME),
                        "done 20 20 {\"skipped\": 0, \"died_again\": 5, \"searchable\": 15}");
    assert_string_equal(query(fixture, "SELECT count(*) FROM dead_letters WHERE state = 'dead'"
                                       " AND replay_of IS NOT NULL"),
                        "5");
    stop(&stand);
}

/* Letters are on their way, and nobody knows their fate: the job waits, and goes on. */
static void test_elasticsearch_is_down(void **state)
{
    struct fixture *fixture = *state;
    struct stand stand;
    start(&stand, fixture);
    atomic_store(&stand.status, 503);
    add_letters(fixture, 1, 20, "lamp");
    add_job(fixture, "replay", "{\"per_second\":1000}");
    wait_until(strcmp(query(fixture, "SELECT count(*) FROM documents"), "10") == 0, turn(fixture));
    for (int i = 0; i < 30; i++)
        turn(fixture);
    assert_string_equal(query(fixture, OUTCOME), "running 0 20");
    assert_string_equal(query(fixture, "SELECT count(*) FROM dead_letters WHERE state = 'dead'"),
                        "10");
    atomic_store(&stand.status, 200);
    run_until_state(fixture, "done");
    assert_string_equal(query(fixture, "SELECT result->>'searchable' FROM jobs"), "20");
    stop(&stand);
}

/* Elasticsearch says nothing at all meanwhile. */
static void test_cancel(void **state)
{
    struct fixture *fixture = *state;
    struct stand stand;
    start(&stand, fixture);
    atomic_store(&stand.status, 0);
    add_letters(fixture, 1, 20, "lamp");
    add_job(fixture, "replay", "{\"per_second\":1000}");
    wait_until(strcmp(query(fixture, "SELECT count(*) FROM documents"), "10") == 0, turn(fixture));
    for (int i = 0; i < 30; i++)
        turn(fixture);
    execute(fixture, "UPDATE jobs SET cancel = true");
    run_until_state(fixture, "canceled");
    assert_string_equal(query(fixture, "SELECT finished - now() < interval '1 s' FROM jobs"), "t");
    assert_string_equal(query(fixture, "SELECT count(*) FROM dead_letters WHERE state = 'dead'"),
                        "10");
    stop(&stand);
}

/* Another scheduler began the job, and replayed three letters. */
static void test_going_on(void **state)
{
    struct fixture *fixture = *state;
    struct stand stand;
    start(&stand, fixture);
    add_letters(fixture, 1, 1, "lamp");
    add_letters(fixture, 2, 1, "poison");
    add_letters(fixture, 3, 1, "slow");
    add_letters(fixture, 4, 3, "lamp");
    execute(fixture, "UPDATE dead_letters SET state = 'replayed' WHERE id <= 3;"
                     "INSERT INTO order_outbox (order_id, product_name, amount, created_at, json,"
                     " replay_of) SELECT replace(id::text, '-', '')::uuid, name, 19.99,"
                     " '2026-01-01', body, letter FROM (SELECT"
                     " convert_from(body, 'UTF8')::json->>'id' AS id,"
                     " convert_from(body, 'UTF8')::json->>'product_name' AS name,"
                     " convert_from(body, 'UTF8') AS body, dead_letters.id AS letter"
                     " FROM dead_letters WHERE dead_letters.id <= 3) AS sent;"
                     "INSERT INTO jobs (kind, parameters, requested_by, total, done, state, token,"
                     " lease, checkpoint, result) VALUES ('replay', '{\"per_second\":1000}', 'eve',"
                     " 7, 1, 'running', 5, now() - interval '1 s', '3', '{\"searchable\":1}');"
                     "INSERT INTO job_items (job, item, state) SELECT 1, id,"
                     " CASE WHEN id <= 3 THEN 'sent' ELSE 'waiting' END FROM dead_letters");
    wait_until(strcmp(query(fixture, "SELECT done FROM jobs"), "6") == 0, turn(fixture));
    assert_string_equal(query(fixture, OUTCOME),
                        "running 6 7 {\"skipped\": 0, \"died_again\": 1, \"searchable\": 5}");
    for (int i = 0; i < 30; i++)
        turn(fixture);
    assert_string_equal(query(fixture, "SELECT state FROM jobs"), "running"); /* one is away */
    execute(fixture, "UPDATE order_outbox SET product_name = 'not slow any more'");
    run_until_state(fixture, "done");
    assert_string_equal(query(fixture, OUTCOME),
                        "done 7 7 {\"skipped\": 0, \"died_again\": 1, \"searchable\": 6}");
    stop(&stand);
}

static void test_an_alias_of_two_indexes(void **state)
{
    struct fixture *fixture = *state;
    struct stand stand;
    start(&stand, fixture);
    atomic_store(&stand.alias, true);
    add_letters(fixture, 1, 12, "lamp");
    add_job(fixture, "replay", "{\"per_second\":1000}");
    run_until_state(fixture, "done");
    assert_string_equal(query(fixture, OUTCOME),
                        "done 12 12 {\"skipped\": 0, \"died_again\": 0, \"searchable\": 12}");
    stop(&stand);
}

/* A document of the same id with another content is another order's. */
static void test_another_content(void **state)
{
    struct fixture *fixture = *state;
    struct stand stand;
    start(&stand, fixture);
    add_letters(fixture, 1, 1, "poison");
    execute(fixture, "INSERT INTO documents SELECT id, replace(json, '19.99', '19.98') FROM"
                     " (SELECT convert_from(body, 'UTF8') AS json,"
                     " convert_from(body, 'UTF8')::json->>'id' AS id FROM dead_letters) AS orders");
    add_job(fixture, "replay", "{\"per_second\":1000}");
    run_until_state(fixture, "done");
    assert_string_equal(query(fixture, OUTCOME),
                        "done 1 1 {\"skipped\": 0, \"died_again\": 1, \"searchable\": 0}");
    stop(&stand);
}

/* Nobody would see a letter that dies again. */
static void test_the_archive_is_turned_off(void **state)
{
    struct fixture *fixture = *state;
    struct stand stand;
    start(&stand, fixture);
    add_letters(fixture, 1, 20, "slow");
    add_job(fixture, "replay", "{\"per_second\":1000}");
    wait_until(strcmp(query(fixture, "SELECT count(*) FROM order_outbox"), "10") == 0,
               turn(fixture));
    execute(fixture, "INSERT INTO scheduler_seen (at, archive) VALUES (now(), 'off')");
    run_until_state(fixture, "failed");
    assert_non_null(strstr(query(fixture, "SELECT error FROM jobs"), "was turned off"));
    assert_string_equal(query(fixture, "SELECT count(*) FROM order_outbox"), "10");
    stop(&stand);
}

static void test_discard(void **state)
{
    struct fixture *fixture = *state;
    struct stand stand;
    start(&stand, fixture);
    add_letters(fixture, 1, 1, "lamp");
    execute(fixture, "INSERT INTO dead_letters (queue, reason, detail, stage, attempts, body,"
                     " body_bytes, properties, digest, died_at) SELECT queue, reason, detail,"
                     " stage, attempts, body, body_bytes, properties, digest, died_at"
                     " FROM dead_letters, generate_series(1, 1200)");
    add_job(fixture, "discard", "{\"reason\":\"test orders\"}");
    run_until_state(fixture, "done");
    assert_string_equal(query(fixture, OUTCOME),
                        "done 1201 1201 {\"skipped\": 0, \"discarded\": 1201}");
    assert_string_equal(query(fixture, "SELECT count(*) FROM dead_letters WHERE state = 'discarded'"
                                       " AND ended_reason = 'test orders' AND ended_by = 'eve'"),
                        "1201");
    stop(&stand);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    postgres_server_start();
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_replay),
        DATABASE_TEST(test_per_second),
        DATABASE_TEST(test_five_in_a_row),
        DATABASE_TEST(test_some_die_again),
        DATABASE_TEST(test_elasticsearch_is_down),
        DATABASE_TEST(test_cancel),
        DATABASE_TEST(test_going_on),
        DATABASE_TEST(test_an_alias_of_two_indexes),
        DATABASE_TEST(test_another_content),
        DATABASE_TEST(test_the_archive_is_turned_off),
        DATABASE_TEST(test_discard),
    };
    int failures = cmocka_run_group_tests_name("letter jobs", tests, NULL, NULL);
    postgres_server_stop();
    curl_global_cleanup();
    return failures != 0;
}
