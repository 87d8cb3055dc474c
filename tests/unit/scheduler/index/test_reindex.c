/* A reindex against a real PostgreSQL and a fake Elasticsearch, with engines of the test's own: one
 * that copies in three steps, and one that compares. */
#include "services/base/memory.h"
#include "services/clients/elasticsearch/elasticsearch.h"
#include "services/clients/elasticsearch/index_definition.h"
#include "services/scheduler/index/index_compare.h"
#include "services/scheduler/index/index_context.h"
#include "services/scheduler/index/order_copy.h"
#include "services/scheduler/index/reindex.h"
#include "tests/unit/clients/postgres/fixture.h"
#include "tests/unit/clients/postgres/postgres_server.h"
#include "tests/unit/scheduler/index/fake_indices.h"
#include "tests/unit/scheduler/test_runner.h"
#include "tests/unit/support/real_time.h"
#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- engines ---- */

#define ROWS 30

static struct {
    bool compare_needed;
    bool stays, stays_in_tail;         /* the copy does not go on */
    const char *fails, *fails_in_tail; /* the copy, for this reason */
    unsigned copies, tails;
    char index[300], tail_index[300], checkpoint[20]; /* of the last copy */
    int64_t refused, dead, differences;
    unsigned compared;
    char compared_index[300];
} engines;

struct order_copy {
    struct job_run *run;
    int64_t done;
    bool tail;
    char checkpoint[20];
};

struct order_copy *order_copy_new(const struct index_context *context, struct job_run *run,
                                  const struct order_copy_options *options)
{
    struct order_copy *copy = memory_new(sizeof *copy);
    assert_string_equal(context->index, "orders");
    assert_true(options->require_alias);
    copy->run = run;
    copy->done = options->checkpoint == NULL ? 0 : strtoll(options->checkpoint, NULL, 10);
    snprintf(engines.index, sizeof engines.index, "%s", options->index);
    snprintf(engines.checkpoint, sizeof engines.checkpoint, "%s",
             options->checkpoint == NULL ? "none" : options->checkpoint);
    engines.copies++;
    return copy;
}

void order_copy_free(struct order_copy *copy)
{
    free(copy);
}

void order_copy_step(struct order_copy *copy)
{
    job_run_step_in(copy->run, 0);
    if (!engines.stays && copy->done < ROWS)
        copy->done += 10;
    if (engines.stays)
        job_run_step_in(copy->run, 10);
}

void order_copy_tail(struct order_copy *copy)
{
    copy->tail = true;
    engines.tails++;
    snprintf(engines.tail_index, sizeof engines.tail_index, "%s", engines.index);
}

enum order_copy_state order_copy_state(const struct order_copy *copy, const char **ret_reason)
{
    const char *fails = copy->tail ? engines.fails_in_tail : engines.fails;
    *ret_reason = fails;
    return fails != NULL                         ? ORDER_COPY_FAILED
           : engines.stays                       ? ORDER_COPY_RUNNING
           : engines.stays_in_tail && copy->tail ? ORDER_COPY_RUNNING
           : copy->done < ROWS                   ? ORDER_COPY_RUNNING
                                                 : ORDER_COPY_DONE;
}

bool order_copy_compare_needed(const struct order_copy *copy)
{
    (void)copy;
    return engines.compare_needed;
}

int64_t order_copy_done(const struct order_copy *copy)
{
    return copy->done;
}

int64_t order_copy_total(const struct order_copy *copy)
{
    (void)copy;
    return ROWS;
}

const char *order_copy_checkpoint(const struct order_copy *copy)
{
    struct order_copy *own = (struct order_copy *)(uintptr_t)copy;
    snprintf(own->checkpoint, sizeof own->checkpoint, "%d", (int)copy->done);
    return copy->checkpoint;
}

json_t *order_copy_result(const struct order_copy *copy)
{
    return json_pack("{s:I,s:{s:I}}", "copied", (json_int_t)copy->done, "refused", "count",
                     (json_int_t)engines.refused);
}

