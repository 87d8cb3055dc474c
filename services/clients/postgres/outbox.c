/* Storing bulk orders together with their outbox rows, and handing these out under a lease.
 *
 * A lease's end is also its name: a row is taken only when it has no lease or one that ended
 * before, so the next lease of a row ends later. A row's order never changes, so a relay deletes a
 * confirmed row even when another relay has its lease by now: the late relay has published it all
 * the same. When a relay fails in between, the lease ends and another relay takes the row: an order
 * may be published twice, never not at all. */
#include "services/clients/postgres/outbox.h"
#include "proto/order_json.h"
#include "services/base/memory.h"
#include "services/clients/postgres/answer.h"
#include "services/clients/postgres/order_rows.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
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

/* `row` is that of an order of the bulk. */
static bool same_content(const struct bulk *bulk, const struct order *row)
{
    size_t i = order_entries_find(bulk->entries, bulk->count, &row->id);
    return order_same_payload(bulk->entries[i].order, row);
}

/* The rows that stood in the way: is it this very bulk, stored before? */
static void on_reread(void *arg, const struct database_answer *answer)
{
    struct bulk *bulk = arg;
    if (answer->status == DATABASE_UNAVAILABLE || database_failure_passes(answer)) {
        struct database_answer unknown; /* this very bulk may have been stored before */
        answer_set_unavailable(&unknown, answer->message);
        bulk_done(bulk, BULK_FAILED, &unknown);
        return;
    }
    if (answer->status != DATABASE_OK) {
        bulk_done(bulk, BULK_FAILED, answer);
        return;
    }
    int rows = PQntuples(answer->result);
    if (rows == 0) { /* deleted since, or another unique constraint */
        bulk_done(bulk, BULK_FAILED, &bulk->refusal);
        return;
    }
    if (!order_rows_are_of(answer->result, bulk->entries, bulk->count)) {
        struct database_answer failed;
        answer_set_failed(&failed, SQLSTATE_WRONG_ROW, WRONG_ROW);
        bulk_done(bulk, BULK_FAILED, &failed);
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
        struct database_answer unknown;
        answer_set_unavailable(&unknown, "too many statements under way");
        if (order_rows_select(bulk->database, bulk->entries, bulk->count, on_reread, bulk_free,
                              bulk) != 0)
            bulk_done(bulk, BULK_FAILED, &unknown);
    }
}

int orders_insert_bulk(struct database *database, const struct order *orders, size_t count,
                       const struct trace_context *trace, bulk_stored_fn *on_done, void *arg)
{
    static const char sql[] =
        "WITH o AS (SELECT id, name, cents * 0.01 AS amount, created_at, json"
        " FROM " ORDER_ROWS_JSON_FROM "),"
        " stored AS (INSERT INTO orders (id, product_name, amount, created_at)"
        " SELECT id, name, amount, created_at FROM o)"
        " INSERT INTO order_outbox"
        " (order_id, product_name, amount, created_at, json, traceparent, tracestate)"
        " SELECT id, name, amount, created_at, json, $6::text, $7::text FROM o";
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
        bulk->entries[i] = order_entry_of(&orders[i], i);
    order_entries_sort(bulk->entries, count);
    struct order_rows rows;
    order_rows_write(&rows, bulk->entries, count, true);
    if (order_rows_send(&rows, database, sql, trace, on_inserted, bulk_free, bulk) == 0)
        return 0;
    bulk_free(bulk);
    return -1;
}

struct take {
    outbox_taken_fn *on_taken;
    void *arg;
};

enum {
    COLUMN_SEQ = 4,
    COLUMN_JSON,
    COLUMN_LEASE,
    COLUMN_TRACEPARENT,
    COLUMN_TRACESTATE,
    COLUMN_REPLAY_OF
}; /* behind those of order_row_decode() */

/* The trace that a row names. A gateway of schema version 2 names none. Its tracestate goes to
 * *text, which moves behind it. */
static struct trace_context trace_of(const PGresult *result, int i, char **text)
{
    struct trace_context trace =
        trace_context_read(PQgetvalue(result, i, COLUMN_TRACEPARENT),
                           (size_t)PQgetlength(result, i, COLUMN_TRACEPARENT),
                           PQgetvalue(result, i, COLUMN_TRACESTATE),
                           (size_t)PQgetlength(result, i, COLUMN_TRACESTATE));
    trace.state = memcpy(*text, trace.state, trace.state_len);
    *text += trace.state_len;
    return trace;
}

/* Add a row to the batch, and its texts at `text`. Returns the end of that. A gateway of schema
 * version 1 stores no JSON, and JSON longer than an order's is not taken. A row that is no order,
 * which another hand has written, is left out: it stays in the table for a person to look at, and
 * shows in outbox_backlog(). */
