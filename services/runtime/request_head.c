/* Reads header names in the raw head, line by line. */
#include "services/runtime/request_head.h"
#include <stdbool.h>
#include <string.h>
#include <strings.h>

static bool header_is(const char *line, size_t len, const char *name)
{
    size_t name_len = strlen(name);
    return len > name_len && line[name_len] == ':' && strncasecmp(line, name, name_len) == 0;
}

enum request_head_fault request_head_check(const char *bytes, size_t len)
{
    unsigned lengths = 0, encodings = 0;
    size_t limit = len < REQUEST_HEAD_MAX_BYTES ? len : REQUEST_HEAD_MAX_BYTES;
    size_t at = 0;

    for (;;) {
        const char *line = bytes + at;
        const char *end = memchr(line, '\n', limit - at);
        if (end == NULL)
            return REQUEST_HEAD_TOO_LARGE;
        size_t line_len = (size_t)(end - line);
        at += line_len + 1;
        if (line_len > 0 && line[line_len - 1] == '\r')
            line_len--;
        if (line_len == 0)
            break;
        lengths += header_is(line, line_len, "content-length");
        encodings += header_is(line, line_len, "transfer-encoding");
    }
    return lengths + encodings > 1 ? REQUEST_HEAD_MALFORMED : REQUEST_HEAD_FINE;
}
