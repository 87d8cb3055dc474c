/* The statements of a walk's steps. What is no order is told from what is one by the server, for
 * the sums, and by order_row_decode(), for the rows. */
#include "services/clients/postgres/order_hours.h"
#include "proto/timestamp.h"
#include "services/base/memory.h"
#include "services/clients/postgres/answer.h"
#include "services/clients/postgres/binary_array.h"
#include "services/clients/postgres/order_rows.h"
#include "services/clients/postgres/row_value.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(ORDER_WALK_TIME_MAX / ORDER_HOUR_US + 1 <= ORDER_HOURS_MAX, "a step's hours fit");
_Static_assert(ORDER_WALK_KEYS_MAX <= ORDER_HOURS_MAX, "a step's hours fit");

#define HOURS_NAMED_MAX 1000 /* of more hours the rows are chosen here alone */

#define SQLSTATE_CANCELED "57014"

/* The cents of a row that is an order, as order_row_decode() has them; else NULL. */
#define CENTS                                                                                      \
    "CASE WHEN amount BETWEEN -9999999999.99 AND 9999999999.99 THEN"                               \
    " CASE WHEN trunc(amount::numeric, 2) = amount::numeric"                                       \
    " AND octet_length(product_name::text) <= 1020 AND (pg_typeof(id) = 'uuid'::regtype"           \
    " OR id::text ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$')"                                \
    " THEN amount::numeric * 100 END END"
_Static_assert(ORDER_NAME_MAX_BYTES == 1020, "the length of a name");

#define BIGINT(sum) "least(greatest(coalesce(" sum ", 0), -9e18), 9e18)::bigint"

/* The hours of some rows; the columns are those of read_hour(). */
#define HOURS_OF(rows)                                                                             \
    "(SELECT extract(epoch FROM hour)::bigint AS start, count(cents) AS orders,"                   \
    " " BIGINT("sum(cents)") " AS sum, " BIGINT(                                                   \
        "sum(abs(cents))") " AS magnitude,"                                                        \
                           " count(*) - count(cents) AS others"                                    \
                           " FROM (SELECT date_trunc('hour', created_at) AS hour, " CENTS          \
                           " AS cents FROM " rows ")"                                              \
                           " AS of_orders GROUP BY hour)"

/* The next $1 rows by key: `behind` a row or not. `place` tells how far they reach. */
#define CHUNK(behind)                                                                              \
    "WITH chunk AS MATERIALIZED (SELECT id, product_name, amount, created_at FROM orders" behind   \
    " ORDER BY id LIMIT $1::bigint), place AS (SELECT (SELECT chunk.id::text FROM chunk ORDER BY " \
    "chunk.id"                                                                                     \
    " DESC LIMIT 1) AS last, (SELECT count(*) FROM chunk) AS read) "
#define WANTED                                                                                     \
    "chunk WHERE created_at >= $2 AND created_at < $3"                                             \
    " AND NOT (created_at >= $5 AND created_at < $6)"                                              \
    " AND ($4::timestamptz[] IS NULL OR date_trunc('hour', created_at) = ANY ($4::timestamptz[]))"
#define BEHIND " WHERE id > $7"

#define ROWS_OF_CHUNK                                                                              \
    "SELECT " ORDER_ROW_COLUMNS ", " CREATED_AT_DIGITS ", last, read FROM place LEFT JOIN"         \
    " (SELECT * FROM " WANTED " ORDER BY id LIMIT 1000) AS wanted ON true ORDER BY id"

enum { COLUMN_START, COLUMN_ORDERS, COLUMN_SUM, COLUMN_MAGNITUDE, COLUMN_OTHERS };
enum { COLUMN_ID, COLUMN_CREATED_AT = 3, COLUMN_DIGITS }; /* of rows */

/* ---- a step ---- */

/* The hours that are wanted, as an array, or NULL: all, or too many to name. */
static char *hours_text(const struct order_walk *walk)
{
    if (walk->hours_us == NULL || walk->hour_count > HOURS_NAMED_MAX)
        return NULL;
    char *text = memory_new(walk->hour_count * (TIMESTAMP_TEXT_SIZE + 1) + 3), *end = text;
    *end++ = '{';
    for (size_t i = 0; i < walk->hour_count; i++) {
        if (i > 0)
            *end++ = ',';
        end += timestamp_format(walk->hours_us[i], end);
    }
    *end = '}';
    return text;
}

/* Send the statement of a walk by time, or one of the two of a walk by key: the first step's, or
 * that of the others. */
