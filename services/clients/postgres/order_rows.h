/* Orders as statement parameters and out of result rows, both binary. Inside the database module.
 */
#ifndef CLIENTS_POSTGRES_ORDER_ROWS_H
#define CLIENTS_POSTGRES_ORDER_ROWS_H

#include "proto/order.h"
#include "proto/trace_context.h"
#include "services/clients/postgres/binary_array.h"
#include "services/clients/postgres/call.h"

/* One order of a batch, and where it stands there. */
struct order_entry {
    const struct order *order;
    size_t place;
    uint64_t id_begin; /* of order_entry_of(): the first bytes of the id, a number in their order */
};

struct order_entry order_entry_of(const struct order *order, size_t place);

/* Sort by id, then place. A transaction writes its orders in the order of their ids: two
 * transactions with different orders deadlock. */
void order_entries_sort(struct order_entry *entries, size_t count);

/* The first of sorted entries whose id is not below `id`; `count` if there is none. */
size_t order_entries_find(const struct order_entry *entries, size_t count,
                          const struct order_id *id);

/* A FROM item made of four parameters: a row (id, name, cents, created_at) for each order. */
#define ORDER_ROWS_FROM                                                                            \
    "unnest($1::uuid[], $2::text[], $3::int8[], $4::timestamptz[])"                                \
    " AS o(id, name, cents, created_at)"
/* The same with a fifth parameter: the order's JSON. */
#define ORDER_ROWS_JSON_FROM                                                                       \
    "unnest($1::uuid[], $2::text[], $3::int8[], $4::timestamptz[], $5::text[])"                    \
    " AS o(id, name, cents, created_at, json)"

/* The parameters of ORDER_ROWS_FROM or of ORDER_ROWS_JSON_FROM. */
struct order_rows {
    struct binary_array arrays[5];
    int array_count;
};

/* Write these orders (at least one), in this order; they are copied. */
void order_rows_write(struct order_rows *rows, const struct order_entry *entries, size_t count,
                      bool with_json);
void order_rows_release(struct order_rows *rows); /* again, it does nothing */

/* Send `sql` with these rows; with a `trace`, two more parameters follow: traceparent and
 * tracestate. Releases the rows, also when it fails. Returns as database_call(). */
int order_rows_send(struct order_rows *rows, struct database *database, const char *sql,
                    const struct trace_context *trace, database_done_fn *on_done,
                    void (*drop)(void *arg), void *arg) __attribute__((warn_unused_result));

/* What order_row_decode() wants to see selected, in binary. The id is a uuid, or text as in the
 * original program's tables, where not every row need have a UUID. */
#define ORDER_ROW_COLUMNS "id, product_name::text, amount::text, created_at"

/* A value of a SELECT, for created_at_digits(): how many decimals of a second orders.created_at
 * holds. A table that was there before may have timestamptz(3), or a domain over it. */
#define CREATED_AT_DIGITS                                                                          \
    "(SELECT coalesce(nullif(atttypmod, -1), nullif(typtypmod, -1), 6) FROM pg_attribute"          \
    " JOIN pg_type ON pg_type.oid = atttypid"                                                      \
    " WHERE attrelid = 'orders'::regclass AND attname = 'created_at')"

/* Decode the first four columns of a row. Returns NULL, or which column holds what no order can
 * (NULL, an amount that is not a whole number of cents, …), with *ret_order half filled: id first,
 * then in the order of the columns. Whoever reads rows asks this, so that all mean the same
 * orders. */
const char *order_row_decode(const PGresult *result, int row, struct order *ret_order);

/* The instant that a column of so many digits holds when it is given this one. */
int64_t created_at_held_us(int64_t created_at_us, int digits);

/* An array of these ids as text, "{id,id}", to be freed with free(). Without a type the server
 * takes it as an array of the type that orders.id has, so that the index of orders.id serves. */
char *order_ids_text(const struct order_id *ids, size_t count);

/* The rows with these ids, as ORDER_ROW_COLUMNS and CREATED_AT_DIGITS. Returns as database_call().
 */
int order_rows_of_ids(struct database *database, const struct order_id *ids, size_t count,
                      database_done_fn *on_done, void (*drop)(void *arg), void *arg)
    __attribute__((warn_unused_result));

/* The same with the ids of these orders. */
int order_rows_select(struct database *database, const struct order_entry *entries, size_t count,
                      database_done_fn *on_done, void (*drop)(void *arg), void *arg)
    __attribute__((warn_unused_result));

/* CREATED_AT_DIGITS in a column of the first row of a binary result, or -1 when that is something
 * else. */
int created_at_digits(const PGresult *result, int column);

/* Whether an answer to order_rows_select() is about these orders, which are sorted: it has rows of
 * their ids alone, no two of the same. Otherwise nothing that it says may be believed. */
bool order_rows_are_of(const PGresult *result, const struct order_entry *entries, size_t count);

/* The row of an id that was not asked for: a fault between here and the table, such as a pooler
 * that ran another session's statement (SQLSTATE class XX, internal error). */
#define SQLSTATE_WRONG_ROW "XX000"
#define WRONG_ROW "a row came that was not asked for"

/* The big-endian integers of binary columns. `width` bytes are there. */
int64_t binary_integer(const char *bytes, int width);

/* The instant of a binary timestamptz, of 8 bytes. Returns false, and leaves *ret_us, when it is
 * not in the years 1 to 9999, as -infinity and infinity are not. */
bool binary_timestamp(const char *bytes, int64_t *ret_us);

#endif
