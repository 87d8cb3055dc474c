/* The ledger of the daily sales: how it comes to be, and that it is exact whoever writes. */
#include "proto/timestamp.h"
#include "services/clients/postgres/sales_ledger.h"
#include "services/clients/postgres/sales_view.h"
#include "tests/unit/clients/postgres/fixture.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_WAIT_MS 50

/* The totals that the ledger has, and those that the orders have: "day=total/orders …". */
static const char ledger_sql[] =
    "SELECT coalesce(string_agg(day || '=' || trim_scale(total) || '/' || orders, ' ' ORDER BY "
    "day),"
    " '') FROM (SELECT day, sum(total) AS total, sum(orders) AS orders FROM sales_ledger"
    " GROUP BY day HAVING sum(orders) <> 0 OR sum(total) <> 0) AS days";
static const char orders_sql[] =
    "SELECT coalesce(string_agg(day || '=' || trim_scale(total) || '/' || orders, ' ' ORDER BY "
    "day),"
    " '') FROM (SELECT (created_at AT TIME ZONE 'UTC')::date AS day,"
    " coalesce(sum(amount::numeric) FILTER (WHERE amount BETWEEN -1e30 AND 1e30), 0) AS total,"
    " count(*) AS orders FROM orders WHERE created_at IS NOT NULL GROUP BY 1) AS days";
static const char view_sql[] = "SELECT coalesce(string_agg(sale_date || '=' || total_revenue, ' '"
                               " ORDER BY sale_date), '') FROM daily_sales_mv";
static const char state_sql[] = "SELECT concat_ws(' ', filled_at > '-infinity', drift_days,"
                                " drift_orders) FROM sales_ledger_state";

static void assert_exact(struct fixture *fixture)
{
    char kept[1000];
    snprintf(kept, sizeof kept, "%s", query(fixture, ledger_sql));
    assert_string_equal(kept, query(fixture, orders_sql));
}

struct looked {
    bool done;
    struct sales_ledger_look look;
    char reason[200];
};

static void on_looked(void *arg, const struct database_answer *answer)
{
    struct looked *looked = arg;
    assert_int_equal(answer->status, DATABASE_OK);
    looked->done = true;
    sales_ledger_looked(answer, &looked->look);
    snprintf(looked->reason, sizeof looked->reason, "%s",
             looked->look.reason != NULL ? looked->look.reason : "");
}

static struct looked look(struct connection *connection)
{
    struct looked looked = {.done = false};
    assert_int_equal(sales_ledger_look(connection->database, on_looked, &looked), 0);
    run_until(connection->fixture, &looked.done);
    return looked;
}

static void assert_next(struct connection *connection, enum sales_ledger_next next,
                        const char *reason)
{
    struct looked looked = look(connection);
    assert_int_equal(looked.look.next, next);
    assert_string_equal(looked.reason, reason);
}

/* "" or the SQLSTATE that refused it. */
static const char *install(struct connection *connection, int64_t lock_timeout_ms)
{
    static struct reply reply;
    reply = (struct reply){.done = false};
    assert_int_equal(sales_ledger_install(connection->database, lock_timeout_ms, on_reply, &reply),
                     0);
    run_until(connection->fixture, &reply.done);
    return reply.answer.sqlstate;
}

static const char *replace_view(struct connection *connection)
{
    static struct reply reply;
    reply = (struct reply){.done = false};
    assert_int_equal(sales_ledger_replace_view(connection->database, NO_WAIT_MS, on_reply, &reply),
                     0);
    run_until(connection->fixture, &reply.done);
    return reply.answer.sqlstate;
}

struct mended {
    bool done;
    struct sales_ledger_drift drift;
};

static void on_mended(void *arg, const struct sales_ledger_drift *drift,
                      const struct database_answer *answer)
{
    struct mended *mended = arg;
    assert_string_equal(answer->message, "");
    assert_int_equal(answer->status, DATABASE_OK);
    *mended = (struct mended){true, *drift};
}

