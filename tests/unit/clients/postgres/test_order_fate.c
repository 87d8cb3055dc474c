/* The row and the dead letters of an order, and news of many, on both forms of the table. */
#include "services/clients/postgres/order_fate.h"
#include "tests/unit/clients/postgres/fixture.h"
#include <stdio.h>
#include <string.h>

#define ID "ab000000-0000-4000-8000-000000000001"
#define OTHER_ID "ab000000-0000-4000-8000-000000000002"

static struct order_id id_of(const char *text)
{
    struct order_id id;
    assert_int_equal(order_id_parse(text, strlen(text), &id), 0);
    return id;
}

/* A letter of the order ID; `more` are further columns with `values`. */
static void add_letter(struct fixture *fixture, const char *more, const char *values)
{
    char sql[700];
    snprintf(sql, sizeof sql,
             "INSERT INTO dead_letters (queue, reason, detail, stage, attempts, body, body_bytes,"
             " properties, digest, died_at%s) VALUES ('q', 'refused', '', 'persist', 1,"
             " convert_to('{\"id\":\"" ID "\",\"product_name\":\"a\",\"amount\":1,"
             "\"created_at\":\"2026-01-01T00:00:00.5Z\"}', 'UTF8'), 99, '', '',"
             " '2026-01-02 00:00:00.25+00'%s)",
             more, values);
    execute(fixture, sql);
}

static void set_archive(struct fixture *fixture, const char *value)
{
    char sql[200];
    snprintf(sql, sizeof sql,
             "INSERT INTO scheduler_seen (at, archive) VALUES (now(), %s)"
             " ON CONFLICT (only_row) DO UPDATE SET archive = excluded.archive",
             value);
    execute(fixture, sql);
}

/* ---- one order ---- */

struct asked {
    bool done;
    enum database_status status;
    struct order_fate fate; /* without letters */
    struct dead_letter_brief first;
    char reason[64], state[16], stage[16]; /* of the first */
};

static void on_asked(void *arg, const struct order_fate *fate, const struct database_answer *answer)
{
    struct asked *asked = arg;
    asked->done = true;
    asked->status = answer->status;
    assert_true((fate != NULL) == (answer->status == DATABASE_OK));
    if (fate == NULL)
        return;
    asked->fate = *fate;
    for (size_t i = 1; i < fate->letter_count; i++)
        assert_true(fate->letters[i].id < fate->letters[i - 1].id);
    if (fate->letter_count == 0)
        return;
    asked->first = fate->letters[0];
    snprintf(asked->reason, sizeof asked->reason, "%s", asked->first.reason);
    snprintf(asked->state, sizeof asked->state, "%s", asked->first.state);
    snprintf(asked->stage, sizeof asked->stage, "%s", asked->first.stage);
}

static struct asked ask(struct connection *connection, const char *text)
{
    struct asked asked = {.done = false};
    struct order_id id = id_of(text);
    assert_int_equal(order_fate_ask(connection->database, &id, on_asked, &asked), 0);
    run_until(connection->fixture, &asked.done);
    return asked;
}

static void test_nobody_knows_it(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    struct asked asked = ask(&connection, ID);
    assert_int_equal(asked.status, DATABASE_OK);
    assert_false(asked.fate.stored || asked.fate.archived || asked.fate.dated);
    assert_int_equal(asked.fate.letter_count, 0);
    set_archive(*state, "'on'");
    assert_true(ask(&connection, ID).fate.archived);
    set_archive(*state, "'off'");
    assert_false(ask(&connection, ID).fate.archived);
    connection_close(&connection);
}

