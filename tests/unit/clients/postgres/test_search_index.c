/* The row about the search index: what schedulers that watch it write, and what jobs write. */
#include "services/clients/postgres/search_index_watch.h"
#include "tests/unit/clients/postgres/fixture.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define ORDERS(n)                                                                                  \
    "INSERT INTO orders SELECT gen_random_uuid(), 'chair', 1, now() FROM generate_series(1, " #n ")"
#define DAY_US (INT64_C(86400) * 1000000)

/* An answer. */
struct told {
    bool done;
    int64_t number;
    enum long_job_hold hold;
    struct search_index index; /* of a read */
};

static void on_told(void *arg, const struct database_answer *answer)
{
    struct told *told = arg;
    told->done = true;
    if (answer->status != DATABASE_OK)
        fail_msg("%s %s", answer->sqlstate, answer->message);
    told->number = database_number(answer);
    told->hold = long_job_hold(answer);
}

static void on_read(void *arg, const struct database_answer *answer)
{
    struct told *told = arg;
    told->done = true;
    assert_int_equal(search_index_row(answer, &told->index), 0);
}

static struct told wait_for(struct connection *connection, int sent, const struct told *told)
{
    assert_int_equal(sent, 0);
    run_until(connection->fixture, &told->done);
    return *told;
}

static struct search_index read_index(struct connection *connection)
{
    struct told told = {.done = false};
    return wait_for(connection, search_index_read(connection->database, on_read, &told), &told)
        .index;
}

static int64_t changed(struct connection *connection, const struct search_index *read,
                       const char *identity, int64_t documents, const char *fault)
{
    struct told told = {.done = false};
    return wait_for(connection,
                    search_index_changed(connection->database, read, identity, documents,
                                         fault == NULL, fault, on_told, &told),
                    &told)
        .number;
}

static int64_t counted(struct connection *connection, int64_t documents)
{
    struct told told = {.done = false};
    struct search_index read = read_index(connection);
    return wait_for(
               connection,
               search_index_counted(connection->database, &read, documents, true, on_told, &told),
               &told)
        .number;
}

static int64_t verify(struct connection *connection, bool full, int64_t tick_us, bool repair)
{
    struct told told = {.done = false};
    return wait_for(
               connection,
               search_index_verify(connection->database, full, tick_us, repair, on_told, &told),
               &told)
        .number;
}

/* The jobs that have not ended: "id kind parameters", and "!" when one is to be canceled. */
static const char *unfinished(struct fixture *fixture)
{
    return query(fixture, "SELECT coalesce(string_agg(concat(id, ' ', kind, ' ', parameters,"
                          " CASE WHEN cancel THEN '!' END), ', ' ORDER BY id), '') FROM jobs"
                          " WHERE finished IS NULL");
}

static void test_at_first_nothing_is_known(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    struct search_index index = read_index(&connection);
    assert_int_equal(strlen(index.deployment), 36);
    assert_false(index.recorded || index.incomplete);
    assert_string_equal(index.identity, "");
    assert_string_equal(index.building, "");
    assert_string_equal(index.fault, "");
    assert_int_equal(index.documents, -1);
    assert_true(index.verified_at_us == 0 && index.verified_full_at_us == 0);
    assert_int_equal(index.verified_missing, -1);
    assert_int_equal(index.verified_extra, -1);
    assert_int_equal(index.verified_different, -1);
    connection_close(&connection);
}

static void test_all_of_the_row_is_read(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    execute(*state, "UPDATE search_index SET identity = 'a/b', documents = 7, building = 'c/d',"
                    " missing = 0.25, fault = 'ask', verified_at = '1970-01-02Z',"
                    " verified_full_at = '1970-01-03Z', verified_missing = 1, verified_extra = 2,"
                    " verified_different = 3");
    struct search_index index = read_index(&connection);
    assert_true(index.recorded && index.incomplete);
    assert_string_equal(index.identity, "a/b");
    assert_string_equal(index.building, "c/d");
    assert_string_equal(index.fault, "ask");
    assert_int_equal(index.documents, 7);
    assert_true(fabs(index.missing - 0.25) < 1e-9);
    assert_int_equal(index.verified_at_us, DAY_US);
    assert_int_equal(index.verified_full_at_us, 2 * DAY_US);
    assert_int_equal(index.verified_missing, 1);
    assert_int_equal(index.verified_extra, 2);
    assert_int_equal(index.verified_different, 3);
    connection_close(&connection);
}

