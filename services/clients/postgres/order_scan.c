/* A statement for each function. Rows come in binary. Whatever a table that was there before holds,
 * an answer is limited: values that no order has come as NULL. */
#include "services/clients/postgres/order_scan.h"
#include "services/base/memory.h"
#include "services/clients/postgres/binary_array.h"
#include "services/clients/postgres/order_rows.h"
#include "services/clients/postgres/row_value.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS                                                                                    \
    "id, CASE WHEN octet_length(product_name) <= 1020 THEN product_name END,"                      \
    " CASE WHEN octet_length(amount::text) <= 40 THEN amount::text END AS amount, created_at"
_Static_assert(ORDER_NAME_MAX_BYTES == 1020, "the length");
enum { COLUMN_PLACE = 4, COLUMN_FILENODE }; /* of order_changes_ask() */

#define LIMIT " LIMIT 2000"
_Static_assert(ORDER_PAGE_ROWS == 2000, "the LIMIT");

static void forget(struct order_page *page)
{
    free(page->last_id);
    page->last_id = NULL;
    page->rows = page->count = 0;
    page->last_place = page->filenode = 0;
}

void order_page_release(struct order_page *page)
{
    forget(page);
}

static void read_row(const PGresult *result, int row, struct order_page *page)
{
    struct order *order = &page->orders[page->count];
    page->rows++;
    if (order_row_decode(result, row, order) == NULL)
        page->count++;
}

/* ---- by id ---- */

int order_page_ask(struct database *database, const char *after, const char *until,
                   database_done_fn *on_done, void *arg)
{
    /* The parameters are untyped: right for an id of either type. */
    static const char first[] = "SELECT " COLUMNS " FROM orders ORDER BY id" LIMIT,
                      next[] = "SELECT " COLUMNS " FROM orders WHERE id > $1 ORDER BY id" LIMIT,
                      within[] = "SELECT " COLUMNS
                                 " FROM orders WHERE id > $1 AND id < $2 ORDER BY id DESC" LIMIT;
    assert(after != NULL || until == NULL);
    const char *const values[] = {after, until};
    const struct database_parameters parameters = {.count = (after != NULL) + (until != NULL),
                                                   .values = values};
    return database_send(database,
                         after == NULL   ? first
                         : until == NULL ? next
                                         : within,
                         &parameters, true, on_done, arg);
}

void order_page_read(const struct database_answer *answer, struct order_page *page)
{
    const PGresult *result = answer->result;
    forget(page);
    for (int row = 0; row < PQntuples(result) && page->rows < ORDER_PAGE_ROWS; row++)
        read_row(result, row, page);
    if (page->rows == 0)
        return;
    int last = (int)page->rows - 1;
    struct order_id id;
    if (PQftype(result, 0) == OID_UUID && row_uuid(result, last, 0, &id)) {
        page->last_id = memory_take(ORDER_ID_TEXT_LEN + 1);
        order_id_format(&id, page->last_id);
    } else {
        page->last_id =
            memory_copy(PQgetvalue(result, last, 0), (size_t)PQgetlength(result, last, 0));
    }
}

void order_page_id_of(int64_t unix_ms, char text[ORDER_ID_TEXT_LEN + 1])
{
    struct order_id id = {.bytes[6] = 0x70, .bytes[8] = 0x80};
    for (int i = 0; i < 6; i++)
        id.bytes[i] = (uint8_t)(unix_ms >> (8 * (5 - i)));
    order_id_format(&id, text);
}

/* ---- by transaction ---- */

int order_pass_begin(struct database *database, database_done_fn *on_done, void *arg)
{
    /* Heap tables (access method 2) alone have xmin and ctid. A snapshot's xmax is above those
     * transactions that have ended, and the age of a number is how many were begun since. reltuples
     * is -1 until a table was analyzed; then the statistics of what was written are near. */
    static const char sql[] =
        "SELECT (SELECT sum(CASE WHEN reltuples >= 0 THEN reltuples::bigint"
        " ELSE pg_stat_get_live_tuples(oid) END)::bigint FROM pg_class WHERE relkind = 'r'"
        " AND oid IN (SELECT c.oid UNION SELECT relid FROM pg_partition_tree(c.oid))),"
        " relkind = 'r' AND relam = 2 AND NOT relhassubclass,"
        " (SELECT system_identifier FROM pg_control_system()) || '/'"
        " || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8),"
        " pg_relation_filenode(oid)::bigint,"
        " pg_relation_size(oid) / current_setting('block_size')::bigint,"
        " pg_snapshot_xmin(snapshot)::text::bigint,"
        " pg_snapshot_xmax(snapshot)::text::bigint + age(pg_snapshot_xmax(snapshot)::xid)"
        " FROM pg_class AS c, pg_current_snapshot() AS snapshot WHERE oid = 'orders'::regclass";
    return database_send(database, sql, NULL, true, on_done, arg);
}

