/* The archive of dead letters: what is stored, what is a copy, what is forgotten. */
#include "services/clients/postgres/advisory_locks.h"
#include "services/clients/postgres/dead_letter_archive.h"
#include "tests/unit/clients/postgres/fixture.h"
#include <string.h>

struct told {
    bool done;
    enum database_status status;
    char sqlstate[6];
    int64_t number;
};

static void on_stored(void *arg, const struct database_answer *answer)
{
    struct told *told = arg;
    told->done = true;
    told->status = answer->status;
    strcpy(told->sqlstate, answer->sqlstate);
    told->number = answer->status == DATABASE_OK ? dead_letters_copies(answer) : 0;
}

static void on_number(void *arg, const struct database_answer *answer)
{
    *(struct told *)arg =
        (struct told){.done = true, .status = answer->status, .number = database_number(answer)};
}

static struct told store_all(struct connection *connection, const struct dead_letter_row *rows,
                             size_t count)
{
    struct told told = {.done = false};
    assert_int_equal(dead_letters_store(connection->database, rows, count, on_stored, &told), 0);
    run_until(connection->fixture, &told.done);
    return told;
}

/* Returns how many were copies. */
static int64_t store(struct connection *connection, const struct dead_letter_row *rows,
                     size_t count)
{
    struct told told = store_all(connection, rows, count);
    assert_int_equal(told.status, DATABASE_OK);
    return told.number;
}

static struct dead_letter_row letter(unsigned char digest)
{
    struct dead_letter_row row = {
        .queue = "order_queue",
        .reason = "malformed",
        .detail = "not \"JSON\", {but},\\ text",
        .stage = "intake",
        .attempts = 3,
        .body = "{\0\xFF}",
        .body_len = 4,
        .body_bytes = 5000000000,
        .properties = "\0\0",
        .properties_len = 2,
        .died_at_us = INT64_C(1700000000123456),
    };
    memset(row.digest, digest, sizeof row.digest);
    return row;
}