/* The first index that is seen is a new one when it is empty and there are orders. */
static void test_the_first_index(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    struct search_index nothing = read_index(&connection);
    assert_int_equal(changed(&connection, &nothing, "a", 0, NULL), 0); /* no orders */
    assert_string_equal(unfinished(*state), "");
    assert_string_equal(read_index(&connection).identity, "a");

    execute(*state, "UPDATE search_index SET identity = NULL; " ORDERS(4));
    assert_int_equal(changed(&connection, &nothing, "a", 1, NULL), 0);
    assert_int_equal(read_index(&connection).documents, 1);
    assert_false(read_index(&connection).incomplete);
    execute(*state, "UPDATE search_index SET identity = NULL");
    assert_int_equal(changed(&connection, &nothing, "a", 0, NULL), 0); /* they are on their way */
    execute(*state, "UPDATE search_index SET identity = NULL;"
                    "UPDATE orders SET created_at = now() - interval '61 s'");
    assert_int_equal(changed(&connection, &nothing, "a", 0, NULL), 1);
    assert_string_equal(unfinished(*state), "1 repair {\"refill\": true}");
    assert_string_equal(query(*state, "SELECT concat_ws(' ', requested_by, automatic) FROM jobs"),
                        "scheduler t");
    assert_true(fabs(read_index(&connection).missing - 1) < 1e-9);
    connection_close(&connection);
}

/* Two schedulers see a new index at once, before either has written: one refill. What runs is
 * canceled, what waits has ended. */
static void test_another_index(void **state)
{
    struct connection first, second;
    connection_open(&first, *state);
    connection_open(&second, *state);
    execute(*state, ORDERS(4));
    execute(*state,
            "UPDATE search_index SET identity = 'a', documents = 4, fault = 'old';"
            "INSERT INTO jobs (kind, state, token, lease, started, automatic) VALUES"
            " ('verify', 'running', 1, now(), now(), true),"
            " ('replay', 'running', 2, now(), now(), false);"
            "INSERT INTO jobs (kind, automatic) VALUES ('repair', true), ('reindex', false)");
    struct search_index read = read_index(&first);
    struct told tolds[2] = {{.done = false}, {.done = false}};
    struct connection *const both[] = {&first, &second};
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            search_index_changed(both[i]->database, &read, "b", 1, true, NULL, on_told, &tolds[i]),
            0);
    for (int i = 0; i < 2; i++)
        run_until(*state, &tolds[i].done);
    assert_int_equal(tolds[0].number + tolds[1].number, 1);
    assert_string_equal(unfinished(*state), "1 verify !, 2 replay , 4 reindex ,"
                                            " 5 repair {\"refill\": true}");
    struct search_index now = read_index(&first);
    assert_string_equal(now.identity, "b");
    assert_string_equal(now.fault, "");
    assert_int_equal(now.documents, 1);
    assert_true(fabs(now.missing - 0.75) < 1e-9);

    /* Gone: there is nothing to fill until another one is there. */
    assert_int_equal(changed(&first, &now, SEARCH_INDEX_GONE, 0, NULL), 1);
    assert_string_equal(unfinished(*state), "1 verify !, 2 replay , 4 reindex ");
    now = read_index(&first);
    assert_true(now.recorded && now.identity[0] == '\0');
    assert_true(fabs(now.missing - 1) < 1e-9);
    assert_int_equal(changed(&first, &now, "c", 0, NULL), 1);
    assert_string_equal(unfinished(*state), "1 verify !, 2 replay , 4 reindex ,"
                                            " 6 repair {\"refill\": true}");
    connection_close(&second);
    connection_close(&first);
}

static void test_another_index_is_only_told(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    execute(*state, ORDERS(4));
    execute(*state, "UPDATE search_index SET identity = 'a', documents = 4");
    struct search_index read = read_index(&connection);
    assert_int_equal(changed(&connection, &read, "b", 3, "a new one"), 1);
    assert_string_equal(unfinished(*state), "");
    read = read_index(&connection);
    assert_string_equal(read.fault, "a new one");
    assert_true(fabs(read.missing - 0.25) < 1e-9);
    connection_close(&connection);
}

/* What a reindex swaps in is no new index, as long as the reindex has not ended: not when it was
 * seen before the reindex has told, and not when the look is late. */
