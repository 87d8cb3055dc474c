/* A table of the requests; what an answer means for the watch. */
#include "services/scheduler/index/watch_requests.h"
#include "services/base/memory.h"
#include "services/clients/elasticsearch/index_look.h"
#include "services/clients/elasticsearch/server_error.h"
#include "services/scheduler/index/watch_answers.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_TIMEOUT_MS 4000
#define ANSWER_MAX_BYTES (4 * 1024 * 1024) /* a mapping may have many fields */
#define PATH_SIZE (ELASTICSEARCH_PATH_SIZE + sizeof INDEX_LOOK_QUERY)

static const struct {
    const char *method, *path_format, *privilege;
} kinds[] = {
    [WATCH_LOOK] = {"GET", "/%s?" INDEX_LOOK_QUERY, "view_index_metadata"},
    [WATCH_CLAIM] = {"PUT", "/%s/_mapping", "manage"},
    [WATCH_STATISTICS] = {"GET", "/%s/_stats/docs?" WATCH_STATISTICS_QUERY, "monitor"},
    [WATCH_COUNT] = {"GET", "/%s/_count", "read"},
};

struct watch_requests {
    struct elasticsearch *client;
    enum watch_request request; /* under way */
    watch_answer_fn *on_answer;
    void *arg;
};

static void on_done(void *arg, long status, enum http_end end, const char *body, size_t body_len,
                    const struct error *err)
{
    (void)end; /* `err` says it */
    struct watch_requests *requests = arg;
    enum watch_request request = requests->request;
    enum watch_verdict verdict = WATCH_FAILED;
    struct server_error said = {.type = ""};
    struct error reason;
    if (status == 0) {
        reason = *err;
    } else if (status != 200) {
        server_error_parse(body, body_len, &said);
        server_error_name_privilege(&said, status, kinds[request].privilege);
        error_set(&reason, "it answers with status %ld: %s", status, said.words.message);
    }
    if (status == 200)
        verdict = WATCH_ANSWERED;
    else if (request == WATCH_LOOK && index_look_is_absent(status, said.type))
        verdict = WATCH_ABSENT;
    else if (status == 401 || status == 403)
        verdict = WATCH_REFUSED;
    requests->on_answer(requests->arg, request, verdict, body, body_len,
                        status == 200 ? NULL : reason.message);
}

void watch_requests_send(struct watch_requests *requests, enum watch_request request,
                         const char *index, const char *body)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, kinds[request].path_format, index); /* fits */
    requests->request = request;
    if (elasticsearch_request(requests->client, kinds[request].method, path,
                              body == NULL ? NULL : "application/json", body,
                              body == NULL ? 0 : strlen(body), false, REQUEST_TIMEOUT_MS, on_done,
                              requests) != 0)
        abort(); /* another one is under way */
}

struct watch_requests *watch_requests_new(struct event_loop *loop,
                                          const struct elasticsearch_options *server,
                                          watch_answer_fn *on_answer, void *arg)
{
    struct watch_requests *requests = memory_new(sizeof *requests);
    struct elasticsearch_options options = *server;
    options.max_in_flight = 1;
    options.max_response_bytes = ANSWER_MAX_BYTES;
    *requests = (struct watch_requests){
        .client = elasticsearch_new(loop, &options), .on_answer = on_answer, .arg = arg};
    return requests;
}

void watch_requests_free(struct watch_requests *requests)
{
    if (requests == NULL)
        return;
    elasticsearch_free(requests->client);
    free(requests);
}