static void assert_mends(struct connection *connection, int64_t from_us, int64_t to_us, int days,
                         int orders, bool filled)
{
    struct mended mended = {.done = false};
    assert_int_equal(sales_ledger_mend(connection->database, from_us, to_us, on_mended, &mended),
                     0);
    run_until(connection->fixture, &mended.done);
    assert_int_equal(mended.drift.days, days);
    assert_int_equal(mended.drift.orders, orders);
    assert_int_equal(mended.drift.filled, filled);
}

static void tell(struct connection *connection, const char *obstacle)
{
    struct reply reply = {.done = false};
    assert_int_equal(sales_ledger_tell(connection->database, obstacle, on_reply, &reply), 0);
    run_until(connection->fixture, &reply.done);
    assert_int_equal(reply.answer.status, DATABASE_OK);
}

static void fold(struct connection *connection)
{
    struct reply reply = {.done = false};
    assert_int_equal(sales_ledger_fold(connection->database, on_reply, NULL, &reply), 0);
    run_until(connection->fixture, &reply.done);
    assert_int_equal(reply.answer.status, DATABASE_OK);
}

static void make(struct connection *connection)
{
    assert_string_equal(install(connection, NO_WAIT_MS), "");
    assert_mends(connection, INT64_MIN, INT64_MAX,
                 atoi(query(connection->fixture,
                            "SELECT count(DISTINCT (created_at AT TIME ZONE 'UTC')::date)"
                            " FROM orders")),
                 atoi(query(connection->fixture, "SELECT count(created_at) FROM orders")), false);
    assert_string_equal(replace_view(connection), "");
    assert_next(connection, SALES_LEDGER_DONE, "");
}

/* Each step, also again, and what the next one is; then all kinds of writers. */
static void from_the_beginning(struct fixture *fixture, const char *id_type)
{
    struct connection connection;
    connection_open(&connection, fixture);
    assert_next(&connection, SALES_LEDGER_TRIGGERS, "");
    assert_string_equal(install(&connection, NO_WAIT_MS), "");
    assert_next(&connection, SALES_LEDGER_FILL, "");
    execute(fixture, "REFRESH MATERIALIZED VIEW daily_sales_mv");
    char totals[1000];
    snprintf(totals, sizeof totals, "%s", query(fixture, view_sql));
    char old_days = query(fixture, "SELECT count(*) FROM daily_sales_mv")[0];
    assert_mends(&connection, INT64_MIN, INT64_MAX, old_days - '0',
                 atoi(query(fixture, "SELECT count(*) FROM orders")), false);
    assert_exact(fixture);
    assert_next(&connection, SALES_LEDGER_VIEW, "");
    assert_string_equal(replace_view(&connection), "");
    assert_next(&connection, SALES_LEDGER_DONE, "");
    assert_string_equal(query(fixture, view_sql), totals);
    assert_string_equal(install(&connection, NO_WAIT_MS), "");
    assert_string_equal(replace_view(&connection), "");
    assert_mends(&connection, INT64_MIN, INT64_MAX, 0, 0, true);

    char insert[300];
    snprintf(insert, sizeof insert,
             "SET timezone = 'Asia/Tokyo'; INSERT INTO orders SELECT gen_random_uuid()::%s, 'w',"
             " amount, timestamptz '2026-03-01 23:59:59+00' + days * interval '1 day' FROM (VALUES"
             " (0.01, 0), (-7, 0), (5, 1), (5, 1), (1e29, 2), ('NaN'::numeric, 2), (1e31, 3))"
             " AS v(amount, days)",
             id_type);
    const char *const writes[] = {
        insert,
        "INSERT INTO orders SELECT * FROM orders WHERE product_name = 'w'"
        " ON CONFLICT (id) DO NOTHING",
        "INSERT INTO orders SELECT id, product_name, 3, created_at FROM orders"
        " WHERE product_name = 'w' ON CONFLICT (id) DO UPDATE SET amount = excluded.amount",
        "UPDATE orders SET amount = amount + 0.10, created_at = created_at + interval '5 hours'"
        " WHERE product_name = 'w'",
        "UPDATE orders SET amount = 'NaN' WHERE amount = 3.10",
        "UPDATE orders SET product_name = 'z'",
        "UPDATE orders SET amount = 1 WHERE amount = 'NaN'",
        "UPDATE orders SET created_at = 'infinity' WHERE created_at < '2026-03-02'",
        "BEGIN; SAVEPOINT s; DELETE FROM orders; ROLLBACK TO s; UPDATE orders SET amount = 2;"
        " COMMIT",
        "DELETE FROM orders WHERE created_at > '2026-03-03'",
        "WITH moved AS (DELETE FROM orders RETURNING *) SELECT count(*) FROM moved",
        insert,
        "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM orders; TRUNCATE orders; COMMIT",
        insert,
    };
    for (size_t i = 0; i < sizeof writes / sizeof *writes; i++) {
        execute(fixture, writes[i]);
        assert_exact(fixture);
        fold(&connection);
        assert_exact(fixture);
        assert_string_equal(query(fixture, "SELECT count(*) - count(DISTINCT day)"
                                           " FROM sales_ledger"),
                            "0");
    }
    assert_mends(&connection, INT64_MIN, INT64_MAX, 0, 0, true);
    assert_string_equal(query(fixture, state_sql), "t");
    connection_close(&connection);
}

