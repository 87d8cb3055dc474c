/* Reads in two steps. The first step finds the end of the head, and refuses bytes that may stand
 * nowhere in one: line ends but CRLF, and control characters but the tab. The second step takes the
 * lines apart. RFC 9112 lets a server be lenient in many places; this reader uses one of them only:
 * an empty line before the request line (2.2). */
#include "services/http/request_head.h"
#include <endian.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

/* libh2o reads a length of up to so many digits. No body is that long. */
#define LENGTH_MAX_DIGITS 19

/* ---- characters ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* RFC 9110, 5.6.2 */
static const bool token_characters[256] = {
    ['!'] = true,         ['#'] = true,         ['$'] = true,         ['%'] = true, ['&'] = true,
    ['\''] = true,        ['*'] = true,         ['+'] = true,         ['-'] = true, ['.'] = true,
    ['^'] = true,         ['_'] = true,         ['`'] = true,         ['|'] = true, ['~'] = true,
    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true,
};

static bool is_token(struct request_text text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!token_characters[(unsigned char)text.base[i]])
            return false;
    return text.len > 0;
}

static bool is_white(char c)
{
    return c == ' ' || c == '\t';
}

static struct request_text trimmed(struct request_text text)
{
    while (text.len > 0 && is_white(text.base[0])) {
        text.base++;
        text.len--;
    }
    while (text.len > 0 && is_white(text.base[text.len - 1]))
        text.len--;
    return text;
}

static bool text_is(struct request_text text, const char *word)
{
    return text.len == strlen(word) && strncasecmp(text.base, word, text.len) == 0;
}

/* ---- the end of the head ---- */

/* One empty line may come first: some clients send it behind the body of the request before. */
static size_t begin_of(const char *bytes, size_t len)
{
    return len >= 2 && memcmp(bytes, "\r\n", 2) == 0 ? 2 : 0;
}

enum scan { SCAN_UNFINISHED, SCAN_FOUND, SCAN_BAD };

/* How many bytes come before the first control character (the tab is one, too). Eight are looked at
 * together: the lowest bit in `found` is that of the first byte that is below ' ' or is DEL. */
static size_t plain_span(const char *bytes, size_t len)
{
    const uint64_t ones = 0x0101010101010101;
    size_t i = 0;
    for (; len - i >= sizeof(uint64_t); i += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, bytes + i, sizeof(word));
        word = le64toh(word);
        uint64_t no_del = word ^ (ones * 0x7f);
        uint64_t found = ((word - ones * ' ') & ~word) | ((no_del - ones) & ~no_del);
        found &= ones * 0x80;
        if (found != 0)
            return i + (size_t)__builtin_ctzll(found) / 8;
    }
    while (i < len && (unsigned char)bytes[i] >= ' ' && bytes[i] != 0x7f)
        i++;
    return i;
}

/* Sets *ret_end to the first byte behind the head when SCAN_FOUND. */
static enum scan find_end(const char *bytes, size_t len, size_t seen, size_t *ret_end)
{
    size_t begin = begin_of(bytes, len);
    size_t at = seen > begin ? seen : begin;
    if (at > begin && bytes[at - 1] == '\r')
        at--; /* a CR that was the last byte */
    while ((at += plain_span(bytes + at, len - at)) < len) {
        if (bytes[at] == '\t') {
            at++;
            continue;
        }
        if (bytes[at] != '\r')
            return SCAN_BAD; /* an LF without CR, too */
        if (at + 1 == len)
            return SCAN_UNFINISHED;
        if (bytes[at + 1] != '\n')
            return SCAN_BAD;
        if (at == begin)
            return SCAN_BAD; /* a second empty line */
        if (bytes[at - 1] == '\n') {
            *ret_end = at + 2;
            return SCAN_FOUND;
        }
        at += 2;
    }
    return SCAN_UNFINISHED;
}

/* ---- lines ---- */

/* Takes the next part of a line, up to `delimiter`; false when there is none. */
static bool next_part(struct request_text *line, char delimiter, struct request_text *ret_part)
{
    const char *end = memchr(line->base, delimiter, line->len);
    if (end == NULL)
        return false;
    *ret_part = (struct request_text){line->base, (size_t)(end - line->base)};
    line->base = end + 1;
    line->len -= ret_part->len + 1;
    return true;
}

/* A target that has not ended counts as far as it goes. */
static bool target_too_long(struct request_text lines)
{
    struct request_text line, method, target;
    if (!next_part(&lines, '\n', &line))
        line = lines;
    if (!next_part(&line, ' ', &method))
        return false;
    if (!next_part(&line, ' ', &target))
        target = line;
    return target.len > REQUEST_TARGET_MAX_BYTES;
}

