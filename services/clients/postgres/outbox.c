/* Storing bulk orders together with their outbox rows. Who relays them: outbox_relay.c. */
#include "services/clients/postgres/outbox.h"
#include "services/base/memory.h"
#include "services/clients/postgres/answer.h"
#include "services/clients/postgres/order_rows.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SQLSTATE_UNIQUE_VIOLATION "23505"

struct bulk {
    struct database *database;
    bulk_stored_fn *on_done;
    void *arg;
    struct order_entry *entries; /* sorted */
    size_t count;
    struct database_answer refusal; /* of the insert */
};

static void bulk_free(void *arg)
{
    struct bulk *bulk = arg;
    free(bulk->entries);
    free(bulk);
}

static void bulk_done(struct bulk *bulk, enum bulk_result result,
                      const struct database_answer *answer)
{
    bulk->on_done(bulk->arg, result, answer);
    bulk_free(bulk);
}

static bool same_content(const struct bulk *bulk, const struct order *row)
{
    size_t i = order_entries_find(bulk->entries, bulk->count, &row->id);
    if (i == bulk->count)
        return false;
    const struct order *order = bulk->entries[i].order;
    return order_id_equal(&order->id, &row->id) && order_same_payload(order, row);
}

/* The rows that stood in the way: is it this very bulk, stored before? */
static void on_reread(void *arg, const struct database_answer *answer)
{
    struct bulk *bulk = arg;
    if (answer->status != DATABASE_OK) {
        bulk_done(bulk, BULK_FAILED, answer);
        return;
    }
    int rows = PQntuples(answer->result);
    if (rows == 0) { /* deleted since, or another unique constraint */
        bulk_done(bulk, BULK_FAILED, &bulk->refusal);
        return;
    }
    bool same = (size_t)rows == bulk->count;
    struct order row;
    for (int i = 0; i < rows && same; i++)
        same = order_row_decode(answer->result, i, &row) == NULL && same_content(bulk, &row);
    bulk_done(bulk, same ? BULK_STORED : BULK_CONFLICT, answer);
}

static void on_inserted(void *arg, const struct database_answer *answer)
{
    struct bulk *bulk = arg;
    if (answer->status == DATABASE_OK) {
        bulk_done(bulk, BULK_STORED, answer);
    } else if (!answer_has_sqlstate(answer, SQLSTATE_UNIQUE_VIOLATION)) {
        bulk_done(bulk, BULK_FAILED, answer);
    } else {
        bulk->refusal = *answer;
        if (order_rows_select(bulk->database, bulk->entries, bulk->count, on_reread, bulk_free,
                              bulk) != 0)
            bulk_done(bulk, BULK_FAILED, &bulk->refusal);
    }
}

int orders_insert_bulk(struct database *database, const struct order *orders, size_t count,
                       bulk_stored_fn *on_done, void *arg)
{
    static const char sql[] =
        "WITH o AS (SELECT id, name, cents * 0.01 AS amount, created_at FROM " ORDER_ROWS_FROM "),"
        " stored AS (INSERT INTO orders (id, product_name, amount, created_at)"
        " SELECT id, name, amount, created_at FROM o)"
        " INSERT INTO order_outbox (order_id, product_name, amount, created_at)"
        " SELECT id, name, amount, created_at FROM o";
    assert(count > 0 && count <= ORDERS_BATCH_MAX);
    struct bulk *bulk = memory_new(sizeof *bulk);
    *bulk = (struct bulk){
        .database = database,
        .on_done = on_done,
        .arg = arg,
        .count = count,
        .entries = memory_new_array(count, sizeof *bulk->entries),
    };
    for (size_t i = 0; i < count; i++)
        bulk->entries[i] = (struct order_entry){&orders[i], i};
    order_entries_sort(bulk->entries, count);
    if (order_rows_send(database, sql, bulk->entries, count, on_inserted, bulk_free, bulk) == 0)
        return 0;
    bulk_free(bulk);
    return -1;
}

struct backlog_read {
    outbox_backlog_fn *on_done;
    void *arg;
};

static void on_backlog(void *arg, const struct database_answer *answer)
{
    struct backlog_read read = *(struct backlog_read *)arg;
    free(arg);
    struct outbox_backlog backlog = {0};
    if (answer->status == DATABASE_OK && PQntuples(answer->result) == 1) {
        backlog.orders = strtoul(PQgetvalue(answer->result, 0, 0), NULL, 10);
        double seconds = strtod(PQgetvalue(answer->result, 0, 1), NULL);
        backlog.oldest_seconds = seconds > 0 ? seconds : 0; /* the clock was put back */
    }
    read.on_done(read.arg, &backlog, answer);
}

int outbox_backlog(struct database *database, outbox_backlog_fn *on_done, void *arg)
{
    static const char sql[] =
        "SELECT (SELECT count(*) FROM (SELECT FROM order_outbox LIMIT 10000) AS few),"
        " coalesce((SELECT extract(epoch FROM clock_timestamp() - stored_at)"
        " FROM order_outbox ORDER BY seq LIMIT 1), 0)";
    _Static_assert(OUTBOX_COUNT_MAX == 10000, "the LIMIT");
    struct backlog_read *read = memory_new(sizeof *read);
    *read = (struct backlog_read){on_done, arg};
    if (database_call(database, sql, NULL, false, on_backlog, free, read) == 0)
        return 0;
    free(read);
    return -1;
}