static void test_all_of_a_letter_is_stored(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    struct dead_letter_row rows[] = {letter(1), letter(2)};
    rows[1].has_order_id = true;
    memset(rows[1].order_id.bytes, 0xAB, sizeof rows[1].order_id.bytes);
    strcpy(rows[1].traceparent, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    strcpy(rows[1].tracestate, "a=1");
    rows[1].replay_of = 77;
    rows[1].body_len = 0;
    assert_int_equal(store(&connection, rows, 2), 0);
    assert_string_equal(
        query(fixture, "SELECT concat_ws(' ', state, queue, reason, detail, stage, attempts,"
                       " order_id, body, body_bytes, properties, substr(digest::text, 1, 4),"
                       " copies, extract(epoch FROM died_at), traceparent, tracestate, replay_of)"
                       " FROM dead_letters ORDER BY id LIMIT 1"),
        "dead order_queue malformed not \"JSON\", {but},\\ text intake 3 \\x7b00ff7d 5000000000"
        " \\x0000 \\x01 0 1700000000.123456");
    assert_string_equal(
        query(fixture, "SELECT concat_ws(' ', order_id, body, traceparent, tracestate, replay_of)"
                       " FROM dead_letters ORDER BY id OFFSET 1"),
        "abababab-abab-abab-abab-abababababab \\x"
        " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 a=1 77");
    connection_close(&connection);
}

static void test_only_what_may_be_a_copy_of_a_dead_one_is_counted(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    struct dead_letter_row first = letter(1);
    assert_int_equal(store(&connection, &first, 1), 0);
    assert_int_equal(store(&connection, &first, 1), 0); /* equal, but certainly another one */
    struct dead_letter_row rows[] = {letter(1), letter(2), letter(1)};
    rows[0].may_be_copy = rows[1].may_be_copy = rows[2].may_be_copy = true;
    rows[0].copies = 4;
    rows[2].queue = "other_queue";
    assert_int_equal(store(&connection, rows, 3), 1);
    assert_string_equal(query(fixture, "SELECT string_agg(concat(queue, copies), ' ' ORDER BY id)"
                                       " FROM dead_letters"),
                        "order_queue5 order_queue0 order_queue0 other_queue0");

    /* What was replayed is not dead: a letter after it is one of its own. */
    execute(fixture, "UPDATE dead_letters SET state = 'replayed', ended_at = now()");
    assert_int_equal(store(&connection, rows, 1), 0);
    assert_string_equal(query(fixture, "SELECT copies FROM dead_letters WHERE state = 'dead'"),
                        "4");
    connection_close(&connection);
}

/* While a copy waits for the letter's row, the letter is replayed. */
static void test_a_copy_of_a_letter_that_is_replayed_meanwhile_is_kept(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    struct dead_letter_row row = letter(1);
    assert_int_equal(store(&connection, &row, 1), 0);
    execute(fixture, "BEGIN; UPDATE dead_letters SET state = 'replayed', ended_at = now()");
    row.may_be_copy = true;
    struct told told = {.done = false};
    assert_int_equal(dead_letters_store(connection.database, &row, 1, on_stored, &told), 0);
    run_until_query(fixture, "SELECT count(*) FROM pg_locks WHERE NOT granted", "1");
    assert_false(told.done);
    execute(fixture, "COMMIT");
    run_until(fixture, &told.done);
    assert_int_equal(told.status, DATABASE_OK);
    assert_int_equal(told.number, 0);
    assert_string_equal(query(fixture, "SELECT string_agg(state, ' ' ORDER BY id)"
                                       " FROM dead_letters"),
                        "replayed dead");
    connection_close(&connection);
}

/* PostgreSQL still stores a letter for a scheduler that has died, and the letter comes again. */
static void test_a_copy_waits_for_the_letter_that_is_being_stored(void **state)
{
    struct fixture *fixture = *state;
    struct connection dying, connection;
    connection_open(&dying, fixture);
    connection_open(&connection, fixture);
    struct dead_letter_row row = letter(1);
    struct told first = {.done = false}, copy = {.done = false};
    /* The INSERT waits for this lock, and not for the one that those who store share. */
    execute(fixture, "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS"
                     " 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END';"
                     "CREATE TRIGGER wait BEFORE INSERT ON dead_letters FOR EACH ROW"
                     " EXECUTE FUNCTION wait(); SELECT pg_advisory_lock(1)");
    assert_int_equal(dead_letters_store(dying.database, &row, 1, on_stored, &first), 0);
    run_until_query(fixture, "SELECT count(*) FROM pg_locks WHERE NOT granted", "1");
    row.may_be_copy = true;
    assert_int_equal(dead_letters_store(connection.database, &row, 1, on_stored, &copy), 0);
    run_until_query(fixture, "SELECT count(*) FROM pg_locks WHERE NOT granted", "2");
    execute(fixture, "SELECT pg_advisory_unlock(1)");
    run_until(fixture, &first.done);
    run_until(fixture, &copy.done);
    assert_int_equal(copy.number, 1);
    assert_string_equal(query(fixture, "SELECT string_agg(copies::text, ' ') FROM dead_letters"),
                        "1");
    connection_close(&connection);
    connection_close(&dying);
}

/* Filling the ledger may take hours. */
static void test_letters_do_not_wait_for_the_sales_ledger(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    execute(fixture, "SELECT pg_advisory_lock(" LOCK_OF_SALES_LEDGER ")");
    struct dead_letter_row row = letter(1);
    row.may_be_copy = true;
    assert_int_equal(store(&connection, &row, 1), 0);
    execute(fixture, "SELECT pg_advisory_unlock(" LOCK_OF_SALES_LEDGER ")");
    connection_close(&connection);
}

static void test_what_the_server_refuses_stores_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    struct dead_letter_row rows[] = {letter(1), letter(2)};
    strcpy(rows[1].detail, "\xC3(");
    struct told told = store_all(&connection, rows, 2);
    assert_int_equal(told.status, DATABASE_FAILED);
    assert_string_equal(told.sqlstate, "22021");
    assert_string_equal(query(fixture, "SELECT count(*) FROM dead_letters"), "0");
    connection_close(&connection);
}

