/* Copies of parameters lie in one block: the arrays first, the values behind them. */
#include "services/clients/postgres/statement.h"
#include "services/base/memory.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t value_bytes(const struct database_parameters *parameters, int i)
{
    if (parameters->values[i] == NULL)
        return 0;
    bool binary = parameters->formats != NULL && parameters->formats[i] == 1;
    return binary ? (size_t)parameters->lengths[i] : strlen(parameters->values[i]) + 1;
}

/* Copy an array to `*end`, which moves behind it. NULL stays NULL. */
static void *put(char **end, const void *bytes, size_t len)
{
    if (bytes == NULL)
        return NULL;
    void *copy = *end;
    *end = mempcpy(copy, bytes, len);
    return copy;
}

void statement_copy_parameters(struct statement *statement,
                               const struct database_parameters *parameters)
{
    statement->copies = NULL;
    if (parameters == NULL || parameters->count == 0) {
        statement->parameters = (struct database_parameters){.count = 0};
        return;
    }
    size_t count = (size_t)parameters->count, bytes = 0;
    for (int i = 0; i < parameters->count; i++)
        bytes += value_bytes(parameters, i);
    const char **values = statement->copies =
        memory_take(count * (sizeof *values + sizeof(Oid) + 2 * sizeof(int)) + bytes);
    char *end = (char *)(values + count);
    statement->parameters = (struct database_parameters){
        .count = parameters->count,
        .types = put(&end, parameters->types, count * sizeof(Oid)),
        .values = values,
        .lengths = put(&end, parameters->lengths, count * sizeof(int)),
        .formats = put(&end, parameters->formats, count * sizeof(int)),
    };
    for (int i = 0; i < parameters->count; i++)
        values[i] = put(&end, parameters->values[i], value_bytes(parameters, i));
}

void statement_release(struct statement *statement)
{
    free(statement->copies);
    statement->copies = NULL;
}

/* FNV-1a. Nobody chooses the statements in order to make two of a name. */
static uint64_t digest(uint64_t hash, const void *bytes, size_t len)
{
    for (const unsigned char *byte = bytes; len > 0; byte++, len--)
        hash = (hash ^ *byte) * UINT64_C(0x100000001b3);
    return hash;
}

void statement_name(const struct statement *statement, char name[STATEMENT_NAME_SIZE])
{
    const struct database_parameters *parameters = &statement->parameters;
    uint64_t hash =
        digest(UINT64_C(0xcbf29ce484222325), statement->sql, strlen(statement->sql) + 1);
    if (parameters->types != NULL)
        hash = digest(hash, parameters->types, (size_t)parameters->count * sizeof(Oid));
    (void)snprintf(name, STATEMENT_NAME_SIZE, "op_%016" PRIx64, hash); /* fits */
}
