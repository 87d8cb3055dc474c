/* libh2o calls phr_parse_request() through the dynamic linker, which takes the one of the program
 * before the library's. Where that did not happen, libh2o would read a head by its own parser, and
 * the handler would still refuse what is at fault, only later: after the body, and after "100
 * Continue". */
#include "services/http/h2o_head.h"
#include <string.h>
#include <strings.h>

/* libh2o gives at most this many bytes, and closes when they are not enough. */
_Static_assert(REQUEST_HEAD_READ_MAX_BYTES < H2O_MAX_REQLEN, "the reader must have its verdict");
_Static_assert(REQUEST_HEAD_MAX_FIELDS <= H2O_MAX_HEADERS, "libh2o has room for every field");

enum request_head_fault h2o_head_fault(const h2o_buffer_t *input, size_t *ret_len, bool *ret_last)
{
    struct request_head head;
    bool complete = request_head_read(input->bytes, input->size, 0, &head);
    enum request_head_fault fault = complete ? head.fault : REQUEST_HEAD_MALFORMED;
    *ret_len = complete ? head.len : input->size;
    /* libh2o's decoder of chunks is lenient, and leaves no raw lines to check: what follows a
     * chunked body may be what another program holds for a part of it. */
    *ret_last = fault != REQUEST_HEAD_FINE || head.chunked || head.closes;
    return fault;
}

/* A HEAD request gets no body with its answer, also when its head is at fault. */
static bool asks_for_head(const char *bytes, size_t len)
{
    size_t begin = len >= 2 && memcmp(bytes, "\r\n", 2) == 0 ? 2 : 0;
    return len - begin >= 5 && memcmp(bytes + begin, "HEAD ", 5) == 0;
}

static int show_fault(const char *bytes, size_t len, const char **ret_method,
                      size_t *ret_method_len, const char **ret_path, size_t *ret_path_len,
                      int *ret_minor_version, size_t *headers_len)
{
    *ret_method = asks_for_head(bytes, len) ? "HEAD" : "GET";
    *ret_method_len = strlen(*ret_method);
    *ret_path = "/";
    *ret_path_len = 1;
    *ret_minor_version = 1;
    *headers_len = 0;
    return (int)len;
}

/* A client of HTTP/1.0 must not be sent a "100 Continue" (RFC 9110, 15.2). */
static bool is_shown(const struct request_head *head, struct request_text name)
{
    bool expect = name.len == 6 && strncasecmp(name.base, "expect", 6) == 0;
    return head->minor_version > 0 || !expect;
}

int phr_parse_request(const char *bytes, size_t len, const char **ret_method,
                      size_t *ret_method_len, const char **ret_path, size_t *ret_path_len,
                      int *ret_minor_version, struct phr_header *ret_headers, size_t *headers_len,
                      size_t last_len)
{
    struct request_head head;
    if (!request_head_read(bytes, len, last_len, &head))
        return -2;
    if (head.fault != REQUEST_HEAD_FINE)
        return show_fault(bytes, len, ret_method, ret_method_len, ret_path, ret_path_len,
                          ret_minor_version, headers_len);
    *ret_method = head.method.base;
    *ret_method_len = head.method.len;
    *ret_path = head.target.base;
    *ret_path_len = head.target.len;
    *ret_minor_version = head.minor_version;
    *headers_len = 0;
    for (size_t i = 0; i < head.field_count; i++) {
        const struct request_field *field = &head.fields[i];
        if (is_shown(&head, field->name))
            ret_headers[(*headers_len)++] = (struct phr_header){
                field->name.base, field->name.len, field->value.base, field->value.len};
    }
    return (int)head.len;
}
