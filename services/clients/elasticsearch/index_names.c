/* Numbers the indices of the orders. */
#include "services/clients/elasticsearch/index_names.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS 6

void index_names_write(const char *alias, unsigned number, char ret_name[INDEX_NAME_SIZE])
{
    (void)snprintf(ret_name, INDEX_NAME_SIZE, "%s-%0*u", alias, DIGITS, number); /* it fits */
}

unsigned index_names_number(const char *alias, const char *name)
{
    size_t alias_len = strlen(alias);
    if (strncmp(name, alias, alias_len) != 0 || name[alias_len] != '-')
        return 0;
    const char *digits = name + alias_len + 1;
    if (strlen(digits) != DIGITS || strspn(digits, "0123456789") != DIGITS)
        return 0;
    return (unsigned)strtoul(digits, NULL, 10);
}

int index_names_next(const char *alias, const char *body, size_t len_bytes, unsigned *ret_number,
                     struct error *err)
{
    json_t *indices = json_loadb(body, len_bytes, JSON_ALLOW_NUL, NULL);
    unsigned highest = 0;
    const char *name;
    json_t *about;
    json_object_foreach(indices, name, about)
    {
        unsigned number = index_names_number(alias, name);
        highest = number > highest ? number : highest;
    }
    int rc = -1;
    if (!json_is_object(indices)) {
        error_set(err, "the list of the indices %.100s-* is not JSON", alias);
    } else if (highest == INDEX_NUMBER_MAX) {
        error_set(err, "no number is left after the index %.100s-%u", alias, INDEX_NUMBER_MAX);
    } else {
        *ret_number = highest + 1;
        rc = 0;
    }
    json_decref(indices);
    return rc;
}
