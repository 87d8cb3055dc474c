/* Orders by when they were created: walks by time and by key, on ids of both types. */
#include "proto/timestamp.h"
#include "services/clients/postgres/order_hours.h"
#include "tests/unit/clients/postgres/fixture.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FROM "2026-01-01T00:00:00Z"
#define TO "2026-01-02T00:00:00Z"

static int64_t at(const char *text)
{
    int64_t us;
    assert_int_equal(timestamp_parse(text, strlen(text), &us), 0);
    return us;
}

/* A question under way, and what its answer said. */
struct reading {
    struct order_walk *walk;
    struct order_row_page *page; /* NULL: hours are read */
    struct order_hour *hours;
    size_t count;
    enum database_status status;
    bool done;
};

static void on_read(void *arg, const struct database_answer *answer)
{
    struct reading *reading = arg;
    reading->done = true;
    reading->status = answer->status;
    if (reading->page != NULL)
        order_hours_rows_read(reading->walk, answer, reading->page);
    else
        reading->count = order_hours_read(reading->walk, answer, reading->hours);
}

static void must(const struct reading *reading)
{
    assert_int_equal(reading->status, DATABASE_OK);
}

/* ---- walks to their ends ---- */

struct day { /* the hours of a day, and what lies outside of it */
    struct order_hour hours[24];
    size_t steps, outside;
};

static void walk_hours(struct connection *connection, struct order_walk *walk, struct day *day)
{
    struct reading reading = {.walk = walk,
                              .hours = calloc(ORDER_HOURS_MAX, sizeof(struct order_hour))};
    assert_non_null(reading.hours);
    *day = (struct day){.steps = 0};
    while (!walk->ended) {
        reading.done = false;
        assert_int_equal(order_hours_next(connection->database, walk, on_read, &reading), 0);
        run_until(connection->fixture, &reading.done);
        must(&reading);
        day->steps++;
        for (size_t i = 0; i < reading.count; i++) {
            const struct order_hour *hour = &reading.hours[i];
            int64_t place = (hour->start_us - at(FROM)) / ORDER_HOUR_US;
            assert_int_equal(hour->start_us % ORDER_HOUR_US, 0);
            if (place < 0 || place >= 24) {
                day->outside++;
                continue;
            }
            day->hours[place].orders += hour->orders;
            day->hours[place].sum_cents += hour->sum_cents;
            day->hours[place].magnitude_cents += hour->magnitude_cents;
            day->hours[place].others += hour->others;
        }
    }
    order_walk_release(walk);
    free(reading.hours);
}

struct walked {
    size_t rows, orders, steps;
    int64_t nameless;
    int64_t cents;   /* of the orders */
    unsigned hashes; /* of the ids: the order of the pages does not matter */
    int digits;
};

static void walk_rows(struct connection *connection, struct order_walk *walk, struct walked *walked)
{
    struct reading reading = {.walk = walk, .page = calloc(1, sizeof(struct order_row_page))};
    assert_non_null(reading.page);
    *walked = (struct walked){.digits = 6};
    while (!walk->ended) {
        reading.done = false;
        assert_int_equal(order_hours_rows_next(connection->database, walk, on_read, &reading), 0);
        run_until(connection->fixture, &reading.done);
        must(&reading);
        walked->steps++;
        walked->nameless += reading.page->nameless;
        if (reading.page->count > 0)
            walked->digits = reading.page->digits;
        for (size_t i = 0; i < reading.page->count; i++) {
            const struct order_row *row = &reading.page->rows[i];
            unsigned hash = 5381;
            for (size_t byte = 0; byte < sizeof row->order.id.bytes; byte++)
                hash = hash * 33 + row->order.id.bytes[byte];
            walked->hashes += hash;
            walked->rows++;
            walked->orders += row->is_order;
            walked->cents += row->is_order ? row->order.amount_cents : 0;
        }
    }
    order_walk_release(walk);
    free(reading.page);
}

/* ---- the rows ---- */

/* 7,000 orders of a day, 5,000 of them at one instant of hour 5, and one before and behind the day.
 */
