/* PostgreSQL says which deployment this is, then Elasticsearch is asked for the index. */
#include "services/scheduler/index/index_target.h"
#include "services/base/clock.h"
#include "services/base/memory.h"
#include "services/clients/postgres/search_index.h"
#include "services/scheduler/index/index_context.h"
#include "services/scheduler/index/index_requests.h"
#include "services/scheduler/job_runner.h"
#include <stdio.h>
#include <stdlib.h>

#define LOOK_TIMEOUT_MS 5000
#define LOOK_MAX_BYTES (256 * 1024)
#define LOOK_PATH_SIZE (INDEX_NAME_SIZE + sizeof INDEX_LOOK_QUERY + 8)
#define LOOK_AGAIN_MS 1000

struct index_target {
    const struct index_context *context;
    struct job_run *run;
    struct index_requests *requests;
    int64_t absent_until_ms;
    struct search_index row; /* row_read: of PostgreSQL */
    bool row_read, found;
    struct index_look look;
};

static void on_row(void *arg, const struct database_answer *answer)
{
    struct index_target *target = arg;
    if (!job_run_answered(target->run, answer, false))
        return;
    target->row_read = search_index_row(answer, &target->row) == 0;
    if (!target->row_read)
        job_run_fail(target->run, "PostgreSQL does not say which deployment this is: the table "
                                  "search_index is empty");
}

/* Returns 0, or -1 with the reason. */
static int judge(struct index_target *target, const char *body, size_t len, struct error *ret)
{
    const struct index_look *look = &target->look;
    if (index_look_read(target->context->index, body, len, &target->look, ret) != 0)
        return -1;
    if (!index_is_foreign(look->deployment, target->row.deployment))
        return 0;
    error_set(ret,
              "the index %.80s belongs to the deployment %s, and this is %s: are "
              "ELASTICSEARCH_URL, ORDER_INDEX and POSTGRES_DSN of one system?",
              look->name, look->deployment, target->row.deployment);
    return -1;
}

static void on_look(void *arg, long status, const char *body, size_t len,
                    const struct server_error *said)
{
    struct index_target *target = arg;
    const char *index = target->context->index;
    bool absent = said != NULL && index_look_is_absent(status, said->type);
    struct error reason;
    job_run_step_in(target->run, absent ? LOOK_AGAIN_MS : 0);
    if (absent && clock_monotonic_ms() < target->absent_until_ms)
        return;
    if (absent)
        error_set(&reason, "there is no index %.100s", index);
    else if (said != NULL)
        error_set(&reason, "looking for the index: %s", said->words.message);
    else
        target->found = judge(target, body, len, &reason) == 0;
    if (!target->found)
        job_run_fail(target->run, reason.message);
}

static void look(struct index_target *target)
{
    char path[LOOK_PATH_SIZE];
    (void)snprintf(path, sizeof path, "/%s?" INDEX_LOOK_QUERY, target->context->index); /* fits */
    index_requests_send(target->requests,
                        &(struct index_request){.method = "GET",
                                                .path = path,
                                                .timeout_ms = LOOK_TIMEOUT_MS,
                                                .privilege = "view_index_metadata"},
                        on_look, target);
}

const struct index_look *index_target_step(struct index_target *target)
{
    if (target->found)
        return &target->look;
    if (!target->row_read)
        job_run_sent(target->run, search_index_read(target->run->database, on_row, target));
    else if (!index_requests_busy(target->requests))
        look(target);
    return NULL;
}

struct index_target *index_target_new(const struct index_context *context, struct job_run *run,
                                      int64_t absent_max_ms)
{
    struct index_target *target = memory_new(sizeof *target);
    target->context = context;
    target->run = run;
    target->requests = index_requests_new(context->loop, context->server, LOOK_MAX_BYTES);
    target->absent_until_ms = clock_monotonic_ms() + absent_max_ms;
    return target;
}

void index_target_free(struct index_target *target)
{
    if (target == NULL)
        return;
    index_requests_free(target->requests);
    free(target);
}
