/* Dead letters as a gateway reads and settles them. */
#include "proto/timestamp.h"
#include "services/clients/postgres/dead_letters.h"
#include "services/clients/postgres/letter_jobs_request.h"
#include "services/clients/postgres/letter_settling.h"
#include "tests/unit/clients/postgres/fixture.h"
#include <stdio.h>
#include <string.h>

/* Letters 1 to 4, of which the last is discarded. */
static void add_letters(struct fixture *fixture)
{
    execute(fixture,
            "INSERT INTO dead_letters (queue, reason, detail, stage, attempts, order_id, body,"
            " body_bytes, properties, digest, died_at, traceparent, tracestate) VALUES"
            " ('q', 'malformed', 'Not a 100% JSON', 'intake', 0, NULL, '\\x00ff22', 3, '\\x0000',"
            "  '', '2026-01-01T00:00:00Z', NULL, NULL),"
            " ('q', 'unacceptable', 'bad name', 'persist', 2,"
            "  'ab000000-0000-0000-0000-000000000007', 'x', 2000000, '\\x8000', '',"
            "  '2026-01-02T00:00:00.5Z', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',"
            "  'a=1'),"
            " ('q', 'malformed', '', 'intake', 0, NULL, '', 0, '', '', 'infinity', 'short', NULL);"
            "INSERT INTO dead_letters (state, queue, reason, detail, stage, attempts, body,"
            " body_bytes, properties, digest, died_at, ended_at, ended_by, ended_reason, job)"
            " VALUES ('discarded', 'q', 'expired', '', 'intake', 0, '', 0, '', '', '-infinity',"
            " '2026-02-01T00:00:00Z', 'ada', 'a test', 5)");
}

/* ---- reads ---- */

struct listed {
    bool done;
    size_t count;
    int64_t ids[8];
    int64_t first_died_at_us;
};

static void on_listed(void *arg, const struct letter *letters, size_t count,
                      const struct database_answer *answer)
{
    struct listed *listed = arg;
    assert_int_equal(answer->status, DATABASE_OK);
    listed->count = count;
    for (size_t i = 0; i < count && i < 8; i++)
        listed->ids[i] = letters[i].id;
    listed->first_died_at_us = count > 0 ? letters[0].died_at_us : 0;
    listed->done = true;
}

static struct listed list(struct connection *connection, struct letter_filter filter,
                          int64_t before_id, unsigned limit)
{
    struct listed listed = {.done = false};
    assert_int_equal(
        letters_list(connection->database, &filter, before_id, limit, on_listed, &listed), 0);
    run_until(connection->fixture, &listed.done);
    return listed;
}

static void assert_lists(struct connection *connection, struct letter_filter filter,
                         const char *expected)
{
    char ids[64] = "";
    struct listed listed = list(connection, filter, INT64_MAX, 8);
    for (size_t i = 0; i < listed.count; i++)
        snprintf(ids + strlen(ids), sizeof ids - strlen(ids), "%d ", (int)listed.ids[i]);
    assert_string_equal(ids, expected);
}

