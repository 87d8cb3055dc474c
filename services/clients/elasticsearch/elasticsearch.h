/* A client of Elasticsearch or OpenSearch over HTTP, on an event loop. Never blocks. */
#ifndef CLIENTS_ELASTICSEARCH_ELASTICSEARCH_H
#define CLIENTS_ELASTICSEARCH_ELASTICSEARCH_H

#include "proto/error.h"
#include "services/clients/http/http_client.h"
#include <stddef.h>

struct elasticsearch_options {
    const char *url;             /* http[s]://[user:password@]host:port[/prefix] */
    const char *api_key;         /* or NULL */
    const char *ca_file;         /* or NULL */
    unsigned max_in_flight;      /* requests, and connections, at once; more are refused; > 0 */
    size_t max_response_bytes;   /* a longer answer is a failure */
    struct byte_budget *answers; /* of all answers in memory, several clients may share it; or NULL:
                                    no limit */
};

struct elasticsearch;

/* The options are copied. The URL must be one that elasticsearch_url_validate() accepts. With both,
 * the API key is used and the URL's user is not. Needs what service_main() does:
 * curl_global_init(), and SIGPIPE ignored. */
struct elasticsearch *elasticsearch_new(struct event_loop *loop,
                                        const struct elasticsearch_options *options);
/* Pending requests are dropped without a callback. Not legal inside a callback of the client. */
void elasticsearch_free(struct elasticsearch *client);

/* Inside a callback: take the body. It stays where it is until answer_body_free(), also after
 * elasticsearch_free(). Returns NULL when it is empty. */
struct answer_body *elasticsearch_take_body(struct elasticsearch *client);

/* Send a request: `method` "GET", "POST", "PUT"; `path` begins with '/', is percent-encoded and may
 * have a query; `content_type` NULL without a body (`body` NULL). `timeout_ms` is for all of it,
 * from resolving the name to the answer's last byte. `body` is copied unless `body_kept` says that
 * the caller keeps it unchanged until the callback. Returns 0, or -1 when max_in_flight is reached.
 * The callback comes exactly once, from the loop, never from inside this call. */
int elasticsearch_request(struct elasticsearch *client, const char *method, const char *path,
                          const char *content_type, const char *body, size_t body_len,
                          bool body_kept, int64_t timeout_ms, http_done_fn *on_done, void *arg)
    __attribute__((warn_unused_result));

/* For --check: one request, for which this blocks at most 5 s. The limits in the options are not
 * used. Returns the HTTP status and the answer's body, to be freed with answer_body_free(), or 0
 * with `err` set when there was no whole answer. */
long elasticsearch_get(const struct elasticsearch_options *options, const char *path,
                       struct answer_body **ret_body, struct error *err)
    __attribute__((warn_unused_result));

#define ELASTICSEARCH_PATH_SIZE 320 /* of "/INDEX/…": an index name has up to 255 bytes */

/* The path of what a probe asks: what can be done with the field product_name. It needs what a
 * search needs, the index, a shard of it and the privilege to read it; but it is none, so an index
 * that is only probed counts as idle. */
void elasticsearch_probe_path(char path[ELASTICSEARCH_PATH_SIZE], const char *index);

/* For config_option.validate. */
int elasticsearch_url_validate(const char *url, struct error *err)
    __attribute__((warn_unused_result));
int elasticsearch_api_key_validate(const char *key, struct error *err)
    __attribute__((warn_unused_result));
/* The rules for index names are in Elasticsearch's reference, "Create index API". 255 bytes are
 * allowed; some are left for the endings of the indices behind the alias. */
#define ELASTICSEARCH_INDEX_MAX_BYTES 200
int elasticsearch_index_validate(const char *name, struct error *err)
    __attribute__((warn_unused_result));

#endif
