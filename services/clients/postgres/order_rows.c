/* Orders go as arrays (binary_array.h). A timestamptz is an int64 of microseconds since 2000-01-01
 * (timestamptz_recv() in the server's timestamp.c). */
#include "services/clients/postgres/order_rows.h"
#include "proto/amount.h"
#include "proto/order_json.h"
#include "services/base/memory.h"
#include "services/clients/postgres/orders.h"
#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

/* Years 0001 to 9999, what timestamps can be written as. */
#define CREATED_AT_MIN_US INT64_C(-62135596800000000)
#define CREATED_AT_MAX_US INT64_C(253402300799999999)

struct order_entry order_entry_of(const struct order *order, size_t place)
{
    uint64_t begin;
    memcpy(&begin, order->id.bytes, sizeof begin);
    return (struct order_entry){order, place, be64toh(begin)};
}

static int compare_entries(const void *a, const void *b)
{
    const struct order_entry *left = a, *right = b;
    if (left->id_begin != right->id_begin)
        return left->id_begin < right->id_begin ? -1 : 1;
    int order = memcmp(left->order->id.bytes, right->order->id.bytes, sizeof(struct order_id));
    return order != 0 ? order : (left->place > right->place) - (left->place < right->place);
}

void order_entries_sort(struct order_entry *entries, size_t count)
{
    qsort(entries, count, sizeof *entries, compare_entries);
}

