/* A text that grows by appending. */
#include "services/orderctl/query.h"
#include <curl/curl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct query query_new(const char *format, ...)
{
    struct query query = {0};
    va_list arguments;
    va_start(arguments, format);
    int len = vasprintf(&query.text, format, arguments);
    va_end(arguments);
    if (len < 0)
        abort();
    return query;
}

void query_add(struct query *query, const char *name, const char *value)
{
    if (value == NULL)
        return;
    char *escaped = curl_easy_escape(NULL, value, 0), *longer;
    if (escaped == NULL || asprintf(&longer, "%s%c%s=%s", query->text,
                                    query->parameters++ == 0 ? '?' : '&', name, escaped) < 0)
        abort();
    curl_free(escaped);
    free(query->text);
    query->text = longer;
}

void query_add_number(struct query *query, const char *name, long long value)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%lld", value);
    query_add(query, name, text);
}
