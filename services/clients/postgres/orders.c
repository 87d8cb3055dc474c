/* Reading one order, and inserting a batch of them.
 *
 * The batch's common case is one statement: the server tells how many rows it inserted, and when
 * that is all of them, everything is known. Else some ids were there before (an order delivered
 * again, mostly), and a second statement reads all of the batch's rows to compare them by value. A
 * concurrent insert of the same id cannot be missed: ON CONFLICT waits for its transaction. */
#include "services/clients/postgres/orders.h"
#include "services/base/memory.h"
#include "services/clients/postgres/answer.h"
#include "services/clients/postgres/order_rows.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* A row of orders that no struct order can hold (SQLSTATE class 22, data exception). */
#define SQLSTATE_BAD_ROW "22000"
/* The row that stood in the way is gone: trying again may succeed (serialization failure). */
#define SQLSTATE_ROW_GONE "40001"

struct find {
    struct order_id id;
    order_found_fn *on_done;
    void *arg;
};

static void on_found(void *arg, const struct database_answer *answer)
{
    struct find find = *(struct find *)arg;
    free(arg);
    if (answer->status != DATABASE_OK) {
        find.on_done(find.arg, ORDER_LOOKUP_FAILED, NULL, answer);
    } else if (PQntuples(answer->result) == 0) {
        find.on_done(find.arg, ORDER_NOT_FOUND, NULL, answer);
    } else {
        struct order order;
        order.id = (struct order_id){0}; /* stays when the row's cannot be read */
        const char *bad_column = order_row_decode(answer->result, 0, &order);
        struct database_answer failed;
        if (!order_id_equal(&order.id, &find.id)) {
            answer_set_failed(&failed, SQLSTATE_WRONG_ROW, WRONG_ROW);
        } else if (bad_column != NULL) {
            char message[100];
            snprintf(message, sizeof message, "the stored row's %s cannot be shown exactly",
                     bad_column);
            answer_set_failed(&failed, SQLSTATE_BAD_ROW, message);
        } else {
            find.on_done(find.arg, ORDER_FOUND, &order, answer);
            return;
        }
        find.on_done(find.arg, ORDER_LOOKUP_FAILED, NULL, &failed);
    }
}

int orders_find(struct database *database, const struct order_id *id, order_found_fn *on_done,
                void *arg)
{
    static const char sql[] = "SELECT " ORDER_ROW_COLUMNS " FROM orders WHERE id = $1";
    char text[ORDER_ID_TEXT_LEN + 1];
    order_id_format(id, text); /* as text and untyped: right for an id of either type */
    const char *const values[] = {text};
    const struct database_parameters parameters = {.count = 1, .values = values};
    struct find *find = memory_new(sizeof *find);
    *find = (struct find){*id, on_done, arg};
    if (database_call(database, sql, &parameters, true, on_found, free, find) == 0)
        return 0;
    free(find);
    return -1;
}

enum { COLUMN_INSERTED, COLUMN_INSERT_DIGITS }; /* of the INSERT */
enum { COLUMN_REREAD_DIGITS = 4 };              /* of order_rows_select(), behind the order's */

struct orders_insert {
    struct database *database;
    orders_inserted_fn *on_done;
    void *arg;
    size_t count, distinct_count;
    struct order_entry *entries;   /* all, sorted: copies of an id stand together */
    struct order_entry *distinct;  /* the first of each id */
    struct insert_result *results; /* by place */
    struct order_rows rows;        /* of the distinct ones, until they are sent */
};

void orders_insert_free(struct orders_insert *insert)
{
    if (insert == NULL)
        return;
    order_rows_release(&insert->rows);
    free(insert->entries);
    free(insert->distinct);
    free(insert->results);
    free(insert);
}

static void insert_free(void *arg)
{
    orders_insert_free(arg);
}

static void insert_done(struct orders_insert *insert, const struct database_answer *answer)
{
    bool ok = answer->status == DATABASE_OK;
    insert->on_done(insert->arg, ok ? insert->results : NULL, answer);
    insert_free(insert);
}

/* Whether an order of the row's id is the row's, which is from `row_us`. The id of an
 * Idempotency-Key (UUIDv5) names one order however often it was sent. */
static bool is_stored_as(const struct order *order, const struct order *row, int64_t row_us,
                         int digits)
{
    return order_same_payload(order, row) &&
           (order_id_version(&order->id) == 5 ||
            created_at_held_us(order->created_at_us, digits) == row_us);
}

/* The result of every order that has this row's id, from entry `first` on; returns the entry behind
 * them. `row` may also be an order whose row was just inserted. */
