/* An array as a statement's parameter, in PostgreSQL's binary form, which the server takes in
 * fastest. Inside the database module. */
#ifndef CLIENTS_POSTGRES_BINARY_ARRAY_H
#define CLIENTS_POSTGRES_BINARY_ARRAY_H

#include "services/clients/postgres/connection.h"

/* pg_type.dat */
#define OID_BOOL 16
#define OID_BYTEA 17
#define OID_INT8 20
#define OID_TEXT 25
#define OID_TIMESTAMPTZ 1184
#define OID_UUID 2950

#define POSTGRES_EPOCH_US                                                                          \
    INT64_C(946684800000000) /* 2000-01-01: a timestamptz counts from there                        \
                              */

struct binary_array {
    char *bytes;
    size_t len;
};

/* An array for `count` elements, whose values have `values_bytes` in all, at most. */
struct binary_array binary_array_new(Oid type, size_t count, size_t values_bytes);

/* Add the next element: its binary form, an integer of `width` bytes, or NULL. */
void binary_array_add(struct binary_array *array, const void *bytes, size_t len);
void binary_array_add_integer(struct binary_array *array, int64_t value, int width);
void binary_array_add_null(struct binary_array *array);

/* Set the first `count` values of a statement's parameters to these arrays. */
void binary_arrays_bind(const struct binary_array *arrays, int count, const char **values,
                        int *lengths, int *formats);
void binary_arrays_release(struct binary_array *arrays, int count);

#endif
