/* Both kinds find the index, compare it, and tell the result. A verification compares the ledger of
 * the daily sales with the same orders, too. */
#include "services/scheduler/index/verify_jobs.h"
#include "proto/timestamp.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/clients/postgres/jobs.h"
#include "services/clients/postgres/search_index.h"
#include "services/scheduler/index/index_compare.h"
#include "services/scheduler/index/index_context.h"
#include "services/scheduler/index/index_target.h"
#include "services/scheduler/ledger_task.h"
#include <stdlib.h>
#include <string.h>

#define WINDOW_US (INT64_C(7) * 24 * 3600 * 1000000)
#define RECENT_US (INT64_C(60) * 1000000) /* orders so young may be in flight */
#define TELL_MS 1000                      /* how far the job is */

enum verify_phase {
    VERIFY_COMPARE,
    VERIFY_LEDGER,      /* the task is to be asked, */
    VERIFY_LEDGER_WAIT, /* and then it answers */
    VERIFY_TELL_INDEX,  /* what is known of it now */
    VERIFY_TELL_RESULT, /* of the job */
    VERIFY_DONE,
};

struct verify {
    const struct index_context *context;
    struct job_run *run;
    struct index_compare_options options;
    enum verify_phase phase;
    struct index_target *target;
    const struct index_look *look; /* once it is found */
    struct index_compare *compare;
    bool ledger_compared;
    struct sales_ledger_drift drift;
    char *told; /* the last checkpoint that was told; or NULL */
    int64_t tell_at_ms;
};

static bool find(struct verify *verify)
{
    struct error reason;
    verify->look = index_target_step(verify->target);
    if (verify->look == NULL || verify->look->created_at_is_date)
        return verify->look != NULL;
    error_set(&reason, "created_at is no date in the mapping of the index %.100s: reindex",
              verify->context->index);
    job_run_fail(verify->run, reason.message);
    return false;
}

/* ---- comparing ---- */

static void begin_comparison(struct verify *verify)
{
    struct index_compare_options *options = &verify->options;
    options->index = verify->context->index;
    options->require_alias = verify->look->form == INDEX_ALIAS;
    options->float_amounts = verify->look->amount_is_float;
    options->counts_only = !verify->look->amount_is_number;
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

/* What was wrong with the ledger, and is mended; null: it was not compared. */
static json_t *ledger_to_json(const struct verify *verify)
{
    if (!verify->ledger_compared)
        return json_null();
    return json_pack("{s:I, s:I}", "days", (json_int_t)verify->drift.days, "orders",
                     (json_int_t)verify->drift.orders);
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
        if (verify->context->ledger != NULL)
            json_object_set_new(json, "sales_ledger", ledger_to_json(verify));
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
        verify->phase = verify->context->ledger != NULL ? VERIFY_LEDGER : VERIFY_TELL_INDEX;
        job_run_step_in(verify->run, 0);
        break;
    case INDEX_COMPARE_FAILED:
        job_run_fail(verify->run, reason);
        break;
    }
}

/* ---- the ledger ---- */

static void on_ledger_verified(void *arg, const struct sales_ledger_drift *drift)
{
    struct verify *verify = arg;
    verify->ledger_compared = drift != NULL;
    if (drift != NULL)
        verify->drift = *drift;
    verify->phase = VERIFY_TELL_INDEX;
    job_run_step_in(verify->run, 0);
}

static void verify_ledger(struct verify *verify)
{
    const struct compare_result *result = index_compare_result(verify->compare);
    bool full = verify->options.full;
    verify->phase = VERIFY_LEDGER_WAIT;
    ledger_task_verify(verify->context->ledger, full ? INT64_MIN : result->from_us,
                       full ? INT64_MAX : result->to_us, on_ledger_verified, verify);
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
    if (!find(verify))
        return;
    switch (verify->phase) {
    case VERIFY_COMPARE:
        compare(verify);
        break;
    case VERIFY_LEDGER:
        verify_ledger(verify);
        break;
    case VERIFY_LEDGER_WAIT:
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
    verify->target = index_target_new(context, run, 0);
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
    if (verify->phase == VERIFY_LEDGER_WAIT)
        ledger_task_forget(verify->context->ledger);
    index_compare_free(verify->compare);
    index_target_free(verify->target);
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
