/* Jobs about many dead letters: the statements of a scheduler. */
#include "proto/order_json.h"
#include "services/clients/postgres/letter_jobs.h"
#include "tests/unit/clients/postgres/fixture.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct long_job job = {.id = 1, .token = 11, .kind = "replay", .requested_by = "eve"};
static const struct long_job stranger = {
    .id = 1, .token = 12, .kind = "replay", .requested_by = "mallory"};

/* An answer. */
struct told {
    bool done;
    enum long_job_hold hold;
    bool all, replayed, archive_off;
    bool again[4]; /* letters 0..3 */
    struct job_letter letter;
    enum { TOLD_HOLD, TOLD_DISCARDED, TOLD_LETTER, TOLD_REPLAYED, TOLD_AGAIN } what;
};

static void on_told(void *arg, const struct database_answer *answer)
{
    struct told *told = arg;
    if (answer->status != DATABASE_OK)
        fail_msg("%s", answer->message);
    told->done = true;
    if (told->what != TOLD_AGAIN && told->what != TOLD_LETTER)
        told->hold = long_job_hold(answer);
    if (told->what == TOLD_DISCARDED)
        told->all = letters_discarded_all(answer);
    if (told->what == TOLD_LETTER)
        letters_next_read(answer, &told->letter);
    if (told->what == TOLD_REPLAYED)
        told->replayed = letters_replayed(answer);
    if (told->what == TOLD_AGAIN) {
        told->archive_off = letters_archive_off(answer);
        for (int i = 0; i < 4; i++)
            told->again[i] = letters_has_died_again(answer, i);
    }
}

static void wait_for(struct connection *connection, int sent, struct told *told)
{
    assert_int_equal(sent, 0);
    run_until(connection->fixture, &told->done);
}

static struct told discard(struct connection *connection, const struct long_job *of)
{
    struct told told = {.what = TOLD_DISCARDED};
    wait_for(connection, letters_discard(connection->database, of, on_told, &told), &told);
    return told;
}

static struct job_letter next(struct connection *connection, bool sent, int64_t after)
{
    struct told told = {.what = TOLD_LETTER};
    wait_for(connection, letters_next(connection->database, &job, sent, after, on_told, &told),
             &told);
    return told.letter;
}

static struct told replay(struct connection *connection, const struct long_job *of, int64_t letter,
                          const struct order *order)
{
    struct told told = {.what = TOLD_REPLAYED};
    wait_for(connection, letters_replay(connection->database, of, letter, order, on_told, &told),
             &told);
    return told;
}

static enum long_job_hold settle(struct connection *connection, const struct long_job *of,
                                 const struct letter_fates *fates)
{
    struct told told = {.what = TOLD_HOLD};
    wait_for(connection, letters_settle(connection->database, of, fates, on_told, &told), &told);
    return told.hold;
}

/* Add a dead letter with this body. */
static void add_letter(struct fixture *fixture, const char *body)
{
    char sql[2 * ORDER_JSON_SIZE + 600];
    snprintf(sql, sizeof sql,
             "INSERT INTO dead_letters (queue, reason, detail, stage, attempts, body, body_bytes,"
             " properties, digest, died_at, traceparent, tracestate) VALUES ('order_queue',"
             " 'refused', '', 'persist', 1, convert_to('%s', 'UTF8'), octet_length('%s'), '', '',"
             " now(), '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'a=b')",
             body, body);
    execute(fixture, sql);
}

static void add_order_letter(struct fixture *fixture, const struct order *order)
{
    char json[ORDER_JSON_SIZE];
    (void)order_to_json(order, json);
    add_letter(fixture, json);
}

/* The job of this kind is running under the token 11, with all letters. */
static void add_job(struct fixture *fixture, const char *kind)
{
    char sql[512];
    snprintf(sql, sizeof sql,
             "INSERT INTO jobs (kind, state, started, token, lease, requested_by, parameters,"
             " total) SELECT '%s', 'running', now(), 11, now() + interval '1 h', 'eve',"
             " '{\"reason\":\"test orders\"}', count(*) FROM dead_letters;"
             "INSERT INTO job_items (job, item) SELECT 1, id FROM dead_letters",
             kind);
    execute(fixture, sql);
}

static const char *outcome(struct fixture *fixture)
{
    return query(fixture, "SELECT concat_ws(' ', state, done, total, checkpoint, result::text,"
                          " (SELECT count(*) FROM job_items)) FROM jobs");
}