struct index_compare {
    struct compare_result result;
};

struct index_compare *index_compare_new(const struct index_context *context, struct job_run *run,
                                        const struct index_compare_options *options)
{
    (void)context;
    snprintf(engines.compared_index, sizeof engines.compared_index, "%s", options->index);
    assert_true(options->full && options->require_alias && options->mode == INDEX_COMPARE_REPAIR);
    assert_int_equal(options->delete_extra, strcmp(options->index, "orders") != 0);
    engines.compared++;
    job_run_step_in(run, 0);
    struct index_compare *compare = memory_new(sizeof *compare);
    compare->result.dead_at_index.count = engines.dead;
    return compare;
}

void index_compare_free(struct index_compare *compare)
{
    free(compare);
}

void index_compare_step(struct index_compare *compare)
{
    (void)compare;
}

enum index_compare_state index_compare_state(const struct index_compare *compare,
                                             const char **ret_reason)
{
    (void)compare, (void)ret_reason;
    return INDEX_COMPARE_DONE;
}

const struct compare_result *index_compare_result(const struct index_compare *compare)
{
    return &compare->result;
}

const char *index_compare_checkpoint(const struct index_compare *compare)
{
    (void)compare;
    return "{}";
}

int64_t compare_result_differences(const struct compare_result *result)
{
    (void)result;
    return engines.differences;
}

/* ---- the stand ---- */

#define OURS "00000000-0000-4000-8000-000000000001"
#define ANOTHER "00000000-0000-4000-8000-000000000002"

struct stand {
    struct fixture *fixture;
    struct fake_indices *fake;
    char url[60];
    struct elasticsearch_options server;
    struct index_definition *definition;
    struct index_context context;
    struct job_kind kind;
    struct job_runner *runner;
};

static void start_runner(struct stand *stand)
{
    stand->runner = test_runner_new(stand->fixture, &stand->kind, 1, NULL);
}

static void start(struct stand *stand, struct fixture *fixture)
{
    struct error err;
    memset(&engines, 0, sizeof engines);
    *stand = (struct stand){.fixture = fixture, .fake = fake_indices_new()};
    snprintf(stand->url, sizeof stand->url, "http://127.0.0.1:%u",
             (unsigned)fake_indices_port(stand->fake));
    stand->server = (struct elasticsearch_options){.url = stand->url};
    stand->definition = index_definition_new(NULL, &err);
    stand->context = (struct index_context){.loop = fixture->loop,
                                            .server = &stand->server,
                                            .index = "orders",
                                            .dsn = fixture->dsn,
                                            .definition = stand->definition};
    stand->kind = reindex_kind(&stand->context);
    start_runner(stand);
    run_until_query(fixture, "SELECT to_regclass('search_index') IS NOT NULL", "t");
    test_runner_lengthen_leases(fixture);
    execute(fixture, "UPDATE search_index SET deployment = '" OURS "'");
}

static void stop(struct stand *stand)
{
    assert_false(fake_indices_had_gap(stand->fake));
    job_runner_free(stand->runner);
    index_definition_free(stand->definition);
    fake_indices_free(stand->fake);
}

static void pass(struct fixture *fixture)
{
    run_for(fixture, 5);
}

static void add_job(struct stand *stand, const char *parameters)
{
    char sql[200];
    snprintf(sql, sizeof sql, "INSERT INTO jobs (kind, parameters) VALUES ('reindex', '%s')",
             parameters);
    execute(stand->fixture, sql);
}

#define STATE "SELECT state FROM jobs ORDER BY id DESC LIMIT 1"
#define ERROR "SELECT coalesce(error, '') FROM jobs ORDER BY id DESC LIMIT 1"
#define RESULT "SELECT result FROM jobs ORDER BY id DESC LIMIT 1"
#define CHECKPOINT "SELECT coalesce(checkpoint, '') FROM jobs ORDER BY id DESC LIMIT 1"

