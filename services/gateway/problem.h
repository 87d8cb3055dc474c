/* Error answers: application/problem+json (RFC 9457) with a member `code` that stays the same for
 * ever, so that programs can tell errors apart. */
#ifndef GATEWAY_PROBLEM_H
#define GATEWAY_PROBLEM_H

#include "proto/trace_context.h"
#include <jansson.h>

enum problem {
    PROBLEM_MALFORMED_REQUEST,
    PROBLEM_MALFORMED_ORDER,
    PROBLEM_INVALID_ORDER_ID,
    PROBLEM_INVALID_PARAMETER,
    PROBLEM_INVALID_IDEMPOTENCY_KEY,
    PROBLEM_INVALID_OPERATOR,
    PROBLEM_UNAUTHORIZED,
    PROBLEM_ADMIN_DISABLED,
    PROBLEM_READ_ONLY_TOKEN,
    PROBLEM_NOT_FOUND,
    PROBLEM_ORDER_NOT_FOUND,
    PROBLEM_DEAD_LETTER_NOT_FOUND,
    PROBLEM_JOB_NOT_FOUND,
    PROBLEM_METHOD_NOT_ALLOWED,
    PROBLEM_DEAD_LETTER_SETTLED,
    PROBLEM_ARCHIVE_OFF,
    PROBLEM_JOB_FINISHED,
    PROBLEM_JOB_UNFINISHED,
    PROBLEM_ORDER_DEAD,
    PROBLEM_BODY_TOO_LARGE,
    PROBLEM_URI_TOO_LONG,
    PROBLEM_UNSUPPORTED_CONTENT_ENCODING,
    PROBLEM_EXPECTATION_FAILED,
    PROBLEM_UNACCEPTABLE_ORDER,
    PROBLEM_NOT_AN_ORDER,
    PROBLEM_ORDER_ID_DIFFERS,
    PROBLEM_ORDER_STORED,
    PROBLEM_NEW_ID_REQUIRED,
    PROBLEM_REASON_REQUIRED,
    PROBLEM_IDEMPOTENCY_KEY_REUSED,
    PROBLEM_HEADERS_TOO_LARGE,
    PROBLEM_STORE_FAILED,
    PROBLEM_REFRESH_FAILED,
    PROBLEM_LIVE_SALES_IMPOSSIBLE,
    PROBLEM_SEARCH_FAILED,
    PROBLEM_OVERLOADED,
    PROBLEM_DEADLINE_EXCEEDED,
    PROBLEM_QUEUE_UNAVAILABLE,
    PROBLEM_CACHE_UNAVAILABLE,
    PROBLEM_OUTCOME_UNKNOWN,
    PROBLEM_STORE_UNAVAILABLE,
    PROBLEM_SALES_UNFINISHED,
    PROBLEM_ORDER_STATE_UNKNOWN,
    PROBLEM_IDEMPOTENCY_UNAVAILABLE,
    PROBLEM_REFRESH_UNAVAILABLE,
    PROBLEM_SEARCH_OVERLOADED,
    PROBLEM_SEARCH_TIMEOUT,
    PROBLEM_REFRESH_TIMEOUT,
    PROBLEM_KINDS,
};

/* The problem that fits an error status which libh2o answers by itself. */
enum problem problem_of_status(int status);

#define PROBLEM_CONTENT_TYPE "application/problem+json"

/* The problem's status, code and JSON. `detail` is for a person, and NULL when the title says it
 * all; `trace_id` is the request's; `more` is an object of further members, or NULL. The text is
 * malloc'd: free() it. */
int problem_status(enum problem problem);
const char *problem_code(enum problem problem);
char *problem_render(enum problem problem, const char *detail, const struct trace_id *trace_id,
                     const json_t *more);

#endif