static void test_from_the_beginning(void **state)
{
    from_the_beginning(*state, "uuid");
}

static void test_over_the_original(void **state)
{
    install_original_schema(*state);
    from_the_beginning(*state, "text");
}

/* A transaction that has written, and sits there: the triggers wait shortly, and so does nobody
 * else; fills are not hindered by it. */
static void test_waits_shortly(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection, writer;
    connection_open(&connection, fixture);
    connection_open_hasty(&writer, fixture); /* gives up after 500 ms */
    PGconn *sitting = PQconnectdb(fixture->dsn);
    PQclear(PQexec(sitting, "BEGIN; INSERT INTO orders VALUES (gen_random_uuid(), 'x', 1, now())"));

    struct reply installed = {.done = false}, reply;
    assert_int_equal(sales_ledger_install(connection.database, 200, on_reply, &installed), 0);
    send_and_wait(&writer, "INSERT INTO orders VALUES (gen_random_uuid(), 'y', 1, now())", &reply);
    assert_int_equal(reply.answer.status, DATABASE_OK);
    run_until(fixture, &installed.done);
    assert_string_equal(installed.answer.sqlstate, "55P03");
    assert_next(&connection, SALES_LEDGER_TRIGGERS, "");
    PQclear(PQexec(sitting, "COMMIT"));
    assert_string_equal(install(&connection, 200), "");

    PQclear(PQexec(sitting, "BEGIN; INSERT INTO orders VALUES (gen_random_uuid(), 'x', 1, now())"));
    assert_mends(&connection, INT64_MIN, INT64_MAX, 1, 2, false);
    PQclear(PQexec(sitting, "COMMIT"));
    assert_exact(fixture);
    PQfinish(sitting);
    connection_close(&writer);
    connection_close(&connection);
}

/* Of two at once, the second one finds nothing left to add. */
static void test_two_fill_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct connection a, b;
    connection_open(&a, fixture);
    connection_open(&b, fixture);
    execute(fixture, "INSERT INTO orders SELECT gen_random_uuid(), 'x', n, now() FROM"
                     " generate_series(1, 1000) AS n");
    assert_string_equal(install(&a, NO_WAIT_MS), "");
    struct mended first = {.done = false}, second = {.done = false};
    execute(fixture, "BEGIN; SELECT pg_advisory_xact_lock(7021786321203)");
    assert_int_equal(sales_ledger_mend(a.database, INT64_MIN, INT64_MAX, on_mended, &first), 0);
    assert_int_equal(sales_ledger_mend(b.database, INT64_MIN, INT64_MAX, on_mended, &second), 0);
    run_until_query(fixture, "SELECT count(*) FROM pg_locks WHERE NOT granted", "2");
    execute(fixture, "COMMIT");
    run_until(fixture, &first.done);
    run_until(fixture, &second.done);
    assert_int_equal(first.drift.orders + second.drift.orders, 1000);
    assert_exact(fixture);
    connection_close(&a);
    connection_close(&b);
}