static void row_and_letters(struct fixture *fixture)
{
    struct connection connection;
    connection_open(&connection, fixture);
    set_archive(fixture, "'on'");
    add_letter(fixture, ", order_id", ", '" ID "'");
    struct asked asked = ask(&connection, ID);
    assert_false(asked.fate.stored);
    assert_true(asked.fate.dated); /* by the letter's body */
    assert_int_equal(asked.fate.created_at_us, INT64_C(1767225600500000));
    assert_int_equal(asked.fate.letter_count, 1);
    assert_string_equal(asked.reason, "refused");
    assert_string_equal(asked.stage, "persist");
    assert_string_equal(asked.state, "dead");
    assert_int_equal(asked.first.died_at_us, INT64_C(1767312000250000));
    assert_false(asked.first.replayed);

    add_letter(fixture, ", order_id, state, replayed_as", ", '" ID "', 'replayed', '" OTHER_ID "'");
    execute(fixture, "INSERT INTO orders VALUES ('" ID "', 'a', 1, '2026-01-03 00:00:00+00')");
    asked = ask(&connection, ID);
    assert_true(asked.fate.stored && asked.fate.dated);
    assert_int_equal(asked.fate.created_at_us, INT64_C(1767398400000000)); /* the row's */
    assert_int_equal(asked.fate.letter_count, 2);
    assert_string_equal(asked.state, "replayed"); /* the newest */
    assert_true(asked.first.replayed);
    struct order_id other = id_of(OTHER_ID);
    assert_true(order_id_equal(&asked.first.replayed_as, &other));
    assert_int_equal(ask(&connection, OTHER_ID).fate.letter_count, 0);
    connection_close(&connection);
}

static void test_row_and_letters(void **state)
{
    row_and_letters(*state);
}

static void test_row_and_letters_by_text(void **state)
{
    install_original_schema(*state);
    execute(*state, "DELETE FROM orders");
    row_and_letters(*state);
}

static void test_odd_letters(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    set_archive(*state, "'on'");
    /* the bodies of these tell nothing */
    static const char *const bodies[] = {
        "''", "'\\xff00'",
        "convert_to('{\"id\":\"" OTHER_ID "\",\"product_name\":\"a\","
        "\"amount\":1,\"created_at\":\"2026-01-01T00:00:00Z\"}', 'UTF8')"};
    for (size_t i = 0; i < COUNT(bodies); i++) {
        add_letter(*state, ", order_id", ", '" ID "'");
        char sql[300];
        snprintf(sql, sizeof sql, "UPDATE dead_letters SET body = %s", bodies[i]);
        execute(*state, sql);
        assert_false(ask(&connection, ID).fate.dated);
    }
    /* more than are told */
    for (int i = 0; i < FATE_LETTERS_MAX; i++)
        add_letter(*state, ", order_id", ", '" ID "'");
    assert_int_equal(ask(&connection, ID).fate.letter_count, FATE_LETTERS_MAX);
    /* no row holds such an instant, but for one of a foreign hand */
    execute(*state, "INSERT INTO orders VALUES ('" ID "', 'a', 1, 'infinity')");
    struct asked asked = ask(&connection, ID);
    assert_true(asked.fate.stored);
    assert_false(asked.fate.dated);
    connection_close(&connection);
}

static void test_without_the_table(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    execute(*state, "DROP TABLE dead_letters");
    assert_int_equal(ask(&connection, ID).status, DATABASE_FAILED);
    connection_close(&connection);
}

/* ---- news ---- */

struct news {
    bool done;
    unsigned stored, died, none;
    struct order last_stored;
    struct order_id last_died;
    char reason[64];
    int64_t age_ms;
};

static void on_news(void *arg, const struct database_answer *answer)
{
    struct news *news = arg;
    assert_int_equal(answer->status, DATABASE_OK);
    for (int i = 0; i < order_news_count(answer); i++) {
        struct order order;
        const char *reason;
        switch (order_news_read(answer, i, &order, &reason, &news->age_ms)) {
        case ORDER_NEWS_NONE:
            news->none++;
            break;
        case ORDER_NEWS_STORED:
            news->stored++;
            order_copy(&news->last_stored, &order);
            break;
        case ORDER_NEWS_DIED:
            news->died++;
            news->last_died = order.id;
            snprintf(news->reason, sizeof news->reason, "%s", reason);
            break;
        }
    }
    news->done = true;
}