static void test_a_swap_is_no_new_index(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    execute(*state, ORDERS(4));
    execute(*state, "UPDATE search_index SET identity = 'a', documents = 4;"
                    "INSERT INTO jobs (kind, state, token, lease, started)"
                    " VALUES ('reindex', 'running', 7, now() + interval '1 h', now());"
                    "INSERT INTO jobs (kind, parameters, automatic) VALUES"
                    " ('repair', '{\"refill\": true}', true), ('verify', '{}', true)");
    const struct long_job job = {.id = 1, .token = 7}, late = {.id = 1, .token = 8};
    struct search_index early = read_index(&connection);
    struct told told = {.done = false};
    struct database *database = connection.database;
    assert_int_equal(
        wait_for(&connection, search_index_building(database, &job, "b", on_told, &told), &told)
            .hold,
        LONG_JOB_HELD);
    struct search_index building = read_index(&connection);
    assert_string_equal(building.building, "b");
    assert_int_equal(changed(&connection, &building, "b", 1, NULL), 0);
    assert_string_equal(read_index(&connection).identity, "a");

    told.done = false;
    assert_int_equal(
        wait_for(&connection, search_index_swapped(database, &late, "b", 4, on_told, &told), &told)
            .hold,
        LONG_JOB_LOST);
    assert_string_equal(read_index(&connection).identity, "a");
    told.done = false;
    (void)wait_for(&connection, search_index_swapped(database, &job, "b", 4, on_told, &told),
                   &told);
    assert_int_equal(changed(&connection, &early, "b", 1, NULL), 0);
    assert_int_equal(changed(&connection, &building, "a", 4, NULL), 0); /* a look before the swap */
    struct search_index now = read_index(&connection);
    assert_string_equal(now.identity, "b");
    assert_string_equal(now.building, "");
    assert_int_equal(now.documents, 4);
    assert_false(now.incomplete);

    /* All of it was made again. */
    execute(*state, "UPDATE search_index SET missing = 0.5, fault = 'ask'");
    told.done = false;
    (void)wait_for(&connection, search_index_rebuilt(database, &job, "other", on_told, &told),
                   &told);
    assert_true(read_index(&connection).incomplete);
    told.done = false;
    (void)wait_for(&connection, search_index_rebuilt(database, &job, "b", on_told, &told), &told);
    assert_false(read_index(&connection).incomplete);
    assert_string_equal(read_index(&connection).fault, "");
    assert_string_equal(unfinished(*state), "1 reindex , 3 verify {}");

    /* A reindex that has ended looks after nothing any more. */
    execute(*state, "UPDATE search_index SET building = 'c'; UPDATE jobs SET finished = now(),"
                    " state = 'failed' WHERE id = 1");
    now = read_index(&connection);
    assert_int_equal(changed(&connection, &now, "c", 1, NULL), 1);
    connection_close(&connection);
}

static void test_fewer_documents(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    execute(*state, "UPDATE search_index SET identity = 'a'");
    assert_int_equal(counted(&connection, 10), 0); /* the first time */
    assert_int_equal(counted(&connection, 12), 0);
    assert_int_equal(counted(&connection, 12), 0);
    assert_int_equal(counted(&connection, 11), 1);
    assert_string_equal(unfinished(*state),
                        "1 verify {\"full\": true, \"repair\": \"within_limits\"}");
    assert_int_equal(counted(&connection, 9), 0); /* one waits */
    execute(*state, "UPDATE jobs SET finished = now(), started = now(), kind = 'repair',"
                    " parameters = '{\"delete_extra\": true}'");
    assert_int_equal(counted(&connection, 8), 0); /* the repair's deletions */
    execute(*state, "UPDATE jobs SET parameters = '{\"refill\": true}'");
    assert_int_equal(counted(&connection, 7), 1); /* a refill deletes nothing */
    /* Of another index than the one that is there now, nothing is known. */
    struct search_index old = read_index(&connection);
    execute(*state, "UPDATE search_index SET identity = 'b'");
    struct told told = {.done = false};
    (void)wait_for(&connection,
                   search_index_counted(connection.database, &old, 3, true, on_told, &told), &told);
    assert_int_equal(read_index(&connection).documents, 7);
    connection_close(&connection);
}

static void test_schedules(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    int64_t tick_us = 20000 * DAY_US;
    assert_int_equal(verify(&connection, false, tick_us, true), 0); /* there are no orders */
    execute(*state, ORDERS(1));
    assert_int_equal(verify(&connection, false, tick_us, true), 0); /* and that was its verify */
    tick_us += DAY_US;
    assert_int_equal(verify(&connection, false, tick_us, true), 1);
    assert_int_equal(verify(&connection, false, tick_us, true), 0);
    assert_int_equal(verify(&connection, false, tick_us - DAY_US, true), 0);
    assert_string_equal(unfinished(*state),
                        "1 verify {\"full\": false, \"repair\": \"within_limits\"}");
    assert_int_equal(verify(&connection, false, tick_us + DAY_US, true), 0); /* it still waits */
    assert_int_equal(verify(&connection, true, tick_us, false), 1);
    assert_int_equal(verify(&connection, true, tick_us + DAY_US, false), 0);
    assert_string_equal(unfinished(*state),
                        "1 verify {\"full\": false, \"repair\": \"within_limits\"},"
                        " 2 verify {\"full\": true}");
    execute(*state, "UPDATE jobs SET finished = now();"
                    "UPDATE search_index SET verify_tick = now() + interval '3 years'");
    assert_int_equal(verify(&connection, false, tick_us, true), 1); /* a clock was wrong */
    connection_close(&connection);
}