static void run_until_ended(struct stand *stand, const char *state)
{
    wait_until(strcmp(query(stand->fixture, STATE), "waiting") != 0 &&
                   strcmp(query(stand->fixture, STATE), "running") != 0,
               pass(stand->fixture));
    if (strcmp(query(stand->fixture, STATE), state) != 0)
        fail_msg("not %s: %s", state, query(stand->fixture, ERROR));
}

static void run_until_phase(struct stand *stand, const char *phase)
{
    wait_until(strstr(query(stand->fixture, CHECKPOINT), phase) != NULL, pass(stand->fixture));
}

/* Another scheduler takes the job over. */
static void die(struct stand *stand)
{
    job_runner_free(stand->runner);
    execute(stand->fixture,
            "UPDATE jobs SET lease = now() - interval '1 s' WHERE finished IS NULL");
    start_runner(stand);
}

static void assert_error(struct stand *stand, const char *words)
{
    const char *error = query(stand->fixture, ERROR);
    if (error == NULL || strstr(error, words) == NULL)
        fail_msg("\"%s\" is not in: %s", words, error != NULL ? error : "no error");
}

/* ---- the tests ---- */

static void test_reindex(void **state)
{
    struct stand stand;
    start(&stand, *state);
    execute(*state, "UPDATE search_index SET missing = 0.5");
    fake_indices_add(stand.fake, "orders-000001", "orders", OURS);
    fake_indices_add(stand.fake, "orders-000007-other", NULL, NULL);
    add_job(&stand, "{}");
    run_until_ended(&stand, "done");
    assert_string_equal(fake_indices_text(stand.fake),
                        "orders-000002[orders*] orders-000007-other[]");
    assert_string_equal(fake_indices_meta(stand.fake, "orders-000002"),
                        "{\"deployment\":\"" OURS "\"}");
    assert_string_equal(query(*state, RESULT),
                        "{\"old\": \"orders-000001\", \"index\": \"orders-000002\","
                        " \"phase\": \"ending\", \"copied\": 30, \"refused\": {\"count\": 0},"
                        " \"old_kept\": false}");
    assert_string_equal(query(*state, "SELECT done || ' ' || total FROM jobs"), "30 30");
    assert_string_equal(fake_indices_changes(stand.fake),
                        "PUT /orders-000002, PUT /orders-000002/_settings,"
                        " POST /orders-000002/_refresh, POST /_aliases, POST /_aliases, PUT "
                        "/orders-000002/_mapping");
    assert_string_equal(engines.index, "orders");
    assert_int_equal(engines.copies, 3);
    assert_int_equal(engines.tails, 1);
    assert_int_equal(engines.compared, 1);
    assert_string_equal(query(*state, "SELECT concat_ws(' ', identity, building, missing)"
                                      " FROM search_index"),
                        "uuid3");
    stop(&stand);
}

static void test_keep_old(void **state)
{
    struct stand stand;
    start(&stand, *state);
    fake_indices_add(stand.fake, "orders-000001", "orders", OURS);
    add_job(&stand, "{\"keep_old\":true}");
    run_until_ended(&stand, "done");
    assert_string_equal(fake_indices_text(stand.fake), "orders-000001[] orders-000002[orders*]");
    assert_non_null(strstr(query(*state, RESULT), "\"old_kept\": true"));

    /* Neither this one nor the kept one is taken for half-built by the next. */
    add_job(&stand, "{}");
    run_until_ended(&stand, "done");
    assert_string_equal(fake_indices_text(stand.fake), "orders-000001[] orders-000003[orders*]");
    stop(&stand);
}

/* An index that has the name itself makes room for the alias. */
static void test_a_concrete_index(void **state)
{
    struct stand stand;
    start(&stand, *state);
    fake_indices_add(stand.fake, "orders", NULL, NULL);
    add_job(&stand, "{\"keep_old\":true}");
    run_until_ended(&stand, "failed");
    assert_error(&stand, "the old index cannot be kept");
    assert_string_equal(fake_indices_text(stand.fake), "orders[]");
    assert_string_equal(fake_indices_changes(stand.fake), "");
    add_job(&stand, "{}");
    run_until_ended(&stand, "done");
    assert_string_equal(fake_indices_text(stand.fake), "orders-000001[orders*]");
    assert_non_null(strstr(query(*state, RESULT), "\"old\": \"orders\""));
    assert_non_null(strstr(query(*state, RESULT), "\"old_kept\": false"));
    stop(&stand);
}

