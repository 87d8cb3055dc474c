/* Installing the schema. */
#include "services/clients/postgres/outbox.h"
#include "services/clients/postgres/schema.h"
#include "tests/unit/clients/postgres/fixture.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLICAS 8

static const char indexes_sql[] = "SELECT string_agg(indexname, ',' ORDER BY indexname)"
                                  " FROM pg_indexes WHERE schemaname = 'public'";
static const char all_indexes[] =
    "daily_sales_mv_date_idx,dead_letters_dead_idx,dead_letters_digest_idx,dead_letters_ended_idx,"
    "dead_letters_order_idx,dead_letters_pkey,dead_letters_replay_idx,job_items_pkey,"
    "job_items_sent_idx,jobs_index_asked_idx,jobs_index_running_idx,jobs_pkey,jobs_unfinished_idx,"
    "order_outbox_pkey,order_pipeline_schema_pkey,orders_pkey,"
    "sales_ledger_state_pkey,sales_refresh_pkey,sales_refresh_tick_key,scheduler_seen_pkey,search_"
    "index_pkey";
static const char view_sql[] = "SELECT string_agg(sale_date || '=' || total_revenue, ' '"
                               " ORDER BY sale_date) FROM daily_sales_mv";

static void open_all(struct connection connections[REPLICAS], struct fixture *fixture)
{
    for (int i = 0; i < REPLICAS; i++) {
        struct database_options options = connection_options(&connections[i], fixture);
        connections[i].database = database_new(fixture->loop, &options);
    }
    for (int i = 0; i < REPLICAS; i++)
        run_until_up(&connections[i]);
    for (int i = 0; i < REPLICAS; i++) {
        assert_int_equal(connections[i].downs, 0);
        connection_close(&connections[i]);
    }
}

static void test_all_at_once_on_empty(void **state)
{
    struct connection connections[REPLICAS];
    open_all(connections, *state);
    assert_string_equal(query(*state, indexes_sql), all_indexes);
    assert_string_equal(query(*state, "SELECT pg_typeof(id) FROM"
                                      " (SELECT (NULL::orders).id) AS o"),
                        "uuid");
    char version[12];
    snprintf(version, sizeof version, "%d", SCHEMA_VERSION);
    assert_string_equal(query(*state, "SELECT max(version) FROM order_pipeline_schema"), version);
    assert_string_equal(query(*state, "SELECT relispopulated FROM pg_class"
                                      " WHERE relname = 'daily_sales_mv'"),
                        "t");
}

/* To install it again would lock the tables that the others use already. */
static void test_all_at_once_install_once(void **state)
{
    struct fixture *fixture = *state;
    execute(fixture, "CREATE TABLE installers (xid bigint);"
                     "CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS"
                     " 'BEGIN INSERT INTO public.installers VALUES (txid_current()); END';"
                     "CREATE EVENT TRIGGER note ON ddl_command_end EXECUTE FUNCTION note()");
    struct connection connections[REPLICAS];
    open_all(connections, fixture);
    assert_string_equal(query(fixture, "SELECT count(DISTINCT xid) FROM installers"), "1");
}

static void test_all_at_once_over_original(void **state)
{
    install_original_schema(*state);
    struct connection connections[REPLICAS];
    open_all(connections, *state);
    assert_string_equal(query(*state, "SELECT count(*) FROM orders"), "5");
    assert_string_equal(query(*state, "SELECT pg_typeof(id) FROM orders LIMIT 1"), "text");
    /* The administrator's session, like the one that made the original's view, is in Tokyo: there,
     * an hour before midnight UTC is the next day. NaN counts nothing. */
    assert_string_equal(query(*state, view_sql), "2026-01-01=14.99 2026-01-02=1.005 infinity=1");
    execute(*state, "REFRESH MATERIALIZED VIEW CONCURRENTLY daily_sales_mv");
    assert_string_equal(query(*state, view_sql), "2026-01-01=14.99 2026-01-02=1.005 infinity=1");
}

/* An older version, as its release installed it. */
static void install_version(struct fixture *fixture, int version)
{
    static char sql[20000];
    char path[200];
    snprintf(path, sizeof path, SCHEMA_VERSIONS_FOLDER "/schema_version_%d.sql", version);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    sql[fread(sql, 1, sizeof sql - 1, file)] = '\0';
    fclose(file);
    execute(fixture, sql);
}