/* What goes past the triggers is found and mended, on the days that are asked for; triggers that
 * are gone or disabled come back. */
static void test_drift(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    const int64_t march_1_us = INT64_C(1772366400000000); /* 12:00 */
    connection_open(&connection, fixture);
    make(&connection);
    execute(fixture,
            "SET session_replication_role = replica;"
            "INSERT INTO orders SELECT gen_random_uuid(), 'x', 5, timestamptz '2026-03-01 23:30+00'"
            " + n * interval '1 day' FROM generate_series(-1, 1) AS n, generate_series(1, 2);"
            "SET session_replication_role = origin");
    assert_next(&connection, SALES_LEDGER_DONE, ""); /* the catalogs do not tell */
    assert_int_equal(look(&connection).look.drift_at_us, 0);
    int64_t began_us = timestamp_now_us();
    assert_mends(&connection, march_1_us, march_1_us, 1, 2, true);
    struct sales_ledger_look mended = look(&connection).look;
    assert_in_range(mended.drift_at_us, began_us, timestamp_now_us());
    assert_int_equal(mended.drift_days, 1);
    assert_int_equal(mended.drift_orders, 2);
    assert_int_equal(mended.lost + mended.lost_at_us, 0);
    assert_string_equal(query(fixture, ledger_sql), "2026-03-01=10/2");
    assert_string_equal(query(fixture, state_sql), "t 1 2");
    assert_string_equal(query(fixture, "SELECT string_agg(kind || ' ' || state, ',') FROM jobs"),
                        "refresh waiting");
    assert_mends(&connection, INT64_MIN, INT64_MAX, 2, 4, true);
    assert_exact(fixture);

    static const int lost[] = {1, 1, 4};
    static const char *const losses[] = {
        "ALTER TABLE orders DISABLE TRIGGER sales_ledger_insert",
        "DROP TRIGGER sales_ledger_insert ON orders",
        "DROP FUNCTION sales_ledger_write() CASCADE",
    };
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        execute(fixture, losses[i]);
        execute(fixture, "INSERT INTO orders VALUES (gen_random_uuid(), 'x', 1, '2026-03-05')");
        assert_next(&connection, SALES_LEDGER_TRIGGERS, "");
        struct sales_ledger_look before = look(&connection).look;
        assert_int_equal(before.lost, lost[i]);
        assert_string_equal(install(&connection, NO_WAIT_MS), "");
        assert_next(&connection, SALES_LEDGER_FILL, "");
        struct sales_ledger_look after = look(&connection).look;
        assert_int_equal(after.lost, 0);
        assert_true(after.lost_at_us > before.lost_at_us);
        assert_mends(&connection, INT64_MIN, INT64_MAX, 1, 1, true);
        assert_exact(fixture);
        assert_next(&connection, SALES_LEDGER_DONE, "");
    }
    /* The ledger itself: the schema makes it again, and then it is filled again. */
    execute(fixture, "DROP TABLE sales_ledger CASCADE");
    assert_next(&connection, SALES_LEDGER_WAIT, "");
    connection_close(&connection);
    connection_open(&connection, fixture);
    assert_next(&connection, SALES_LEDGER_FILL, "");
    assert_mends(&connection, INT64_MIN, INT64_MAX, 4, 9, true);
    assert_exact(fixture);
    connection_close(&connection);
}