static size_t compare_with_row(struct orders_insert *insert, size_t first, const struct order *row,
                               int digits)
{
    int64_t row_us = created_at_held_us(row->created_at_us, digits);
    size_t i = first;
    for (; i < insert->count; i++) {
        const struct order_entry *entry = &insert->entries[i];
        if (entry->order != row && !order_id_equal(&entry->order->id, &row->id))
            break;
        bool stored = entry->order == row || is_stored_as(entry->order, row, row_us, digits);
        insert->results[entry->place] = (struct insert_result){
            .status = stored ? INSERT_STORED : INSERT_CONFLICT,
            .created_at_us = row_us,
        };
    }
    return i;
}

static void on_reread(void *arg, const struct database_answer *answer)
{
    struct orders_insert *insert = arg;
    if (answer->status != DATABASE_OK) {
        insert_done(insert, answer);
        return;
    }
    struct database_answer failed;
    int digits = created_at_digits(answer->result, COLUMN_REREAD_DIGITS);
    bool empty = PQntuples(answer->result) == 0;
    if ((digits < 0 && !empty) ||
        !order_rows_are_of(answer->result, insert->distinct, insert->distinct_count)) {
        answer_set_failed(&failed, SQLSTATE_WRONG_ROW, WRONG_ROW);
        insert_done(insert, &failed);
        return;
    }
    if ((size_t)PQntuples(answer->result) != insert->distinct_count) {
        /* A conflicting row was deleted in between. */
        answer_set_failed(&failed, SQLSTATE_ROW_GONE, "a row vanished while it was compared");
        insert_done(insert, &failed);
        return;
    }
    for (size_t i = 0; i < insert->count; i++) /* unless found equal */
        insert->results[i].status = INSERT_CONFLICT;
    struct order row;
    for (int i = 0; i < PQntuples(answer->result); i++)
        if (order_row_decode(answer->result, i, &row) == NULL)
            (void)compare_with_row(
                insert, order_entries_find(insert->entries, insert->count, &row.id), &row, digits);
    insert_done(insert, answer);
}

static void on_inserted(void *arg, const struct database_answer *answer)
{
    struct orders_insert *insert = arg;
    if (answer->status != DATABASE_OK) {
        insert_done(insert, answer);
        return;
    }
    const PGresult *result = answer->result;
    int digits = created_at_digits(result, COLUMN_INSERT_DIGITS);
    if (digits < 0 || PQgetlength(result, 0, COLUMN_INSERTED) != sizeof(int64_t)) {
        struct database_answer failed;
        answer_set_failed(&failed, SQLSTATE_WRONG_ROW, WRONG_ROW);
        insert_done(insert, &failed);
        return;
    }
    int64_t inserted = binary_integer(PQgetvalue(result, 0, COLUMN_INSERTED), sizeof(int64_t));
    if (inserted == (int64_t)insert->distinct_count) {
        for (size_t i = 0; i < insert->count;)
            i = compare_with_row(insert, i, insert->entries[i].order, digits);
        insert_done(insert, answer);
    } else if (order_rows_select(insert->database, insert->distinct, insert->distinct_count,
                                 on_reread, insert_free, insert) != 0) {
        struct database_answer unavailable;
        answer_set_unavailable(&unavailable, "too many statements under way");
        insert_done(insert, &unavailable);
    }
}

struct orders_insert *orders_insert_new(const struct order *const orders[], size_t count)
{
    assert(count > 0 && count <= ORDERS_BATCH_MAX);
    struct orders_insert *insert = memory_new(sizeof *insert);
    *insert = (struct orders_insert){
        .count = count,
        .entries = memory_new_array(count, sizeof *insert->entries),
        .distinct = memory_new_array(count, sizeof *insert->distinct),
        .results = memory_new_array(count, sizeof *insert->results),
    };
    for (size_t i = 0; i < count; i++)
        insert->entries[i] = order_entry_of(orders[i], i);
    order_entries_sort(insert->entries, count);
    for (size_t i = 0; i < count; i++)
        if (i == 0 ||
            !order_id_equal(&insert->entries[i].order->id, &insert->entries[i - 1].order->id))
            insert->distinct[insert->distinct_count++] = insert->entries[i];
    order_rows_write(&insert->rows, insert->distinct, insert->distinct_count, false);
    return insert;
}

int orders_insert_send(struct orders_insert *insert, struct database *database,
                       orders_inserted_fn *on_done, void *arg)
{
    static const char sql[] =
        "WITH inserted AS (INSERT INTO orders (id, product_name, amount, created_at)"
        " SELECT o.id, o.name, o.cents * 0.01, o.created_at"
        " FROM " ORDER_ROWS_FROM " ON CONFLICT (id) DO NOTHING RETURNING 1)"
        " SELECT count(*), " CREATED_AT_DIGITS " FROM inserted";
    insert->database = database;
    insert->on_done = on_done;
    insert->arg = arg;
    int status =
        order_rows_send(&insert->rows, database, sql, NULL, on_inserted, insert_free, insert);
    if (status != 0)
        orders_insert_free(insert);
    return status;
}
