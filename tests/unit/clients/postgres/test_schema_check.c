/* Is the schema fit? Tables that were there before, roles with little privilege, and what somebody
 * drops or replaces meanwhile. */
#include "services/clients/postgres/schema_watch.h"
#include "tests/unit/clients/postgres/fixture.h"
#include "tests/unit/support/real_time.h"
#include <stdio.h>
#include <string.h>

#define GATEWAY_USES                                                                               \
    (DATABASE_FINDS | DATABASE_INSERTS | DATABASE_OUTBOX | DATABASE_SALES | DATABASE_JOBS)

/* As --check: what is wrong for these uses, or "". */
static const char *fault_for(const char *dsn, unsigned uses)
{
    static struct error err;
    err.message[0] = '\0';
    int status = database_reach(dsn, uses, &err);
    assert_true((status == 0) == (err.message[0] == '\0'));
    return err.message;
}

static void make_orders_anew(struct fixture *fixture, const char *definition)
{
    execute(fixture, "DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    execute(fixture, definition);
}

/* The four columns, one of them as given. */
#define TABLE_OF(id, name, amount, created_at)                                                     \
    "CREATE TABLE orders (id " id ", product_name " name ", amount " amount                        \
    ", created_at " created_at ")"
#define WITH_ID(id) TABLE_OF(id, "text", "numeric", "timestamptz")
#define WITH_NAME(name) TABLE_OF("uuid PRIMARY KEY", name, "numeric", "timestamptz")
#define WITH_AMOUNT(amount) TABLE_OF("uuid PRIMARY KEY", "text", amount, "timestamptz")
#define WITH_CREATED_AT(created_at) TABLE_OF("uuid PRIMARY KEY", "text", "numeric", created_at)
#define WITH_MORE(more) WITH_CREATED_AT("timestamptz, " more)
#define NO_UNIQUE_ID "orders has no unique index on id alone, which ON CONFLICT needs"
#define AMOUNT_IS(type) "orders.amount is " type "; it must be numeric with two decimals or more"
#define ID_IS(type) "orders.id is " type "; it must be uuid, or text of 36 characters"

static const struct {
    const char *definition, *fault; /* NULL: fit */
} tables[] = {
    {WITH_ID("uuid PRIMARY KEY"), NULL},
    {WITH_ID("text UNIQUE"), NULL},
    {WITH_ID("varchar(36) PRIMARY KEY"), NULL},
    {WITH_ID("char(36) PRIMARY KEY"), NULL},
    {WITH_ID("varchar(35) PRIMARY KEY"), ID_IS("character varying(35)")},
    {WITH_ID("char(40) PRIMARY KEY"), ID_IS("character(40)")},
    {WITH_ID("bigint PRIMARY KEY"), ID_IS("bigint")},
    {WITH_ID("uuid"), NO_UNIQUE_ID},
    {WITH_ID("uuid UNIQUE DEFERRABLE"), NO_UNIQUE_ID},
    {WITH_ID("uuid") "; CREATE UNIQUE INDEX ON orders (id) WHERE amount > 0", NO_UNIQUE_ID},
    {WITH_ID("uuid") "; CREATE UNIQUE INDEX ON orders (id, created_at)", NO_UNIQUE_ID},
    {WITH_ID("text") "; CREATE UNIQUE INDEX ON orders (lower(id))", NO_UNIQUE_ID},
    {WITH_ID("uuid") "; CREATE UNIQUE INDEX ON orders (id) INCLUDE (amount)", NULL},
    {"CREATE TABLE orders (id uuid, product_name text, amount numeric, created_at timestamptz,"
     " PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at)",
     NO_UNIQUE_ID},
    {WITH_ID("uuid PRIMARY KEY") " PARTITION BY HASH (id)", NULL},
    {WITH_NAME("varchar(255) NOT NULL"), NULL},
    {WITH_NAME("char(255)"), "orders.product_name is character(255); it must be text"},
    {WITH_NAME("name"), "orders.product_name is name; it must be text"},
    {WITH_AMOUNT("numeric(10,2)"), NULL},
    {WITH_AMOUNT("numeric(14,4)"), NULL},
    {WITH_AMOUNT("double precision"), NULL},
    {WITH_AMOUNT("numeric(10,1)"), AMOUNT_IS("numeric(10,1)")},
    {WITH_AMOUNT("numeric(12)"), AMOUNT_IS("numeric(12,0)")},
    {WITH_AMOUNT("numeric(5,-2)"), AMOUNT_IS("numeric(5,-2)")},
    {WITH_AMOUNT("real"), AMOUNT_IS("real")},
    {WITH_AMOUNT("integer"), AMOUNT_IS("integer")},
    {WITH_AMOUNT("money"), AMOUNT_IS("money")},
    {WITH_AMOUNT("text"), AMOUNT_IS("text")},
    {"CREATE DOMAIN price AS numeric(10,1); CREATE DOMAIN net AS price;" WITH_AMOUNT("net"),
     AMOUNT_IS("net")},
    {"CREATE DOMAIN price AS numeric(10,2); CREATE DOMAIN net AS price;" WITH_AMOUNT("net"), NULL},
    {WITH_AMOUNT("numeric GENERATED ALWAYS AS (1) STORED"),
     "orders.amount is numeric; it must be a column that takes values"},
    {WITH_CREATED_AT("timestamptz(0)"), NULL},
    {WITH_CREATED_AT("timestamp"), NULL},
    {WITH_CREATED_AT("date"), "orders.created_at is date; it must be timestamptz"},
    {WITH_CREATED_AT("text"), "orders.created_at is text; it must be timestamptz"},
    {WITH_MORE("note text NOT NULL"),
     "orders.note is NOT NULL without a default: no order has a value for it"},
    {WITH_MORE("note text NOT NULL DEFAULT '', seq bigserial, n int GENERATED ALWAYS AS IDENTITY"),
     NULL},
    {"CREATE TABLE orders (id uuid PRIMARY KEY, product_name text, amount numeric)",
     "orders has no column created_at"},
    {"CREATE UNLOGGED TABLE orders (id uuid PRIMARY KEY, product_name text, amount numeric,"
     " created_at timestamptz)",
     "orders is unlogged: a crash of the server empties it"},
    {"CREATE MATERIALIZED VIEW orders AS SELECT 1", "orders is not a table"},
};

/* An orders table that was there before: fit, or said by name when connecting and by --check, and
 * then nothing is installed beside it. */
static void test_tables_that_were_there_before(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < COUNT(tables); i++) {
        make_orders_anew(fixture, tables[i].definition);
        char expected[200] = "";
        if (tables[i].fault != NULL)
            snprintf(expected, sizeof expected, "the schema: %s", tables[i].fault);
        assert_string_equal(fault_for(fixture->dsn, DATABASE_INSERTS), expected);
        struct connection connection;
        struct database_options options = connection_options(&connection, fixture);
        options.uses = DATABASE_INSERTS;
        connection.database = database_new(fixture->loop, &options);
        run_until(fixture, tables[i].fault == NULL ? &connection.up : &connection.down);
        assert_string_equal(connection.reason, expected);
        connection_close(&connection);
        assert_string_equal(query(fixture, "SELECT to_regclass('order_outbox') IS NOT NULL"),
                            tables[i].fault == NULL ? "t" : "f");
    }
}

