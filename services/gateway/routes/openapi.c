/* GET /openapi.json: what the API is, for clients and their tools. */
#include "services/gateway/openapi.h"
#include "services/gateway/routes/routes.h"

void show_openapi(struct request *request, h2o_iovec_t rest)
{
    (void)rest;
    reply_header(request, "cache-control", "no-cache"); /* another release may have another one */
    reply_send(request, 200, "application/json", openapi_json, openapi_json_len);
}