static char *add_row(struct outbox_batch *batch, const PGresult *result, int i, char *text)
{
    struct order order;
    const char *bad_column = order_row_decode(result, i, &order);
    size_t len = (size_t)PQgetlength(result, i, COLUMN_JSON);
    if (!PQgetisnull(result, i, COLUMN_JSON))
        memcpy(text, PQgetvalue(result, i, COLUMN_JSON), len);
    else if (bad_column == NULL)
        len = order_to_json(&order, text);
    else
        return text;
    struct outbox_row *row = &batch->rows[batch->count++];
    *row = (struct outbox_row){
        .seq = binary_integer(PQgetvalue(result, i, COLUMN_SEQ), sizeof(int64_t)),
        .order_id = order.id, /* NOT NULL, so it is decoded in any case */
        .json = text,
        .json_len = len,
    };
    if (!PQgetisnull(result, i, COLUMN_REPLAY_OF))
        row->replay_of = binary_integer(PQgetvalue(result, i, COLUMN_REPLAY_OF), sizeof(int64_t));
    text += len;
    row->trace = trace_of(result, i, &text);
    return text;
}

static void on_taken(void *arg, const struct database_answer *answer)
{
    struct take take = *(struct take *)arg;
    free(arg);
    int rows = answer->status == DATABASE_OK ? PQntuples(answer->result) : 0;
    size_t text_bytes = 0;
    for (int i = 0; i < rows; i++)
        text_bytes += (size_t)PQgetlength(answer->result, i, COLUMN_TRACESTATE) +
                      (PQgetisnull(answer->result, i, COLUMN_JSON)
                           ? ORDER_JSON_SIZE
                           : (size_t)PQgetlength(answer->result, i, COLUMN_JSON));
    struct outbox_batch *batch = rows > 0 ? memory_new(sizeof *batch + text_bytes) : NULL;
    if (batch != NULL) {
        memcpy(batch->lease, PQgetvalue(answer->result, 0, COLUMN_LEASE), sizeof batch->lease);
        char *text = batch->text;
        for (int i = 0; i < rows; i++)
            text = add_row(batch, answer->result, i, text);
        if (batch->count == 0) {
            free(batch);
            batch = NULL;
        }
    }
    take.on_taken(take.arg, batch, answer);
}

int outbox_take(struct database *database, outbox_taken_fn *callback, void *arg)
{
    static const char sql[] =
        "WITH due AS (SELECT seq FROM order_outbox WHERE lease IS NULL OR lease < now()"
        " ORDER BY seq LIMIT 500 FOR UPDATE SKIP LOCKED),"
        " taken AS (UPDATE order_outbox AS o SET lease = now() + interval '5 s'"
        " FROM due WHERE o.seq = due.seq RETURNING o.*)"
        " SELECT order_id, product_name, amount::text, created_at, seq,"
        " CASE WHEN octet_length(json) < 6312 THEN json END, lease,"
        " CASE WHEN octet_length(traceparent) < 512 THEN traceparent END,"
        " CASE WHEN octet_length(tracestate) <= 512 THEN tracestate END, replay_of"
        " FROM taken ORDER BY seq";
    _Static_assert(OUTBOX_BATCH == 500 && OUTBOX_LEASE_MS == 5000 && ORDER_JSON_SIZE == 6312 &&
                       TRACESTATE_MAX_BYTES == 512,
                   "the LIMIT, the interval and the lengths");
    struct take *take = memory_new(sizeof *take);
    *take = (struct take){callback, arg};
    if (database_call(database, sql, NULL, true, on_taken, free, take) == 0)
        return 0;
    free(take);
    return -1;
}

int outbox_finish(struct database *database, const struct outbox_batch *batch, bool published,
                  database_done_fn *on_done, void *arg)
{
    static const char delete[] = "DELETE FROM order_outbox WHERE seq = ANY ($1::bigint[])",
                      end_lease[] = "UPDATE order_outbox SET lease = NULL"
                                    " WHERE seq = ANY ($1::bigint[]) AND lease = $2";
    char seqs[OUTBOX_BATCH * 21 + 3] = "{";
    size_t len = 1;
    for (size_t i = 0; i < batch->count; i++)
        len += (size_t)snprintf(seqs + len, sizeof seqs - len, "%s%" PRId64, i > 0 ? "," : "",
                                batch->rows[i].seq);
    memcpy(seqs + len, "}", 2);
    const char *const values[] = {seqs, batch->lease};
    const int lengths[] = {0, sizeof batch->lease}, formats[] = {0, 1};
    const struct database_parameters parameters = {
        .count = published ? 1 : 2, .values = values, .lengths = lengths, .formats = formats};
    return database_send(database, published ? delete : end_lease, &parameters, false, on_done,
                         arg);
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
