/* A walk by time reads slices of time; behind a full page it goes on at the last row's instant,
 * behind its id. A walk by key reads so many rows from a key on, whatever their created_at is, and
 * keeps those of its range: then a step is as short on a table without another index, and on a view
 * or a partitioned table. Either grows its steps while they are quick. */
#include "services/clients/postgres/order_hours.h"
#include "proto/timestamp.h"
#include "services/base/clock.h"
#include "services/base/memory.h"
#include "services/clients/postgres/binary_array.h"
#include "services/clients/postgres/order_rows.h"
#include "services/clients/postgres/row_value.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUICK_MS 100 /* a quicker step makes the next one larger, */
#define SLOW_MS 400  /* a slower one smaller */

/* Microseconds of a walk by time, rows of a walk by key. */
#define TIME_STEP_FIRST (INT64_C(600) * 1000000)
#define TIME_STEP_MIN 1000
#define TIME_STEP_MAX (ORDER_HOUR_US * 24 * 366)
#define KEY_STEP_FIRST 2000
#define KEY_STEP_MIN 200
#define KEY_STEP_MAX 20000
_Static_assert(TIME_STEP_MAX / ORDER_HOUR_US + 1 <= ORDER_HOURS_MAX, "a step's hours fit");
_Static_assert(KEY_STEP_MAX <= ORDER_HOURS_MAX, "a step's hours fit");

#define HOURS_NAMED_MAX 1000 /* of more hours the rows are chosen here alone */

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
    " AND ($4::timestamptz[] IS NULL OR date_trunc('hour', created_at) = ANY ($4::timestamptz[]))"
#define BEHIND " WHERE id > $5"

#define ROWS_OF_CHUNK                                                                              \
    "SELECT " ORDER_ROW_COLUMNS ", " CREATED_AT_DIGITS ", last, read FROM place LEFT JOIN"         \
    " (SELECT * FROM " WANTED " ORDER BY id LIMIT 1000) AS wanted ON true ORDER BY id"

enum { COLUMN_START, COLUMN_ORDERS, COLUMN_SUM, COLUMN_MAGNITUDE, COLUMN_OTHERS };
enum { COLUMN_ID, COLUMN_CREATED_AT = 3, COLUMN_DIGITS }; /* of rows */

/* ---- the walk ---- */

static int64_t hour_of(int64_t us)
{
    int64_t hour = us / ORDER_HOUR_US;
    return (us % ORDER_HOUR_US < 0 ? hour - 1 : hour) * ORDER_HOUR_US;
}

/* The first wanted hour that is not before this one, or NULL. */
static const int64_t *wanted_hour(const struct order_walk *walk, int64_t hour_us)
{
    size_t first = 0, end = walk->hour_count;
    while (first < end) {
        size_t middle = first + (end - first) / 2;
        if (walk->hours_us[middle] < hour_us)
            first = middle + 1;
        else
            end = middle;
    }
    return first < walk->hour_count ? &walk->hours_us[first] : NULL;
}

static bool wants_hour(const struct order_walk *walk, int64_t hour_us)
{
    const int64_t *hour = walk->hours_us != NULL ? wanted_hour(walk, hour_us) : &hour_us;
    return hour != NULL && *hour == hour_us;
}

/* By time: the walk goes on from this instant, or from the next one that is wanted. */
static void move_to(struct order_walk *walk, int64_t us)
{
    free(walk->after);
    walk->after = NULL;
    if (walk->hours_us != NULL) {
        const int64_t *hour = wanted_hour(walk, hour_of(us));
        us = hour == NULL ? walk->to_us : *hour > us ? *hour : us;
    }
    walk->at_us = us;
    walk->ended = us >= walk->to_us;
}

/* By time: the end of the step, no further than the hours reach that are wanted without a gap. */
static int64_t step_end(const struct order_walk *walk)
{
    int64_t end_us =
        walk->step < walk->to_us - walk->at_us ? walk->at_us + walk->step : walk->to_us;
    if (walk->hours_us == NULL)
        return end_us;
    const int64_t *hour = wanted_hour(walk, hour_of(walk->at_us)),
                  *last = walk->hours_us + walk->hour_count - 1;
    while (hour < last && *hour + ORDER_HOUR_US < end_us && hour[1] == *hour + ORDER_HOUR_US)
        hour++;
    return *hour + ORDER_HOUR_US < end_us ? *hour + ORDER_HOUR_US : end_us;
}