static void test_list(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    assert_lists(&connection, (struct letter_filter){.state = NULL}, "");
    add_letters(*state);
    assert_lists(&connection, (struct letter_filter){.state = NULL}, "4 3 2 1 ");
    assert_lists(&connection, (struct letter_filter){.state = "dead"}, "3 2 1 ");
    assert_lists(&connection, (struct letter_filter){.reason = "malformed"}, "3 1 ");
    assert_lists(&connection, (struct letter_filter){.stage = "persist"}, "2 ");
    assert_lists(&connection, (struct letter_filter){.detail = "100% json"}, "1 ");
    assert_lists(&connection, (struct letter_filter){.detail = "1_0"}, "");
    assert_lists(&connection, (struct letter_filter){.detail = "%"}, "1 ");
    struct letter_filter by_order = {.by_order_id = true, .order_id = make_order(7, "", 0).id};
    assert_lists(&connection, by_order, "2 ");
    int64_t middle_us, second_us;
    assert_int_equal(timestamp_parse("2026-01-01T00:00:00Z", 20, &middle_us), 0);
    assert_int_equal(timestamp_parse("2026-01-02T00:00:00.5Z", 22, &second_us), 0);
    struct letter_filter since = {.by_since = true, .since_us = middle_us};
    assert_lists(&connection, since, "3 2 1 ");
    struct letter_filter between = {
        .by_since = true, .since_us = middle_us, .by_until = true, .until_us = second_us};
    assert_lists(&connection, between, "1 ");
    struct letter_filter ages = {.by_since = true,
                                 .since_us = TIMESTAMP_MIN_US,
                                 .by_until = true,
                                 .until_us = TIMESTAMP_MAX_US};
    assert_lists(&connection, ages, "2 1 ");

    struct listed page = list(&connection, (struct letter_filter){.state = NULL}, 4, 2);
    assert_int_equal(page.count, 2);
    assert_int_equal(page.ids[0], 3);
    assert_int_equal(page.ids[1], 2);
    assert_true(page.first_died_at_us == TIMESTAMP_MAX_US); /* infinity */
    page = list(&connection, (struct letter_filter){.state = NULL}, 1, 2);
    assert_int_equal(page.count, 0);
    connection_close(&connection);
}

struct found {
    bool done, found;
    struct letter letter;
    char body[8], ended_by[16], ended_reason[16];
    size_t body_len, properties_len;
};

static void on_found(void *arg, const struct letter *letter, const struct letter_content *content,
                     const struct database_answer *answer)
{
    struct found *found = arg;
    assert_int_equal(answer->status, DATABASE_OK);
    found->done = true;
    found->found = letter != NULL;
    if (letter == NULL)
        return;
    found->letter = *letter;
    found->body_len = content->body_len;
    found->properties_len = content->properties_len;
    assert_true(content->body_len <= sizeof found->body);
    memcpy(found->body, content->body, content->body_len);
    snprintf(found->ended_by, sizeof found->ended_by, "%s",
             letter->ended_by != NULL ? letter->ended_by : "");
    snprintf(found->ended_reason, sizeof found->ended_reason, "%s",
             letter->ended_reason != NULL ? letter->ended_reason : "");
}

static struct found find(struct connection *connection, int64_t id)
{
    struct found found = {.done = false};
    assert_int_equal(letters_find(connection->database, id, on_found, &found), 0);
    run_until(connection->fixture, &found.done);
    return found;
}