static void test_discard(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    for (int i = 0; i < 3; i++)
        add_letter(fixture, "{}");
    execute(fixture, "INSERT INTO dead_letters (queue, reason, detail, stage, attempts, body,"
                     " body_bytes, properties, digest, died_at) SELECT queue, reason, detail,"
                     " stage, attempts, body, body_bytes, properties, digest, died_at"
                     " FROM dead_letters, generate_series(1, 200)");
    add_job(fixture, "discard");
    execute(fixture, "UPDATE dead_letters SET state = 'replayed' WHERE id = 2");
    assert_int_equal(discard(&connection, &stranger).hold, LONG_JOB_LOST);
    assert_string_equal(outcome(fixture), "running 0 603 603");

    struct told told = discard(&connection, &job);
    assert_int_equal(told.hold, LONG_JOB_HELD);
    assert_false(told.all);
    assert_string_equal(outcome(fixture),
                        "running 500 603 {\"skipped\": 1, \"discarded\": 499} 103");
    execute(fixture, "UPDATE jobs SET cancel = true");
    told = discard(&connection, &job);
    assert_int_equal(told.hold, LONG_JOB_CANCELED);
    assert_string_equal(outcome(fixture), "running 603 603 {\"skipped\": 1, \"discarded\": 602} 0");
    assert_true(discard(&connection, &job).all);
    assert_string_equal(query(fixture, "SELECT count(*) FROM dead_letters WHERE state = 'discarded'"
                                       " AND ended_by = 'eve' AND ended_reason = 'test orders'"
                                       " AND job = 1 AND ended_at <= clock_timestamp()"),
                        "602");
    connection_close(&connection);
}

/* The lease has ended, and nobody has claimed the job yet. */
static void test_nothing_without_a_lease(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    struct order order = make_order(1, "lamp", 990);
    add_order_letter(fixture, &order);
    add_job(fixture, "replay");
    execute(fixture, "UPDATE jobs SET lease = now() - interval '1 ms'");
    assert_int_equal(discard(&connection, &job).hold, LONG_JOB_LOST);
    assert_int_equal(replay(&connection, &job, 1, &order).hold, LONG_JOB_LOST);
    const struct letter_fates fates = {.letters = {1}, .count = 1, .searchable = 1};
    assert_int_equal(settle(&connection, &job, &fates), LONG_JOB_LOST);
    assert_string_equal(query(fixture, "SELECT state FROM dead_letters"), "dead");
    assert_string_equal(query(fixture, "SELECT count(*) FROM order_outbox"), "0");
    assert_string_equal(outcome(fixture), "running 0 1 1");
    connection_close(&connection);
}

static void test_next(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    struct order order = make_order(7, "caf\xc3\xa9 \"au lait\"", -1);
    add_order_letter(fixture, &order);
    add_letter(fixture, "{\"product_name\":1}");
    add_order_letter(fixture, &order);
    add_order_letter(fixture, &order);
    execute(fixture, "UPDATE dead_letters SET body_bytes = 2000000 WHERE id = 4");
    add_job(fixture, "replay");
    execute(fixture, "INSERT INTO job_items (job, item) VALUES (1, 9), (2, 0)");
    execute(fixture, "UPDATE job_items SET state = 'sent' WHERE item = 3");

    struct job_letter letter = next(&connection, false, 0);
    assert_int_equal(letter.id, 1);
    assert_true(letter.dead && letter.is_order);
    assert_true(order_equal(&letter.order, &order));
    letter = next(&connection, false, 1);
    assert_int_equal(letter.id, 2);
    assert_true(letter.dead && !letter.is_order);
    letter = next(&connection, false, 2);
    assert_int_equal(letter.id, 4);
    assert_true(letter.dead && !letter.is_order); /* its body was cut */
    letter = next(&connection, false, 4);
    assert_int_equal(letter.id, 9);
    assert_false(letter.dead || letter.is_order); /* there is no such letter */
    assert_int_equal(next(&connection, false, 9).id, 0);
    assert_int_equal(next(&connection, true, 0).id, 3);
    assert_int_equal(next(&connection, true, 3).id, 0);
    connection_close(&connection);
}

