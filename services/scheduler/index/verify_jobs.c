/* Both kinds look which index is there, compare it, and tell the result. A look first: a wrong
 * address must not let a job judge, or write, the index of another system. */
#include "services/scheduler/index/verify_jobs.h"
#include "proto/timestamp.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/clients/elasticsearch/index_look.h"
#include "services/clients/postgres/jobs.h"
#include "services/clients/postgres/search_index.h"
#include "services/scheduler/index/index_compare.h"
#include "services/scheduler/index/index_context.h"
#include "services/scheduler/index/index_requests.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_US (INT64_C(7) * 24 * 3600 * 1000000)
#define RECENT_US (INT64_C(60) * 1000000) /* orders so young may be in flight */
#define LOOK_TIMEOUT_MS 5000
#define LOOK_MAX_BYTES (256 * 1024)
#define LOOK_PATH_SIZE 640
#define TELL_MS 1000 /* how far the job is */

enum verify_phase {
    VERIFY_READ_ROW,
    VERIFY_LOOK,
    VERIFY_COMPARE,
    VERIFY_TELL_INDEX,  /* what is known of it now */
    VERIFY_TELL_RESULT, /* of the job */
    VERIFY_DONE,
};

struct verify {
    const struct index_context *context;
    struct job_run *run;
    struct index_compare_options options;
    enum verify_phase phase;
    bool looking; /* the look is under way */
    struct index_requests *requests;
    struct search_index row;
    struct index_look look;
    struct index_compare *compare;
    char *told; /* the last checkpoint that was told; or NULL */
    int64_t tell_at_ms;
};