static int64_t forget(struct connection *connection, int64_t retention_ms)
{
    struct told told = {.done = false};
    assert_int_equal(dead_letters_forget(connection->database, retention_ms, on_number, &told), 0);
    run_until(connection->fixture, &told.done);
    assert_int_equal(told.status, DATABASE_OK);
    return told.number;
}

static void test_only_what_was_settled_long_ago_is_forgotten(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    execute(fixture,
            "INSERT INTO dead_letters (queue, state, reason, detail, stage, attempts, body,"
            " body_bytes, properties, digest, died_at, ended_at)"
            " SELECT 'q', state, 'r', 'd', 's', 0, '', 0, '', '', now() - interval '1 year',"
            " now() - age FROM (VALUES ('dead', NULL), ('dead', interval '1 year'),"
            " ('replayed', '59 s'), ('replayed', '61 s'), ('discarded', '1 day')) AS v(state, age),"
            " generate_series(1, 300)");
    assert_int_equal(forget(&connection, 60000), DEAD_LETTERS_FORGET_MAX);
    assert_int_equal(forget(&connection, 60000), 100);
    assert_int_equal(forget(&connection, 60000), 0);
    assert_string_equal(query(fixture, "SELECT string_agg(concat(state, n), ' ' ORDER BY state)"
                                       " FROM (SELECT state, count(*) AS n FROM dead_letters"
                                       " GROUP BY state) AS s"),
                        "dead600 replayed300");
    connection_close(&connection);
}

struct counts {
    bool done;
    int rows;
    struct dead_letter_count malformed, other;
};

static void on_counted(void *arg, const struct database_answer *answer)
{
    struct counts *counts = arg;
    struct dead_letter_count count;
    assert_int_equal(answer->status, DATABASE_OK);
    for (; dead_letters_counted(answer, counts->rows, &count); counts->rows++) {
        if (strcmp(count.state, "dead") == 0 && strcmp(count.reason, "malformed") == 0)
            counts->malformed = count;
        if (strcmp(count.state, "dead") == 0 && strcmp(count.reason, "other") == 0)
            counts->other = count;
    }
    counts->done = true;
}

static void test_letters_are_counted_and_measured(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    struct dead_letter_row rows[] = {letter(1), letter(2), letter(3), letter(4)};
    rows[0].died_at_us = INT64_C(-1500000);
    strcpy(rows[2].reason, "anything, \"at all\"");
    strcpy(rows[3].reason, "sqlstate_22003");
    assert_int_equal(store(&connection, rows, 4), 0);
    struct counts counts = {.done = false};
    assert_int_equal(dead_letters_count(connection.database, on_counted, &counts), 0);
    run_until(fixture, &counts.done);
    assert_int_equal(counts.rows, 2);
    assert_int_equal(counts.malformed.letters, 2);
    assert_int_equal(counts.malformed.oldest_us, INT64_C(-1500000));
    assert_int_equal(counts.other.letters, 2);

    struct told on_disk = {.done = false}, alone = {.done = false};
    assert_int_equal(dead_letters_measure(connection.database, 1 << 30, on_number, &on_disk), 0);
    assert_int_equal(dead_letters_measure(connection.database, 1, on_number, &alone), 0);
    run_until(fixture, &alone.done);
    assert_true(on_disk.number >= 8192);
    assert_int_equal(alone.number, 4 * (4 + 2 + 512));
    connection_close(&connection);
}

int run_dead_letter_archive_tests(void)
{
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_all_of_a_letter_is_stored),
        DATABASE_TEST(test_only_what_may_be_a_copy_of_a_dead_one_is_counted),
        DATABASE_TEST(test_a_copy_of_a_letter_that_is_replayed_meanwhile_is_kept),
        DATABASE_TEST(test_a_copy_waits_for_the_letter_that_is_being_stored),
        DATABASE_TEST(test_letters_do_not_wait_for_the_sales_ledger),
        DATABASE_TEST(test_what_the_server_refuses_stores_nothing),
        DATABASE_TEST(test_only_what_was_settled_long_ago_is_forgotten),
        DATABASE_TEST(test_letters_are_counted_and_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
