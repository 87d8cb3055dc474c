/* The requests that a job sends to Elasticsearch, one at a time. What Elasticsearch cannot do now
 * (there is no answer, it is overloaded, or it has no master or no shard) is asked again until it
 * can, with a pause of 0.2 to 5 s, and logged: a job waits for a server that is away. So a request
 * may be executed twice, also when its first answer is lost. */
#ifndef SCHEDULER_INDEX_INDEX_REQUESTS_H
#define SCHEDULER_INDEX_INDEX_REQUESTS_H

#include "services/clients/elasticsearch/elasticsearch.h"
#include "services/clients/elasticsearch/server_error.h"

struct index_requests;

/* `server`: url, api_key and ca_file, copied. A longer answer than `max_response_bytes` is given to
 * the caller as status 0. */
struct index_requests *index_requests_new(struct event_loop *loop,
                                          const struct elasticsearch_options *server,
                                          size_t max_response_bytes);
/* The request under way is dropped without a callback. Not legal inside a callback. NULL is legal.
 */
void index_requests_free(struct index_requests *requests);

struct index_request {
    const char *method; /* lives for ever */
    const char *path;   /* copied; as elasticsearch_request() */
    const char *body;   /* or NULL; copied unless `body_kept` */
    size_t body_len;
    bool body_kept; /* the caller keeps it unchanged until the callback */
    bool ndjson;    /* the body is of _bulk, else JSON */
    bool once;      /* it must not be executed twice: the caller is told whatever comes of it, with
                       status      0 also that there was no answer */
    int64_t timeout_ms;    /* of one attempt */
    const char *privilege; /* that the request needs, by Elasticsearch's name; lives for ever; NULL:
                              none that is worth naming */
};

/* `said` is NULL with a status of 200 to 299; with status 0 there is no body, and `said` tells that
 * the answer was too long, or why there was none. All of it lives during the callback. */
typedef void index_answer_fn(void *arg, long status, const char *body, size_t body_len,
                             const struct server_error *said);

/* Send it; none may be under way. The callback comes from the loop, never from inside this call;
 * another request may be sent from it. */
void index_requests_send(struct index_requests *requests, const struct index_request *request,
                         index_answer_fn *on_answer, void *arg);

bool index_requests_busy(const struct index_requests *requests); /* one is under way */

/* Why the request under way is being asked again, or NULL. Lives until the loop turns. */
const char *index_requests_trouble(const struct index_requests *requests);

/* Does Elasticsearch refuse to write to the index, for want of space on its disks, or because
 * somebody has set a block? */
bool index_requests_blocked(const struct server_error *said);

#endif
