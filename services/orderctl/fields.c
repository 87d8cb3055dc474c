/* Members of the gateway's JSON. */
#include "services/orderctl/fields.h"
#include "services/orderctl/output.h"
#include <stdint.h>
#include <stdio.h>

const char *field_text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

long long field_number(const json_t *object, const char *name, long long otherwise)
{
    const json_t *value = json_object_get(object, name);
    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

bool field_true(const json_t *object, const char *name)
{
    return json_is_true(json_object_get(object, name));
}

static void print_number(const json_t *value)
{
    if (json_is_integer(value))
        printf("%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        printf("%.1f", json_real_value(value));
    else
        printf("unknown");
}

void field_print_number(const json_t *object, const char *name)
{
    print_number(json_object_get(object, name));
}

void field_print_counts(const json_t *counts)
{
    const char *name, *before = "";
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)counts, name, value)
    {
        fputs(before, stdout);
        output_text(stdout, name);
        fputc(' ', stdout);
        print_number(value);
        before = ", ";
    }
}
