/* Who may use the routes under /api/admin, and who an operator is. */
#ifndef GATEWAY_ADMIN_AUTH_H
#define GATEWAY_ADMIN_AUTH_H

#include "services/gateway/request.h"
#include <stdbool.h>

#define OPERATOR_MAX_LEN 100
#define OPERATOR_UNKNOWN "unknown" /* of whom X-Operator does not tell */

/* Whether the request may go on: it carries "Authorization: Bearer" with the admin token, or with
 * the read token where it changes nothing (GET, HEAD). A route that is `open` takes requests
 * without a token too where settings say so. Then the request's operator_name is set. Else the
 * request has been answered. */
bool admin_authorized(struct request *request, bool open);

#endif