static const char objects_sql[] =
    "SELECT string_agg(format('%s:%s', relname, relkind), ' ' ORDER BY relname) FROM pg_class"
    " WHERE relnamespace = 'public'::regnamespace AND relkind <> 'S'";

/* A look in the very moment of a change may tell something else first. */
static void run_until_reason(struct connection *connection, const char *reason)
{
    wait_until(strcmp(connection->reason, reason) == 0, run_for(connection->fixture, 20));
}

/* Whatever is dropped comes back by itself; what was replaced is said. */
static void test_what_disappears_while_it_runs(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    char objects[1000];
    snprintf(objects, sizeof objects, "%s", query(fixture, objects_sql));
    struct schema_watch *watch = schema_watch_new(fixture->loop, connection.database);

    execute(fixture,
            "DROP TABLE orders, order_outbox, jobs, scheduler_seen, sales_refresh CASCADE");
    run_until_reason(&connection, "the schema: orders is missing");
    run_until_query(fixture, objects_sql, objects);
    run_until_up(&connection);
    execute(fixture, "DROP INDEX daily_sales_mv_date_idx; DROP TABLE order_pipeline_schema");
    run_until_query(fixture, objects_sql, objects);

    execute(fixture, "DROP MATERIALIZED VIEW daily_sales_mv; CREATE VIEW daily_sales_mv AS"
                     " SELECT now()::date AS sale_date, 1 AS total_revenue");
    run_until_reason(&connection, "the schema: daily_sales_mv is not a materialized view");
    execute(fixture, "DROP VIEW daily_sales_mv");
    run_until_query(fixture, objects_sql, objects);
    run_until_up(&connection);

    execute(fixture, "ALTER TABLE orders DROP CONSTRAINT orders_pkey");
    run_until_reason(&connection, "the schema: " NO_UNIQUE_ID);
    connection_close(&connection);
    schema_watch_free(watch);
}

