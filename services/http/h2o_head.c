/* libh2o calls phr_parse_request() through the dynamic linker, which takes the one of the program
 * before the library's.
 *
 * What the reader has found about a head goes to the handler as the first field of the request, for
 * libh2o hands fields over unchanged. The field's value is the head, its name is a colon and a
 * digit (h2o_lookup_token() knows none of these), which no client can send. A request without this
 * field was read by libh2o's own parser, and is refused. */
#include "services/http/h2o_head.h"
#include <string.h>
#include <strings.h>

#define NAME_LEN 2

/* libh2o gives at most this many bytes, and closes when they are not enough. */
_Static_assert(REQUEST_HEAD_READ_MAX_BYTES < H2O_MAX_REQLEN, "the reader must have its verdict");
_Static_assert(REQUEST_HEAD_MAX_FIELDS + 1 <= H2O_MAX_HEADERS, "libh2o has room for every field");

/* ---- the verdict ---- */

/* The names last as long as the requests of this thread, and libh2o writes to them: it makes names
 * lower case. */
static struct phr_header verdict_field(enum request_head_fault fault, bool last, const char *head,
                                       size_t len)
{
    static __thread char names[2 * REQUEST_HEAD_FAULTS][NAME_LEN];
    unsigned number = 2 * (unsigned)fault + last;
    names[number][0] = ':';
    names[number][1] = (char)('0' + number);
    return (struct phr_header){names[number], NAME_LEN, head, len};
}

enum request_head_fault h2o_head_take_verdict(h2o_req_t *req, size_t *ret_len, bool *ret_last)
{
    h2o_headers_t *headers = &req->headers;
    const h2o_header_t *field = headers->entries;
    if (headers->size == 0 || field->name->len != NAME_LEN || field->name->base[0] != ':') {
        *ret_len = 0;
        *ret_last = true;
        return REQUEST_HEAD_MALFORMED;
    }
    unsigned number = (unsigned)(field->name->base[1] - '0');
    *ret_len = field->value.len;
    *ret_last = number % 2 != 0;
    headers->entries++;
    headers->size--;
    headers->capacity--;
    return (enum request_head_fault)(number / 2);
}

/* ---- in place of picohttpparser ---- */

/* A HEAD request gets no body with its answer, also when its head is at fault. */
static bool asks_for_head(const char *bytes, size_t len)
{
    size_t begin = len >= 2 && memcmp(bytes, "\r\n", 2) == 0 ? 2 : 0;
    return len - begin >= 5 && memcmp(bytes + begin, "HEAD ", 5) == 0;
}

/* A request without fields and body. */
static void show_fault(const char *bytes, size_t len, struct request_head *head)
{
    head->method = asks_for_head(bytes, len) ? (struct request_text){H2O_STRLIT("HEAD")}
                                             : (struct request_text){H2O_STRLIT("GET")};
    head->target = (struct request_text){H2O_STRLIT("/")};
    head->minor_version = 1;
    head->len = len;
    head->field_count = 0;
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
        show_fault(bytes, len, &head);
    /* libh2o's decoder of chunks is lenient, and leaves no raw lines to check: what follows a
     * chunked body may be what another program holds for a part of it. */
    bool last = head.fault != REQUEST_HEAD_FINE || head.chunked || head.closes;
    *ret_method = head.method.base;
    *ret_method_len = head.method.len;
    *ret_path = head.target.base;
    *ret_path_len = head.target.len;
    *ret_minor_version = head.minor_version;
    ret_headers[0] = verdict_field(head.fault, last, bytes, head.len);
    *headers_len = 1;
    for (size_t i = 0; i < head.field_count; i++) {
        const struct request_field *field = &head.fields[i];
        if (is_shown(&head, field->name))
            ret_headers[(*headers_len)++] = (struct phr_header){
                field->name.base, field->name.len, field->value.base, field->value.len};
    }
    return (int)head.len;
}
