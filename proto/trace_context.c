/* Reads and writes the two headers. Level 1 defines one flag, "sampled"; the others are set to zero
 * when a trace goes on. */
#include "proto/trace_context.h"
#include <stdlib.h>
#include <string.h>

#define TRACE_ID_AT 3 /* in a traceparent: "00-" comes before */
#define PARENT_ID_AT (TRACE_ID_AT + TRACE_ID_TEXT_LEN + 1)
#define FLAGS_AT (PARENT_ID_AT + 16 + 1)
_Static_assert(FLAGS_AT + 2 == TRACEPARENT_LEN, "version, trace id, parent id, flags");

#define FLAG_SAMPLED 0x01
#define MEMBERS_MAX 32
#define KEY_MAX_BYTES 256
#define TENANT_MAX_BYTES 241 /* of a key tenant@system */
#define SYSTEM_MAX_BYTES 14
#define VALUE_MAX_BYTES 256

/* The kernel is asked once for many ids: this is on the path of every order. */
static void take_random(uint8_t *bytes, size_t len)
{
    static _Thread_local uint8_t pool[960];
    static _Thread_local size_t left;
    if (left < len) {
        arc4random_buf(pool, sizeof pool);
        left = sizeof pool;
    }
    left -= len;
    memcpy(bytes, pool + left, len);
}

static bool all_zero(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

static void take_id(uint8_t *bytes, size_t len)
{
    do
        take_random(bytes, len);
    while (all_zero(bytes, len));
}

struct trace_context trace_context_begin(void)
{
    struct trace_context trace = {.state = ""};
    take_id(trace.id.bytes, sizeof trace.id.bytes);
    take_id(trace.parent_id, sizeof trace.parent_id);
    return trace;
}

void trace_context_take_part(struct trace_context *trace)
{
    take_id(trace->parent_id, sizeof trace->parent_id);
}

struct trace_context trace_context_read(const char *traceparent, size_t traceparent_len,
                                        const char *tracestate, size_t tracestate_len)
{
    struct trace_context trace;
    if (traceparent_parse(traceparent, traceparent_len, &trace) != 0)
        return trace_context_begin();
    if (tracestate_valid(tracestate, tracestate_len)) {
        trace.state = tracestate;
        trace.state_len = tracestate_len;
    }
    return trace;
}

/* ---- traceparent ---- */

/* The value of a lower-case digit, or -1. */
static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_bytes(const char *text, uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static char *write_bytes(char *text, const uint8_t *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        *text++ = digits[bytes[i] >> 4];
        *text++ = digits[bytes[i] & 15];
    }
    return text;
}

int traceparent_parse(const char *text, size_t len, struct trace_context *ret_trace)
{
    struct trace_context trace = {.state = ""};
    uint8_t version, flags;
    if (len < TRACEPARENT_LEN || !read_bytes(text, &version, 1) || version == 0xff ||
        text[TRACE_ID_AT - 1] != '-' || text[PARENT_ID_AT - 1] != '-' || text[FLAGS_AT - 1] != '-')
        return -1;
    bool goes_on = len > TRACEPARENT_LEN;
    if (goes_on && (version == 0 || text[TRACEPARENT_LEN] != '-'))
        return -1;
    if (!read_bytes(text + TRACE_ID_AT, trace.id.bytes, sizeof trace.id.bytes) ||
        !read_bytes(text + PARENT_ID_AT, trace.parent_id, sizeof trace.parent_id) ||
        !read_bytes(text + FLAGS_AT, &flags, 1) ||
        all_zero(trace.id.bytes, sizeof trace.id.bytes) ||
        all_zero(trace.parent_id, sizeof trace.parent_id))
        return -1;
    trace.sampled = flags & FLAG_SAMPLED;
    *ret_trace = trace;
    return 0;
}

void traceparent_format(const struct trace_context *trace, char text[TRACEPARENT_LEN + 1])
{
    memcpy(text, "00-", TRACE_ID_AT);
    text = write_bytes(text + TRACE_ID_AT, trace->id.bytes, sizeof trace->id.bytes);
    *text++ = '-';
    text = write_bytes(text, trace->parent_id, sizeof trace->parent_id);
    memcpy(text, trace->sampled ? "-01" : "-00", sizeof "-01");
}

void trace_id_format(const struct trace_id *id, char text[TRACE_ID_TEXT_LEN + 1])
{
    if (!all_zero(id->bytes, sizeof id->bytes))
        text = write_bytes(text, id->bytes, sizeof id->bytes);
    *text = '\0';
}

/* ---- tracestate ---- */

static bool is_letter(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Of 1 to `max` bytes; the first one is a letter, or also a digit. */
static bool key_part_valid(const char *text, size_t len, size_t max, bool begins_with_digit)
{
    if (len == 0 || len > max || !(is_letter(*text) || (begins_with_digit && is_digit(*text))))
        return false;
    for (size_t i = 1; i < len; i++)
        if (!is_letter(text[i]) && !is_digit(text[i]) &&
            (text[i] == '\0' || strchr("_-*/", text[i]) == NULL))
            return false;
    return true;
}

static bool key_valid(const char *text, size_t len)
{
    const char *at = memchr(text, '@', len);
    if (at == NULL)
        return key_part_valid(text, len, KEY_MAX_BYTES, false);
    size_t tenant_len = (size_t)(at - text);
    return key_part_valid(text, tenant_len, TENANT_MAX_BYTES, true) &&
           key_part_valid(at + 1, len - tenant_len - 1, SYSTEM_MAX_BYTES, false);
}

/* Blanks behind a value belong to the list, so the value does not end in one. */
static bool value_valid(const char *text, size_t len)
{
    if (len == 0 || len > VALUE_MAX_BYTES)
        return false;
    for (size_t i = 0; i < len; i++)
        if (text[i] < ' ' || text[i] > '~' || text[i] == '=')
            return false; /* a comma ends the member, so none is here */
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool member_valid(const char *text, size_t len)
{
    const char *equals = memchr(text, '=', len);
    if (equals == NULL)
        return false;
    size_t key_len = (size_t)(equals - text);
    return key_valid(text, key_len) && value_valid(equals + 1, len - key_len - 1);
}

bool tracestate_valid(const char *text, size_t len)
{
    if (len > TRACESTATE_MAX_BYTES)
        return false;
    const char *end = text + len;
    size_t members = 0;
    while (text < end) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        const char *member_end = comma != NULL ? comma : end, *next = member_end + 1;
        while (text < member_end && is_blank(*text))
            text++;
        while (member_end > text && is_blank(member_end[-1]))
            member_end--;
        if (member_end > text) {
            if (!member_valid(text, (size_t)(member_end - text)) || ++members > MEMBERS_MAX)
                return false;
        }
        if (comma == NULL)
            break;
        text = next;
    }
    return members > 0;
}