void order_pass_begun(const struct database_answer *answer, struct order_pass *ret_pass)
{
    const PGresult *result = answer->result;
    *ret_pass = (struct order_pass){.rows = -1};
    if (PQntuples(result) == 0)
        return;
    if (!PQgetisnull(result, 0, 0))
        ret_pass->rows = row_number(result, 0, 0);
    ret_pass->by_transaction = PQgetlength(result, 0, 1) == 1 && PQgetvalue(result, 0, 1)[0] != 0;
    (void)snprintf(ret_pass->timeline, sizeof ret_pass->timeline, "%s", PQgetvalue(result, 0, 2));
    ret_pass->filenode = row_number(result, 0, 3);
    ret_pass->blocks = row_number(result, 0, 4);
    ret_pass->running_from = row_number(result, 0, 5);
    ret_pass->next = row_number(result, 0, 6);
}

bool order_pass_reaches(const struct order_pass *pass, int64_t since)
{
    return pass->by_transaction && since <= pass->next && pass->next - since < INT64_C(1) << 30;
}

static int64_t end_of_range(int64_t after, int64_t end)
{
    int64_t range = ORDER_PLACE((after >> 16) + ORDER_CHANGES_BLOCKS);
    return range < end ? range : end;
}

static void place_text(int64_t place, char text[32])
{
    (void)snprintf(text, 32, "(%" PRId64 ",%d)", place >> 16, (int)(place & 0xffff)); /* it fits */
}

int order_changes_ask(struct database *database, int64_t after, int64_t end, int64_t since,
                      database_done_fn *on_done, void *arg)
{
    /* Ages are compared, since numbers of 32 bits come again. An older row whose number has come
     * again is read once more, and no row is passed over, as long as order_pass_reaches(). The
     * join gives one row at least, so the filenode is known. */
    static const char sql[] =
        "SELECT changed.*, pg_relation_filenode('orders')::bigint"
        " FROM (VALUES (1)) AS one LEFT JOIN (SELECT " COLUMNS ", ctid AS place FROM orders"
        " WHERE ctid > $1::tid AND ctid < $2::tid"
        " AND age(xmin) BETWEEN 0 AND age($3::xid8::xid) ORDER BY ctid" LIMIT
        ") AS changed ON true ORDER BY place";
    char from[32], to[32], transaction[24];
    place_text(after, from);
    place_text(end_of_range(after, end), to);
    (void)snprintf(transaction, sizeof transaction, "%" PRId64, since); /* it fits */
    const char *const values[] = {from, to, transaction};
    const struct database_parameters parameters = {.count = 3, .values = values};
    return database_send(database, sql, &parameters, true, on_done, arg);
}

int64_t order_changes_read(const struct database_answer *answer, int64_t after, int64_t end,
                           struct order_page *page)
{
    const PGresult *result = answer->result;
    forget(page);
    for (int row = 0; row < PQntuples(result) && page->rows < ORDER_PAGE_ROWS; row++) {
        page->filenode = row_number(result, row, COLUMN_FILENODE);
        const char *place = row_text(result, row, COLUMN_PLACE);
        if (place == NULL || PQgetlength(result, row, COLUMN_PLACE) != 6)
            continue;
        /* tidsend(): the block, and the row in it, from 1 */
        page->last_place = ORDER_PLACE((uint32_t)binary_integer(place, 4)) +
                           (uint16_t)binary_integer(place + 4, 2);
        read_row(result, row, page);
    }
    return page->rows == ORDER_PAGE_ROWS ? page->last_place : end_of_range(after, end);
}