/* All indices of the alias leave it. Those that are not ours stay. */
static void test_an_alias_of_several(void **state)
{
    struct stand stand;
    start(&stand, *state);
    fake_indices_add(stand.fake, "orders-000004", "orders", OURS);
    fake_indices_add(stand.fake, "archive", NULL, NULL);
    fake_indices_add(stand.fake, "own-name", NULL, OURS);
    fake_indices_alias(stand.fake, "archive", "orders");
    fake_indices_alias(stand.fake, "own-name", "orders");
    add_job(&stand, "{}");
    run_until_ended(&stand, "done");
    assert_string_equal(fake_indices_text(stand.fake), "archive[] orders-000005[orders*]");
    assert_non_null(strstr(query(*state, RESULT), "\"old\": \"orders-000004\""));
    assert_non_null(strstr(query(*state, RESULT), "\"old_kept\": true"));
    stop(&stand);
}

static void test_another_deployment(void **state)
{
    struct stand stand;
    start(&stand, *state);
    fake_indices_add(stand.fake, "orders-000001", "orders", ANOTHER);
    add_job(&stand, "{}");
    run_until_ended(&stand, "failed");
    assert_error(&stand, "orders-000001 belongs to the deployment " ANOTHER ", and this is " OURS);
    assert_string_equal(fake_indices_changes(stand.fake), "");
    stop(&stand);
}

/* Half-built indices of jobs that have ended go, unless they are another deployment's. */
static void test_sweep(void **state)
{
    struct stand stand;
    start(&stand, *state);
    fake_indices_add(stand.fake, "orders-000001", "orders", OURS);
    fake_indices_add(stand.fake, "orders-000002", "orders-reindex-77", OURS);
    fake_indices_mark(stand.fake, "orders-000002", 77);
    fake_indices_add(stand.fake, "orders-000003", NULL, OURS);
    fake_indices_mark(stand.fake, "orders-000003", 78);
    fake_indices_add(stand.fake, "orders-000004", "orders-reindex-77", ANOTHER);
    fake_indices_mark(stand.fake, "orders-000004", 77);
    fake_indices_mark(stand.fake, "orders-000001", 76); /* is in use */
    add_job(&stand, "{\"keep_old\":true}");
    run_until_ended(&stand, "done");
    assert_string_equal(fake_indices_text(stand.fake),
                        "orders-000001[] orders-000004[orders-reindex-77*] orders-000005[orders*]");
    assert_string_equal(fake_indices_meta(stand.fake, "orders-000001"),
                        "{\"deployment\":\"" OURS "\"}");
    stop(&stand);
}

static void test_cancel(void **state)
{
    struct stand stand;
    start(&stand, *state);
    engines.stays = true;
    fake_indices_add(stand.fake, "orders-000001", "orders", OURS);
    add_job(&stand, "{}");
    run_until_phase(&stand, "copying");
    assert_string_equal(fake_indices_text(stand.fake),
                        "orders-000001[orders*] orders-000002[orders-reindex-1*]");
    assert_string_equal(fake_indices_meta(stand.fake, "orders-000002"),
                        "{\"deployment\":\"" OURS "\",\"reindex\":1}");
    execute(*state, "UPDATE jobs SET cancel = true");
    run_until_ended(&stand, "canceled");
    assert_error(&stand, "");
    assert_string_equal(fake_indices_text(stand.fake), "orders-000001[orders*]");
    assert_string_equal(query(*state, "SELECT building IS NULL FROM search_index"), "t");
    stop(&stand);
}