/* A writer that may only INSERT needs no right on the ledger, and gets none by it. */
static void test_little_privilege(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    make(&connection);
    execute(
        fixture,
        "DROP ROLE IF EXISTS inserts; CREATE ROLE inserts LOGIN; GRANT INSERT ON orders TO inserts;"
        "CREATE SCHEMA AUTHORIZATION inserts; SET ROLE inserts");
    /* of its own, and before the true ones in its search_path */
    execute(fixture, "CREATE TABLE inserts.sales_ledger (day date, total numeric, orders bigint);"
                     "CREATE FUNCTION inserts.eq(date, date) RETURNS boolean LANGUAGE sql AS"
                     " 'SELECT false'; SET search_path = inserts, public;"
                     "INSERT INTO orders VALUES (gen_random_uuid(), 'x', 7.77, '2026-03-01')");
    PGresult *result = PQexec(fixture->admin, "CREATE TRIGGER forged AFTER TRUNCATE ON"
                                              " inserts.sales_ledger FOR EACH STATEMENT"
                                              " EXECUTE FUNCTION public.sales_ledger_write()");
    assert_string_equal(PQresultErrorField(result, PG_DIAG_SQLSTATE), "42501");
    PQclear(result);
    execute(fixture, "RESET ROLE; RESET search_path");
    assert_string_equal(query(fixture, ledger_sql), "2026-03-01=7.77/1");

    /* Who may not make the triggers says so; the view stays as it is. */
    execute(fixture, "GRANT ALL ON sales_ledger, sales_ledger_state TO inserts;"
                     "GRANT SELECT ON orders, daily_sales_mv TO inserts;"
                     "GRANT CREATE ON SCHEMA public TO inserts;"
                     "ALTER ROLE inserts SET search_path = public");
    char dsn[300];
    snprintf(dsn, sizeof dsn, "%s user=inserts", fixture->dsn);
    struct connection other;
    struct database_options options = connection_options(&other, fixture);
    options.dsn = dsn;
    options.uses = 0;
    other.database = database_new(fixture->loop, &options);
    run_until_up(&other);
    assert_next(&other, SALES_LEDGER_CANNOT, "role inserts lacks TRIGGER on orders");
    assert_true(look(&other).look.untold);
    tell(&other, "role inserts lacks TRIGGER on orders");
    assert_false(look(&other).look.untold);
    assert_true(look(&connection).look.untold); /* who can has no obstacle to tell */
    tell(&connection, NULL);
    assert_false(look(&connection).look.untold);
    connection_close(&other);
    connection_close(&connection);
    execute(fixture, "DROP OWNED BY inserts; DROP ROLE inserts");
}

/* A schema that is not the first of the search_path of those who write. */
static void test_in_another_schema(void **state)
{
    struct fixture *fixture = *state;
    execute(fixture, "CREATE SCHEMA \"Their shop\"");
    char sql[200];
    snprintf(sql, sizeof sql, "ALTER DATABASE %s SET search_path = \"Their shop\"",
             query(fixture, "SELECT current_database()"));
    execute(fixture, sql);
    struct connection connection;
    connection_open(&connection, fixture);
    fixture_reconnect(fixture);
    make(&connection);
    execute(fixture, "SET search_path = pg_catalog;"
                     "INSERT INTO \"Their shop\".orders VALUES"
                     " (gen_random_uuid(), 'x', 3, '2026-03-01');"
                     "RESET search_path");
    assert_string_equal(query(fixture, ledger_sql), "2026-03-01=3/1");
    assert_string_equal(query(fixture, "SELECT count(*) FROM pg_class WHERE relnamespace ="
                                       " 'public'::regnamespace"),
                        "0");
    connection_close(&connection);
}