static void test_find(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    add_letters(*state);
    struct found found = find(&connection, 1);
    assert_int_equal(found.body_len, 3);
    assert_memory_equal(found.body, "\x00\xff\x22", 3);
    assert_int_equal(found.properties_len, 2);
    assert_false(found.letter.has_order_id || found.letter.ended || found.letter.has_replayed_as);
    assert_string_equal(found.letter.trace_id, "");

    found = find(&connection, 2);
    assert_true(found.letter.has_order_id);
    assert_int_equal(found.letter.body_bytes, 2000000);
    assert_int_equal(found.letter.attempts, 2);
    assert_string_equal(found.letter.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_string_equal(find(&connection, 3).letter.trace_id, "");

    found = find(&connection, 4);
    assert_true(found.letter.ended);
    assert_string_equal(found.ended_by, "ada");
    assert_string_equal(found.ended_reason, "a test");
    assert_int_equal(found.letter.job, 5);
    assert_true(found.letter.died_at_us == TIMESTAMP_MIN_US);
    assert_false(find(&connection, 5).found);
    assert_false(find(&connection, -1).found);
    connection_close(&connection);
}

struct counted {
    bool done;
    int64_t letters;
    char text[4200];
};

static void on_counted(void *arg, const struct letter_counts *counts,
                       const struct database_answer *answer)
{
    struct counted *counted = arg;
    assert_int_equal(answer->status, DATABASE_OK);
    counted->done = true;
    counted->letters = counts->letters;
    for (size_t i = 0; i < counts->reason_count; i++)
        snprintf(counted->text + strlen(counted->text),
                 sizeof counted->text - strlen(counted->text), "%s %d ", counts->reasons[i].reason,
                 (int)counts->reasons[i].letters);
}

static struct counted count(struct connection *connection, struct letter_filter filter)
{
    struct counted counted = {.done = false};
    assert_int_equal(letters_count(connection->database, &filter, on_counted, &counted), 0);
    run_until(connection->fixture, &counted.done);
    return counted;
}

static void test_count(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    assert_int_equal(count(&connection, (struct letter_filter){.state = "dead"}).letters, 0);
    add_letters(*state);
    struct counted counted = count(&connection, (struct letter_filter){.state = "dead"});
    assert_int_equal(counted.letters, 3);
    assert_string_equal(counted.text, "malformed 2 unacceptable 1 ");
    execute(*state, "INSERT INTO dead_letters (queue, reason, detail, stage, attempts, body,"
                    " body_bytes, properties, digest, died_at)"
                    " SELECT 'q', 'r' || n, '', 'intake', 0, '', 0, '', '', now()"
                    " FROM generate_series(1, 200) AS n");
    counted = count(&connection, (struct letter_filter){.state = "dead"});
    assert_int_equal(counted.letters, 203); /* those of the reasons that are not told, too */
    connection_close(&connection);
}

/* ---- settling ---- */

struct settled {
    bool done;
    enum letter_settled result;
    char state[16], by[16];
};

static void on_settled(void *arg, enum letter_settled result, const struct letter *letter,
                       const struct database_answer *answer)
{
    struct settled *settled = arg;
    assert_false(settled->done);
    assert_int_equal(answer->status, DATABASE_OK);
    settled->done = true;
    settled->result = result;
    if (result == LETTER_ENDED) {
        snprintf(settled->state, sizeof settled->state, "%s", letter->state);
        snprintf(settled->by, sizeof settled->by, "%s", letter->ended_by);
    }
}

static struct settled settle(struct connection *connection, const struct letter_settling *settling)
{
    struct settled settled = {.done = false};
    assert_int_equal(letter_settle(connection->database, settling, on_settled, &settled), 0);
    run_until(connection->fixture, &settled.done);
    return settled;
}

static struct letter_settling a_replay(int64_t id, const char *by)
{
    return (struct letter_settling){
        .id = id, .at_us = timestamp_now_us(), .by = by, .order = make_order(7, "it's", 1999)};
}

#define OUTBOX                                                                                     \
    "SELECT coalesce(string_agg(concat_ws(' ', order_id, product_name, amount, json, traceparent," \
    " tracestate, replay_of, lease IS NULL), ';'), '') FROM order_outbox"

static void test_replay(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    add_letters(fixture);
    struct letter_settling replay = a_replay(2, "ada");
    assert_int_equal(settle(&connection, &replay).result, LETTER_SETTLED);
    assert_string_equal(
        query(fixture, OUTBOX),
        "ab000000-0000-0000-0000-000000000007 it's 19.99 "
        "{\"id\":\"ab000000-0000-0000-0000-000000000007\",\"product_name\":\"it's\","
        "\"amount\":19.99,\"created_at\":\"2023-11-14T22:13:20.123463Z\"} "
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 a=1 2 t");
    assert_string_equal(query(fixture, "SELECT concat_ws(' ', state, ended_by, replayed_as,"
                                       " ended_at BETWEEN now() - interval '1 min' AND now(),"
                                       " ended_reason) FROM dead_letters WHERE id = 2"),
                        "replayed ada ab000000-0000-0000-0000-000000000007 t");
    struct letter letter = find(&connection, 2).letter;
    assert_true(letter.has_replayed_as);

    /* Its answer was lost, and it is asked for again. */
    assert_int_equal(settle(&connection, &replay).result, LETTER_SETTLED);
    /* Others, later. */
    struct letter_settling later = a_replay(2, "bob");
    struct settled settled = settle(&connection, &later);
    assert_int_equal(settled.result, LETTER_ENDED);
    assert_string_equal(settled.state, "replayed");
    assert_string_equal(settled.by, "ada");
    later = a_replay(2, "ada");
    assert_int_equal(settle(&connection, &later).result, LETTER_ENDED);
    later = replay;
    later.reason = "no order";
    assert_int_equal(settle(&connection, &later).result, LETTER_ENDED);
    later = a_replay(4, "ada");
    settled = settle(&connection, &later);
    assert_string_equal(settled.state, "discarded");
    later = a_replay(5, "ada");
    assert_int_equal(settle(&connection, &later).result, LETTER_MISSING);
    assert_string_equal(query(fixture, "SELECT count(*) FROM order_outbox"), "1");
    connection_close(&connection);
}

static void test_discard(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    add_letters(*state);
    struct letter_settling discard = {
        .id = 1, .at_us = timestamp_now_us(), .by = "ada", .reason = "\"no order\""};
    assert_int_equal(settle(&connection, &discard).result, LETTER_SETTLED);
    assert_int_equal(settle(&connection, &discard).result, LETTER_SETTLED);
    assert_string_equal(query(*state, "SELECT concat_ws(' ', state, ended_by, ended_reason,"
                                      " replayed_as) FROM dead_letters WHERE id = 1"),
                        "discarded ada \"no order\"");
    struct letter_settling replay = a_replay(1, "ada");
    assert_int_equal(settle(&connection, &replay).result, LETTER_ENDED);
    assert_string_equal(query(*state, "SELECT count(*) FROM order_outbox"), "0");
    connection_close(&connection);
}

static void needs_a_free_id(struct fixture *fixture)
{
    struct connection connection;
    connection_open(&connection, fixture);
    add_letters(fixture);
    struct letter_settling replay = a_replay(2, "ada");
    replay.needs_free_id = true;
    replay.free_id = make_order(8, "", 0).id;
    execute(fixture, "INSERT INTO orders VALUES ('ab000000-0000-0000-0000-000000000008', 'a', 1,"
                     " now())");
    assert_int_equal(settle(&connection, &replay).result, LETTER_ORDER_STORED);
    assert_string_equal(query(fixture, "SELECT state FROM dead_letters WHERE id = 2"), "dead");
    assert_string_equal(query(fixture, "SELECT count(*) FROM order_outbox"), "0");
    execute(fixture, "DELETE FROM orders WHERE product_name = 'a'");
    assert_int_equal(settle(&connection, &replay).result, LETTER_SETTLED);
    assert_string_equal(query(fixture, "SELECT count(*) FROM order_outbox"), "1");
    connection_close(&connection);
}

static void test_free_id(void **state)
{
    needs_a_free_id(*state);
}

static void test_free_id_of_text(void **state)
{
    install_original_schema(*state);
    needs_a_free_id(*state);
}

/* Sixteen at once, on two connections: one wins, and one outbox row is there. */
static void test_concurrent_replays(void **state)
{
    struct fixture *fixture = *state;
    struct connection connections[2];
    struct letter_settling replays[16];
    struct settled settled[16] = {0};
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h",
                                        "i", "j", "k", "l", "m", "n", "o", "p"};
    for (int i = 0; i < 2; i++)
        connection_open(&connections[i], fixture);
    add_letters(fixture);
    execute(fixture, "BEGIN; SELECT FROM dead_letters WHERE id = 2 FOR UPDATE"); /* all wait */
    for (int i = 0; i < 16; i++) {
        replays[i] = a_replay(2, names[i]);
        assert_int_equal(
            letter_settle(connections[i % 2].database, &replays[i], on_settled, &settled[i]), 0);
    }
    run_until_query(fixture, "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted", "t");
    execute(fixture, "COMMIT");
    int winners = 0;
    for (int i = 0; i < 16; i++) {
        run_until(fixture, &settled[i].done);
        winners += settled[i].result == LETTER_SETTLED;
        if (settled[i].result == LETTER_SETTLED)
            assert_string_equal(query(fixture, "SELECT ended_by FROM dead_letters WHERE id = 2"),
                                names[i]);
        else
            assert_int_equal(settled[i].result, LETTER_ENDED);
    }
    assert_int_equal(winners, 1);
    assert_string_equal(query(fixture, "SELECT count(*) FROM order_outbox"), "1");
    for (int i = 0; i < 2; i++)
        connection_close(&connections[i]);
}

/* ---- jobs about letters ---- */

struct requested {
    bool done;
    int64_t job, total;
};

static void on_requested(void *arg, int64_t job, int64_t total,
                         const struct database_answer *answer)
{
    assert_int_equal(answer->status, DATABASE_OK);
    *(struct requested *)arg = (struct requested){true, job, total};
}

static struct requested request(struct connection *connection, enum letter_job kind,
                                struct letter_filter filter)
{
    struct requested requested = {.done = false};
    const struct letter_job_request job = {
        .kind = kind, .filter = filter, .parameters = "{\"per_second\":50}", .by = "ada"};
    assert_int_equal(letter_job_request(connection->database, &job, on_requested, &requested), 0);
    run_until(connection->fixture, &requested.done);
    return requested;
}

#define JOB_ITEMS                                                                                  \
    "SELECT coalesce(string_agg(job || ':' || item, ' ' ORDER BY item), '') FROM job_items"

static void test_jobs(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    add_letters(fixture);
    /* The dead alone, whatever the filter says. */
    struct requested all =
        request(&connection, LETTER_JOB_REPLAY, (struct letter_filter){.state = "discarded"});
    assert_int_equal(all.total, 3);
    assert_string_equal(query(fixture, JOB_ITEMS), "1:1 1:2 1:3");
    assert_string_equal(query(fixture, "SELECT concat_ws(' ', kind, state, parameters, total, done,"
                                       " requested_by, token, cancel) FROM jobs"),
                        "replay waiting {\"per_second\": 50} 3 0 ada f");
    execute(fixture, "DELETE FROM job_items");
    struct requested some =
        request(&connection, LETTER_JOB_DISCARD, (struct letter_filter){.reason = "unacceptable"});
    assert_int_equal(some.total, 1);
    assert_true(some.job > all.job);
    assert_string_equal(query(fixture, JOB_ITEMS), "2:2");
    struct requested none =
        request(&connection, LETTER_JOB_DISCARD, (struct letter_filter){.reason = "x"});
    assert_true(none.job > 0 && none.total == 0);
    connection_close(&connection);
}

static void test_jobs_with_the_archive_off(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    add_letters(fixture);
    const struct letter_filter all = {.state = NULL};
    execute(fixture, "INSERT INTO scheduler_seen (at, archive) VALUES (now(), 'off')");
    assert_int_equal(request(&connection, LETTER_JOB_REPLAY, all).job, 0);
    assert_string_equal(query(fixture, "SELECT count(*) FROM jobs"), "0");
    assert_true(request(&connection, LETTER_JOB_DISCARD, all).job > 0);
    execute(fixture, "UPDATE scheduler_seen SET archive = 'on'");
    assert_true(request(&connection, LETTER_JOB_REPLAY, all).job > 0);
    connection_close(&connection);
}

int run_dead_letters_tests(void)
{
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_list),
        DATABASE_TEST(test_find),
        DATABASE_TEST(test_count),
        DATABASE_TEST(test_replay),
        DATABASE_TEST(test_discard),
        DATABASE_TEST(test_free_id),
        DATABASE_TEST(test_free_id_of_text),
        DATABASE_TEST(test_concurrent_replays),
        DATABASE_TEST(test_jobs),
        DATABASE_TEST(test_jobs_with_the_archive_off),
    };
    return cmocka_run_group_tests_name("dead letters", tests, NULL, NULL);
}