static void insert_orders(struct fixture *fixture)
{
    execute(
        fixture,
        "INSERT INTO orders SELECT md5(n::text)::uuid, 'thing', n * 0.01,"
        " CASE WHEN n <= 5000 THEN '2026-01-01 05:30:00+00'::timestamptz"
        " ELSE '2026-01-01 00:00:00+00'::timestamptz + (n - 5001) * interval '43.2 s' END"
        " FROM generate_series(1, 7000) AS n;"
        "INSERT INTO orders VALUES (md5('before')::uuid, 'x', 1, '2025-12-31 23:59:59.999999+00'),"
        " (md5('behind')::uuid, 'x', 1, '2026-01-02 00:00:00+00'); ANALYZE orders");
}

/* Rows of hour 7 that no order can have. */
static void insert_others(struct fixture *fixture)
{
    execute(fixture, "INSERT INTO orders SELECT md5('other' || n)::uuid, name, amount::numeric,"
                     " '2026-01-01 07:10:00+00' FROM (VALUES (1, 'x', 'NaN'), (2, 'x', '1.005'),"
                     " (3, 'x', '10000000000'), (4, repeat('x', 1021), '1')) AS v(n, name, amount);"
                     "INSERT INTO orders VALUES (md5('never')::uuid, 'x', 1, 'infinity'),"
                     " (md5('ever')::uuid, 'x', 1, '-infinity')");
}

static void walks_agree(struct fixture *fixture, bool text_ids)
{
    struct connection connection;
    connection_open(&connection, fixture);
    insert_orders(fixture);
    insert_others(fixture);
    if (text_ids)
        execute(fixture,
                "INSERT INTO orders VALUES"
                " ('no uuid', 'x', 1, '2026-01-01 07:00:00+00'),"
                " ('AB000000-0000-4000-8000-000000000009', 'x', 1, '2026-01-01 07:00:00+00')");
    int64_t nameless = text_ids ? 2 : 0;
    for (int by_key = 0; by_key <= 1; by_key++) {
        struct order_walk walk;
        struct day day;
        struct walked walked;
        order_walk_init(&walk, by_key != 0, at(FROM), at(TO), NULL, 0);
        walk_hours(&connection, &walk, &day);
        assert_int_equal(day.outside, 0);
        assert_true(day.steps > 1);
        int64_t orders = 0, cents = 0;
        for (int hour = 0; hour < 24; hour++) {
            orders += day.hours[hour].orders;
            cents += day.hours[hour].sum_cents;
            assert_int_equal(day.hours[hour].sum_cents, day.hours[hour].magnitude_cents);
            assert_int_equal(day.hours[hour].others, hour == 7 ? 4 + nameless : 0);
        }
        assert_int_equal(orders, 7000);
        assert_int_equal(cents, INT64_C(7000) * 7001 / 2);
        assert_true(day.hours[5].orders > 5000);

        order_walk_init(&walk, by_key != 0, at(FROM), at(TO), NULL, 0);
        walk_rows(&connection, &walk, &walked);
        assert_int_equal(walked.orders, 7000);
        assert_int_equal(walked.rows, 7004);
        assert_int_equal(walked.nameless, nameless);
        assert_int_equal(walked.cents, INT64_C(7000) * 7001 / 2);
        unsigned hashes = walked.hashes;

        /* All of time: but for rows that are at no time. */
        order_walk_init(&walk, by_key != 0, at("2025-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"),
                        NULL, 0);
        walk_rows(&connection, &walk, &walked);
        assert_int_equal(walked.orders, 7002);
        assert_int_not_equal(walked.hashes, hashes);

        /* Only these hours. */
        const int64_t hours[] = {at("2026-01-01T04:00:00Z"), at("2026-01-01T05:00:00Z"),
                                 at("2026-01-01T07:00:00Z"), at("2026-03-01T07:00:00Z")};
        int64_t wanted = day.hours[4].orders + day.hours[5].orders + day.hours[7].orders;
        order_walk_init(&walk, by_key != 0, at(FROM), at(TO), hours, COUNT(hours));
        walk_rows(&connection, &walk, &walked);
        assert_int_equal(walked.orders, wanted);
        assert_int_equal(walked.rows, wanted + 4);
        struct day some;
        order_walk_init(&walk, by_key != 0, at(FROM), at(TO), hours, COUNT(hours));
        walk_hours(&connection, &walk, &some);
        assert_int_equal(some.outside, 0);
        for (int hour = 0; hour < 24; hour++) {
            bool is_wanted = hour == 4 || hour == 5 || hour == 7;
            assert_int_equal(some.hours[hour].orders, is_wanted ? day.hours[hour].orders : 0);
        }
        /* But for an hour and a half. */
        order_walk_init(&walk, by_key != 0, at(FROM), at(TO), NULL, 0);
        order_walk_leave_out(&walk, at("2026-01-01T04:00:00Z"), at("2026-01-01T05:30:00Z"));
        walk_hours(&connection, &walk, &some);
        for (int hour = 0; hour < 24; hour++)
            if (hour != 4 && hour != 5)
                assert_int_equal(some.hours[hour].orders, day.hours[hour].orders);
        assert_int_equal(some.hours[4].orders, 0);
        assert_true(some.hours[5].orders >= 5000 && some.hours[5].orders < day.hours[5].orders);
        int64_t kept = 7000 - day.hours[4].orders - day.hours[5].orders + some.hours[5].orders;
        order_walk_init(&walk, by_key != 0, at(FROM), at(TO), NULL, 0);
        order_walk_leave_out(&walk, at("2026-01-01T04:00:00Z"), at("2026-01-01T05:30:00Z"));
        walk_rows(&connection, &walk, &walked);
        assert_int_equal(walked.orders, kept);

        /* None of them lies in the range. */
        order_walk_init(&walk, by_key != 0, at(FROM), at("2026-01-01T04:00:00Z"), hours,
                        COUNT(hours));
        assert_true(walk.ended);
        walk_rows(&connection, &walk, &walked);
        assert_int_equal(walked.rows, 0);
    }
    connection_close(&connection);
}

