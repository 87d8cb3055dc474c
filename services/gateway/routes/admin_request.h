/* What the routes of operators read of their requests. A name that is not known is an error: a typo
 * must not choose more than was meant. The readers answer a request that is at fault, and say so.
 */
#ifndef GATEWAY_ROUTES_ADMIN_REQUEST_H
#define GATEWAY_ROUTES_ADMIN_REQUEST_H

#include "services/clients/postgres/letter.h"
#include "services/gateway/request.h"
#include <jansson.h>

#define ADMIN_PAGE_DEFAULT 50
#define ADMIN_PAGE_MAX 500

/* The number of a letter or a job: 1 or more, in decimal. */
bool admin_number(const char *text, size_t len, int64_t *ret) __attribute__((warn_unused_result));

struct admin_page {
    unsigned limit;
    int64_t before_id; /* the cursor: the last id of the page before */
};

/* The parameters limit and cursor, and when `filter` is not NULL those of a filter of letters,
 * whose texts live as long as the request. */
bool admin_read_query(struct request *request, struct admin_page *ret_page,
                      struct letter_filter *filter) __attribute__((warn_unused_result));

/* Answer with a page: the member `name` is `items`, which are freed; "next" is the id that the next
 * page goes on from, or null for 0: there is none. */
void admin_reply_page(struct request *request, const char *name, json_t *items, int64_t next_id);

/* The body: an object with these members (a list that ends with NULL) and no others; no body is an
 * empty object. NULL when it is at fault. Release it with json_decref(). */
json_t *admin_read_body(struct request *request, const char *const *members)
    __attribute__((warn_unused_result));

/* The member `name`: true or false, which it is when it is not there. */
bool admin_read_switch(struct request *request, const json_t *body, const char *name, bool *ret)
    __attribute__((warn_unused_result));

/* The member "filter", which must be there: an object. The texts live as long as `body`. */
bool admin_read_filter(struct request *request, const json_t *body, struct letter_filter *ret)
    __attribute__((warn_unused_result));

/* The member "reason" of what is discarded, which must be there; NULL when it is at fault. Lives as
 * long as `body`. */
#define ADMIN_REASON_MAX_CHARS 500
#define ADMIN_REASON_MAX_BYTES (4 * ADMIN_REASON_MAX_CHARS)
const char *admin_read_reason(struct request *request, const json_t *body)
    __attribute__((warn_unused_result));

/* Whether the object has no members but these; else *ret_unknown is one. */
bool admin_members_known(const json_t *object, const char *const *members, const char **ret_unknown)
    __attribute__((warn_unused_result));

#endif