static void fail(struct verify *verify, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void fail(struct verify *verify, const char *format, ...)
{
    char reason[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    job_run_fail(verify->run, reason);
}

/* ---- which index is there ---- */

static void on_row(void *arg, const struct database_answer *answer)
{
    struct verify *verify = arg;
    if (!job_run_answered(verify->run, answer, false))
        return;
    if (search_index_row(answer, &verify->row) == 0)
        verify->phase = VERIFY_LOOK;
    else
        fail(verify, "PostgreSQL does not say which deployment this is: the table search_index is "
                     "empty");
}

static void judge_look(struct verify *verify, long status, const char *body, size_t body_len,
                       const struct server_error *said)
{
    const char *index = verify->context->index;
    const struct index_look *look = &verify->look;
    struct error err;
    if (said != NULL && index_look_is_absent(status, said->type))
        fail(verify, "there is no index %s", index);
    else if (said != NULL)
        fail(verify, "Elasticsearch does not tell of the index %s: %s", index, said->words.message);
    else if (index_look_read(index, body, body_len, &verify->look, &err) != 0)
        fail(verify, "%s", err.message);
    else if (look->deployment[0] != '\0' && strcmp(look->deployment, verify->row.deployment) != 0)
        fail(verify,
             "the index %s belongs to the deployment %s, and this is %s: are ELASTICSEARCH_URL, "
             "ORDER_INDEX and POSTGRES_DSN of one system?",
             index, look->deployment, verify->row.deployment);
    else if (!look->created_at_is_date)
        fail(verify, "created_at is no date in the mapping of the index %s: reindex", index);
    else
        verify->phase = VERIFY_COMPARE;
}

static void on_look(void *arg, long status, const char *body, size_t body_len,
                    const struct server_error *said)
{
    struct verify *verify = arg;
    verify->looking = false;
    job_run_step_in(verify->run, 0);
    judge_look(verify, status, body, body_len, said);
}

static void look(struct verify *verify)
{
    char path[LOOK_PATH_SIZE];
    snprintf(path, sizeof path, "/%s?" INDEX_LOOK_QUERY, verify->context->index);
    verify->looking = true;
    index_requests_send(verify->requests,
                        &(struct index_request){.method = "GET",
                                                .path = path,
                                                .timeout_ms = LOOK_TIMEOUT_MS,
                                                .privilege = "view_index_metadata"},
                        on_look, verify);
}

/* ---- comparing ---- */

static void begin_comparison(struct verify *verify)
{
    struct index_compare_options *options = &verify->options;
    options->index = verify->context->index;
    options->require_alias = verify->look.form == INDEX_ALIAS;
    options->float_amounts = verify->look.amount_is_float;
    options->counts_only = !verify->look.amount_is_number;
    options->by_time = true;
    options->to_us = timestamp_now_us() - RECENT_US;
    options->from_us = options->to_us - WINDOW_US;
    options->checkpoint = verify->run->job->checkpoint;
    verify->compare = index_compare_new(verify->context, verify->run, options);
}

static void on_told(void *arg, const struct database_answer *answer)
{
    struct verify *verify = arg;
    if (job_run_answered(verify->run, answer, true) && verify->phase == VERIFY_TELL_RESULT)
        verify->phase = VERIFY_DONE;
}

/* The checkpoint and the result have some kilobytes: they are told when they change. */
static void tell(struct verify *verify)
{
    struct job_run *run = verify->run;
    struct long_job_progress progress = {.done = index_compare_done(verify->compare),
                                         .total = index_compare_total(verify->compare)};
    const char *checkpoint = index_compare_checkpoint(verify->compare);
    char *result = NULL;
    if (verify->phase == VERIFY_TELL_RESULT || verify->told == NULL ||
        strcmp(checkpoint, verify->told) != 0) {
        json_t *json = compare_result_to_json(index_compare_result(verify->compare));
        progress.result = result = json_dumps(json, JSON_COMPACT);
        progress.checkpoint = checkpoint;
        json_decref(json);
        free(verify->told);
        verify->told = memory_copy_text(checkpoint);
    }
    verify->tell_at_ms = clock_monotonic_ms() + TELL_MS;
    job_run_sent(run, long_jobs_progress(run->database, run->job, &progress, on_told, verify));
    free(result);
}

static void compare(struct verify *verify)
{
    const char *reason = NULL;
    if (verify->compare == NULL)
        begin_comparison(verify);
    if (clock_monotonic_ms() >= verify->tell_at_ms) {
        tell(verify);
        return;
    }
    index_compare_step(verify->compare);
    switch (index_compare_state(verify->compare, &reason)) {
    case INDEX_COMPARE_RUNNING:
        break;
    case INDEX_COMPARE_DONE:
        verify->phase = VERIFY_TELL_INDEX;
        job_run_step_in(verify->run, 0);
        break;
    case INDEX_COMPARE_FAILED:
        job_run_fail(verify->run, reason);
        break;
    }
}

/* ---- the end ---- */

static void on_index_told(void *arg, const struct database_answer *answer)
{
    struct verify *verify = arg;
    if (job_run_answered(verify->run, answer, true))
        verify->phase = VERIFY_TELL_RESULT;
}

static void tell_index(struct verify *verify)
{
    struct job_run *run = verify->run;
    const struct compare_result *result = index_compare_result(verify->compare);
    char fault[COMPARE_FAULT_SIZE];
    compare_result_fault(result, fault);
    struct search_index_verified verified = {
        .full = verify->options.full,
        .missing = compare_tally_left(&result->missing),
        .extra = compare_tally_left(&result->extra),
        .different = compare_tally_left(&result->different),
        .missing_share = -1,
        .fault = fault[0] == '\0' ? NULL : fault,
    };
    if (verified.missing + verified.extra + verified.different > 0)
        log_warn("the search index is not what PostgreSQL says",
                 log_number("missing", verified.missing), log_number("extra", verified.extra),
                 log_number("different", verified.different));
    if (verified.missing > 0)
        verified.missing_share = (double)verified.missing / (double)result->orders;
    job_run_sent(run,
                 search_index_verified(run->database, run->job, &verified, on_index_told, verify));
}

static void step(void *work)
{
    struct verify *verify = work;
    struct job_run *run = verify->run;
    if (verify->looking)
        return;
    switch (verify->phase) {
    case VERIFY_READ_ROW:
        job_run_sent(run, search_index_read(run->database, on_row, verify));
        break;
    case VERIFY_LOOK:
        look(verify);
        break;
    case VERIFY_COMPARE:
        compare(verify);
        break;
    case VERIFY_TELL_INDEX:
        tell_index(verify);
        break;
    case VERIFY_TELL_RESULT:
        tell(verify);
        break;
    case VERIFY_DONE:
        job_run_done(run);
        break;
    }
}

/* ---- life ---- */

static struct verify *begin(const struct index_context *context, struct job_run *run,
                            enum index_compare_mode mode)
{
    struct verify *verify = memory_new(sizeof *verify);
    json_t *parameters = json_loads(run->job->parameters, 0, NULL);
    verify->context = context;
    verify->run = run;
    verify->options = (struct index_compare_options){
        .mode = mode,
        .full = json_is_true(json_object_get(parameters, "full")),
        .fields = json_is_true(json_object_get(parameters, "fields")),
        .delete_extra = json_is_true(json_object_get(parameters, "delete_extra")),
    };
    if (mode == INDEX_COMPARE_REPORT && json_object_get(parameters, "repair") != NULL)
        verify->options.mode = INDEX_COMPARE_WITHIN_LIMITS;
    json_decref(parameters);
    verify->requests = index_requests_new(context->loop, context->server, LOOK_MAX_BYTES);
    return verify;
}

static void *verify_begin(void *arg, struct job_run *run)
{
    return begin(arg, run, INDEX_COMPARE_REPORT);
}

static void *repair_begin(void *arg, struct job_run *run)
{
    return begin(arg, run, INDEX_COMPARE_REPAIR);
}

static void end(void *work)
{
    struct verify *verify = work;
    index_compare_free(verify->compare);
    index_requests_free(verify->requests);
    free(verify->told);
    free(verify);
}

struct job_kind verify_kind(const struct index_context *context)
{
    return (struct job_kind){.name = JOB_KIND_VERIFY,
                             .arg = (void *)context,
                             .begin = verify_begin,
                             .step = step,
                             .end = end};
}

struct job_kind repair_kind(const struct index_context *context)
{
    return (struct job_kind){.name = JOB_KIND_REPAIR,
                             .arg = (void *)context,
                             .begin = repair_begin,
                             .step = step,
                             .end = end};
}