static void test_uuid_ids(void **state)
{
    walks_agree(*state, false);
}

static void test_text_ids(void **state)
{
    execute(*state, "CREATE TABLE orders (id text PRIMARY KEY, product_name text NOT NULL,"
                    " amount numeric NOT NULL, created_at timestamptz NOT NULL)");
    walks_agree(*state, true);
}

/* More hours than are named to the server. */
static void test_many_hours(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    insert_orders(*state);
    enum { HOURS = 3000 };
    int64_t *hours = calloc(HOURS, sizeof *hours);
    assert_non_null(hours);
    for (int i = 0; i < HOURS; i++) /* of the day: the even ones */
        hours[i] = at("2025-12-01T00:00:00Z") + i * 2 * ORDER_HOUR_US;
    int64_t rows[2];
    for (int by_key = 0; by_key <= 1; by_key++) {
        struct order_walk walk;
        struct walked walked;
        order_walk_init(&walk, by_key != 0, at(FROM), at(TO), hours, HOURS);
        walk_rows(&connection, &walk, &walked);
        rows[by_key] = (int64_t)walked.rows;
    }
    free(hours);
    assert_int_equal(rows[0], rows[1]);
    const char *expected = query(
        *state, "SELECT count(*) FROM orders WHERE created_at >= '2026-01-01Z' AND created_at <"
                " '2026-01-02Z' AND extract(hour FROM created_at AT TIME ZONE 'UTC')::int % 2 = 0");
    assert_int_equal(rows[0], strtoll(expected, NULL, 10));
    connection_close(&connection);
}

