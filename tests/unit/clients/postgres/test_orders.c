/* orders_find() and orders_insert_send(), on both forms of the table. */
#include "tests/unit/clients/postgres/fixture.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct inserted {
    bool done;
    struct database_answer answer;
    enum insert_status results[ORDERS_BATCH_MAX];
    int64_t created_at_us[ORDERS_BATCH_MAX];
    size_t count;
};

static void on_inserted(void *arg, const struct insert_result *results,
                        const struct database_answer *answer)
{
    struct inserted *inserted = arg;
    assert_false(inserted->done);
    assert_true((results != NULL) == (answer->status == DATABASE_OK));
    inserted->done = true;
    inserted->answer = *answer;
    for (size_t i = 0; results != NULL && i < inserted->count; i++) {
        inserted->results[i] = results[i].status;
        inserted->created_at_us[i] = results[i].created_at_us;
    }
}

static void insert(struct connection *connection, const struct order *const *orders, size_t count,
                   struct inserted *inserted)
{
    memset(inserted, 0, sizeof *inserted);
    inserted->count = count;
    assert_int_equal(orders_insert_send(orders_insert_new(orders, count), connection->database,
                                        on_inserted, inserted),
                     0);
    run_until(connection->fixture, &inserted->done);
}

struct found {
    bool done;
    enum order_lookup result;
    struct order order;
    struct database_answer answer;
};

static void on_found(void *arg, enum order_lookup result, const struct order *order,
                     const struct database_answer *answer)
{
    struct found *found = arg;
    found->done = true;
    found->result = result;
    found->answer = *answer;
    assert_true((order != NULL) == (result == ORDER_FOUND));
    if (order != NULL)
        order_copy(&found->order, order);
}

static void find(struct connection *connection, const struct order_id *id, struct found *found)
{
    memset(found, 0, sizeof *found);
    assert_int_equal(orders_find(connection->database, id, on_found, found), 0);
    run_until(connection->fixture, &found->done);
}

static void find_text(struct connection *connection, const char *text, struct found *found)
{
    struct order_id id;
    assert_int_equal(order_id_parse(text, strlen(text), &id), 0);
    find(connection, &id, found);
}