/* RFC 9112, 3: single spaces, and nothing but what can be seen between them. */
static bool read_request_line(struct request_text line, struct request_head *head)
{
    if (!next_part(&line, ' ', &head->method) || !is_token(head->method) ||
        !next_part(&line, ' ', &head->target) || !request_target_valid(head->target))
        return false;
    bool new = line.len == 8 && memcmp(line.base, "HTTP/1.1", 8) == 0;
    bool old = line.len == 8 && memcmp(line.base, "HTTP/1.0", 8) == 0;
    head->minor_version = new ? 1 : 0;
    return new || old;
}

/* RFC 9112, 5: no white space before the colon. A folded line begins with white space, which no
 * name has. */
static bool read_field(struct request_text line, struct request_field *field)
{
    if (!next_part(&line, ':', &field->name) || !is_token(field->name))
        return false;
    field->value = trimmed(line);
    return true;
}

/* Leading zeros are dropped, so that libh2o can read the length. */
static bool read_length(struct request_text *value)
{
    for (size_t i = 0; i < value->len; i++)
        if (!is_digit(value->base[i]))
            return false;
    while (value->len > 1 && value->base[0] == '0') {
        value->base++;
        value->len--;
    }
    return value->len > 0 && value->len <= LENGTH_MAX_DIGITS;
}

static bool list_has(struct request_text list, const char *word)
{
    struct request_text member;
    while (next_part(&list, ',', &member))
        if (text_is(trimmed(member), word))
            return true;
    return text_is(trimmed(list), word);
}

/* How often the fields were given that say where a request ends and whom it is for. */
struct framing {
    unsigned lengths, encodings, hosts;
    bool closes, keeps; /* said so */
};

static bool read_framing(struct request_field *field, struct framing *framing)
{
    if (text_is(field->name, "content-length")) {
        framing->lengths++;
        return read_length(&field->value);
    }
    if (text_is(field->name, "transfer-encoding")) {
        framing->encodings++;
        return text_is(field->value, "chunked");
    }
    if (text_is(field->name, "host")) {
        framing->hosts++;
        return request_host_valid(field->value);
    }
    if (text_is(field->name, "connection")) {
        framing->closes = framing->closes || list_has(field->value, "close");
        framing->keeps = framing->keeps || list_has(field->value, "keep-alive");
    }
    return true;
}

/* `lines` has whole lines only, the last one of them empty. */
static enum request_head_fault read_lines(struct request_text lines, struct request_head *head)
{
    struct request_text line;
    struct framing framing = {0};
    bool first = true;
    while (next_part(&lines, '\n', &line) && line.len > 1) {
        line.len--; /* the CR */
        if (first) {
            first = false;
            if (!read_request_line(line, head))
                return REQUEST_HEAD_MALFORMED;
            continue;
        }
        if (head->field_count == REQUEST_HEAD_MAX_FIELDS)
            return REQUEST_HEAD_TOO_LARGE;
        struct request_field *field = &head->fields[head->field_count++];
        if (!read_field(line, field) || !read_framing(field, &framing))
            return REQUEST_HEAD_MALFORMED;
    }
    /* RFC 9112, 3.2 and 6.1: HTTP/1.0 has no chunks, and needs no Host. */
    bool hosts_wrong = framing.hosts > 1 || (framing.hosts == 0 && head->minor_version == 1);
    bool encoding_wrong = framing.encodings > 0 && head->minor_version == 0;
    head->chunked = framing.encodings > 0;
    head->closes = framing.closes || (head->minor_version == 0 && !framing.keeps);
    return hosts_wrong || encoding_wrong || framing.lengths + framing.encodings > 1
               ? REQUEST_HEAD_MALFORMED
               : REQUEST_HEAD_FINE;
}

bool request_head_read(const char *bytes, size_t len, size_t seen, struct request_head *ret_head)
{
    size_t end = len, begin = begin_of(bytes, len);
    enum scan scan = find_end(bytes, len, seen, &end);
    if (scan == SCAN_UNFINISHED && len < REQUEST_HEAD_READ_MAX_BYTES)
        return false;

    struct request_text lines = {bytes + begin, end - begin};
    ret_head->len = end;
    ret_head->field_count = 0;
    if (scan == SCAN_BAD)
        ret_head->fault = REQUEST_HEAD_MALFORMED;
    else if (target_too_long(lines))
        ret_head->fault = REQUEST_HEAD_TARGET_TOO_LONG;
    else if (lines.len > REQUEST_HEAD_MAX_BYTES)
        ret_head->fault = REQUEST_HEAD_TOO_LARGE;
    else
        ret_head->fault = read_lines(lines, ret_head);
    return true;
}
