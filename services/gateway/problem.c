/* The table of problems, and their JSON. */
#include "services/gateway/problem.h"
#include <stdint.h>
#include <stdlib.h>

static const struct problem_kind {
    int status;
    const char *code;
    const char *title;
} kinds[] = {
    [PROBLEM_MALFORMED_REQUEST] = {400, "malformed_request", "The request is malformed"},
    [PROBLEM_MALFORMED_ORDER] = {400, "malformed_order", "The body is not an order in JSON"},
    [PROBLEM_INVALID_ORDER_ID] = {400, "invalid_order_id", "The order id is not a UUID"},
    [PROBLEM_INVALID_PARAMETER] = {400, "invalid_parameter", "A query parameter is invalid"},
    [PROBLEM_INVALID_IDEMPOTENCY_KEY] = {400, "invalid_idempotency_key",
                                         "Idempotency-Key must be 1 to 255 printable characters"},
    [PROBLEM_INVALID_OPERATOR] = {400, "invalid_operator",
                                  "X-Operator must be 1 to 100 printable characters"},
    [PROBLEM_UNAUTHORIZED] = {401, "unauthorized", "A valid admin token is required"},
    [PROBLEM_ADMIN_DISABLED] = {403, "admin_disabled", "No admin token is configured"},
    [PROBLEM_READ_ONLY_TOKEN] = {403, "read_only_token", "This token may look and change nothing"},
    [PROBLEM_NOT_FOUND] = {404, "not_found", "There is nothing here"},
    [PROBLEM_ORDER_NOT_FOUND] = {404, "order_not_found", "There is no such order"},
    [PROBLEM_DEAD_LETTER_NOT_FOUND] = {404, "dead_letter_not_found",
                                       "There is no such dead letter"},
    [PROBLEM_JOB_NOT_FOUND] = {404, "job_not_found", "There is no such job"},
    [PROBLEM_METHOD_NOT_ALLOWED] = {405, "method_not_allowed", "The method is not allowed here"},
    [PROBLEM_DEAD_LETTER_SETTLED] = {409, "dead_letter_settled",
                                     "The letter was replayed or discarded before"},
    [PROBLEM_ARCHIVE_OFF] = {409, "archive_off",
                             "Dead letters are not archived now, so many cannot be replayed"},
    [PROBLEM_JOB_FINISHED] = {409, "job_finished", "The job cannot be canceled any more"},
    [PROBLEM_JOB_UNFINISHED] = {409, "job_unfinished",
                                "A job about the search index has not ended"},
    [PROBLEM_ORDER_DEAD] = {409, "order_dead", "The order was accepted and could not be stored"},
    [PROBLEM_BODY_TOO_LARGE] = {413, "body_too_large", "The body is too large"},
    [PROBLEM_URI_TOO_LONG] = {414, "uri_too_long", "The request target is too long"},
    [PROBLEM_UNSUPPORTED_CONTENT_ENCODING] = {415, "unsupported_content_encoding",
                                              "The body must come without a Content-Encoding"},
    [PROBLEM_EXPECTATION_FAILED] = {417, "expectation_failed", "The expectation is not supported"},
    [PROBLEM_UNACCEPTABLE_ORDER] = {422, "unacceptable_order", "The order cannot be accepted"},
    [PROBLEM_NOT_AN_ORDER] = {422, "not_an_order",
                              "The body of the letter is no order, unless it is corrected"},
    [PROBLEM_ORDER_ID_DIFFERS] = {422, "order_id_differs",
                                  "A corrected order keeps the id of its letter"},
    [PROBLEM_ORDER_STORED] =
        {422, "order_stored",
         "The order is stored: its letter is replayed as it is, or not at all"},
    [PROBLEM_NEW_ID_REQUIRED] = {422, "new_id_required",
                                 "A corrected order with a conflict of ids needs a new id"},
    [PROBLEM_REASON_REQUIRED] = {422, "reason_required",
                                 "A reason of 1 to 500 printable characters is required"},
    [PROBLEM_IDEMPOTENCY_KEY_REUSED] = {422, "idempotency_key_reused",
                                        "The Idempotency-Key was used for another payload"},
    [PROBLEM_HEADERS_TOO_LARGE] = {431, "headers_too_large", "The header section is too large"},
    [PROBLEM_STORE_FAILED] = {500, "store_failed", "The order store failed"},
    [PROBLEM_REFRESH_FAILED] = {500, "refresh_failed", "The refresh failed"},
    [PROBLEM_LIVE_SALES_IMPOSSIBLE] = {501, "live_sales_impossible",
                                       "The daily sales are known as of the last refresh only"},
    [PROBLEM_SEARCH_FAILED] = {502, "search_failed", "The search engine failed"},
    [PROBLEM_OVERLOADED] = {503, "overloaded", "Too many requests at once"},
    [PROBLEM_DEADLINE_EXCEEDED] = {503, "deadline_exceeded", "No answer in time"},
    [PROBLEM_QUEUE_UNAVAILABLE] = {503, "queue_unavailable", "Orders cannot be accepted now"},
    [PROBLEM_CACHE_UNAVAILABLE] = {503, "cache_unavailable",
                                   "The cache is unavailable; nothing was changed"},
    [PROBLEM_OUTCOME_UNKNOWN] = {503, "outcome_unknown",
                                 "The order may or may not have been accepted"},
    [PROBLEM_STORE_UNAVAILABLE] = {503, "store_unavailable", "The order store is unavailable"},
    [PROBLEM_SALES_UNFINISHED] = {503, "sales_unfinished", "Not all orders are summed up yet"},
    [PROBLEM_ORDER_STATE_UNKNOWN] = {503, "order_state_unknown",
                                     "Whether there is such an order cannot be told now"},
    [PROBLEM_IDEMPOTENCY_UNAVAILABLE] = {503, "idempotency_unavailable",
                                         "What the Idempotency-Key stands for cannot be told now"},
    [PROBLEM_REFRESH_UNAVAILABLE] = {503, "refresh_unavailable", "The scheduler is unavailable"},
    [PROBLEM_SEARCH_OVERLOADED] = {503, "search_overloaded",
                                   "The answers of searches take too much memory now"},
    [PROBLEM_SEARCH_TIMEOUT] = {504, "search_timeout", "The search engine did not answer in time"},
    [PROBLEM_REFRESH_TIMEOUT] = {504, "refresh_timeout", "The refresh did not end in time"},
};