/* After a step that found more than it may read (`much`), or little. */
static void change_step(struct order_walk *walk, bool good, bool much, bool little)
{
    int64_t took_ms = clock_monotonic_ms() - walk->sent_ms;
    int64_t min = walk->by_key ? KEY_STEP_MIN : TIME_STEP_MIN,
            max = walk->by_key ? KEY_STEP_MAX : TIME_STEP_MAX;
    if (!good)
        walk->step /= 4;
    else if (took_ms > SLOW_MS || much)
        walk->step /= 2;
    else if (took_ms < QUICK_MS && little)
        walk->step *= 2;
    walk->step = walk->step < min ? min : walk->step > max ? max : walk->step;
}

void order_walk_init(struct order_walk *walk, bool by_key, int64_t from_us, int64_t to_us,
                     const int64_t *hours_us, size_t hour_count)
{
    *walk = (struct order_walk){
        .by_key = by_key,
        .from_us = from_us,
        .to_us = to_us,
        .hours_us = hours_us,
        .hour_count = hour_count,
        .step = by_key ? KEY_STEP_FIRST : TIME_STEP_FIRST,
    };
    move_to(walk, from_us); /* which also sees that there is nothing to read */
}

void order_walk_release(struct order_walk *walk)
{
    free(walk->after);
    walk->after = NULL;
}

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
    const char *values[5], *sql;
    struct database_parameters parameters = {.values = values};
    char *hours = NULL;
    assert(!walk->ended);
    walk->sent_ms = clock_monotonic_ms();
    if (walk->by_key) {
        hours = hours_text(walk);
        timestamp_format(walk->from_us, from);
        timestamp_format(walk->to_us, to);
        snprintf(step, sizeof step, "%" PRId64, walk->step);
        memcpy(values, (const char *[]){step, from, to, hours, walk->after}, sizeof values);
        parameters.count = walk->after == NULL ? 4 : 5;
        sql = sqls[walk->after == NULL ? 1 : 2];
    } else {
        walk->until_us = step_end(walk);
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
static void move_behind(struct order_walk *walk, const PGresult *result, bool binary)
{
    int columns = PQnfields(result);
    int64_t read = binary ? row_number(result, 0, columns - 1)
                          : strtoll(PQgetvalue(result, 0, columns - 1), NULL, 10);
    walk->ended = read < walk->step;
    free(walk->after);
    walk->after = memory_copy_text(PQgetvalue(result, 0, columns - 2));
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
    bool good = answer->status == DATABASE_OK;
    for (int row = 0; good && row < PQntuples(result) && count < ORDER_HOURS_MAX; row++) {
        struct order_hour hour = {
            .start_us = number(result, row, COLUMN_START) * 1000000,
            .orders = number(result, row, COLUMN_ORDERS),
            .sum_cents = number(result, row, COLUMN_SUM),
            .magnitude_cents = number(result, row, COLUMN_MAGNITUDE),
            .others = number(result, row, COLUMN_OTHERS),
        };
        if (!PQgetisnull(result, row, COLUMN_START) && wants_hour(walk, hour.start_us))
            hours[count++] = hour;
    }
    if (good && walk->by_key)
        move_behind(walk, result, false);
    else if (good)
        move_to(walk, walk->until_us);
    change_step(walk, good, false, true);
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

/* Behind the last row of a page that is full. Its columns are those of order_row_decode(). */
static void move_behind_row(struct order_walk *walk, const PGresult *result, int row)
{
    char text[ORDER_ID_TEXT_LEN + 1];
    struct order_id id;
    bool is_uuid = PQftype(result, COLUMN_ID) == OID_UUID && row_uuid(result, row, COLUMN_ID, &id);
    if (is_uuid)
        order_id_format(&id, text);
    free(walk->after);
    walk->after = memory_copy_text(is_uuid ? text : PQgetvalue(result, row, COLUMN_ID));
    if (!walk->by_key)
        (void)row_time(result, row, COLUMN_CREATED_AT, &walk->at_us); /* in the range, so finite */
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
            wants_hour(walk, hour_of(created_at_us)))
            read_row(result, row, page);
    }
    bool full = rows == ORDER_ROWS_MAX;
    if (full)
        move_behind_row(walk, result, rows - 1);
    else if (good && walk->by_key)
        move_behind(walk, result, true);
    else if (good)
        move_to(walk, walk->until_us);
    bool much = full && (!walk->by_key || walk->step > ORDER_ROWS_MAX);
    change_step(walk, good, much, rows < ORDER_ROWS_MAX / 2);
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