/* Amounts as a table may have them that was there before, columns that are coarser, a view. */
static void test_other_tables(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *created_at, *amount;
        int digits;
    } tables[] = {{"timestamptz(3)", "numeric(12,2)", 3},
                  {"timestamp", "float8", 6},
                  {"timestamptz(0)", "numeric", 0}};
    for (size_t t = 0; t <= COUNT(tables); t++) {
        bool view = t == COUNT(tables);
        char sql[300];
        if (view)
            snprintf(sql, sizeof sql,
                     "DROP MATERIALIZED VIEW IF EXISTS daily_sales_mv; ALTER TABLE orders"
                     " RENAME TO stored; CREATE VIEW orders AS SELECT * FROM stored");
        else
            snprintf(
                sql, sizeof sql,
                "DROP TABLE IF EXISTS orders CASCADE; CREATE TABLE orders (id uuid PRIMARY KEY,"
                " product_name text, amount %s, created_at %s)",
                tables[t].amount, tables[t].created_at);
        execute(fixture, sql);
        struct connection connection;
        struct database_options options = connection_options(&connection, fixture);
        options.uses = DATABASE_FINDS;
        connection.database = database_new(fixture->loop, &options);
        run_until_up(&connection);
        if (!view)
            execute(fixture,
                    "SET timezone = 'UTC'; INSERT INTO orders SELECT md5(n::text)::uuid, 'x',"
                    " -n * 0.1, '2026-01-01 01:00:00.123456+00'"
                    " FROM generate_series(1, 10) AS n");
        for (int by_key = 0; by_key <= 1; by_key++) {
            struct order_walk walk;
            struct day day;
            struct walked walked;
            order_walk_init(&walk, by_key != 0, at(FROM), at(TO), NULL, 0);
            walk_hours(&connection, &walk, &day);
            assert_int_equal(day.hours[1].orders, 10);
            assert_int_equal(day.hours[1].others, 0);
            assert_int_equal(day.hours[1].sum_cents, -550);
            assert_int_equal(day.hours[1].magnitude_cents, 550);
            order_walk_init(&walk, by_key != 0, at(FROM), at(TO), NULL, 0);
            walk_rows(&connection, &walk, &walked);
            assert_int_equal(walked.orders, 10);
            assert_int_equal(walked.cents, -550);
            assert_int_equal(walked.digits, view ? tables[t - 1].digits : tables[t].digits);
        }
        connection_close(&connection);
    }
    int64_t us = at("2026-01-01T01:00:00.123456Z");
    assert_true(order_row_same_instant(us, at("2026-01-01T01:00:00.123Z"), 3));
    assert_false(order_row_same_instant(us, at("2026-01-01T01:00:00.124Z"), 3));
    assert_true(order_row_same_instant(us, us, 6));
    assert_false(order_row_same_instant(us, us + 1, 6));
}

/* A step that fails is tried again, and no row is passed over. */
static void test_failed(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open_hasty(&connection, fixture);
    insert_orders(fixture);
    for (int by_key = 0; by_key <= 1; by_key++) {
        struct order_walk walk;
        struct day day;
        struct reading reading = {.walk = &walk,
                                  .hours = calloc(ORDER_HOURS_MAX, sizeof(struct order_hour))};
        assert_non_null(reading.hours);
        order_walk_init(&walk, by_key != 0, at(FROM), at(TO), NULL, 0);
        execute(fixture, "BEGIN; LOCK TABLE orders");
        assert_int_equal(order_hours_next(connection.database, &walk, on_read, &reading), 0);
        run_until(fixture, &reading.done);
        execute(fixture, "ROLLBACK");
        assert_int_equal(reading.status, DATABASE_FAILED);
        assert_int_equal(reading.count, 0);
        assert_false(walk.ended);
        free(reading.hours);
        walk_hours(&connection, &walk, &day);
        assert_int_equal(day.hours[0].orders, 84);
    }
    connection_close(&connection);
}

/* A statement that takes too long is canceled by the server, and tried again in smaller steps. */
static void test_too_long(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open_hasty(&connection, fixture);
    insert_orders(fixture);
    execute(fixture,
            "ALTER TABLE orders RENAME TO stored; DELETE FROM stored WHERE id >"
            " (SELECT id FROM stored ORDER BY id OFFSET 1199 LIMIT 1);"
            "CREATE VIEW orders AS SELECT * FROM stored WHERE pg_sleep(0.001) IS NOT NULL");
    struct order_walk walk;
    struct reading reading = {.walk = &walk,
                              .hours = calloc(ORDER_HOURS_MAX, sizeof(struct order_hour))};
    assert_non_null(reading.hours);
    order_walk_init(&walk, true, at("2025-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"), NULL, 0);
    int64_t orders = 0, canceled = 0;
    while (!walk.ended) {
        reading.done = false;
        assert_int_equal(order_hours_next(connection.database, &walk, on_read, &reading), 0);
        run_until(fixture, &reading.done);
        canceled += reading.status != DATABASE_OK;
        assert_true(canceled < 20);
        for (size_t i = 0; i < reading.count; i++)
            orders += reading.hours[i].orders;
    }
    assert_int_equal(orders, 1200);
    assert_true(canceled > 0);
    free(reading.hours);
    order_walk_release(&walk);
    connection_close(&connection);
}

