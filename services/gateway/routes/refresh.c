/* POST /api/admin/refresh: refresh the daily sales, for clients that know the admin token. */
#include "services/gateway/api.h"
#include "services/gateway/routes/routes.h"
#include <openssl/crypto.h>
#include <string.h>
#include <strings.h>

static sales_refresh_done_fn on_refreshed;

/* Whether the request carries "Authorization: Bearer <token>", exactly once. The time taken does
 * not tell how much of a wrong token is right. */
static bool authorized(const struct request *request, const char *token)
{
    static const char scheme[] = "Bearer ";
    const size_t scheme_len = sizeof(scheme) - 1, token_len = strlen(token);
    h2o_iovec_t value;
    return request_header(request, "authorization", &value) == 1 &&
           value.len == scheme_len + token_len &&
           strncasecmp(value.base, scheme, scheme_len) == 0 &&
           CRYPTO_memcmp(value.base + scheme_len, token, token_len) == 0;
}

void refresh_sales(struct request *request, h2o_iovec_t rest)
{
    (void)rest;
    const struct api_settings *settings = request->api->settings;
    if (settings->admin_auth) {
        if (settings->admin_token == NULL) {
            reply_problem(request, PROBLEM_ADMIN_DISABLED, NULL);
            return;
        }
        if (!authorized(request, settings->admin_token)) {
            reply_header(request, "www-authenticate", "Bearer");
            reply_problem(request, PROBLEM_UNAUTHORIZED, NULL);
            return;
        }
    }

    struct request_guard *guard = request_guard_new(
        request, sizeof(*guard), SALES_REFRESH_TIMEOUT_MS, PROBLEM_REFRESH_TIMEOUT);
    struct sales_refresh *port = request->api->sales_refresh;
    if (port->refresh(port->self, on_refreshed, guard) != 0)
        request_guard_fail(guard, PROBLEM_OVERLOADED);
}

static void on_refreshed(void *arg, enum sales_refresh_status status)
{
    static const char done[] = "Materialized view refreshed successfully.";
    struct request_guard *guard = arg;
    switch (status) {
    case SALES_REFRESH_DONE:
        reply_send(guard->request, 200, "text/plain; charset=utf-8", done, sizeof(done) - 1);
        request_guard_end(guard);
        return;
    case SALES_REFRESH_FAILED:
        request_guard_fail(guard, PROBLEM_REFRESH_FAILED);
        return;
    case SALES_REFRESH_UNAVAILABLE:
        request_guard_fail(guard, PROBLEM_REFRESH_UNAVAILABLE);
        return;
    case SALES_REFRESH_TIMEOUT:
        request_guard_fail(guard, PROBLEM_REFRESH_TIMEOUT);
        return;
    }
}