/* The new index is in use: only the deletion of the old one is left out. */
static void test_cancel_after_the_swap(void **state)
{
    struct stand stand;
    start(&stand, *state);
    engines.stays_in_tail = true;
    fake_indices_add(stand.fake, "orders-000001", "orders", OURS);
    add_job(&stand, "{}");
    run_until_phase(&stand, "tail");
    execute(*state, "UPDATE jobs SET cancel = true");
    run_for(*state, 500); /* time for a turn */
    assert_string_equal(query(*state, STATE), "running");
    engines.stays_in_tail = false;
    run_until_ended(&stand, "canceled");
    assert_error(&stand, "the new index orders-000002 is in use, and the old one orders-000001 is "
                         "kept");
    assert_string_equal(fake_indices_text(stand.fake), "orders-000001[] orders-000002[orders*]");
    assert_string_equal(fake_indices_meta(stand.fake, "orders-000002"),
                        "{\"deployment\":\"" OURS "\"}");
    stop(&stand);
}

/* Such as a full disk. */
static void test_failure(void **state)
{
    struct stand stand;
    start(&stand, *state);
    engines.fails = "cluster_block_exception: disk usage exceeded flood-stage watermark";
    fake_indices_add(stand.fake, "orders-000001", "orders", OURS);
    add_job(&stand, "{}");
    run_until_ended(&stand, "failed");
    assert_error(&stand, "flood-stage");
    assert_string_equal(fake_indices_text(stand.fake), "orders-000001[orders*]");

    /* It is not deleted: told, and left to the next one. */
    fake_indices_refuse(stand.fake, "DELETE", 403, "security_exception");
    add_job(&stand, "{}");
    run_until_ended(&stand, "failed");
    assert_error(&stand, "flood-stage");
    assert_string_equal(fake_indices_text(stand.fake), "orders-000001[orders*] orders-000003[]");
    engines.fails = NULL;
    fake_indices_refuse(stand.fake, NULL, 0, NULL);
    add_job(&stand, "{}");
    run_until_ended(&stand, "done");
    assert_string_equal(fake_indices_text(stand.fake), "orders-000004[orders*]");
    stop(&stand);
}

/* Nobody knows then whether the new index, which is in use, has all: the old one is kept. */
static void test_failure_after_the_swap(void **state)
{
    struct stand stand;
    start(&stand, *state);
    engines.fails_in_tail = "cluster_block_exception: disk usage exceeded flood-stage watermark";
    fake_indices_add(stand.fake, "orders-000001", "orders", OURS);
    add_job(&stand, "{}");
    run_until_ended(&stand, "failed");
    assert_error(&stand, "the new index is in use, and may lack orders of the last minutes, which "
                         "a verification finds: cluster_block_exception");
    assert_string_equal(fake_indices_text(stand.fake), "orders-000001[orders-reindexed-1] "
                                                       "orders-000002[orders* orders-reindexed-1]");
    stop(&stand);
}

/* Only what Elasticsearch refuses may be missing. */
static void test_what_the_comparison_finds(void **state)
{
    struct stand stand;
    start(&stand, *state);
    fake_indices_add(stand.fake, "orders-000001", "orders", OURS);
    engines.refused = engines.dead = 2;
    engines.differences = 3;
    add_job(&stand, "{}");
    run_until_ended(&stand, "failed");
    assert_error(&stand, "lacks 3 orders or has them wrong, and Elasticsearch refused 2");
    assert_string_equal(fake_indices_text(stand.fake), "orders-000001[orders*]");
    engines.differences = 2;
    add_job(&stand, "{}");
    run_until_ended(&stand, "done");
    stop(&stand);
}

/* A mapping that refuses orders that the one before took must not come into use. */
static void test_refused_by_the_mapping(void **state)
{
    struct stand stand;
    start(&stand, *state);
    fake_indices_add(stand.fake, "orders-000001", "orders", OURS);
    engines.refused = engines.differences = 2;
    engines.dead = 1;
    add_job(&stand, "{}");
    run_until_ended(&stand, "failed");
    assert_error(&stand, "Elasticsearch refuses 2 of 32 orders");
    assert_string_equal(fake_indices_text(stand.fake), "orders-000001[orders*]");
    stop(&stand);
}

