/* Reads from left to right, once. Whatever is unusual is left to the parser. */
#include "proto/plain_request.h"
#include <string.h>

#define AMOUNT_MAX_LEN 20 /* of what a parser takes for a number without doubt */

struct reader {
    const char *at, *end;
};

static void skip_space(struct reader *reader)
{
    while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\n' ||
                                        *reader->at == '\r' || *reader->at == '\t'))
        reader->at++;
}

/* Takes the character, and white space before it. */
static bool take(struct reader *reader, char character)
{
    skip_space(reader);
    if (reader->at == reader->end || *reader->at != character)
        return false;
    reader->at++;
    return true;
}

static bool take_string(struct reader *reader, struct json_span *ret_string)
{
    if (!take(reader, '"'))
        return false;
    const char *begin = reader->at;
    for (; reader->at < reader->end && *reader->at != '"'; reader->at++)
        if (*reader->at == '\\' || (unsigned char)*reader->at < ' ')
            return false;
    *ret_string = (struct json_span){begin, (size_t)(reader->at - begin)};
    return take(reader, '"');
}

static size_t take_digits(struct reader *reader)
{
    const char *begin = reader->at;
    while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9')
        reader->at++;
    return (size_t)(reader->at - begin);
}

static bool take_amount(struct reader *reader, struct json_span *ret_amount)
{
    skip_space(reader);
    const char *begin = reader->at;
    size_t digits = take_digits(reader);
    if (digits == 0 || (digits > 1 && *begin == '0'))
        return false;
    if (reader->at < reader->end && *reader->at == '.') {
        reader->at++;
        if (take_digits(reader) == 0)
            return false;
    }
    *ret_amount = (struct json_span){begin, (size_t)(reader->at - begin)};
    return ret_amount->len <= AMOUNT_MAX_LEN;
}

static bool is(struct json_span text, const char *word)
{
    return text.len == strlen(word) && memcmp(text.text, word, text.len) == 0;
}

/* One of the two members that has not come yet. */
static bool take_member(struct reader *reader, struct json_span *name, struct json_span *amount)
{
    struct json_span member;
    if (!take_string(reader, &member) || !take(reader, ':'))
        return false;
    if (name->text == NULL && is(member, "product_name"))
        return take_string(reader, name);
    return amount->text == NULL && is(member, "amount") && take_amount(reader, amount);
}

bool plain_request_read(struct json_span text, struct json_span *ret_name,
                        struct json_span *ret_amount)
{
    struct reader reader = {text.text, text.text + text.len};
    struct json_span name = {NULL, 0}, amount = {NULL, 0};
    if (!take(&reader, '{') || !take_member(&reader, &name, &amount) || !take(&reader, ',') ||
        !take_member(&reader, &name, &amount) || !take(&reader, '}'))
        return false;
    skip_space(&reader);
    if (reader.at != reader.end)
        return false;
    *ret_name = name;
    *ret_amount = amount;
    return true;
}
