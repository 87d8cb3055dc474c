/* libpq alone: one connection, one prepared statement a batch, binary arrays. */
#include "tests/bench/ceilings/ceilings.h"
#include <arpa/inet.h>
#include <endian.h>
#include <libpq-fe.h>
#include <string.h>

#define UUID_OID 2950
#define TEXT_OID 25
#define INT8_OID 20
#define TIMESTAMPTZ_OID 1184
/* Of 2000-01-01, from which PostgreSQL counts. */
#define POSTGRES_EPOCH_US INT64_C(946684800000000)

static const char insert_sql[] =
    "INSERT INTO bench_ceiling SELECT i, p, a::numeric * 0.01, c FROM "
    "unnest($1::uuid[], $2::text[], $3::int8[], $4::timestamptz[]) AS x(i, p, a, c) "
    "ON CONFLICT (id) DO NOTHING RETURNING id";
static const char create_sql[] =
    "CREATE TABLE bench_ceiling (id uuid PRIMARY KEY, product_name text NOT NULL, "
    "amount numeric NOT NULL, created_at timestamptz NOT NULL)";

/* A binary array of one dimension (PostgreSQL's array_recv). */
struct array {
    size_t len;
    char bytes[CEILING_BATCH * 64 + 20];
};

static void put32(struct array *array, uint32_t value)
{
    value = htonl(value);
    memcpy(array->bytes + array->len, &value, sizeof(value));
    array->len += sizeof(value);
}

static void array_begin(struct array *array, Oid type)
{
    array->len = 0;
    put32(array, 1); /* dimensions */
    put32(array, 0); /* no nulls */
    put32(array, type);
    put32(array, CEILING_BATCH);
    put32(array, 1); /* the first index */
}

static void array_add(struct array *array, const void *bytes, size_t len)
{
    put32(array, (uint32_t)len);
    memcpy(array->bytes + array->len, bytes, len);
    array->len += len;
}

static void array_add64(struct array *array, int64_t value)
{
    uint64_t big = htobe64((uint64_t)value);
    array_add(array, &big, sizeof(big));
}

static void check(PGconn *connection, PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        die("postgres", PQerrorMessage(connection));
    PQclear(result);
}

static void insert_batch(PGconn *connection, long first)
{
    static struct array ids, names, amounts, times;
    array_begin(&ids, UUID_OID);
    array_begin(&names, TEXT_OID);
    array_begin(&amounts, INT8_OID);
    array_begin(&times, TIMESTAMPTZ_OID);
    for (long i = 0; i < CEILING_BATCH; i++) {
        struct order order;
        make_order(&order, first + i);
        array_add(&ids, order.id.bytes, sizeof(order.id.bytes));
        array_add(&names, order.product_name, order.product_name_len);
        array_add64(&amounts, order.amount_cents);
        array_add64(&times, order.created_at_us - POSTGRES_EPOCH_US);
    }
    const char *values[] = {ids.bytes, names.bytes, amounts.bytes, times.bytes};
    const int lengths[] = {(int)ids.len, (int)names.len, (int)amounts.len, (int)times.len};
    const int formats[] = {1, 1, 1, 1};
    check(connection, PQexecPrepared(connection, "insert", 4, values, lengths, formats, 1));
}

void insert_batches(long count)
{
    PGconn *connection = PQconnectdb(setting("POSTGRES_DSN"));
    if (PQstatus(connection) != CONNECTION_OK)
        die("postgres", PQerrorMessage(connection));
    check(connection, PQexec(connection, create_sql));
    check(connection, PQprepare(connection, "insert", insert_sql, 4, NULL));
    for (long done = 0; done < count; done += CEILING_BATCH)
        insert_batch(connection, done);
    check(connection, PQexec(connection, "DROP TABLE bench_ceiling"));
    PQfinish(connection);
}