/* An indexer makes it in a moment. */
static void test_no_index_yet(void **state)
{
    struct stand stand;
    start(&stand, *state);
    add_job(&stand, "{}");
    wait_until(strcmp(query(*state, STATE), "running") == 0, pass(*state));
    run_for(*state, 300);
    assert_string_equal(fake_indices_changes(stand.fake), "");
    fake_indices_add(stand.fake, "orders-000001", "orders", OURS);
    run_until_ended(&stand, "done");
    assert_string_equal(fake_indices_text(stand.fake), "orders-000002[orders*]");
    stop(&stand);
}

/* For want of a privilege. The next job removes what could not be removed. */
static void test_the_swap_is_refused(void **state)
{
    struct stand stand;
    start(&stand, *state);
    fake_indices_add(stand.fake, "orders-000001", "orders", OURS);
    fake_indices_refuse(stand.fake, "POST /_aliases", 403, "security_exception");
    add_job(&stand, "{}");
    run_until_ended(&stand, "failed");
    assert_error(&stand, "the swap was refused: HTTP status 403: the privilege manage is missing");
    assert_string_equal(fake_indices_text(stand.fake),
                        "orders-000001[orders*] orders-000002[orders-reindex-1*]");
    assert_string_equal(query(*state, "SELECT building IS NULL FROM search_index"), "t");
    fake_indices_refuse(stand.fake, NULL, 0, NULL);
    add_job(&stand, "{}");
    run_until_ended(&stand, "done");
    assert_string_equal(fake_indices_text(stand.fake), "orders-000003[orders*]");
    stop(&stand);
}

/* The orders are in a view, for example: what is committed until the swap is not found by
 * transaction. */
static void test_a_comparison_after_the_swap(void **state)
{
    struct stand stand;
    start(&stand, *state);
    engines.compare_needed = true;
    fake_indices_add(stand.fake, "orders-000001", "orders", OURS);
    add_job(&stand, "{}");
    run_until_ended(&stand, "done");
    assert_int_equal(engines.compared, 2);
    assert_string_equal(engines.compared_index, "orders");
    stop(&stand);
}

/* The scheduler dies at each request in turn, before or after Elasticsearch has executed it;
 * another one goes on. And when the request is executed long after that, nothing changes. */
static void test_dies_at_each_request(void **state)
{
    struct stand stand;
    start(&stand, *state);
    fake_indices_add(stand.fake, "orders-000001", "orders", OURS);
    unsigned kills = 0;
    for (unsigned number = 1, job = 1;; number++) {
        bool reached = false;
        for (enum fake_loss loss = FAKE_EXECUTED; loss <= FAKE_NOT_EXECUTED; loss++, job++) {
            char expected[100];
            fake_indices_lose(stand.fake, number, loss);
            add_job(&stand, "{}");
            wait_until(fake_indices_lost(stand.fake) || strcmp(query(*state, STATE), "done") == 0,
                       pass(*state));
            if (fake_indices_lost(stand.fake)) {
                reached = true;
                kills++;
                die(&stand);
            }
            fake_indices_lose(stand.fake, 0, loss);
            run_until_ended(&stand, "done");
            snprintf(expected, sizeof expected, "orders-%06u[orders*]", job + 1);
            assert_string_equal(fake_indices_text(stand.fake), expected);
            if (reached && loss == FAKE_NOT_EXECUTED) {
                (void)fake_indices_execute_lost(stand.fake);
                assert_string_equal(fake_indices_text(stand.fake), expected);
            }
        }
        if (!reached)
            break;
    }
    assert_in_range(kills, 20, 40);
    assert_string_equal(query(*state, "SELECT count(*) FROM jobs WHERE state <> 'done'"), "0");
    stop(&stand);
}