/* As a gateway of version 1 stores a bulk order. */
static void store_as_version_1(struct fixture *fixture, int number)
{
    char sql[400];
    snprintf(sql, sizeof sql,
             "WITH o AS (SELECT ('ab000000-0000-4000-8000-0000000001%02d')::uuid AS id,"
             " 'old way' AS name, 12.30 AS amount, timestamptz '2026-01-01 23:30:00.5+00' AS at),"
             " stored AS (INSERT INTO orders SELECT * FROM o)"
             " INSERT INTO order_outbox (order_id, product_name, amount, created_at)"
             " SELECT * FROM o",
             number);
    execute(fixture, sql);
}

static void on_taken(void *arg, struct outbox_batch *batch, const struct database_answer *answer)
{
    assert_int_equal(answer->status, DATABASE_OK);
    *(struct outbox_batch **)arg = batch;
}

/* What version 1 lacks: a job that waits, one that is done, and a scheduler that was seen. */
static void ask_as_version_2(struct fixture *fixture)
{
    execute(fixture, "INSERT INTO scheduler_seen (at) VALUES (now());"
                     "INSERT INTO jobs (kind) VALUES ('refresh');"
                     "INSERT INTO jobs (kind, state, started, finished)"
                     " VALUES ('refresh', 'done', now(), now())");
}

/* From an older version with rows in the outbox, by all replicas at once, and with a gateway of
 * version 1 that still stores and relays. `original`: over the original's tables, with text ids. */
static void upgrade(struct fixture *fixture, int version)
{
    install_version(fixture, version);
    if (version >= 2)
        ask_as_version_2(fixture);
    bool original = strcmp(query(fixture, "SELECT pg_typeof(id) FROM (SELECT (NULL::orders).id)"
                                          " AS o"),
                           "text") == 0;
    if (!original) {
        store_as_version_1(fixture, 1);
    } else {
        execute(fixture, "INSERT INTO orders VALUES ('ab000000-0000-4000-8000-000000000101',"
                         " 'old way', 12.30, '2026-01-01 23:30:00.5+00');"
                         "INSERT INTO order_outbox (order_id, product_name, amount, created_at)"
                         " SELECT id::uuid, product_name, amount, created_at FROM orders"
                         " WHERE product_name = 'old way'");
    }
    struct connection connections[REPLICAS];
    open_all(connections, fixture);
    assert_string_equal(query(fixture, indexes_sql), all_indexes);
    assert_string_equal(query(fixture, "SELECT string_agg(version::text, ',' ORDER BY version)"
                                       " FROM order_pipeline_schema"),
                        "1,2,3,4,5,6");
    if (!original)
        store_as_version_1(fixture, 2);

    struct connection connection;
    connection_open(&connection, fixture);
    struct outbox_batch *batch = NULL;
    assert_int_equal(outbox_take(connection.database, on_taken, &batch), 0);
    run_until_query(fixture, "SELECT count(*) FROM order_outbox WHERE lease IS NULL", "0");
    for (int i = 0; i < 100 && batch == NULL; i++)
        run_for(fixture, 10);
    assert_non_null(batch);
    assert_int_equal(batch->count, original ? 1 : 2);
    for (size_t i = 0; i < batch->count; i++) {
        char json[200];
        snprintf(json, sizeof json,
                 "{\"id\":\"ab000000-0000-4000-8000-0000000001%02zu\",\"product_name\":"
                 "\"old way\",\"amount\":12.3,\"created_at\":\"2026-01-01T23:30:00.5Z\"}",
                 i + 1);
        assert_int_equal(batch->rows[i].json_len, strlen(json));
        assert_memory_equal(batch->rows[i].json, json, strlen(json));
    }
    free(batch);
    connection_close(&connection);
    if (version >= 2)
        assert_string_equal(query(fixture,
                                  "SELECT string_agg(state || ' ' || done, ', ' ORDER BY id)"
                                  " FROM jobs"),
                            "waiting 0, done 0");
    /* A service of that version that starts now finds what it needs, and changes nothing. */
    install_version(fixture, version);
    assert_string_equal(query(fixture, indexes_sql), all_indexes);
    assert_string_equal(query(fixture, "SELECT max(version) FROM order_pipeline_schema"), "6");
}

static void test_upgrade(void **state)
{
    upgrade(*state, 1);
}

static void test_upgrade_over_original(void **state)
{
    install_original_schema(*state);
    upgrade(*state, 1);
}

static void test_upgrade_from_2(void **state)
{
    upgrade(*state, 2);
}

static void test_upgrade_from_2_over_original(void **state)
{
    install_original_schema(*state);
    upgrade(*state, 2);
}