/* Its name, columns, types, index, owner and grants are the old ones. */
static void test_view_stays_what_it_was(void **state)
{
    static const char identity_sql[] =
        "SELECT concat_ws(' ', pg_get_userbyid(relowner), relacl, (SELECT string_agg(concat_ws(':',"
        " attname, format_type(atttypid, atttypmod), attacl), ',' ORDER BY attnum) FROM "
        "pg_attribute"
        " WHERE attrelid = c.oid AND attnum > 0), (SELECT string_agg(pg_get_indexdef(indexrelid), "
        "';')"
        " FROM pg_index WHERE indrelid = c.oid)) FROM pg_class AS c WHERE relname = "
        "'daily_sales_mv'";
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    execute(fixture, "DROP ROLE IF EXISTS reports, \"The boss\"; CREATE ROLE reports;"
                     "CREATE ROLE \"The boss\"; GRANT SELECT ON daily_sales_mv TO reports, PUBLIC;"
                     "GRANT SELECT (sale_date) ON daily_sales_mv TO \"The boss\" WITH GRANT OPTION;"
                     "GRANT CREATE ON SCHEMA public TO \"The boss\";"
                     "ALTER MATERIALIZED VIEW daily_sales_mv OWNER TO \"The boss\"");
    char before[1000];
    snprintf(before, sizeof before, "%s", query(fixture, identity_sql));
    assert_non_null(strstr(before, "reports=r"));
    assert_string_equal(install(&connection, NO_WAIT_MS), "");
    assert_mends(&connection, INT64_MIN, INT64_MAX, 0, 0, false);

    execute(fixture, "CREATE VIEW monthly AS SELECT sum(total_revenue) FROM daily_sales_mv");
    assert_next(&connection, SALES_LEDGER_DONE, "monthly depends on daily_sales_mv");
    execute(fixture, "DROP VIEW monthly; BEGIN; SELECT count(*) FROM daily_sales_mv");
    assert_string_equal(replace_view(&connection), "55P03"); /* a reader that sits there */
    execute(fixture, "COMMIT");
    assert_string_equal(replace_view(&connection), "");
    assert_next(&connection, SALES_LEDGER_DONE, "");
    assert_string_equal(query(fixture, identity_sql), before);
    execute(fixture, "INSERT INTO orders VALUES (gen_random_uuid(), 'x', 7.77, '2026-03-01');"
                     "REFRESH MATERIALIZED VIEW CONCURRENTLY daily_sales_mv"); /* as version 4 */
    assert_string_equal(query(fixture, view_sql), "2026-03-01=7.77");
    connection_close(&connection);
    execute(fixture, "DROP MATERIALIZED VIEW daily_sales_mv; DROP OWNED BY reports, \"The boss\";"
                     "DROP ROLE reports, \"The boss\"");
}

/* Tables that a ledger is not for, and amounts that are no numeric. */
static void test_other_tables(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    execute(fixture, "CREATE TABLE orders (id text PRIMARY KEY, product_name text, amount numeric,"
                     " created_at timestamp)");
    connection_open(&connection, fixture);
    assert_next(&connection, SALES_LEDGER_CANNOT,
                "orders.created_at is timestamp without time zone; it must be timestamptz");
    connection_close(&connection);
    execute(fixture,
            "DROP TABLE orders CASCADE; CREATE DOMAIN instant AS timestamptz;"
            "CREATE TABLE orders (id text PRIMARY KEY, product_name text,"
            " amount double precision, created_at instant) PARTITION BY HASH (id);"
            "CREATE TABLE part PARTITION OF orders FOR VALUES WITH (MODULUS 1, REMAINDER 0);"
            "INSERT INTO orders VALUES (1, '', 0.1, '2026-03-01'), (2, '', 0.2, '2026-03-01'),"
            " (3, '', 'infinity', '2026-03-01'), (4, '', 5, NULL)");
    connection_open(&connection, fixture);
    make(&connection);
    execute(fixture,
            "INSERT INTO orders VALUES (5, '', 0.3, '2026-03-01'), (6, '', 1e300,"
            " '2026-03-01'), (7, '', 5, NULL); UPDATE orders SET amount = 0.7 WHERE id = '2';"
            "UPDATE orders SET created_at = NULL WHERE id = '1';"
            "DELETE FROM orders WHERE id IN ('3', '4')");
    assert_string_equal(query(fixture, ledger_sql), "2026-03-01=1/3");
    assert_exact(fixture);
    connection_close(&connection);
}

int run_sales_ledger_tests(void)
{
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_from_the_beginning),
        DATABASE_TEST(test_over_the_original),
        DATABASE_TEST(test_waits_shortly),
        DATABASE_TEST(test_two_fill_at_once),
        DATABASE_TEST(test_drift),
        DATABASE_TEST(test_little_privilege),
        DATABASE_TEST(test_in_another_schema),
        DATABASE_TEST(test_view_stays_what_it_was),
        DATABASE_TEST(test_other_tables),
    };
    return cmocka_run_group_tests_name("sales ledger", tests, NULL, NULL);
}