/* What README grants. */
static void make_roles(struct fixture *fixture)
{
    execute(fixture, "DROP ROLE IF EXISTS owner; CREATE ROLE owner LOGIN;"
                     "DROP ROLE IF EXISTS runner; CREATE ROLE runner LOGIN;"
                     "GRANT CREATE ON SCHEMA public TO owner");
}

static void drop_roles(struct fixture *fixture)
{
    execute(fixture, "DROP OWNED BY owner, runner CASCADE; DROP ROLE owner, runner");
}

static const char grants[] = "GRANT SELECT ON order_pipeline_schema, daily_sales_mv,"
                             " sales_ledger, sales_ledger_state,"
                             " scheduler_seen, search_index TO runner;"
                             "GRANT SELECT, INSERT ON orders TO runner;"
                             "GRANT SELECT, INSERT, UPDATE ON jobs TO runner;"
                             "GRANT SELECT, INSERT, UPDATE, DELETE ON order_outbox TO runner";

static void test_little_privilege(void **state)
{
    struct fixture *fixture = *state;
    make_roles(fixture);
    char owner[300], runner[300];
    snprintf(owner, sizeof owner, "%s user=owner", fixture->dsn);
    snprintf(runner, sizeof runner, "%s user=runner", fixture->dsn);
    assert_string_equal(fault_for(owner, DATABASE_SCHEDULES), "");
    assert_string_equal(fault_for(runner, GATEWAY_USES),
                        "the schema: orders is missing, and role runner lacks CREATE on"
                        " schema public");

    struct connection connection;
    struct database_options options = connection_options(&connection, fixture);
    options.dsn = owner;
    options.uses = DATABASE_SCHEDULES;
    connection.database = database_new(fixture->loop, &options);
    run_until_up(&connection);
    connection_close(&connection);
    execute(fixture, grants);
    assert_string_equal(fault_for(runner, GATEWAY_USES), "");
    assert_string_equal(fault_for(owner, DATABASE_SCHEDULES), "");

    char temporary[80], sql[200], expected[200];
    snprintf(temporary, sizeof temporary, "TEMPORARY ON DATABASE %s",
             query(fixture, "SELECT current_database()"));
    const struct {
        const char *privilege, *of, *fault;
    } privileges[] = {
        {"SELECT ON orders", "runner", "role runner lacks SELECT on orders"},
        {"INSERT ON orders", "runner", "role runner lacks INSERT on orders"},
        {"DELETE ON order_outbox", "runner", "role runner lacks DELETE on order_outbox"},
        {"UPDATE ON jobs", "runner", "role runner lacks UPDATE on jobs"},
        {"SELECT ON daily_sales_mv", "runner", "role runner lacks SELECT on daily_sales_mv"},
        {"CREATE ON SCHEMA public", "owner", "role owner lacks CREATE on schema public"},
        {temporary, "public",
         "role owner, which daily_sales_mv belongs to, lacks TEMPORARY on the database"},
    };
    for (size_t i = 0; i < COUNT(privileges); i++) {
        snprintf(sql, sizeof sql, "REVOKE %s FROM %s", privileges[i].privilege, privileges[i].of);
        execute(fixture, sql);
        snprintf(expected, sizeof expected, "the schema: %s", privileges[i].fault);
        bool of_runner = strcmp(privileges[i].of, "runner") == 0;
        assert_string_equal(of_runner ? fault_for(runner, GATEWAY_USES)
                                      : fault_for(owner, DATABASE_SCHEDULES),
                            expected);
        snprintf(sql, sizeof sql, "GRANT %s TO %s", privileges[i].privilege, privileges[i].of);
        execute(fixture, sql);
    }
    /* Columns alone are enough. */
    execute(fixture, "REVOKE INSERT ON orders FROM runner;"
                     "GRANT INSERT (id, product_name, amount, created_at) ON orders TO runner");
    assert_string_equal(fault_for(runner, DATABASE_INSERTS), "");

    execute(fixture, "ALTER MATERIALIZED VIEW daily_sales_mv OWNER TO postgres");
    assert_string_equal(fault_for(owner, DATABASE_SCHEDULES),
                        "the schema: daily_sales_mv belongs to role postgres: role owner cannot"
                        " refresh it");
    drop_roles(fixture);
}

int run_schema_check_tests(void)
{
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_tables_that_were_there_before),
        DATABASE_TEST(test_what_disappears_while_it_runs),
        DATABASE_TEST(test_little_privilege),
    };
    return cmocka_run_group_tests_name("schema check", tests, NULL, NULL);
}