static int send_step(struct database *database, struct order_walk *walk, const char *const sqls[3],
                     bool rows, database_done_fn *on_done, void *arg)
{
    char from[TIMESTAMP_TEXT_SIZE], to[TIMESTAMP_TEXT_SIZE], step[24];
    char out_from[TIMESTAMP_TEXT_SIZE], out_to[TIMESTAMP_TEXT_SIZE];
    const char *values[7], *sql;
    struct database_parameters parameters = {.values = values};
    char *hours = NULL;
    order_walk_begin(walk);
    if (walk->by_key) {
        hours = hours_text(walk);
        timestamp_format(walk->from_us, from);
        timestamp_format(walk->to_us, to);
        timestamp_format(walk->out_from_us, out_from);
        timestamp_format(walk->out_to_us, out_to);
        snprintf(step, sizeof step, "%" PRId64, walk->step);
        memcpy(values, (const char *[]){step, from, to, hours, out_from, out_to, walk->after},
               sizeof values);
        parameters.count = walk->after == NULL ? 6 : 7;
        sql = sqls[walk->after == NULL ? 1 : 2];
    } else {
        timestamp_format(walk->at_us, from);
        timestamp_format(walk->until_us, to);
        memcpy(values, (const char *[]){from, to, walk->after}, 3 * sizeof *values);
        parameters.count = rows ? 3 : 2;
        sql = sqls[0];
    }
    int status = database_send(database, sql, &parameters, rows, on_done, arg);
    free(hours);
    return status;
}

/* By key, the last two columns of the first row: which row of the chunk was the last one (text),
 * and how many it has. */
static void end_keys(struct order_walk *walk, const PGresult *result, bool binary)
{
    int columns = PQnfields(result);
    int64_t rows = binary ? row_number(result, 0, columns - 1)
                          : strtoll(PQgetvalue(result, 0, columns - 1), NULL, 10);
    order_walk_end_keys(walk, rows, PQgetvalue(result, 0, columns - 2));
}

/* A statement that was canceled took too long. Any other failure says nothing about its size. */
static void adapt(struct order_walk *walk, const struct database_answer *answer,
                  enum order_walk_found found)
{
    if (answer->status == DATABASE_OK)
        order_walk_adapt(walk, found);
    else if (answer_has_sqlstate(answer, SQLSTATE_CANCELED))
        order_walk_adapt(walk, ORDER_WALK_TOO_LONG);
}

/* ---- hours ---- */

int order_hours_next(struct database *database, struct order_walk *walk, database_done_fn *on_done,
                     void *arg)
{
    static const char *const sqls[] = {
        "SELECT * FROM " HOURS_OF("orders WHERE created_at >= $1 AND created_at < $2") " AS hours",
        CHUNK("") "SELECT hours.*, place.* FROM place LEFT JOIN " HOURS_OF(
            WANTED) " AS hours ON true",
        CHUNK(BEHIND) "SELECT hours.*, place.* FROM place LEFT JOIN " HOURS_OF(
            WANTED) " AS hours ON true",
    };
    return send_step(database, walk, sqls, false, on_done, arg);
}

