/* POST /api/admin/refresh: refresh the daily sales, for who knows the admin token. */
#include "services/gateway/api.h"
#include "services/gateway/problem.h"
#include "services/gateway/routes/routes.h"
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct refresh_sales {
    struct request_guard guard;
};

static void on_refreshed(void *arg, enum sales_refresh_status status)
{
    static const char done[] = "Materialized view refreshed successfully.";
    struct refresh_sales *refresh = arg;
    struct request *request = refresh->guard.request;
    switch (status) {
    case SALES_REFRESH_DONE:
        reply_send(request, 200, "text/plain; charset=utf-8", done, sizeof(done) - 1);
        break;
    case SALES_REFRESH_FAILED:
        problem_send(request, PROBLEM_REFRESH_FAILED, NULL);
        break;
    case SALES_REFRESH_UNAVAILABLE:
        problem_send(request, PROBLEM_REFRESH_UNAVAILABLE, NULL);
        break;
    case SALES_REFRESH_TIMEOUT:
        problem_send(request, PROBLEM_REFRESH_TIMEOUT, NULL);
        break;
    }
    request_guard_close(&refresh->guard);
    free(refresh);
}

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
            problem_send(request, PROBLEM_ADMIN_DISABLED, NULL);
            return;
        }
        if (!authorized(request, settings->admin_token)) {
            reply_header(request, "www-authenticate", "Bearer");
            problem_send(request, PROBLEM_UNAUTHORIZED, NULL);
            return;
        }
    }

    struct refresh_sales *refresh = h2o_mem_alloc(sizeof(*refresh));
    request_guard_open(&refresh->guard, request, SALES_REFRESH_TIMEOUT_MS, PROBLEM_REFRESH_TIMEOUT);
    struct sales_refresh *port = request->api->sales_refresh;
    if (port->refresh(port->self, on_refreshed, refresh) != 0) {
        problem_send(request, PROBLEM_OVERLOADED, NULL);
        request_guard_close(&refresh->guard);
        free(refresh);
    }
}