/* ---- by id ---- */

struct looked {
    bool done;
    struct order_row_page page;
    struct order_id dead[ORDER_ROWS_MAX];
    size_t dead_count;
};

static void on_found(void *arg, const struct database_answer *answer)
{
    struct looked *looked = arg;
    assert_int_equal(answer->status, DATABASE_OK);
    order_rows_found(answer, &looked->page);
    looked->done = true;
}

static void on_dead(void *arg, const struct database_answer *answer)
{
    struct looked *looked = arg;
    assert_int_equal(answer->status, DATABASE_OK);
    looked->dead_count = order_rows_dead_read(answer, looked->dead);
    looked->done = true;
}

static void find_by_id(struct fixture *fixture)
{
    struct connection connection;
    struct looked *looked = calloc(1, sizeof *looked);
    assert_non_null(looked);
    connection_open(&connection, fixture);
    struct order_id ids[ORDER_ROWS_MAX];
    for (unsigned i = 0; i < ORDER_ROWS_MAX; i++)
        ids[i] = make_order(i, "x", 1).id;
    execute(fixture,
            "INSERT INTO orders VALUES"
            " ('ab000000-0000-0000-0000-000000000001', 'one', 12.34, '2026-01-01Z'),"
            " ('ab000000-0000-0000-0000-000000000002', 'two', 'NaN', '2026-01-01Z'),"
            " ('ab000000-0000-0000-0000-000000000003', 'three', 1, 'infinity');"
            "INSERT INTO dead_letters (state, stage, order_id, queue, reason, detail,"
            " attempts, body, body_bytes, properties, digest, died_at) SELECT state, stage,"
            " ('ab000000-0000-0000-0000-00000000000' || n)::uuid, 'order_queue', 'x', '', 1,"
            " '', 0, '', '', now() FROM (VALUES (1, 'dead', 'index'), (1, 'dead', 'index'),"
            " (2, 'dead', 'persist'), (3, 'replayed', 'index'), (4, 'discarded', 'index'))"
            " AS v(n, state, stage)");
    assert_int_equal(order_rows_find(connection.database, ids, COUNT(ids), on_found, looked), 0);
    run_until(fixture, &looked->done);
    assert_int_equal(looked->page.count, 3);
    assert_int_equal(looked->page.digits, 6);
    for (size_t i = 0; i < 3; i++) {
        const struct order_row *row = &looked->page.rows[i];
        assert_int_equal(row->is_order, row->order.id.bytes[15] == 1);
        if (row->is_order)
            assert_int_equal(row->order.amount_cents, 1234);
    }
    looked->done = false;
    assert_int_equal(order_rows_dead(connection.database, ids, COUNT(ids), on_dead, looked), 0);
    run_until(fixture, &looked->done);
    assert_int_equal(looked->dead_count, 1);
    assert_memory_equal(&looked->dead[0], &ids[1], sizeof ids[1]);
    free(looked);
    connection_close(&connection);
}

static void test_find_uuid(void **state)
{
    find_by_id(*state);
}

static void test_find_text(void **state)
{
    execute(*state, "CREATE TABLE orders (id text PRIMARY KEY, product_name text NOT NULL,"
                    " amount numeric NOT NULL, created_at timestamptz NOT NULL)");
    find_by_id(*state);
}

int run_order_hours_tests(void)
{
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_uuid_ids),   DATABASE_TEST(test_text_ids),
        DATABASE_TEST(test_many_hours), DATABASE_TEST(test_other_tables),
        DATABASE_TEST(test_failed),     DATABASE_TEST(test_too_long),
        DATABASE_TEST(test_find_uuid),  DATABASE_TEST(test_find_text),
    };
    return cmocka_run_group_tests_name("order_hours", tests, NULL, NULL);
}