/* In a job: marked, in the outbox and sent, all or nothing. */
static void test_replay_in_a_job(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    struct order order = make_order(1, "lamp", 99090);
    char json[ORDER_JSON_SIZE];
    (void)order_to_json(&order, json);
    add_order_letter(fixture, &order);
    add_order_letter(fixture, &order);
    add_job(fixture, "replay");
    assert_int_equal(replay(&connection, &stranger, 1, &order).hold, LONG_JOB_LOST);
    assert_string_equal(query(fixture, "SELECT count(*) FROM order_outbox"), "0");

    struct told told = replay(&connection, &job, 1, &order);
    assert_int_equal(told.hold, LONG_JOB_HELD);
    assert_true(told.replayed);
    assert_string_equal(query(fixture, "SELECT concat_ws(' ', state, ended_by, replayed_as, job)"
                                       " FROM dead_letters WHERE id = 1"),
                        "replayed eve ab000000-0000-0000-0000-000000000001 1");
    assert_string_equal(query(fixture, "SELECT json FROM order_outbox"), json);
    assert_string_equal(query(fixture, "SELECT concat_ws(' ', order_id, product_name, amount,"
                                       " traceparent, tracestate, replay_of) FROM order_outbox"),
                        "ab000000-0000-0000-0000-000000000001 lamp 990.90"
                        " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 a=b 1");
    assert_string_equal(query(fixture, "SELECT string_agg(state, ' ' ORDER BY item)"
                                       " FROM job_items"),
                        "sent waiting");
    told = replay(&connection, &job, 1, &order); /* again */
    assert_int_equal(told.hold, LONG_JOB_HELD);
    assert_false(told.replayed);

    /* Somebody else discards the second one meanwhile. */
    execute(fixture, "BEGIN; UPDATE dead_letters SET state = 'discarded' WHERE id = 2");
    struct told late = {.what = TOLD_REPLAYED};
    assert_int_equal(letters_replay(connection.database, &job, 2, &order, on_told, &late), 0);
    run_until_query(fixture, "SELECT count(*) FROM pg_locks WHERE NOT granted", "1");
    assert_false(late.done);
    execute(fixture, "COMMIT");
    wait_for(&connection, 0, &late);
    assert_false(late.replayed);
    assert_string_equal(query(fixture, "SELECT count(*) FROM order_outbox"), "1");
    connection_close(&connection);
}

static void test_fates(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    for (int i = 0; i < 6; i++)
        add_letter(fixture, "{}");
    add_job(fixture, "replay");
    execute(fixture, "UPDATE dead_letters SET replay_of = 2 WHERE id IN (4, 5)");
    struct told told = {.what = TOLD_AGAIN};
    const int64_t sent[] = {1, 2, 3};
    wait_for(&connection, letters_died_again(connection.database, sent, 3, on_told, &told), &told);
    assert_true(told.again[2]);
    assert_false(told.again[0] || told.again[1] || told.again[3] || told.archive_off);
    execute(fixture, "INSERT INTO scheduler_seen (at, archive) VALUES (now(), 'off')");
    told = (struct told){.what = TOLD_AGAIN};
    wait_for(&connection, letters_died_again(connection.database, sent, 1, on_told, &told), &told);
    assert_true(told.archive_off);
    assert_false(told.again[0] || told.again[1] || told.again[2] || told.again[3]);

    struct letter_fates fates = {.letters = {1, 2, 6},
                                 .count = 3,
                                 .searchable = 1,
                                 .died_again = 1,
                                 .skipped = 1,
                                 .in_a_row = 1};
    assert_int_equal(settle(&connection, &stranger, &fates), LONG_JOB_LOST);
    assert_int_equal(settle(&connection, &job, &fates), LONG_JOB_HELD);
    assert_string_equal(outcome(fixture),
                        "running 3 6 1 {\"skipped\": 1, \"died_again\": 1, \"searchable\": 1} 3");
    fates = (struct letter_fates){.letters = {3}, .count = 1, .searchable = 1};
    assert_int_equal(settle(&connection, &job, &fates), LONG_JOB_HELD);
    assert_string_equal(outcome(fixture),
                        "running 4 6 0 {\"skipped\": 1, \"died_again\": 1, \"searchable\": 2} 2");
    connection_close(&connection);
}

int run_letter_jobs_tests(void)
{
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_discard), DATABASE_TEST(test_nothing_without_a_lease),
        DATABASE_TEST(test_next),    DATABASE_TEST(test_replay_in_a_job),
        DATABASE_TEST(test_fates),
    };
    return cmocka_run_group_tests_name("letter jobs", tests, NULL, NULL);
}