/* The same while it cleans up after a cancel. */
static void test_dies_while_cleaning_up(void **state)
{
    struct stand stand;
    start(&stand, *state);
    engines.stays = true;
    fake_indices_add(stand.fake, "orders-000001", "orders", OURS);
    unsigned kills = 0;
    for (unsigned number = 1, reached = 1; reached; number++) {
        reached = 0;
        for (enum fake_loss loss = FAKE_EXECUTED; loss <= FAKE_NOT_EXECUTED; loss++) {
            add_job(&stand, "{}");
            run_until_phase(&stand, "copying");
            fake_indices_lose(stand.fake, number, loss);
            execute(*state, "UPDATE jobs SET cancel = true WHERE finished IS NULL");
            wait_until(fake_indices_lost(stand.fake) ||
                           strcmp(query(*state, STATE), "canceled") == 0,
                       pass(*state));
            reached = fake_indices_lost(stand.fake);
            fake_indices_lose(stand.fake, 0, loss);
            kills += reached;
            if (reached)
                die(&stand);
            run_until_ended(&stand, "canceled");
            assert_string_equal(fake_indices_text(stand.fake), "orders-000001[orders*]");
            if (reached && loss == FAKE_NOT_EXECUTED)
                (void)fake_indices_execute_lost(stand.fake);
            assert_string_equal(fake_indices_text(stand.fake), "orders-000001[orders*]");
        }
    }
    assert_in_range(kills, 8, 20);
    stop(&stand);
}

#define SWAP "/_aliases"
#define DELETION "\"remove_index\""

/* Runs jobs until a request of one, which has these words, gets no answer; the scheduler dies then.
 */
static void die_at(struct stand *stand, const char *words, enum fake_loss loss)
{
    unsigned number = 0;
    do {
        if (number > 0) { /* another request */
            fake_indices_lose(stand->fake, 0, loss);
            run_until_ended(stand, "done");
        }
        fake_indices_lose(stand->fake, ++number, loss);
        add_job(stand, "{}");
        wait_until(fake_indices_lost(stand->fake), pass(stand->fixture));
        job_runner_free(stand->runner);
        execute(stand->fixture,
                "UPDATE jobs SET lease = now() - interval '1 s' WHERE finished IS NULL");
        if (strstr(fake_indices_lost_request(stand->fake), words) == NULL)
            start_runner(stand);
    } while (strstr(fake_indices_lost_request(stand->fake), words) == NULL);
    fake_indices_lose(stand->fake, 0, loss);
}

/* Somebody moves the alias just before the swap is executed: then the swap does not happen, or two
 * indices would have the alias. */
static void test_the_alias_was_moved(void **state)
{
    struct stand stand;
    start(&stand, *state);
    fake_indices_add(stand.fake, "orders-000001", "orders", OURS);
    die_at(&stand, SWAP, FAKE_NOT_EXECUTED);
    char old[100], before[300];
    snprintf(old, sizeof old, "%.13s", fake_indices_text(stand.fake));
    fake_indices_add(stand.fake, "restored", NULL, OURS);
    fake_indices_move(stand.fake, "orders", old, "restored");
    snprintf(before, sizeof before, "%s", fake_indices_text(stand.fake));
    assert_int_equal(fake_indices_execute_lost(stand.fake), 404);
    assert_string_equal(fake_indices_text(stand.fake), before);
    start_runner(&stand);
    run_until_ended(&stand, "done"); /* in the place of the one that it finds */
    assert_null(strstr(fake_indices_text(stand.fake), "restored"));
    stop(&stand);
}

