/* GET /: the console for a browser, where the port shows it; for all others a list of the routes
 * that the port has. */
#include "services/gateway/accept.h"
#include "services/gateway/api.h"
#include "services/gateway/console.h"
#include "services/gateway/entity_tag.h"
#include "services/gateway/json_answer.h"
#include "services/gateway/router.h"
#include "services/gateway/routes/routes.h"
#include <stdlib.h>
#include <string.h>

/* The path as a template (RFC 6570): what varies in a path is an id. */
static json_t *href(const char *path)
{
    const char *variable = strstr(path, "{}");
    if (variable == NULL)
        return json_string(path);
    return json_sprintf("%.*s{id}%s", (int)(variable - path), path, variable + strlen("{}"));
}

static void show_links(struct request *request)
{
    json_t *links = json_object();
    struct route_description route;
    for (size_t i = 0; router_describe(i, &route); i++)
        if (router_shows(i, request->api->settings, request->admin))
            (void)json_object_set_new(links, route.name,
                                      json_pack("{s:s#, s:o}", "method", route.methods,
                                                (int)strcspn(route.methods, ","), "href",
                                                href(route.path)));
    reply_json(request, 200, json_pack("{s:s, s:o}", "openapi", "/openapi.json", "links", links));
}

static void keep(void *page)
{
    (void)page; /* it is the program's */
}

static void show_console(struct request *request)
{
    const h2o_headers_t *headers = &request->req->headers;
    reply_header(request, "etag", console_etag);
    reply_header(request, "cache-control", "no-cache"); /* another release may have another one */
    if (entity_tag_matches(headers, console_etag)) {
        reply_not_modified(request);
        return;
    }
    reply_header(request, "content-security-policy", console_policy);
    reply_header(request, "referrer-policy", "no-referrer");
    reply_header(request, "cross-origin-opener-policy", "same-origin");
    bool gzip = accept_takes_gzip(headers);
    if (gzip)
        reply_header(request, "content-encoding", "gzip");
    reply_send_kept(request, 200, "text/html; charset=utf-8", gzip ? console_gzip : console_html,
                    gzip ? console_gzip_len : console_html_len, keep, NULL);
}

void show_index(struct request *request, h2o_iovec_t rest)
{
    (void)rest;
    const struct api_settings *settings = request->api->settings;
    reply_header(request, "vary", "Accept, Accept-Encoding");
    if ((request->admin || settings->public_console) && accept_prefers_html(&request->req->headers))
        show_console(request);
    else
        show_links(request);
}
