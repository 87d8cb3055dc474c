/* The form of array_recv() in the server's arrayfuncs.c: int32 dimensions, int32 flags (1: has
 * nulls), int32 element type; for the one dimension int32 length, int32 lower bound; then for each
 * element int32 length (-1: NULL) and its binary form. All big-endian. */
#include "services/clients/postgres/binary_array.h"
#include "services/base/memory.h"
#include <stdlib.h>
#include <string.h>

#define HEADER_BYTES 20
#define HAS_NULLS_AT 7 /* the last byte of the flags */

static void put(struct binary_array *array, uint64_t value, int width)
{
    for (int shift = 8 * (width - 1); shift >= 0; shift -= 8)
        array->bytes[array->len++] = (char)(value >> shift);
}

struct binary_array binary_array_new(Oid type, size_t count, size_t values_bytes)
{
    struct binary_array array = {.len = 0};
    array.bytes = memory_take(HEADER_BYTES + 4 * count + values_bytes);
    put(&array, 1, 4);
    put(&array, 0, 4);
    put(&array, type, 4);
    put(&array, count, 4);
    put(&array, 1, 4);
    return array;
}

void binary_array_add(struct binary_array *array, const void *bytes, size_t len)
{
    put(array, len, 4);
    if (len > 0)
        memcpy(array->bytes + array->len, bytes, len);
    array->len += len;
}

void binary_array_add_integer(struct binary_array *array, int64_t value, int width)
{
    put(array, (uint64_t)width, 4);
    put(array, (uint64_t)value, width);
}

void binary_array_add_null(struct binary_array *array)
{
    array->bytes[HAS_NULLS_AT] = 1;
    put(array, UINT32_MAX, 4);
}

void binary_arrays_bind(const struct binary_array *arrays, int count, const char **values,
                        int *lengths, int *formats)
{
    for (int i = 0; i < count; i++) {
        values[i] = arrays[i].bytes;
        lengths[i] = (int)arrays[i].len; /* a batch has a few megabytes at most */
        formats[i] = 1;
    }
}

void binary_arrays_release(struct binary_array *arrays, int count)
{
    for (int i = 0; i < count; i++)
        free(arrays[i].bytes);
}
