/* Reads single values of a binary result by their length: that of NULL is 0. */
#include "services/clients/postgres/row_value.h"
#include "services/clients/postgres/order_rows.h"
#include <string.h>

const char *row_text(const PGresult *result, int row, int column)
{
    return PQgetisnull(result, row, column) ? NULL : PQgetvalue(result, row, column);
}

int64_t row_number(const PGresult *result, int row, int column)
{
    return PQgetlength(result, row, column) == sizeof(int64_t)
               ? binary_integer(PQgetvalue(result, row, column), sizeof(int64_t))
               : 0;
}

bool row_time(const PGresult *result, int row, int column, int64_t *ret_us)
{
    return PQgetlength(result, row, column) == sizeof(int64_t) &&
           binary_timestamp(PQgetvalue(result, row, column), ret_us);
}

bool row_uuid(const PGresult *result, int row, int column, struct order_id *ret_id)
{
    if (PQgetlength(result, row, column) != sizeof ret_id->bytes)
        return false;
    memcpy(ret_id->bytes, PQgetvalue(result, row, column), sizeof ret_id->bytes);
    return true;
}
