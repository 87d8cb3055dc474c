/* Values of a binary result: those that may be NULL, or of a column that another hand has changed.
 * Inside the database module. */
#ifndef CLIENTS_POSTGRES_ROW_VALUE_H
#define CLIENTS_POSTGRES_ROW_VALUE_H

#include "proto/order_id.h"
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

/* NULL for NULL; lives as long as the result. */
const char *row_text(const PGresult *result, int row, int column);

/* A bigint; 0 for NULL. */
int64_t row_number(const PGresult *result, int row, int column);

/* A timestamptz, in microseconds since 1970. Returns false, and leaves *ret_us, for NULL and for
 * what binary_timestamp() refuses. */
bool row_time(const PGresult *result, int row, int column, int64_t *ret_us);

/* A uuid. Returns false, and leaves *ret_id, for NULL. */
bool row_uuid(const PGresult *result, int row, int column, struct order_id *ret_id);

#endif
