/* Values end at commas and brackets outside of strings: that is all this file needs to know of a
 * text that the parser has taken. Brackets are counted, so nesting costs no stack. */
#include "proto/json_span.h"
#include "proto/hex.h"
#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Past the string that begins at `p`. */
static const char *past_string(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++)
        if (*p == '\\')
            p++;
    return p < end ? p + 1 : end;
}

/* The comma or bracket that ends the member or item at `p`, or `end`. */
static const char *entry_end(const char *p, const char *end)
{
    size_t depth = 0;
    while (p < end) {
        if (*p == '"') {
            p = past_string(p, end);
            continue;
        }
        if (depth == 0 && (*p == ',' || *p == ']' || *p == '}'))
            break;
        if (*p == '[' || *p == '{')
            depth++;
        else if (*p == ']' || *p == '}')
            depth--;
        p++;
    }
    return p;
}

static struct json_span trimmed(const char *p, const char *end)
{
    while (p < end && is_space(*p))
        p++;
    while (p < end && is_space(end[-1]))
        end--;
    return (struct json_span){p, (size_t)(end - p)};
}

/* `rest` begins with the opening bracket, or with the comma after the entry before. */
bool json_span_next(struct json_span *rest, struct json_span *ret_entry)
{
    *rest = trimmed(rest->text, rest->text + rest->len);
    if (rest->len == 0 || *rest->text == ']' || *rest->text == '}')
        return false;
    const char *const end = rest->text + rest->len, *const first = rest->text + 1;
    const char *const last = entry_end(first, end);
    *ret_entry = trimmed(first, last);
    *rest = (struct json_span){last, (size_t)(end - last)};
    return ret_entry->len > 0; /* nothing between the brackets */
}

/* Past the string that begins at `p`, or NULL when the string does not say `name`. */
static const char *past_name(const char *p, const char *end, const char *name)
{
    for (p++; *name != '\0' && p < end; name++) {
        int character = (unsigned char)*p++;
        if (character == '\\' && end - p >= 5 && *p == 'u') {
            character = 0;
            for (int i = 1; i < 5; i++) {
                int digit = hex_digit(p[i]);
                if (digit < 0)
                    return NULL;
                character = character << 4 | digit;
            }
            p += 5;
        }
        if (character != *name)
            return NULL;
    }
    return p < end && *name == '\0' && *p == '"' ? p + 1 : NULL;
}

struct json_span json_span_member(struct json_span object, const char *name)
{
    struct json_span member;
    while (json_span_next(&object, &member)) {
        const char *const end = member.text + member.len;
        const char *after_name = past_name(member.text, end, name);
        if (after_name == NULL)
            continue;
        struct json_span value = trimmed(after_name, end); /* with its colon */
        return value.len == 0 ? value : trimmed(value.text + 1, end);
    }
    return (struct json_span){"", 0};
}
