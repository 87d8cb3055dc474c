/* GET /api/admin/status: how the services, the stores and the queue are. An answer that says that
 * something is wrong is a 200, too. */
#include "services/gateway/api.h"
#include "services/gateway/routes/routes.h"

static void on_told(void *arg, const char *json, size_t len)
{
    struct request_guard *guard = arg;
    reply_header(guard->request, "cache-control", "no-store");
    reply_send(guard->request, 200, "application/json", json, len);
    request_guard_end(guard);
}

void admin_status(struct request *request, h2o_iovec_t rest)
{
    (void)rest;
    struct request_guard *guard = request_guard_new(
        request, sizeof(*guard), SYSTEM_STATUS_TIMEOUT_MS, PROBLEM_DEADLINE_EXCEEDED);
    struct system_status *port = request->api->status;
    port->ask(port->self, on_told, guard);
}
