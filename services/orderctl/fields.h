/* Members of the gateway's JSON, as text and numbers. A member that is missing or null is NULL, or
 * the number given. */
#ifndef ORDERCTL_FIELDS_H
#define ORDERCTL_FIELDS_H

#include <jansson.h>
#include <stdbool.h>

const char *field_text(const json_t *object, const char *name);
long long field_number(const json_t *object, const char *name, long long otherwise);
bool field_true(const json_t *object, const char *name);

/* Print a number, or "unknown" when it is null. */
void field_print_number(const json_t *object, const char *name);
/* Print {"a":3,"b":2} as "a 3, b 2", or nothing. */
void field_print_counts(const json_t *counts);

#endif