/* Everything that is the same with `id uuid` and `id text`. */
static void insert_and_find(struct fixture *fixture)
{
    struct connection connection;
    connection_open(&connection, fixture);
    struct inserted inserted;
    struct found found;

    /* out of order, extreme amounts and instants, names in many scripts and the longest */
    char longest[ORDER_NAME_MAX_BYTES + 1];
    for (size_t i = 0; i < ORDER_NAME_MAX_BYTES; i += 4)
        memcpy(longest + i, "\xf0\x9f\x93\xa6", 4);
    longest[ORDER_NAME_MAX_BYTES] = '\0';
    struct order orders[] = {
        make_order(30, "Laptop", 129999),
        make_order(10, "\xd0\xa7\xd0\xb0\xd0\xb9 'quoted\" \\ {,} NULL", INT64_C(999999999999)),
        make_order(40, longest, 1),
        make_order(20, "back", INT64_C(-999999999999)),
        make_order(25, "", 0),
    };
    orders[0].created_at_us = INT64_C(-62135596800000000); /* 0001-01-01 */
    orders[1].created_at_us = INT64_C(253402300799999999); /* 9999-12-31 */
    orders[2].created_at_us = 0;
    orders[3].created_at_us = -1;
    const size_t count = COUNT(orders);
    const struct order *batch[COUNT(orders)];
    for (size_t i = 0; i < count; i++)
        batch[i] = &orders[i];
    for (int round = 0; round < 2; round++) { /* the second finds them all there */
        insert(&connection, batch, count, &inserted);
        assert_int_equal(inserted.answer.status, DATABASE_OK);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(inserted.results[i], INSERT_STORED);
    }
    for (size_t i = 0; i < count; i++) {
        find(&connection, &orders[i].id, &found);
        assert_int_equal(found.result, ORDER_FOUND);
        assert_true(order_equal(&found.order, &orders[i]));
    }
    assert_string_equal(query(fixture, "SELECT amount::text FROM orders"
                                       " WHERE product_name = 'Laptop'"),
                        "1299.99");
    struct order unknown = make_order(99, "", 0);
    find(&connection, &unknown.id, &found);
    assert_int_equal(found.result, ORDER_NOT_FOUND);

    /* each difference is a conflict, its neighbours are not concerned; by value: 1299.990000 */
    execute(fixture, "UPDATE orders SET amount = 1299.990000 WHERE product_name = 'Laptop'");
    struct order other_name = orders[1], other_amount = orders[2], other_instant = orders[3];
    struct order fresh = make_order(50, "new", 5);
    order_set_name(&other_name, "x", 1);
    other_amount.amount_cents++;
    other_instant.created_at_us++;
    const struct order *mixed[] = {&orders[0], &other_name, &other_amount, &fresh, &other_instant};
    insert(&connection, mixed, 5, &inserted);
    assert_int_equal(inserted.answer.status, DATABASE_OK);
    const enum insert_status expected[] = {INSERT_STORED, INSERT_CONFLICT, INSERT_CONFLICT,
                                           INSERT_STORED, INSERT_CONFLICT};
    assert_memory_equal(inserted.results, expected, sizeof expected);

    /* one id several times in a batch of new ones: the first wins */
    struct order first = make_order(61, "first", 1), second = make_order(61, "second", 1);
    struct order neighbour = make_order(60, "neighbour", 1);
    const struct order *copies[] = {&first, &second, &first, &neighbour};
    insert(&connection, copies, 4, &inserted);
    const enum insert_status expected_copies[] = {INSERT_STORED, INSERT_CONFLICT, INSERT_STORED,
                                                  INSERT_STORED};
    assert_memory_equal(inserted.results, expected_copies, sizeof expected_copies);
    find(&connection, &first.id, &found);
    assert_string_equal(found.order.product_name, "first");
    /* and again: now the row decides, whichever comes first */
    const struct order *again[] = {&second, &first, &fresh, &second};
    insert(&connection, again, 4, &inserted);
    const enum insert_status expected_again[] = {INSERT_CONFLICT, INSERT_STORED, INSERT_STORED,
                                                 INSERT_CONFLICT};
    assert_memory_equal(inserted.results, expected_again, sizeof expected_again);

    /* an Idempotency-Key's order, sent again later: the first instant stays, another payload is
     * still a conflict */
    const struct order_id name_space = {.bytes = {1}};
    struct order keyed = make_order(70, "keyed", 7);
    keyed.id = order_id_from_key(&name_space, "key", 3);
    struct order later = keyed, other_payload = keyed;
    later.created_at_us += 40000000;
    other_payload.amount_cents++;
    const struct order *sent_once[] = {&keyed}, *sent_again[] = {&later, &fresh, &other_payload};
    insert(&connection, sent_once, 1, &inserted);
    assert_int_equal(inserted.created_at_us[0], keyed.created_at_us);
    insert(&connection, sent_again, 3, &inserted);
    const enum insert_status expected_keyed[] = {INSERT_STORED, INSERT_STORED, INSERT_CONFLICT};
    assert_memory_equal(inserted.results, expected_keyed, sizeof expected_keyed);
    assert_int_equal(inserted.created_at_us[0], keyed.created_at_us);
    assert_int_equal(inserted.created_at_us[1], fresh.created_at_us);
    connection_close(&connection);
}

static void test_uuid_ids(void **state)
{
    insert_and_find(*state);
    assert_string_equal(query(*state, "SELECT pg_typeof(id) FROM orders LIMIT 1"), "uuid");
}

static void test_text_ids(void **state)
{
    install_original_schema(*state);
    insert_and_find(*state);
    assert_string_equal(query(*state, "SELECT pg_typeof(id) FROM orders LIMIT 1"), "text");
}

/* A table that was there before, whose created_at is coarser or of another type: an order that
 * comes again is the row's, and its instant is what the row has. */
