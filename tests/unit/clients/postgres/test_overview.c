/* The overview of the tables, as the server writes it. */
#include "services/clients/postgres/overview.h"
#include "tests/unit/clients/postgres/fixture.h"
#include <stdio.h>
#include <string.h>

struct told {
    bool done;
    char json[2048]; /* "" when it was not answered */
};

static void on_told(void *arg, const struct database_answer *answer)
{
    struct told *told = arg;
    told->done = true;
    const char *json = overview_json(answer);
    assert_true((json != NULL) == (answer->status == DATABASE_OK));
    (void)snprintf(told->json, sizeof told->json, "%s", json != NULL ? json : "");
}

static void assert_told(struct connection *connection, enum overview_part part,
                        const char *expected)
{
    struct told told = {.done = false};
    assert_int_equal(overview_read(connection->database, part, on_told, &told), 0);
    run_until(connection->fixture, &told.done);
    char without_blanks[sizeof told.json];
    char *end = without_blanks;
    for (const char *c = told.json; *c != '\0'; c++)
        if (*c != ' ')
            *end++ = *c;
    *end = '\0';
    assert_string_equal(without_blanks, expected);
}

static void test_empty(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    execute(*state, "ANALYZE orders");
    assert_told(&connection, OVERVIEW_ROWS, "0");
    assert_told(&connection, OVERVIEW_DEAD_LETTERS,
                "{\"dead\":0,\"oldest_died_at\":null,\"by_reason\":{}}");
    assert_told(&connection, OVERVIEW_ARCHIVE, "{\"state\":null,\"fault\":null}");
    assert_told(&connection, OVERVIEW_OUTBOX, "{\"orders\":0,\"oldest_seconds\":null}");
    assert_told(&connection, OVERVIEW_INDEX,
                "{\"missing\":null,\"fault\":null,\"documents\":null,\"verified_at\":null,"
                "\"verified_full_at\":null,\"missing_documents\":null,\"extra_documents\":null,"
                "\"different_documents\":null}");
    assert_told(&connection, OVERVIEW_LAST_REFRESH, "null");
    connection_close(&connection);
}

static void test_full(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    execute(
        *state,
        "INSERT INTO orders SELECT gen_random_uuid(), 'a', 1, now() FROM generate_series(1, 9);"
        "ANALYZE orders;"
        "INSERT INTO dead_letters (state, queue, reason, detail, stage, attempts, body,"
        " body_bytes, properties, digest, died_at) VALUES"
        " ('dead', 'q', 'malformed', '', 'intake', 1, '', 0, '', '', '2026-01-02 01:00+01'),"
        " ('dead', 'q', 'malformed', '', 'intake', 1, '', 0, '', '', '2026-01-03 00:00+00'),"
        " ('dead', 'q', 'a \"quote\"', '', 'intake', 1, '', 0, '', '', '2026-01-04 00:00+00'),"
        " ('replayed', 'q', 'malformed', '', 'intake', 1, '', 0, '', '', '2025-01-01 00:00+00');"
        "INSERT INTO scheduler_seen (at, archive, archive_fault)"
        " VALUES (now(), 'on', 'it is full');"
        "INSERT INTO order_outbox (order_id, product_name, amount, created_at, stored_at)"
        " VALUES (gen_random_uuid(), 'a', 1, now(), now() + interval '1 day');"
        "INSERT INTO sales_refresh (finished_at) VALUES ('2026-01-05 00:00:00.25+00'), (NULL)");
    assert_told(&connection, OVERVIEW_ROWS, "9");
    assert_told(&connection, OVERVIEW_DEAD_LETTERS,
                "{\"dead\":3,\"oldest_died_at\":\"2026-01-02T00:00:00.000000Z\","
                "\"by_reason\":{\"malformed\":2,\"a\\\"quote\\\"\":1}}");
    assert_told(&connection, OVERVIEW_ARCHIVE, "{\"state\":\"on\",\"fault\":\"itisfull\"}");
    execute(*state, "UPDATE search_index SET missing = 0.25, fault = 'ask', documents = 7,"
                    " verified_at = '2026-01-02Z', verified_full_at = '2026-01-01Z',"
                    " verified_missing = 1, verified_extra = 2, verified_different = 3");
    assert_told(&connection, OVERVIEW_INDEX,
                "{\"missing\":0.25,\"fault\":\"ask\",\"documents\":7,"
                "\"verified_at\":\"2026-01-02T00:00:00.000000Z\","
                "\"verified_full_at\":\"2026-01-01T00:00:00.000000Z\",\"missing_documents\":1,"
                "\"extra_documents\":2,\"different_documents\":3}");
    assert_told(&connection, OVERVIEW_LAST_REFRESH, "\"2026-01-05T00:00:00.250000Z\"");
    execute(*state, "UPDATE scheduler_seen SET at = now() - interval '6 s'");
    assert_told(&connection, OVERVIEW_ARCHIVE, "{\"state\":null,\"fault\":null}");
    connection_close(&connection);
}

/* A part that cannot be read hides no other. */
static void test_refused(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    execute(*state, "DROP TABLE dead_letters; ANALYZE orders");
    assert_told(&connection, OVERVIEW_DEAD_LETTERS, "");
    assert_told(&connection, OVERVIEW_ROWS, "0");
    connection_close(&connection);
}

int run_overview_tests(void)
{
    const struct CMUnitTest tests[] = {DATABASE_TEST(test_empty), DATABASE_TEST(test_full),
                                       DATABASE_TEST(test_refused)};
    return cmocka_run_group_tests_name("overview", tests, NULL, NULL);
}
