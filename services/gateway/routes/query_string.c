/* Looks a parameter up by its undecoded name, and decodes its value alone. */
#include "services/gateway/routes/query_string.h"
#include "proto/hex.h"
#include <stdlib.h>
#include <string.h>

static enum query_result decode(const char *text, size_t len, char *value, size_t size,
                                size_t *ret_len)
{
    size_t used = 0;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '+') {
            c = ' ';
        } else if (c == '%') {
            int high = len - i > 2 ? hex_digit(text[i + 1]) : -1;
            int low = len - i > 2 ? hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0)
                return QUERY_MALFORMED;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (used == size)
            return QUERY_MALFORMED;
        value[used++] = c;
    }
    *ret_len = used;
    return QUERY_FOUND;
}

enum query_result query_text(const char *query, size_t query_len, const char *name, char *value,
                             size_t size, size_t *ret_len)
{
    size_t name_len = strlen(name);
    const char *at = query, *end = query + query_len;
    while (at < end) {
        const char *next = memchr(at, '&', (size_t)(end - at));
        if (next == NULL)
            next = end;
        size_t len = (size_t)(next - at);
        if (len > name_len && memcmp(at, name, name_len) == 0 && at[name_len] == '=')
            return decode(at + name_len + 1, len - name_len - 1, value, size, ret_len);
        at = next + 1;
    }
    return QUERY_ABSENT;
}

enum query_result query_number(const char *query, size_t query_len, const char *name,
                               unsigned minimum, unsigned maximum, unsigned *number)
{
    char digits[10] = "";
    size_t len = 0;
    enum query_result result = query_text(query, query_len, name, digits, sizeof(digits) - 1, &len);
    if (result != QUERY_FOUND)
        return result;
    unsigned long value = strtoul(digits, NULL, 10); /* at most 9 digits */
    if (len == 0 || strspn(digits, "0123456789") != len || value < minimum || value > maximum)
        return QUERY_MALFORMED;
    *number = (unsigned)value;
    return QUERY_FOUND;
}

bool query_names_known(const char *query, size_t query_len, const char *const *names)
{
    const char *at = query, *end = query + query_len;
    unsigned seen = 0; /* a bit for each of the names */
    while (at < end) {
        const char *next = memchr(at, '&', (size_t)(end - at));
        if (next == NULL)
            next = end;
        const char *equals = memchr(at, '=', (size_t)(next - at));
        size_t len = (size_t)((equals != NULL ? equals : next) - at), i = 0;
        while (names[i] != NULL && (strlen(names[i]) != len || memcmp(names[i], at, len) != 0))
            i++;
        if (names[i] == NULL || equals == NULL || seen & 1u << i)
            return false;
        seen |= 1u << i;
        at = next + 1;
    }
    return true;
}
