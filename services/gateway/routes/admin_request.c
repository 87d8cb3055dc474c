/* A filter comes as parameters of a query or as members of an object, with the same names. */
#include "services/gateway/routes/admin_request.h"
#include "proto/error.h"
#include "proto/timestamp.h"
#include "proto/utf8.h"
#include "services/gateway/json_answer.h"
#include "services/gateway/routes/query_string.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FILTER_TEXT_MAX_CHARS 250
#define FILTER_TEXT_MAX_BYTES (4 * FILTER_TEXT_MAX_CHARS)

static const char *const filter_names[] = {"reason", "stage",  "order_id", "since",
                                           "until",  "detail", NULL};

static bool refuse(struct request *request, enum problem problem, const char *format,
                   const char *name)
{
    struct error detail;
    error_set(&detail, format, name);
    reply_problem(request, problem, detail.message);
    return false;
}

bool admin_number(const char *text, size_t len, int64_t *ret)
{
    int64_t number = 0;
    if (len == 0 || len > 19 || text[0] == '0')
        return false;
    for (size_t i = 0; i < len; i++)
        if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, text[i] - '0', &number))
            return false;
    *ret = number;
    return true;
}

/* ---- filters ---- */

static bool is_text(const char *text, size_t len)
{
    size_t chars = 0;
    for (size_t at = 0, step = 0; at < len; at += step, chars++)
        if (utf8_decode(text + at, len - at, &step) == UTF8_INVALID)
            return false;
    return len > 0 && chars <= FILTER_TEXT_MAX_CHARS && memchr(text, '\0', len) == NULL;
}

/* `text` ends with a NUL too, and lives as long as the filter. */
static bool set_filter(struct letter_filter *filter, const char *name, const char *text, size_t len)
{
    if (!is_text(text, len))
        return false;
    if (strcmp(name, "reason") == 0)
        filter->reason = text;
    else if (strcmp(name, "stage") == 0)
        filter->stage = text;
    else if (strcmp(name, "detail") == 0)
        filter->detail = text;
    else if (strcmp(name, "order_id") == 0)
        return filter->by_order_id = order_id_parse(text, len, &filter->order_id) == 0;
    else if (strcmp(name, "since") == 0)
        return filter->by_since = timestamp_parse(text, len, &filter->since_us) == 0;
    else
        return filter->by_until = timestamp_parse(text, len, &filter->until_us) == 0;
    return true;
}

static bool set_state(struct letter_filter *filter, const char *text)
{
    static const char *const states[] = {LETTER_STATE_DEAD, LETTER_STATE_REPLAYED,
                                         LETTER_STATE_DISCARDED};
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        if (strcmp(text, states[i]) == 0)
            filter->state = states[i];
    if (strcmp(text, "all") == 0)
        filter->state = NULL;
    else if (filter->state == NULL)
        return false;
    return true;
}

/* ---- queries ---- */

/* The parameter in the request's pool, with a NUL. */
static enum query_result read_text(struct request *request, h2o_iovec_t query, const char *name,
                                   h2o_iovec_t *ret)
{
    char value[FILTER_TEXT_MAX_BYTES];
    size_t len;
    enum query_result result = query_text(query.base, query.len, name, value, sizeof(value), &len);
    if (result == QUERY_FOUND)
        *ret = h2o_strdup(&request->req->pool, value, len);
    return result;
}

static bool read_filter_query(struct request *request, h2o_iovec_t query,
                              struct letter_filter *filter)
{
    h2o_iovec_t value;
    filter->state = LETTER_STATE_DEAD;
    enum query_result result = read_text(request, query, "state", &value);
    if (result == QUERY_MALFORMED || (result == QUERY_FOUND && value.len != strlen(value.base)))
        return refuse(request, PROBLEM_INVALID_PARAMETER, "%s is invalid", "state");
    if (result == QUERY_FOUND) {
        filter->state = NULL;
        if (!set_state(filter, value.base))
            return refuse(request, PROBLEM_INVALID_PARAMETER, "%s",
                          "state must be dead, replayed, discarded or all");
    }
    for (size_t i = 0; filter_names[i] != NULL; i++) {
        result = read_text(request, query, filter_names[i], &value);
        if (result == QUERY_MALFORMED ||
            (result == QUERY_FOUND && !set_filter(filter, filter_names[i], value.base, value.len)))
            return refuse(request, PROBLEM_INVALID_PARAMETER, "%s is invalid", filter_names[i]);
    }
    return true;
}