static void test_coarser_columns(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *created_at, *amount;
        int64_t unit_us;
    } tables[] = {
        {"timestamptz(3)", "numeric(12,2)", 1000},   {"timestamptz(0)", "float8", 1000000},
        {"timestamp(1)", "numeric", 100000},         {"timestamp", "amounts", 1},
        {"instants", "numeric(14,4)", INT64_C(100)},
    };
    execute(fixture, "CREATE DOMAIN instants AS timestamptz(4) NOT NULL;"
                     "CREATE DOMAIN amounts AS numeric(12,2)");
    for (size_t t = 0; t < COUNT(tables); t++) {
        char sql[300];
        snprintf(sql, sizeof sql,
                 "DROP TABLE IF EXISTS orders CASCADE; CREATE TABLE orders (id uuid PRIMARY KEY,"
                 " product_name text, amount %s, created_at %s)",
                 tables[t].amount, tables[t].created_at);
        execute(fixture, sql);
        struct connection connection;
        connection_open(&connection, fixture);
        /* below and above the middle, in it, on both sides of 2000-01-01 */
        static const int64_t instants[] = {INT64_C(1700000000123456), INT64_C(1700000000987654),
                                           INT64_C(1700000000500000), INT64_C(1700000000049950),
                                           INT64_C(-12345678000123),  INT64_C(-12345678500000),
                                           INT64_C(946684799999999),  INT64_C(946684800000000)};
        struct order orders[COUNT(instants)];
        const struct order *batch[COUNT(instants)];
        struct inserted inserted;
        for (unsigned i = 0; i < COUNT(instants); i++) {
            orders[i] = make_order(i, "old table", INT64_C(999999999912) + i);
            orders[i].created_at_us = instants[i];
            batch[i] = &orders[i];
        }
        for (int round = 0; round < 2; round++) {
            insert(&connection, batch, COUNT(instants), &inserted);
            assert_int_equal(inserted.answer.status, DATABASE_OK);
            for (size_t i = 0; i < COUNT(instants); i++) {
                struct found found;
                find(&connection, &orders[i].id, &found);
                assert_int_equal(inserted.results[i], INSERT_STORED);
                assert_int_equal(inserted.created_at_us[i], found.order.created_at_us);
                assert_int_equal(found.order.created_at_us % tables[t].unit_us, 0);
                assert_int_equal(found.order.amount_cents, orders[i].amount_cents);
            }
        }
        /* An instant that the column tells from the row's is another order's. */
        orders[0].created_at_us += tables[t].unit_us;
        insert(&connection, batch, 2, &inserted);
        assert_int_equal(inserted.results[0], INSERT_CONFLICT);
        assert_int_equal(inserted.results[1], INSERT_STORED);
        connection_close(&connection);
    }
}

/* What the original program may have stored. */
static void test_rows_of_the_original(void **state)
{
    install_original_schema(*state);
    struct connection connection;
    connection_open(&connection, *state);
    struct found found;
    find_text(&connection, "ab000000-0000-4000-8000-000000000001", &found);
    assert_int_equal(found.result, ORDER_FOUND);
    assert_int_equal(found.order.amount_cents, 1999);
    assert_int_equal(found.order.created_at_us, INT64_C(1767310200000000));
    find_text(&connection, "ab000000-0000-4000-8000-000000000002", &found);
    assert_int_equal(found.order.amount_cents, -500);
    static const char *const unshowable[][2] = {
        {"ab000000-0000-4000-8000-000000000003", "amount"},
        {"ab000000-0000-4000-8000-000000000004", "amount"},
        {"ab000000-0000-4000-8000-000000000005", "created_at"}};
    for (size_t i = 0; i < COUNT(unshowable); i++) {
        find_text(&connection, unshowable[i][0], &found);
        assert_int_equal(found.result, ORDER_LOOKUP_FAILED);
        assert_int_equal(found.answer.status, DATABASE_FAILED);
        assert_non_null(strstr(found.answer.message, unshowable[i][1]));
    }
    /* an order under the id of such a row is another order */
    struct order order = make_order(3, "odd", 101);
    assert_int_equal(order_id_parse(unshowable[0][0], ORDER_ID_TEXT_LEN, &order.id), 0);
    const struct order *batch[] = {&order};
    struct inserted inserted;
    insert(&connection, batch, 1, &inserted);
    assert_int_equal(inserted.results[0], INSERT_CONFLICT);
    connection_close(&connection);
}