const char *problem_code(enum problem problem)
{
    return kinds[problem].code;
}

int problem_status(enum problem problem)
{
    return kinds[problem].status;
}

enum problem problem_of_status(int status)
{
    switch (status) {
    case 413:
        return PROBLEM_BODY_TOO_LARGE;
    case 417:
        return PROBLEM_EXPECTATION_FAILED;
    default:
        return PROBLEM_MALFORMED_REQUEST;
    }
}

char *problem_render(enum problem problem, const char *detail, const struct trace_id *trace_id,
                     const json_t *more)
{
    char trace[TRACE_ID_TEXT_LEN + 1];
    trace_id_format(trace_id, trace);
    const struct problem_kind *kind = &kinds[problem];
    /* "s*" leaves out a NULL detail. A detail that is not UTF-8 would be our bug: leave it out too.
     */
    json_t *json =
        json_pack("{s:s, s:s, s:i, s:s*, s:s, s:s}", "type", "about:blank", "title", kind->title,
                  "status", kind->status, "detail", detail, "code", kind->code, "trace_id", trace);
    if (json == NULL)
        json = json_pack("{s:s, s:s, s:i, s:s, s:s}", "type", "about:blank", "title", kind->title,
                         "status", kind->status, "code", kind->code, "trace_id", trace);
    char *text = NULL;
    if (more == NULL || json_object_update(json, (json_t *)(uintptr_t)more) == 0)
        text = json_dumps(json, JSON_COMPACT);
    if (text == NULL)
        abort(); /* out of memory */
    json_decref(json);
    return text;
}