/* Two schedulers, one tick. */
static void test_a_tick_is_done_once(void **state)
{
    struct connection first, second;
    connection_open(&first, *state);
    connection_open(&second, *state);
    execute(*state, ORDERS(1));
    struct connection *const both[] = {&first, &second};
    struct told tolds[2] = {{.done = false}, {.done = false}};
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            search_index_verify(both[i]->database, true, DAY_US, true, on_told, &tolds[i]), 0);
    for (int i = 0; i < 2; i++)
        run_until(*state, &tolds[i].done);
    assert_int_equal(tolds[0].number + tolds[1].number, 1);
    assert_string_equal(query(*state, "SELECT count(*) FROM jobs"), "1");
    connection_close(&second);
    connection_close(&first);
}

static void test_what_jobs_tell(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    struct database *database = connection.database;
    execute(*state, "INSERT INTO jobs (kind, state, token, lease, started)"
                    " VALUES ('repair', 'running', 7, now() + interval '1 h', now());"
                    "UPDATE search_index SET fault = 'ask'");
    const struct long_job job = {.id = 1, .token = 7};
    struct told told = {.done = false};
    (void)wait_for(&connection, search_index_missing(database, &job, 0.125, on_told, &told), &told);
    assert_true(fabs(read_index(&connection).missing - 0.125) < 1e-9);
    assert_string_equal(read_index(&connection).fault, "ask");
    told.done = false;
    (void)wait_for(&connection, search_index_missing(database, &job, -1, on_told, &told), &told);
    assert_false(read_index(&connection).incomplete);
    assert_string_equal(read_index(&connection).fault, "");

    const struct search_index_verified found = {.full = true,
                                                .missing = 3,
                                                .extra = 4,
                                                .different = 5,
                                                .missing_share = 0.5,
                                                .fault = "many"};
    told.done = false;
    (void)wait_for(&connection, search_index_verified(database, &job, &found, on_told, &told),
                   &told);
    struct search_index index = read_index(&connection);
    assert_true(index.verified_at_us > 0 && index.verified_full_at_us == index.verified_at_us);
    assert_int_equal(index.verified_missing, 3);
    assert_int_equal(index.verified_extra, 4);
    assert_int_equal(index.verified_different, 5);
    assert_true(fabs(index.missing - 0.5) < 1e-9);
    assert_string_equal(index.fault, "many");

    /* One of the last days takes nothing back. */
    const struct search_index_verified recent = {.missing_share = -1};
    told.done = false;
    (void)wait_for(&connection, search_index_verified(database, &job, &recent, on_told, &told),
                   &told);
    struct search_index later = read_index(&connection);
    assert_true(later.verified_at_us > index.verified_at_us);
    assert_int_equal(later.verified_full_at_us, index.verified_full_at_us);
    assert_int_equal(later.verified_missing, 0);
    assert_true(later.incomplete);
    assert_string_equal(later.fault, "many");

    /* Another index may be there by now. */
    execute(*state, "UPDATE jobs SET cancel = true");
    const struct search_index_verified all = {.full = true, .missing_share = -1};
    told.done = false;
    assert_int_equal(
        wait_for(&connection, search_index_verified(database, &job, &all, on_told, &told), &told)
            .hold,
        LONG_JOB_CANCELED);
    told.done = false;
    (void)wait_for(&connection, search_index_missing(database, &job, -1, on_told, &told), &told);
    assert_true(read_index(&connection).incomplete);
    told.done = false;
    (void)wait_for(&connection, search_index_fault(database, &job, "a word", on_told, &told),
                   &told);
    assert_string_equal(read_index(&connection).fault, "many");

    execute(*state, "UPDATE jobs SET cancel = false");
    told.done = false;
    (void)wait_for(&connection, search_index_fault(database, &job, "a word", on_told, &told),
                   &told);
    assert_string_equal(read_index(&connection).fault, "a word");

    execute(*state, "UPDATE jobs SET lease = now() - interval '1 s'");
    told.done = false;
    assert_int_equal(
        wait_for(&connection, search_index_verified(database, &job, &all, on_told, &told), &told)
            .hold,
        LONG_JOB_LOST);
    assert_true(read_index(&connection).incomplete);
    connection_close(&connection);
}

int run_search_index_tests(void)
{
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_at_first_nothing_is_known),
        DATABASE_TEST(test_all_of_the_row_is_read),
        DATABASE_TEST(test_the_first_index),
        DATABASE_TEST(test_another_index),
        DATABASE_TEST(test_another_index_is_only_told),
        DATABASE_TEST(test_a_swap_is_no_new_index),
        DATABASE_TEST(test_fewer_documents),
        DATABASE_TEST(test_schedules),
        DATABASE_TEST(test_a_tick_is_done_once),
        DATABASE_TEST(test_what_jobs_tell),
    };
    return cmocka_run_group_tests_name("search index", tests, NULL, NULL);
}
