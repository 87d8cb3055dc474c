/* GET /livez, /readyz, /metrics: the same pages as every service's, for orchestrators and
 * Prometheus. In public, /readyz gives no reasons. */
#include "services/gateway/routes/routes.h"
#include "services/http/http_server.h"
#include "services/runtime/admin_page.h"
#include <assert.h>
#include <stdlib.h>

void health_page(struct request *request, h2o_iovec_t rest)
{
    (void)rest;
    const h2o_iovec_t path = http_request_path(request->req);
    struct admin_page page;
    bool found = admin_page_render(path.base, path.len,
                                   request->admin ? HEALTH_REASONS : HEALTH_STATES, &page);
    assert(found && "the router knows the same pages");
    (void)found;
    reply_header(request, "cache-control", "no-store");
    reply_send(request, page.status, page.content_type, page.body, page.len);
    free(page.body);
}
