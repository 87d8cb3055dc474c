/* What the watch asks Elasticsearch, one request at a time. */
#ifndef SCHEDULER_INDEX_WATCH_REQUESTS_H
#define SCHEDULER_INDEX_WATCH_REQUESTS_H

#include "services/clients/elasticsearch/elasticsearch.h"

enum watch_request {
    WATCH_LOOK,       /* index_look.h */
    WATCH_CLAIM,      /* with a body of watch_answers_claim() */
    WATCH_STATISTICS, /* watch_answers.h */
    WATCH_COUNT,      /* the same */
};

enum watch_verdict {
    WATCH_ANSWERED,
    WATCH_ABSENT,  /* to WATCH_LOOK: there is neither an index nor an alias */
    WATCH_REFUSED, /* the user lacks a privilege */
    WATCH_FAILED,
};

/* `body` is that of the answer, `reason` why it is refused or failed, else NULL. Both live during
 * the callback, in which another request may be sent. */
typedef void watch_answer_fn(void *arg, enum watch_request request, enum watch_verdict verdict,
                             const char *body, size_t body_len, const char *reason);

struct watch_requests;

/* `server`: url, api_key and ca_file, copied. */
struct watch_requests *watch_requests_new(struct event_loop *loop,
                                          const struct elasticsearch_options *server,
                                          watch_answer_fn *on_answer, void *arg);
/* Not legal inside the callback. NULL is legal. */
void watch_requests_free(struct watch_requests *requests);

/* `index` is a name or an alias; `body` NULL but for WATCH_CLAIM. The callback comes from the loop.
 * None may be under way. */
void watch_requests_send(struct watch_requests *requests, enum watch_request request,
                         const char *index, const char *body);

#endif
