/* Answers with rows that were not asked for, which no right PostgreSQL gives: the connection is the
 * test's. */
#include "services/clients/postgres/binary_array.h"
#include "services/clients/postgres/call.h"
#include "services/clients/postgres/orders.h"
#include "services/clients/postgres/outbox.h"
#include "tests/unit/support/cmocka_headers.h"
#include <string.h>

/* ---- the connection: of each statement, the answer is the test's ---- */

static struct {
    database_done_fn *on_done;
    void *arg;
} sent;

int database_call(struct database *database, const char *sql,
                  const struct database_parameters *parameters, bool binary_result,
                  database_done_fn *on_done, void (*drop)(void *arg), void *arg)
{
    (void)database, (void)sql, (void)parameters, (void)binary_result, (void)drop;
    sent.on_done = on_done;
    sent.arg = arg;
    return 0;
}

int database_send(struct database *database, const char *sql,
                  const struct database_parameters *parameters, bool binary_result,
                  database_done_fn *on_done, void *arg)
{
    return database_call(database, sql, parameters, binary_result, on_done, NULL, arg);
}

static struct order order_of(uint8_t last)
{
    struct order order;
    memset(&order, 0, sizeof order);
    order.id.bytes[15] = last;
    order_set_name(&order, "x", 1);
    order.amount_cents = 100;
    order.created_at_us = INT64_C(946684800000000); /* 2000: zero in PostgreSQL's binary form */
    return order;
}

static void answer_with(PGresult *result)
{
    const struct database_answer answer = {.status = DATABASE_OK, .result = result};
    sent.on_done(sent.arg, &answer);
    PQclear(result);
}

static PGresult *result_of(int columns)
{
    static char name[] = "";
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    PGresAttDesc descriptions[5];
    for (size_t i = 0; i < COUNT(descriptions); i++)
        descriptions[i] = (PGresAttDesc){.name = name, .format = 1, .typid = i == 0 ? OID_UUID : 0};
    assert_true(PQsetResultAttrs(result, columns, descriptions));
    return result;
}

static char six_digits[] = {0, 0, 0, 6};

/* How many rows an INSERT inserted. */
static void answer_inserted(char count)
{
    char number[8] = {0};
    number[7] = count;
    PGresult *result = result_of(2);
    assert_true(PQsetvalue(result, 0, 0, number, sizeof number));
    assert_true(PQsetvalue(result, 0, 1, six_digits, sizeof six_digits));
    answer_with(result);
}

/* A row for each digit: that of the order with this id. '-': a row without an id. */
static void answer_rows(const char *rows)
{
    PGresult *result = result_of(5);
    for (int row = 0; rows[row] != '\0'; row++) {
        struct order order = order_of((uint8_t)(rows[row] - '0'));
        char created_at[8] = {0}, amount[] = "1";
        assert_true(rows[row] == '-' ? PQsetvalue(result, row, 0, NULL, -1)
                                     : PQsetvalue(result, row, 0, (char *)order.id.bytes,
                                                  sizeof order.id.bytes));
        assert_true(PQsetvalue(result, row, 1, order.product_name, order.product_name_len));
        assert_true(PQsetvalue(result, row, 2, amount, 1));
        assert_true(PQsetvalue(result, row, 3, created_at, sizeof created_at));
        assert_true(PQsetvalue(result, row, 4, six_digits, sizeof six_digits));
    }
    answer_with(result);
}

static void assert_wrong_row(const struct database_answer *answer)
{
    assert_int_equal(answer->status, DATABASE_FAILED);
    assert_string_equal(answer->sqlstate, "XX000");
}

/* ---- the tests ---- */

static unsigned found, refused;

static void on_found(void *arg, enum order_lookup result, const struct order *order,
                     const struct database_answer *answer)
{
    (void)arg;
    if (result == ORDER_FOUND) {
        found++;
        assert_int_equal(order->id.bytes[15], 1);
    } else {
        refused++;
        assert_int_equal(result, ORDER_LOOKUP_FAILED);
        assert_wrong_row(answer);
    }
}

static void test_find(void **state)
{
    (void)state;
    static const char *const rows[] = {"1", "2", "-"};
    const struct order_id id = order_of(1).id;
    found = refused = 0;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(orders_find(NULL, &id, on_found, NULL), 0);
        answer_rows(rows[i]);
    }
    assert_int_equal(found, 1);
    assert_int_equal(refused, 2);
}

static void on_inserted(void *arg, const struct insert_result *results,
                        const struct database_answer *answer)
{
    (void)arg;
    if (answer->status == DATABASE_OK) {
        found++;
        assert_int_equal(results[0].status, INSERT_STORED);
        assert_int_equal(results[1].status, INSERT_STORED);
    } else {
        refused++;
        assert_wrong_row(answer);
    }
}

static void on_bulk(void *arg, enum bulk_result result, const struct database_answer *answer)
{
    (void)arg;
    if (result == BULK_STORED) {
        found++;
    } else {
        refused++;
        assert_int_equal(result, BULK_FAILED);
        assert_wrong_row(answer);
    }
}

/* Rows that are read again after a conflict. */
static const char *const compared[] = {"12", "21", "13", "31", "11", "1-", "1234"};

static void test_insert(void **state)
{
    (void)state;
    const struct order orders[] = {order_of(2), order_of(1)};
    const struct order *const list[] = {&orders[0], &orders[1]};
    found = refused = 0;
    for (size_t i = 0; i < COUNT(compared); i++) {
        assert_int_equal(
            orders_insert_send(orders_insert_new(list, COUNT(list)), NULL, on_inserted, NULL), 0);
        answer_inserted(0);
        answer_rows(compared[i]);
    }
    /* The answer to the INSERT is another statement's: no row, or one of an order. */
    static const char *const others[] = {"", "1"};
    for (size_t i = 0; i < COUNT(others); i++) {
        assert_int_equal(
            orders_insert_send(orders_insert_new(list, COUNT(list)), NULL, on_inserted, NULL), 0);
        answer_rows(others[i]);
    }
    assert_int_equal(found, 2);
    assert_int_equal(refused, COUNT(compared) - 2 + COUNT(others));
}

static void test_bulk(void **state)
{
    (void)state;
    const struct order orders[] = {order_of(2), order_of(1)};
    const struct trace_context trace = trace_context_begin();
    const struct database_answer taken = {.status = DATABASE_FAILED, .sqlstate = "23505"};
    found = refused = 0;
    for (size_t i = 0; i < COUNT(compared); i++) {
        assert_int_equal(orders_insert_bulk(NULL, orders, COUNT(orders), &trace, on_bulk, NULL), 0);
        sent.on_done(sent.arg, &taken);
        answer_rows(compared[i]);
    }
    assert_int_equal(found, 2);
    assert_int_equal(refused, COUNT(compared) - 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_insert),
        cmocka_unit_test(test_bulk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