static int64_t number(const PGresult *result, int row, int column)
{
    return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

size_t order_hours_read(struct order_walk *walk, const struct database_answer *answer,
                        struct order_hour hours[ORDER_HOURS_MAX])
{
    const PGresult *result = answer->result;
    size_t count = 0;
    int64_t rows = 0;
    bool good = answer->status == DATABASE_OK;
    for (int row = 0; good && row < PQntuples(result) && count < ORDER_HOURS_MAX; row++) {
        struct order_hour hour = {
            .start_us = number(result, row, COLUMN_START) * 1000000,
            .orders = number(result, row, COLUMN_ORDERS),
            .sum_cents = number(result, row, COLUMN_SUM),
            .magnitude_cents = number(result, row, COLUMN_MAGNITUDE),
            .others = number(result, row, COLUMN_OTHERS),
        };
        rows += hour.orders + hour.others;
        if (!PQgetisnull(result, row, COLUMN_START) && order_walk_wants(walk, hour.start_us))
            hours[count++] = hour;
    }
    if (good && walk->by_key)
        end_keys(walk, result, false);
    else if (good)
        order_walk_end_time(walk);
    adapt(walk, answer, rows < ORDER_WALK_FEW_ROWS ? ORDER_WALK_FEW : ORDER_WALK_SOME);
    return count;
}

/* ---- rows ---- */

int order_hours_rows_next(struct database *database, struct order_walk *walk,
                          database_done_fn *on_done, void *arg)
{
    static const char *const sqls[] = {
        "SELECT " ORDER_ROW_COLUMNS ", " CREATED_AT_DIGITS " FROM orders WHERE created_at >= $1"
        " AND created_at < $2 AND (created_at > $1 OR id > $3 OR $3 IS NULL)"
        " ORDER BY created_at, id LIMIT 1000",
        CHUNK("") ROWS_OF_CHUNK,
        CHUNK(BEHIND) ROWS_OF_CHUNK,
    };
    _Static_assert(ORDER_ROWS_MAX == 1000, "the LIMIT");
    return send_step(database, walk, sqls, true, on_done, arg);
}

static void read_row(const PGresult *result, int row, struct order_row_page *page)
{
    struct order_row *read = &page->rows[page->count];
    const char *bad_column = order_row_decode(result, row, &read->order);
    read->is_order = bad_column == NULL;
    if (bad_column != NULL && strcmp(bad_column, "id") == 0)
        page->nameless++;
    else
        page->count++;
}

static void page_begin(struct order_row_page *page, const PGresult *result)
{
    int digits = result == NULL ? -1 : created_at_digits(result, COLUMN_DIGITS);
    page->count = 0;
    page->nameless = 0;
    page->digits = digits < 0 ? 6 : digits;
}

/* To this row of a page that is full. */
static void pause_at(struct order_walk *walk, const PGresult *result, int row)
{
    char text[ORDER_ID_TEXT_LEN + 1];
    struct order_id id;
    int64_t created_at_us = walk->at_us; /* the row's is finite, since it is in the range */
    bool is_uuid = PQftype(result, COLUMN_ID) == OID_UUID && row_uuid(result, row, COLUMN_ID, &id);
    if (is_uuid)
        order_id_format(&id, text);
    (void)row_time(result, row, COLUMN_CREATED_AT, &created_at_us);
    order_walk_pause(walk, is_uuid ? text : PQgetvalue(result, row, COLUMN_ID), created_at_us);
}

void order_hours_rows_read(struct order_walk *walk, const struct database_answer *answer,
                           struct order_row_page *page)
{
    const PGresult *result = answer->result;
    bool good = answer->status == DATABASE_OK;
    int rows = good ? PQntuples(result) : 0;
    page_begin(page, good ? result : NULL);
    for (int row = 0; row < rows && row < ORDER_ROWS_MAX; row++) {
        int64_t created_at_us;
        if (row_time(result, row, COLUMN_CREATED_AT, &created_at_us) &&
            order_walk_wants(walk, order_hour_of(created_at_us)))
            read_row(result, row, page);
    }
    bool full = rows == ORDER_ROWS_MAX;
    if (full)
        pause_at(walk, result, rows - 1);
    else if (good && walk->by_key)
        end_keys(walk, result, true);
    else if (good)
        order_walk_end_time(walk);
    bool many = full && (!walk->by_key || walk->step > ORDER_ROWS_MAX);
    adapt(walk, answer,
          many                         ? ORDER_WALK_MANY
          : rows < ORDER_WALK_FEW_ROWS ? ORDER_WALK_FEW
                                       : ORDER_WALK_ENOUGH);
}

/* ---- by id ---- */

int order_rows_find(struct database *database, const struct order_id *ids, size_t count,
                    database_done_fn *on_done, void *arg)
{
    return order_rows_of_ids(database, ids, count, on_done, NULL, arg);
}

void order_rows_found(const struct database_answer *answer, struct order_row_page *page)
{
    page_begin(page, answer->result);
    for (int row = 0; row < PQntuples(answer->result) && row < ORDER_ROWS_MAX; row++)
        read_row(answer->result, row, page);
}

int order_rows_dead(struct database *database, const struct order_id *ids, size_t count,
                    database_done_fn *on_done, void *arg)
{
    static const char sql[] = "SELECT DISTINCT order_id FROM dead_letters WHERE state = 'dead'"
                              " AND stage = 'index' AND order_id = ANY ($1::uuid[])";
    char *text = order_ids_text(ids, count);
    const char *const values[] = {text};
    const struct database_parameters parameters = {.count = 1, .values = values};
    int status = database_send(database, sql, &parameters, true, on_done, arg);
    free(text);
    return status;
}

size_t order_rows_dead_read(const struct database_answer *answer,
                            struct order_id ids[ORDER_ROWS_MAX])
{
    size_t count = 0;
    for (int row = 0; row < PQntuples(answer->result) && count < ORDER_ROWS_MAX; row++)
        count += row_uuid(answer->result, row, 0, &ids[count]);
    return count;
}

bool order_row_same_instant(int64_t document_us, int64_t row_us, int digits)
{
    return created_at_held_us(document_us, digits) == created_at_held_us(row_us, digits);
}