/* It is canceled where the swap was not answered: either it has happened, or it never happens. */
static void test_canceled_at_the_swap(void **state)
{
    for (enum fake_loss loss = FAKE_EXECUTED; loss <= FAKE_NOT_EXECUTED; loss++) {
        struct stand stand;
        start(&stand, *state);
        execute(*state, "TRUNCATE jobs");
        fake_indices_add(stand.fake, "orders-000001", "orders", OURS);
        die_at(&stand, SWAP, loss);
        execute(*state, "UPDATE jobs SET cancel = true WHERE finished IS NULL");
        start_runner(&stand);
        run_until_ended(&stand, "canceled");
        char before[100];
        snprintf(before, sizeof before, "%s", fake_indices_text(stand.fake));
        if (loss == FAKE_NOT_EXECUTED) {
            assert_int_equal(fake_indices_execute_lost(stand.fake), 404);
            assert_string_equal(fake_indices_text(stand.fake), before);
            assert_null(strchr(before, ' ')); /* one index */
        } else {
            assert_non_null(strchr(before, ' ')); /* the old one is kept */
        }
        stop(&stand);
    }
}

/* What was to come into use is left behind, because it cannot be deleted: the swap that comes late
 * does not bring it into use. */
static void test_a_late_swap(void **state)
{
    struct stand stand;
    start(&stand, *state);
    fake_indices_add(stand.fake, "orders-000001", "orders", OURS);
    die_at(&stand, SWAP, FAKE_NOT_EXECUTED);
    fake_indices_refuse(stand.fake, "DELETE", 403, "security_exception");
    execute(*state, "UPDATE jobs SET cancel = true WHERE finished IS NULL");
    start_runner(&stand);
    run_until_ended(&stand, "canceled");
    char before[300];
    snprintf(before, sizeof before, "%s", fake_indices_text(stand.fake));
    assert_non_null(strstr(before, "[orders*] orders-"));
    assert_int_equal(fake_indices_execute_lost(stand.fake), 404);
    assert_string_equal(fake_indices_text(stand.fake), before);
    stop(&stand);
}

/* Somebody has moved the alias back, and the next scheduler has kept the old index. */
static void test_a_late_deletion(void **state)
{
    struct stand stand;
    char old[100], new[100], before[300];
    start(&stand, *state);
    fake_indices_add(stand.fake, "orders-000001", "orders", OURS);
    die_at(&stand, DELETION, FAKE_NOT_EXECUTED);
    const char *text = fake_indices_text(stand.fake);
    snprintf(old, sizeof old, "%.13s", text);
    snprintf(new, sizeof new, "%.13s", strchr(text, ' ') + 1);
    fake_indices_move(stand.fake, "orders", new, old);
    start_runner(&stand);
    run_until_ended(&stand, "done");
    snprintf(before, sizeof before, "%s", fake_indices_text(stand.fake));
    assert_non_null(strstr(before, "[orders*] orders-"));
    assert_int_equal(fake_indices_execute_lost(stand.fake), 404);
    assert_string_equal(fake_indices_text(stand.fake), before);
    stop(&stand);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    postgres_server_start();
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_reindex),
        DATABASE_TEST(test_keep_old),
        DATABASE_TEST(test_a_concrete_index),
        DATABASE_TEST(test_an_alias_of_several),
        DATABASE_TEST(test_another_deployment),
        DATABASE_TEST(test_sweep),
        DATABASE_TEST(test_cancel),
        DATABASE_TEST(test_cancel_after_the_swap),
        DATABASE_TEST(test_failure),
        DATABASE_TEST(test_failure_after_the_swap),
        DATABASE_TEST(test_what_the_comparison_finds),
        DATABASE_TEST(test_no_index_yet),
        DATABASE_TEST(test_refused_by_the_mapping),
        DATABASE_TEST(test_the_swap_is_refused),
        DATABASE_TEST(test_a_comparison_after_the_swap),
        DATABASE_TEST(test_dies_at_each_request),
        DATABASE_TEST(test_dies_while_cleaning_up),
        DATABASE_TEST(test_the_alias_was_moved),
        DATABASE_TEST(test_canceled_at_the_swap),
        DATABASE_TEST(test_a_late_swap),
        DATABASE_TEST(test_a_late_deletion),
    };
    int failures = cmocka_run_group_tests_name("reindex", tests, NULL, NULL);
    postgres_server_stop();
    curl_global_cleanup();
    return failures != 0;
}
