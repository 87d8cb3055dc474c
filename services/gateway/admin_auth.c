/* Bearer tokens (RFC 6750) of operators. What an operator calls himself is for the log and for the
 * rows that he changes; it proves nothing. */
#include "services/gateway/admin_auth.h"
#include "services/gateway/api.h"
#include <openssl/crypto.h>
#include <string.h>
#include <strings.h>

/* Whether the request carries "Authorization: Bearer <token>", exactly once. The time taken does
 * not tell how much of a wrong token is right. */
static bool carries(const struct request *request, const char *token)
{
    static const char scheme[] = "Bearer ";
    const size_t scheme_len = sizeof(scheme) - 1;
    h2o_iovec_t value;
    if (token == NULL || request_header(request, "authorization", &value) != 1)
        return false;
    const size_t token_len = strlen(token);
    return value.len == scheme_len + token_len &&
           strncasecmp(value.base, scheme, scheme_len) == 0 &&
           CRYPTO_memcmp(value.base + scheme_len, token, token_len) == 0;
}

/* Answers the request and returns false when it may not go on. */
static bool has_token(struct request *request)
{
    const struct api_settings *settings = request->api->settings;
    if (settings->admin_token == NULL && settings->admin_read_token == NULL) {
        reply_problem(request, PROBLEM_ADMIN_DISABLED, NULL);
        return false;
    }
    if (carries(request, settings->admin_token))
        return true;
    if (!carries(request, settings->admin_read_token)) {
        reply_header(request, "www-authenticate", "Bearer");
        reply_problem(request, PROBLEM_UNAUTHORIZED, NULL);
        return false;
    }
    h2o_iovec_t method = request->req->method;
    if (h2o_memis(method.base, method.len, H2O_STRLIT("POST"))) {
        reply_problem(request, PROBLEM_READ_ONLY_TOKEN, NULL);
        return false;
    }
    return true;
}

/* X-Operator, which may be left out. Returns false when it is at fault. */
static bool read_operator(struct request *request)
{
    h2o_iovec_t value;
    size_t count = request_header(request, "x-operator", &value);
    request->operator_name = OPERATOR_UNKNOWN;
    if (count == 0)
        return true;
    if (count > 1 || value.len == 0 || value.len > OPERATOR_MAX_LEN)
        return false;
    for (size_t i = 0; i < value.len; i++)
        if (value.base[i] < 0x20 || value.base[i] > 0x7e)
            return false;
    request->operator_name = h2o_strdup(&request->req->pool, value.base, value.len).base;
    return true;
}

bool admin_authorized(struct request *request, bool open)
{
    if ((!open || request->api->settings->admin_auth) && !has_token(request))
        return false;
    if (read_operator(request))
        return true;
    reply_problem(request, PROBLEM_INVALID_OPERATOR, NULL);
    return false;
}