/* One row that the server refuses takes the batch with it, and nothing else. */
static void test_refused_row(void **state)
{
    struct fixture *fixture = *state;
    struct connection connection;
    connection_open(&connection, fixture);
    execute(fixture, "ALTER TABLE orders ADD CHECK (product_name <> 'secret name')");
    struct order good = make_order(1, "good", 1), bad = make_order(2, "secret name", 1);
    const struct order *both[] = {&bad, &good}, *alone[] = {&good};
    struct inserted first, second;
    memset(&first, 0, sizeof first);
    memset(&second, 0, sizeof second);
    first.count = 2;
    second.count = 1;
    assert_int_equal(
        orders_insert_send(orders_insert_new(both, 2), connection.database, on_inserted, &first),
        0);
    assert_int_equal(
        orders_insert_send(orders_insert_new(alone, 1), connection.database, on_inserted, &second),
        0);
    run_until(fixture, &second.done);
    assert_true(first.done);
    assert_int_equal(first.answer.status, DATABASE_FAILED);
    assert_string_equal(first.answer.sqlstate, "23514");
    assert_null(strstr(first.answer.message, "secret"));
    assert_int_equal(second.answer.status, DATABASE_OK);
    assert_int_equal(second.results[0], INSERT_STORED);
    assert_string_equal(query(fixture, "SELECT count(*) FROM orders"), "1");

    /* a constraint that is checked at commit is a refusal, too: the answer waits for it */
    execute(fixture,
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'refused at commit'; END $$;"
            "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION refuse()");
    struct order late = make_order(3, "late", 1);
    const struct order *late_batch[] = {&late};
    insert(&connection, late_batch, 1, &first);
    assert_int_equal(first.answer.status, DATABASE_FAILED);
    assert_string_equal(first.answer.sqlstate, "P0001");
    struct reply reply;
    send_and_wait(&connection, "SELECT 1", &reply);
    assert_string_equal(reply.value, "1");
    connection_close(&connection);
}

/* Batches on two connections with the same ids in opposite orders do not deadlock. */
static void test_opposite_orders(void **state)
{
    struct fixture *fixture = *state;
    enum { SIZE = 200, ROUNDS = 20 };
    struct connection a, b;
    connection_open(&a, fixture);
    connection_open(&b, fixture);
    struct order *orders = calloc(SIZE, sizeof *orders);
    struct inserted *inserted = calloc(2, sizeof *inserted);
    assert_non_null(orders);
    assert_non_null(inserted);
    const struct order *up[SIZE], *down[SIZE];
    for (unsigned round = 0; round < ROUNDS; round++) {
        memset(inserted, 0, 2 * sizeof *inserted);
        for (unsigned i = 0; i < SIZE; i++) {
            orders[i] = make_order(1000 * round + i, "same", i);
            up[i] = down[SIZE - 1 - i] = &orders[i];
        }
        assert_int_equal(
            orders_insert_send(orders_insert_new(up, SIZE), a.database, on_inserted, &inserted[0]),
            0);
        assert_int_equal(orders_insert_send(orders_insert_new(down, SIZE), b.database, on_inserted,
                                            &inserted[1]),
                         0);
        run_until(fixture, &inserted[0].done);
        run_until(fixture, &inserted[1].done);
        for (unsigned i = 0; i < 2; i++)
            assert_int_equal(inserted[i].answer.status, DATABASE_OK);
    }
    free(inserted);
    free(orders);
    connection_close(&a);
    connection_close(&b);
}

/* Freed with calls under way: no answers, nothing leaks. */
static void test_freed(void **state)
{
    struct connection connection;
    connection_open(&connection, *state);
    struct order order = make_order(1, "a", 1);
    const struct order *batch[] = {&order};
    struct inserted inserted = {.done = false};
    struct found found = {.done = false};
    assert_int_equal(orders_insert_send(orders_insert_new(batch, 1), connection.database,
                                        on_inserted, &inserted),
                     0);
    assert_int_equal(orders_find(connection.database, &order.id, on_found, &found), 0);
    connection_close(&connection);
    run_for(*state, 50);
    assert_false(inserted.done);
    assert_false(found.done);
}

int run_orders_tests(void)
{
    const struct CMUnitTest tests[] = {
        DATABASE_TEST(test_uuid_ids),        DATABASE_TEST(test_text_ids),
        DATABASE_TEST(test_refused_row),     DATABASE_TEST(test_rows_of_the_original),
        DATABASE_TEST(test_opposite_orders), DATABASE_TEST(test_freed),
        DATABASE_TEST(test_coarser_columns),
    };
    return cmocka_run_group_tests_name("orders", tests, NULL, NULL);
}