static struct news look(struct connection *connection, const struct order_id *ids, size_t count)
{
    struct news news = {.done = false};
    assert_int_equal(order_news_look(connection->database, ids, count, on_news, &news), 0);
    run_until(connection->fixture, &news.done);
    return news;
}

static void news_of_many(struct fixture *fixture)
{
    struct connection connection;
    connection_open(&connection, fixture);
    const struct order_id ids[] = {id_of(ID), id_of(OTHER_ID)};
    struct news news = look(&connection, ids, 2);
    assert_int_equal(news.stored + news.died + news.none, 0);

    execute(fixture, "INSERT INTO orders VALUES ('" ID "', 'a', 1.5, '2026-01-03 00:00:00+00')");
    add_letter(fixture, ", order_id", ", '" OTHER_ID "'");
    execute(fixture, "UPDATE dead_letters SET archived_at = now() - interval '31 s'"); /* no news */
    assert_int_equal(look(&connection, ids + 1, 1).died, 0);
    execute(fixture, "UPDATE dead_letters SET archived_at = now() - interval '5 s'");
    add_letter(fixture, ", order_id", ", '" ID "'"); /* of an order that is not asked for below */
    news = look(&connection, ids + 1, 1);
    assert_int_equal(news.stored + news.none, 0);
    assert_int_equal(news.died, 1);
    assert_true(order_id_equal(&news.last_died, &ids[1]));
    assert_string_equal(news.reason, "refused");
    assert_in_range(news.age_ms, 5000, 30000);

    execute(fixture, "DELETE FROM dead_letters WHERE order_id = '" ID "'");
    add_letter(fixture, ", order_id", ", '" OTHER_ID "'"); /* the newest counts */
    execute(fixture, "UPDATE dead_letters SET stage = 'intake' WHERE order_id = '" ID "'");
    news = look(&connection, ids, 2);
    assert_int_equal(news.stored, 1);
    assert_true(order_id_equal(&news.last_stored.id, &ids[0]));
    assert_string_equal(news.last_stored.product_name, "a");
    assert_int_equal(news.last_stored.amount_cents, 150);
    assert_int_equal(news.died, 1);
    assert_in_range(news.age_ms, 0, 4999);

    /* at the intake nothing dies that is an order */
    execute(fixture, "UPDATE dead_letters SET stage = 'intake'");
    execute(fixture, "UPDATE orders SET amount = 1.005");
    news = look(&connection, ids, 2);
    assert_int_equal(news.stored + news.died, 0);
    assert_int_equal(news.none, 1);
    connection_close(&connection);
}

static void test_news_of_many(void **state)
{
    news_of_many(*state);
}

static void test_news_of_many_by_text(void **state)
{
    install_original_schema(*state);
    execute(*state, "DELETE FROM orders");
    news_of_many(*state);
}

static void test_news_of_as_many_as_wait(void **state)
{
    static struct order_id ids[4096];
    struct connection connection;
    connection_open(&connection, *state);
    execute(*state,
            "INSERT INTO orders SELECT ('ab000000-0000-0000-0000-' ||"
            " lpad(to_hex(n), 12, '0'))::uuid, 'a', 1, now() FROM generate_series(0, 4095) n");
    for (unsigned i = 0; i < COUNT(ids); i++)
        ids[i] = make_order(i, "a", 1).id;
    assert_int_equal(look(&connection, ids, COUNT(ids)).stored, COUNT(ids));
    connection_close(&connection);
}

int run_order_fate_tests(void)
{
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_nobody_knows_it),         DATABASE_TEST(test_row_and_letters),
        DATABASE_TEST(test_row_and_letters_by_text), DATABASE_TEST(test_odd_letters),
        DATABASE_TEST(test_without_the_table),       DATABASE_TEST(test_news_of_many),
        DATABASE_TEST(test_news_of_many_by_text),    DATABASE_TEST(test_news_of_as_many_as_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
