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

struct insert {
    struct database *database;
    orders_inserted_fn *on_done;
    void *arg;
    size_t count, distinct_count;
    struct order_entry *entries;   /* all, sorted: copies of an id stand together */
    struct order_entry *distinct;  /* the first of each id */
    struct insert_result *results; /* by place */
};

static void insert_free(void *arg)
{
    struct insert *insert = arg;
    free(insert->entries);
    free(insert->distinct);
    free(insert->results);
    free(insert);
}

static void insert_done(struct insert *insert, const struct database_answer *answer)
{
    bool ok = answer->status == DATABASE_OK;
    insert->on_done(insert->arg, ok ? insert->results : NULL, answer);
    insert_free(insert);
}

/* Whether an order of the row's id is the row's. The id of an Idempotency-Key (UUIDv5) names one
 * order however often it was sent. */
static bool is_stored_as(const struct order *order, const struct order *row)
{
    return order_equal(order, row) ||
           (order_id_version(&order->id) == 5 && order_same_payload(order, row));
}

/* The result of every order that has this row's id. */
static void compare_with_row(struct insert *insert, const struct order *row)
{
    size_t first = order_entries_find(insert->entries, insert->count, &row->id);
    for (size_t i = first; i < insert->count; i++) {
        const struct order_entry *entry = &insert->entries[i];
        if (!order_id_equal(&entry->order->id, &row->id))
            break;
        insert->results[entry->place] = (struct insert_result){
            .status = is_stored_as(entry->order, row) ? INSERT_STORED : INSERT_CONFLICT,
            .created_at_us = row->created_at_us,
        };
    }
}

static void on_reread(void *arg, const struct database_answer *answer)
{
    struct insert *insert = arg;
    if (answer->status != DATABASE_OK) {
        insert_done(insert, answer);
        return;
    }
    struct database_answer failed;
    if (!order_rows_are_of(answer->result, insert->distinct, insert->distinct_count)) {
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
            compare_with_row(insert, &row);
    insert_done(insert, answer);
}

static void on_inserted(void *arg, const struct database_answer *answer)
{
    struct insert *insert = arg;
    if (answer->status != DATABASE_OK) {
        insert_done(insert, answer);
        return;
    }
    size_t inserted = strtoul(PQcmdTuples((PGresult *)answer->result), NULL, 10);
    if (inserted == insert->distinct_count) {
        for (size_t i = 0; i < insert->distinct_count; i++)
            compare_with_row(insert, insert->distinct[i].order);
        insert_done(insert, answer);
    } else if (order_rows_select(insert->database, insert->distinct, insert->distinct_count,
                                 on_reread, insert_free, insert) != 0) {
        struct database_answer unavailable;
        answer_set_unavailable(&unavailable, "too many statements under way");
        insert_done(insert, &unavailable);
    }
}

int orders_insert(struct database *database, const struct order *const orders[], size_t count,
                  orders_inserted_fn *on_done, void *arg)
{
    static const char sql[] = "INSERT INTO orders (id, product_name, amount, created_at)"
                              " SELECT o.id, o.name, o.cents * 0.01, o.created_at"
                              " FROM " ORDER_ROWS_FROM " ON CONFLICT (id) DO NOTHING";
    assert(count > 0 && count <= ORDERS_BATCH_MAX);
    struct insert *insert = memory_new(sizeof *insert);
    *insert = (struct insert){
        .database = database,
        .on_done = on_done,
        .arg = arg,
        .count = count,
        .entries = memory_new_array(count, sizeof *insert->entries),
        .distinct = memory_new_array(count, sizeof *insert->distinct),
        .results = memory_new_array(count, sizeof *insert->results),
    };
    for (size_t i = 0; i < count; i++)
        insert->entries[i] = (struct order_entry){orders[i], i};
    order_entries_sort(insert->entries, count);
    for (size_t i = 0; i < count; i++)
        if (i == 0 ||
            !order_id_equal(&insert->entries[i].order->id, &insert->entries[i - 1].order->id))
            insert->distinct[insert->distinct_count++] = insert->entries[i];
    if (order_rows_send(database, sql, insert->distinct, insert->distinct_count, false, on_inserted,
                        insert_free, insert) == 0)
        return 0;
    insert_free(insert);
    return -1;
}
