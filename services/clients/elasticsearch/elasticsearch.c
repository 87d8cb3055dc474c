/* Puts the server's address and credentials before each request. */
#include "services/clients/elasticsearch/elasticsearch.h"
#include "services/base/memory.h"
#include "services/clients/elasticsearch/elasticsearch_url.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GET_TIMEOUT_MS 5000
#define GET_RESPONSE_MAX_BYTES (4 * 1024 * 1024)

struct elasticsearch {
    struct http_client *http;
    char *base; /* of all URLs */
};

struct elasticsearch *elasticsearch_new(struct event_loop *loop,
                                        const struct elasticsearch_options *options)
{
    struct elasticsearch_url url;
    if (elasticsearch_url_parse(options->url, &url, NULL) != 0)
        abort(); /* it was validated */
    char *authorization = NULL;
    if (options->api_key != NULL &&
        asprintf(&authorization, "Authorization: ApiKey %s", options->api_key) < 0)
        abort();

    struct elasticsearch *client = memory_new(sizeof(*client));
    client->http = http_client_new(
        loop, &(struct http_client_options){.authorization = authorization,
                                            .user = url.user,
                                            .password = url.password,
                                            .ca_file = options->ca_file,
                                            .max_in_flight = options->max_in_flight,
                                            .max_response_bytes = options->max_response_bytes,
                                            .answers = options->answers});
    client->base = memory_copy_text(url.base);
    if (authorization != NULL)
        explicit_bzero(authorization, strlen(authorization));
    free(authorization);
    elasticsearch_url_release(&url);
    return client;
}

void elasticsearch_free(struct elasticsearch *client)
{
    if (client == NULL)
        return;
    http_client_free(client->http);
    free(client->base);
    free(client);
}

struct answer_body *elasticsearch_take_body(struct elasticsearch *client)
{
    return http_client_take_body(client->http);
}

static char *url_of(const struct elasticsearch *client, const char *path)
{
    char *url;
    if (asprintf(&url, "%s%s", client->base, path) < 0)
        abort();
    return url;
}

int elasticsearch_request(struct elasticsearch *client, const char *method, const char *path,
                          const char *content_type, const char *body, size_t body_len,
                          bool body_kept, int64_t timeout_ms, http_done_fn *on_done, void *arg)
{
    char *url = url_of(client, path);
    const struct http_request request = {
        .method = method,
        .url = url,
        .body = body,
        .body_len = body_len,
        .content_type = content_type,
        .body_kept = body_kept,
        .timeout_ms = timeout_ms,
    };
    int rc = http_client_send(client->http, &request, on_done, arg);
    free(url);
    return rc;
}

long elasticsearch_get(const struct elasticsearch_options *options, const char *path,
                       struct answer_body **ret_body, struct error *err)
{
    struct elasticsearch_options own = *options;
    own.max_in_flight = 1;
    own.max_response_bytes = GET_RESPONSE_MAX_BYTES;
    own.answers = NULL;
    struct event_loop *loop = event_loop_new();
    struct elasticsearch *client = elasticsearch_new(loop, &own);
    char *url = url_of(client, path);
    long status = http_client_ask(
        client->http,
        &(struct http_request){.method = "GET", .url = url, .timeout_ms = GET_TIMEOUT_MS}, ret_body,
        err);
    free(url);
    elasticsearch_free(client);
    event_loop_free(loop);
    return status;
}

void elasticsearch_probe_path(char path[ELASTICSEARCH_PATH_SIZE], const char *index)
{
    (void)snprintf(path, ELASTICSEARCH_PATH_SIZE,
                   "/%s/_field_caps?fields=product_name&filter_path=error,indices", index);
}