static void test_upgrade_from_3(void **state)
{
    upgrade(*state, 3);
}

static void test_upgrade_from_3_over_original(void **state)
{
    install_original_schema(*state);
    upgrade(*state, 3);
}

static void test_upgrade_from_4(void **state)
{
    upgrade(*state, 4);
}

static void test_upgrade_from_4_over_original(void **state)
{
    install_original_schema(*state);
    upgrade(*state, 4);
}

static void test_upgrade_from_5(void **state)
{
    upgrade(*state, 5);
}

static void test_upgrade_from_5_over_original(void **state)
{
    install_original_schema(*state);
    upgrade(*state, 5);
}

/* Started again, nothing happens; what somebody dropped comes back, and the rest stays. */
static void test_again(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    connection_close(&connection);
    execute(fixture, "INSERT INTO orders VALUES (gen_random_uuid(), 'kept', 1, now())");
    execute(fixture, "CREATE TABLE before AS SELECT oid FROM pg_class");
    connection_open(&connection, fixture);
    connection_close(&connection);
    assert_string_equal(query(fixture, "SELECT count(*) FROM pg_class"
                                       " WHERE oid NOT IN (SELECT oid FROM before)"
                                       " AND relname <> 'before' AND relnamespace ="
                                       " 'public'::regnamespace"),
                        "0");
    static const char *const drops[] = {"DROP MATERIALIZED VIEW daily_sales_mv",
                                        "DROP INDEX daily_sales_mv_date_idx",
                                        "DROP TABLE order_outbox",
                                        "DROP TABLE sales_refresh",
                                        "DROP TABLE jobs",
                                        "DROP INDEX jobs_unfinished_idx",
                                        "DROP TABLE scheduler_seen",
                                        "DROP TABLE dead_letters",
                                        "DROP INDEX dead_letters_digest_idx",
                                        "DROP TABLE job_items",
                                        "DROP INDEX jobs_index_running_idx",
                                        "DROP TABLE search_index",
                                        "DROP TABLE sales_ledger",
                                        "DROP TABLE sales_ledger_state"};
    for (size_t i = 0; i < COUNT(drops); i++) {
        execute(fixture, drops[i]);
        connection_open(&connection, fixture);
        connection_close(&connection);
        assert_string_equal(query(fixture, indexes_sql), all_indexes);
    }
    assert_string_equal(query(fixture, "SELECT count(*) FROM orders"), "1");
    /* of a later release: left alone */
    execute(fixture, "INSERT INTO order_pipeline_schema VALUES (1000)");
    connection_open(&connection, fixture);
    connection_close(&connection);
    assert_string_equal(query(fixture, "SELECT max(version) FROM order_pipeline_schema"), "1000");
}

/* A role that may use the tables and make none. */
static void test_without_the_right_to_create(void **state)
{
    struct fixture *fixture = *state;
    execute(fixture, "DROP ROLE IF EXISTS modest; CREATE ROLE modest LOGIN");
    char dsn[300];
    snprintf(dsn, sizeof dsn, "%s user=modest", fixture->dsn);
    struct connection connection;
    struct database_options options = connection_options(&connection, fixture);
    options.dsn = dsn;
    options.uses = DATABASE_FINDS;
    connection.database = database_new(fixture->loop, &options);
    run_until(fixture, &connection.down);
    assert_string_equal(connection.reason, "the schema: orders is missing: "
                                           "permission denied for schema public");
    struct connection owner;
    connection_open(&owner, fixture);
    connection_close(&owner);
    execute(fixture, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO modest");
    run_until_up(&connection);
    connection_close(&connection);
}

int run_schema_tests(void)
{
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_all_at_once_on_empty),
        DATABASE_TEST(test_all_at_once_install_once),
        DATABASE_TEST(test_all_at_once_over_original),
        DATABASE_TEST(test_upgrade),
        DATABASE_TEST(test_upgrade_over_original),
        DATABASE_TEST(test_upgrade_from_2),
        DATABASE_TEST(test_upgrade_from_2_over_original),
        DATABASE_TEST(test_upgrade_from_3),
        DATABASE_TEST(test_upgrade_from_3_over_original),
        DATABASE_TEST(test_upgrade_from_4),
        DATABASE_TEST(test_upgrade_from_4_over_original),
        DATABASE_TEST(test_upgrade_from_5),
        DATABASE_TEST(test_upgrade_from_5_over_original),
        DATABASE_TEST(test_again),
        DATABASE_TEST(test_without_the_right_to_create),
    };
    return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