size_t order_entries_find(const struct order_entry *entries, size_t count,
                          const struct order_id *id)
{
    size_t first = 0, end = count;
    while (first < end) {
        size_t middle = first + (end - first) / 2;
        if (memcmp(&entries[middle].order->id, id, sizeof *id) < 0)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

void order_rows_write(struct order_rows *rows, const struct order_entry *entries, size_t count,
                      bool with_json)
{
    size_t names_bytes = 0;
    for (size_t i = 0; i < count; i++)
        names_bytes += entries[i].order->product_name_len;
    struct binary_array *arrays = rows->arrays;
    arrays[0] = binary_array_new(OID_UUID, count, count * sizeof(struct order_id));
    arrays[1] = binary_array_new(OID_TEXT, count, names_bytes);
    arrays[2] = binary_array_new(OID_INT8, count, count * sizeof(int64_t));
    arrays[3] = binary_array_new(OID_TIMESTAMPTZ, count, count * sizeof(int64_t));
    rows->array_count = 4;
    if (with_json)
        arrays[rows->array_count++] = binary_array_new(OID_TEXT, count, count * ORDER_JSON_SIZE);
    for (size_t i = 0; i < count; i++) {
        const struct order *order = entries[i].order;
        binary_array_add(&arrays[0], order->id.bytes, sizeof order->id.bytes);
        binary_array_add(&arrays[1], order->product_name, order->product_name_len);
        binary_array_add_integer(&arrays[2], order->amount_cents, sizeof(int64_t));
        binary_array_add_integer(&arrays[3], order->created_at_us - POSTGRES_EPOCH_US,
                                 sizeof(int64_t));
        if (with_json) {
            char json[ORDER_JSON_SIZE];
            binary_array_add(&arrays[4], json, order_to_json(order, json));
        }
    }
}

void order_rows_release(struct order_rows *rows)
{
    binary_arrays_release(rows->arrays, rows->array_count);
    rows->array_count = 0;
}

int order_rows_send(struct order_rows *rows, struct database *database, const char *sql,
                    const struct trace_context *trace, database_done_fn *on_done,
                    void (*drop)(void *arg), void *arg)
{
    enum { PARAMETERS = sizeof rows->arrays / sizeof rows->arrays[0] + 2 };
    const char *values[PARAMETERS];
    int count = rows->array_count, lengths[PARAMETERS], formats[PARAMETERS] = {0};
    binary_arrays_bind(rows->arrays, count, values, lengths, formats);
    char traceparent[TRACEPARENT_LEN + 1];
    if (trace != NULL) {
        traceparent_format(trace, traceparent);
        values[count++] = traceparent;
        values[count] = trace->state_len > 0 ? trace->state : NULL;
        lengths[count] = (int)trace->state_len;
        formats[count++] = 1; /* it ends in no NUL */
    }
    const struct database_parameters parameters = {
        .count = count, .values = values, .lengths = lengths, .formats = formats};
    int status = database_call(database, sql, &parameters, true, on_done, drop, arg);
    order_rows_release(rows);
    return status;
}

int64_t binary_integer(const char *bytes, int width)
{
    /* sign-extended from its first byte */
    uint64_t value = (bytes[0] & 0x80) != 0 ? UINT64_MAX : 0;
    for (int i = 0; i < width; i++)
        value = value << 8 | (unsigned char)bytes[i];
    return (int64_t)value;
}

bool binary_timestamp(const char *bytes, int64_t *ret_us)
{
    int64_t since_2000_us = binary_integer(bytes, sizeof(int64_t));
    if (since_2000_us < CREATED_AT_MIN_US - POSTGRES_EPOCH_US ||
        since_2000_us > CREATED_AT_MAX_US - POSTGRES_EPOCH_US)
        return false;
    *ret_us = since_2000_us + POSTGRES_EPOCH_US;
    return true;
}

/* A text that is no UUID in the form that order_id_format() writes is no order's, such as one in
 * capitals: nothing that is asked by id finds it. */
static bool id_decode(const PGresult *result, int row, struct order_id *ret_id)
{
    const char *value = PQgetvalue(result, row, 0);
    size_t len = (size_t)PQgetlength(result, row, 0);
    if (PQftype(result, 0) != OID_UUID || len != sizeof ret_id->bytes)
        return order_id_parse_lower(value, len, ret_id) == 0;
    memcpy(ret_id->bytes, value, sizeof ret_id->bytes);
    return true;
}

const char *order_row_decode(const PGresult *result, int row, struct order *ret_order)
{
    if (!id_decode(result, row, &ret_order->id))
        return "id";

    int name_len = PQgetlength(result, row, 1);
    if (PQgetisnull(result, row, 1) || name_len > ORDER_NAME_MAX_BYTES)
        return "product_name";
    order_set_name(ret_order, PQgetvalue(result, row, 1), (size_t)name_len);

    if (PQgetisnull(result, row, 2) ||
        amount_from_decimal(PQgetvalue(result, row, 2), (size_t)PQgetlength(result, row, 2),
                            &ret_order->amount_cents) != 0)
        return "amount";

    if (PQgetisnull(result, row, 3) || PQgetlength(result, row, 3) != sizeof(int64_t))
        return "created_at";
    return binary_timestamp(PQgetvalue(result, row, 3), &ret_order->created_at_us) ? NULL
                                                                                   : "created_at";
}

int created_at_digits(const PGresult *result, int column)
{
    if (PQntuples(result) == 0 || PQnfields(result) <= column ||
        PQgetlength(result, 0, column) != sizeof(int32_t))
        return -1;
    int64_t digits = binary_integer(PQgetvalue(result, 0, column), sizeof(int32_t));
    return digits >= 0 && digits <= 6 ? (int)digits : -1;
}

/* As AdjustTimestampForTypmod() in the server's timestamp.c: to the nearest, and from the middle
 * away from 2000-01-01. */
int64_t created_at_held_us(int64_t created_at_us, int digits)
{
    int64_t unit_us = 1;
    for (int i = digits; i < 6; i++)
        unit_us *= 10;
    int64_t since_2000_us = created_at_us - POSTGRES_EPOCH_US;
    int64_t half_us = since_2000_us < 0 ? -(unit_us / 2) : unit_us / 2;
    return (since_2000_us + half_us) / unit_us * unit_us + POSTGRES_EPOCH_US;
}

char *order_ids_text(const struct order_id *ids, size_t count)
{
    char *text = memory_new(count * (ORDER_ID_TEXT_LEN + 1) + 2);
    char *end = text;
    for (size_t i = 0; i < count; i++) {
        *end++ = i == 0 ? '{' : ',';
        order_id_format(&ids[i], end);
        end += ORDER_ID_TEXT_LEN;
    }
    *end = '}';
    return text;
}

int order_rows_of_ids(struct database *database, const struct order_id *ids, size_t count,
                      database_done_fn *on_done, void (*drop)(void *arg), void *arg)
{
    static const char sql[] =
        "SELECT " ORDER_ROW_COLUMNS ", " CREATED_AT_DIGITS " FROM orders WHERE id = ANY ($1)";
    char *text = order_ids_text(ids, count);
    const char *const values[] = {text};
    const struct database_parameters parameters = {.count = 1, .values = values};
    int status = database_call(database, sql, &parameters, true, on_done, drop, arg);
    free(text);
    return status;
}

int order_rows_select(struct database *database, const struct order_entry *entries, size_t count,
                      database_done_fn *on_done, void (*drop)(void *arg), void *arg)
{
    struct order_id *ids = memory_new_array(count, sizeof *ids);
    for (size_t i = 0; i < count; i++)
        ids[i] = entries[i].order->id;
    int status = order_rows_of_ids(database, ids, count, on_done, drop, arg);
    free(ids);
    return status;
}

bool order_rows_are_of(const PGresult *result, const struct order_entry *entries, size_t count)
{
    bool seen[ORDERS_BATCH_MAX] = {false};
    assert(count <= ORDERS_BATCH_MAX);
    for (int row = 0; row < PQntuples(result); row++) {
        struct order_id id;
        if (!id_decode(result, row, &id))
            return false;
        size_t i = order_entries_find(entries, count, &id);
        if (i == count || !order_id_equal(&entries[i].order->id, &id) || seen[i])
            return false;
        seen[i] = true;
    }
    return true;
}