bool admin_read_query(struct request *request, struct admin_page *ret_page,
                      struct letter_filter *filter)
{
    static const char *const with_filter[] = {"limit",    "cursor", "state", "reason", "stage",
                                              "order_id", "since",  "until", "detail", NULL};
    static const char *const without[] = {"limit", "cursor", NULL};
    const h2o_req_t *req = request->req;
    h2o_iovec_t query = {NULL, 0}, cursor;
    if (req->query_at != SIZE_MAX)
        query =
            h2o_iovec_init(req->path.base + req->query_at + 1, req->path.len - req->query_at - 1);
    if (!query_names_known(query.base, query.len, filter != NULL ? with_filter : without))
        return refuse(request, PROBLEM_INVALID_PARAMETER, "%s",
                      "a parameter is unknown here, or comes twice");
    *ret_page = (struct admin_page){.limit = ADMIN_PAGE_DEFAULT, .before_id = INT64_MAX};
    if (query_number(query.base, query.len, "limit", 1, ADMIN_PAGE_MAX, &ret_page->limit) ==
        QUERY_MALFORMED)
        return refuse(request, PROBLEM_INVALID_PARAMETER, "%s", "limit must be 1 to 500");
    enum query_result result = read_text(request, query, "cursor", &cursor);
    if (result == QUERY_MALFORMED ||
        (result == QUERY_FOUND && !admin_number(cursor.base, cursor.len, &ret_page->before_id)))
        return refuse(request, PROBLEM_INVALID_PARAMETER, "%s",
                      "cursor must be what a page before gave as next");
    return filter == NULL || read_filter_query(request, query, filter);
}

void admin_reply_page(struct request *request, const char *name, json_t *items, int64_t next_id)
{
    char next[24];
    snprintf(next, sizeof(next), "%" PRId64, next_id);
    json_t *page = json_object();
    json_add(page, name, items);
    json_add_text(page, "next", next_id > 0 ? next : NULL);
    reply_json(request, 200, page);
}

/* ---- bodies ---- */

bool admin_members_known(const json_t *object, const char *const *members, const char **ret_unknown)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        size_t i = 0;
        while (members[i] != NULL && strcmp(members[i], name) != 0)
            i++;
        if (members[i] == NULL) {
            *ret_unknown = name;
            return false;
        }
    }
    return true;
}

json_t *admin_read_body(struct request *request, const char *const *members)
{
    h2o_iovec_t entity = request->req->entity;
    if (entity.base == NULL || entity.len == 0)
        return json_object();
    json_error_t fault;
    const char *unknown;
    json_t *body = json_loadb(entity.base, entity.len, JSON_REJECT_DUPLICATES, &fault);
    if (!json_is_object(body))
        (void)refuse(request, PROBLEM_MALFORMED_REQUEST, "the body is not an object in JSON%s", "");
    else if (!admin_members_known(body, members, &unknown))
        (void)refuse(request, PROBLEM_MALFORMED_REQUEST, "the member \"%.50s\" is unknown here",
                     unknown);
    else
        return body;
    json_decref(body);
    return NULL;
}

bool admin_read_switch(struct request *request, const json_t *body, const char *name, bool *ret)
{
    const json_t *value = json_object_get(body, name);
    if (value != NULL && !json_is_boolean(value))
        return refuse(request, PROBLEM_MALFORMED_REQUEST, "%s must be true or false", name);
    *ret = json_is_true(value);
    return true;
}

bool admin_read_filter(struct request *request, const json_t *body, struct letter_filter *ret)
{
    json_t *filter = json_object_get(body, "filter");
    const char *name;
    json_t *value;
    *ret = (struct letter_filter){.state = LETTER_STATE_DEAD};
    if (!json_is_object(filter))
        return refuse(request, PROBLEM_MALFORMED_REQUEST, "%s",
                      "filter must be an object; {} is every dead letter");
    if (!admin_members_known(filter, filter_names, &name))
        return refuse(request, PROBLEM_MALFORMED_REQUEST,
                      "the member \"%.50s\" of filter is unknown", name);
    json_object_foreach(
        filter, name,
        value) if (!json_is_string(value) ||
                   !set_filter(ret, name, json_string_value(value),
                               json_string_length(value))) return refuse(request,
                                                                         PROBLEM_MALFORMED_REQUEST,
                                                                         "%s of filter is invalid",
                                                                         name);
    return true;
}

const char *admin_read_reason(struct request *request, const json_t *body)
{
    const char *reason = json_string_value(json_object_get(body, "reason"));
    size_t chars = 0;
    bool blank = true;
    for (const char *c = reason != NULL ? reason : ""; *c != '\0'; c++) {
        chars += ((unsigned char)*c & 0xc0) != 0x80; /* jansson has seen that it is UTF-8 */
        blank &= *c == ' ';
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            chars = ADMIN_REASON_MAX_CHARS + 1;
    }
    if (!blank && chars <= ADMIN_REASON_MAX_CHARS)
        return reason;
    reply_problem(request, PROBLEM_REASON_REQUIRED, NULL);
    return NULL;
}
