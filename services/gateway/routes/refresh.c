/* POST /api/admin/refresh: refresh the daily sales. */
#include "services/base/log.h"
#include "services/gateway/api.h"
#include "services/gateway/routes/routes.h"

static sales_refresh_done_fn on_refreshed;

void refresh_sales(struct request *request, h2o_iovec_t rest)
{
    (void)rest;
    log_info("a refresh is asked for", log_text("operator", request->operator_name));
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
