/* The phases, in the order of enum reindex_phase. A step does one thing: it sends a statement or a
 * request, or lets an engine do something. Where the job stands is noted in PostgreSQL before
 * anything is done that depends on it, and each phase may begin anew: so another scheduler goes on
 * from any point. */
#include "services/scheduler/index/reindex.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/clients/postgres/jobs.h"
#include "services/clients/postgres/reindex_jobs.h"
#include "services/scheduler/index/copy_progress.h"
#include "services/scheduler/index/index_compare.h"
#include "services/scheduler/index/order_copy.h"
#include "services/scheduler/index/reindex_work.h"
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define REQUEST_TIMEOUT_MS 30000
#define ANSWER_MAX_BYTES (4 * 1024 * 1024)
#define TELL_MS 500
#define RECENT_MS (60 * 1000) /* orders that were created so lately are not compared */
#define CANCELED_TAIL_MS (40 * 1000)
_Static_assert(CANCELED_TAIL_MS < JOB_CANCEL_MS, "the rest has time, too");

/* ---- what the phases use ---- */

static void free_engines(struct reindex *reindex)
{
    order_copy_free(reindex->copy);
    index_compare_free(reindex->compare);
    reindex->copy = NULL;
    reindex->compare = NULL;
}

void reindex_enter(struct reindex *reindex, enum reindex_phase phase)
{
    reindex->at.phase = phase;
    reindex->step = reindex->attempts = 0;
    reindex->wait_until_ms = 0;
    reindex->noted = false;
    reindex_forget_listing(reindex);
    job_run_step_in(reindex->run, 0);
}

static bool is_swapped(const struct reindex *reindex)
{
    return reindex->at.phase > REINDEX_SWAP && reindex->at.phase < REINDEX_CLEAN;
}

void reindex_fail(struct reindex *reindex, const char *format, ...)
{
    char text[2 * sizeof(struct error)];
    struct error reason;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    error_set(&reason, "%s", text);
    if (reindex->at.phase == REINDEX_CLEAN) {
        log_warn("a half-built index is left", log_number("job", reindex->run->job->id),
                 log_text("reason", reason.message));
        (void)snprintf(reindex->left, sizeof reindex->left,
                       "the half-built index is left, the next reindex deletes it: %s",
                       reason.message);
        reindex->step++;
        job_run_step_in(reindex->run, 0);
        return;
    }
    if (reindex->at.failure == NULL)
        reindex_checkpoint_set(&reindex->at.failure, reason.message);
    reindex_enter(reindex, is_swapped(reindex) ? REINDEX_END : REINDEX_CLEAN);
}

void reindex_refused(struct reindex *reindex, const char *what, long status,
                     const struct server_error *said)
{
    reindex_fail(reindex, "%s: HTTP status %ld: %s", what, status,
                 said == NULL ? "" : said->words.message);
}

void reindex_send(struct reindex *reindex, const char *method, const char *path, const char *body,
                  const char *privilege, index_answer_fn *on_answer)
{
    index_requests_send(reindex->requests,
                        &(struct index_request){.method = method,
                                                .path = path,
                                                .body = body,
                                                .body_len = body == NULL ? 0 : strlen(body),
                                                .timeout_ms = REQUEST_TIMEOUT_MS,
                                                .privilege = privilege},
                        on_answer, reindex);
}

void reindex_answered(struct reindex *reindex)
{
    job_run_step_in(reindex->run, 0);
}

static struct index_requests *new_requests(const struct index_context *context)
{
    return index_requests_new(context->loop, context->server, ANSWER_MAX_BYTES);
}

/* ---- PostgreSQL ---- */

static void on_noted(void *arg, const struct database_answer *answer)
{
    struct reindex *reindex = arg;
    if (job_run_answered(reindex->run, answer, true))
        reindex->noted = true;
}

static void on_told(void *arg, const struct database_answer *answer)
{
    struct reindex *reindex = arg;
    (void)!job_run_answered(reindex->run, answer, true); /* it is told again anyway */
}

static void write_progress(struct reindex *reindex, database_done_fn *on_done)
{
    char *checkpoint = reindex_checkpoint_write(&reindex->at);
    char *result = reindex_checkpoint_result(&reindex->at);
    const struct long_job_progress progress = {.done = reindex->at.done,
                                               .total = reindex->at.total,
                                               .checkpoint = checkpoint,
                                               .result = result};
    struct job_run *run = reindex->run;
    reindex->tell_at_ms = clock_monotonic_ms() + TELL_MS;
    job_run_sent(run, long_jobs_progress(run->database, run->job, &progress, on_done, reindex));
    free(checkpoint);
    free(result);
}

static void on_row(void *arg, const struct database_answer *answer)
{
    struct reindex *reindex = arg;
    if (!job_run_answered(reindex->run, answer, false))
        return;
    reindex->row_read = search_index_row(answer, &reindex->row) == 0;
    if (!reindex->row_read)
        job_run_fail(reindex->run, "the table search_index has no row");
}

static void on_name(void *arg, const struct database_answer *answer)
{
    struct reindex *reindex = arg;
    if (!job_run_answered(reindex->run, answer, false))
        return;
    reindex_jobs_name(answer, reindex->last_name, sizeof reindex->last_name);
    reindex->name_read = true;
}

/* ---- phases that an engine does ---- */

/* What the engine has counted, for the checkpoint and for people. */
static void take_counts(struct reindex *reindex)
{
    struct reindex_checkpoint *at = &reindex->at;
    const struct order_copy *copy = reindex->copy;
    at->done = order_copy_done(copy);
    at->total = order_copy_total(copy);
    reindex_checkpoint_set(&at->copy, order_copy_checkpoint(copy));
    json_decref(at->copied);
    at->copied = order_copy_result(copy);
}

static void begin_copy(struct reindex *reindex)
{
    bool swapped = reindex->at.phase == REINDEX_TAIL;
    reindex->copy = order_copy_new(
        reindex->context, reindex->run,
        &(struct order_copy_options){.index = swapped ? reindex->context->index : reindex->own,
                                     .require_alias = true,
                                     .checkpoint = reindex->at.copy});
    if (swapped)
        order_copy_tail(reindex->copy);
}

static void copy_failed(struct reindex *reindex, const char *reason)
{
    if (is_swapped(reindex))
        reindex_fail(reindex,
                     "the new index is in use, and may lack orders of the last minutes, which a "
                     "verification finds: %s",
                     reason);
    else
        reindex_fail(reindex, "%s", reason);
}

static void copy(struct reindex *reindex, enum reindex_phase next)
{
    const char *reason = NULL;
    if (reindex->copy == NULL)
        begin_copy(reindex);
    order_copy_step(reindex->copy);
    take_counts(reindex);
    switch (order_copy_state(reindex->copy, &reason)) {
    case ORDER_COPY_RUNNING:
        return;
    case ORDER_COPY_DONE:
        if (reindex->at.phase == REINDEX_TAIL && order_copy_compare_needed(reindex->copy))
            next = REINDEX_CHECK;
        reindex_enter(reindex, next);
        break;
    case ORDER_COPY_FAILED:
        copy_failed(reindex, reason);
        break;
    }
    free_engines(reindex);
}

/* Before the swap live orders go to the old index, and the last ones are copied later. A document
 * without a row is that of a row that was deleted while the job ran: search must not find it again.
 * After the swap, orders that are on their way are there when what differs is looked up again. */
static void begin_compare(struct reindex *reindex)
{
    struct timespec now;
    bool swapped = is_swapped(reindex);
    (void)clock_gettime(CLOCK_REALTIME, &now);
    reindex->compare = index_compare_new(
        reindex->context, reindex->run,
        &(struct index_compare_options){
            .index = swapped ? reindex->context->index : reindex->own,
            .require_alias = true,
            .float_amounts = reindex->float_amounts,
            .counts_only = reindex->counts_only,
            .full = true,
            .to_us = ((int64_t)now.tv_sec * 1000 - (swapped ? 0 : RECENT_MS)) * 1000,
            .mode = INDEX_COMPARE_REPAIR,
            .delete_extra = !swapped,
            .checkpoint = reindex->at.compare,
        });
}

/* What was committed since the copy's last pass is mended here. Only what Elasticsearch refuses may
 * be left: orders that it has refused before, and few others, or the mapping is wrong. */
static void judge_comparison(struct reindex *reindex, enum reindex_phase next)
{
    const struct compare_result *result = index_compare_result(reindex->compare);
    const json_t *copied = reindex->at.copied;
    struct error reason;
    int64_t left = compare_result_differences(result);
    int64_t refused =
        json_integer_value(json_object_get(json_object_get(copied, "refused"), "count"));
    if (!is_swapped(reindex) &&
        copy_result_is_refused(copied, result->dead_at_index.count, &reason))
        reindex_fail(reindex, "%s", reason.message);
    else if (left > refused)
        reindex_fail(reindex,
                     "the new index lacks %" PRId64 " orders or has them wrong, and Elasticsearch "
                     "refused %" PRId64,
                     left, refused);
    else
        reindex_enter(reindex, next);
    reindex_checkpoint_set(&reindex->at.compare, NULL);
}

static void compare(struct reindex *reindex, enum reindex_phase next)
{
    const char *reason = NULL;
    if (reindex->compare == NULL)
        begin_compare(reindex);
    index_compare_step(reindex->compare);
    reindex_checkpoint_set(&reindex->at.compare, index_compare_checkpoint(reindex->compare));
    switch (index_compare_state(reindex->compare, &reason)) {
    case INDEX_COMPARE_RUNNING:
        return;
    case INDEX_COMPARE_DONE:
        judge_comparison(reindex, next);
        break;
    case INDEX_COMPARE_FAILED:
        reindex_fail(reindex, "the new index cannot be compared: %s", reason);
        break;
    }
    free_engines(reindex);
}

/* The new index is in use. What waits for the end of old transactions would take too long. */
static void after_swap(struct reindex *reindex)
{
    if (reindex->run->canceled && clock_monotonic_ms() >= reindex->end_tail_ms) {
        free_engines(reindex);
        reindex->tail_cut = true;
        reindex_enter(reindex, REINDEX_DELETE);
    } else if (reindex->at.phase == REINDEX_TAIL) {
        copy(reindex, REINDEX_DELETE);
    } else {
        compare(reindex, REINDEX_DELETE);
    }
}

/* ---- the kind ---- */

static void do_phase(struct reindex *reindex)
{
    switch (reindex->at.phase) {
    case REINDEX_MAKE:
        reindex_make(reindex);
        return;
    case REINDEX_COPY:
        copy(reindex, REINDEX_REFRESH);
        return;
    case REINDEX_REFRESH:
        reindex_give_settings(reindex);
        return;
    case REINDEX_COMPARE:
        compare(reindex, REINDEX_CATCH_UP);
        return;
    case REINDEX_CATCH_UP:
        copy(reindex, REINDEX_SWAP);
        return;
    case REINDEX_SWAP:
        reindex_swap(reindex);
        return;
    case REINDEX_TAIL:
    case REINDEX_CHECK:
        after_swap(reindex);
        return;
    case REINDEX_DELETE:
        reindex_delete_old(reindex);
        return;
    case REINDEX_END:
        reindex_end(reindex);
        return;
    case REINDEX_CLEAN:
        reindex_clean(reindex);
        return;
    }
}

/* Before the swap everything is undone, whatever is under way. */
static void undo(struct reindex *reindex)
{
    free_engines(reindex);
    index_requests_free(reindex->requests);
    reindex->requests = new_requests(reindex->context);
    reindex_enter(reindex, REINDEX_CLEAN);
}

static void reindex_step(void *work)
{
    struct reindex *reindex = work;
    struct job_run *run = reindex->run;
    if (run->canceled && reindex->at.phase < REINDEX_SWAP)
        undo(reindex);
    enum reindex_phase phase = reindex->at.phase;
    if (index_requests_busy(reindex->requests))
        return;
    if (!reindex->row_read)
        job_run_sent(run, search_index_read(run->database, on_row, reindex));
    else if (!reindex->name_read)
        job_run_sent(run, reindex_jobs_last(run->database, run->job, on_name, reindex));
    else if (!reindex->noted)
        write_progress(reindex, on_noted);
    else if (clock_monotonic_ms() >= reindex->tell_at_ms)
        write_progress(reindex, on_told);
    else if (!reindex->owned && phase >= REINDEX_COPY && phase < REINDEX_SWAP)
        reindex_look_at_own(reindex);
    else
        do_phase(reindex);
}

static bool keeps_old(const char *parameters)
{
    json_t *json = json_loads(parameters, 0, NULL);
    bool keeps = json_is_true(json_object_get(json, "keep_old"));
    json_decref(json);
    return keeps;
}

static void *reindex_begin(void *arg, struct job_run *run)
{
    struct reindex *reindex = memory_new(sizeof *reindex);
    reindex->context = arg;
    reindex->run = run;
    reindex->keep_old = keeps_old(run->job->parameters);
    reindex->requests = new_requests(reindex->context);
    reindex_checkpoint_read(run->job->checkpoint, &reindex->at);
    (void)snprintf(reindex->own, sizeof reindex->own, INDEX_BUILT_ALIAS_FORMAT,
                   reindex->context->index, run->job->id);
    (void)snprintf(reindex->swapped, sizeof reindex->swapped, INDEX_SWAPPED_ALIAS_FORMAT,
                   reindex->context->index, run->job->id);
    return reindex;
}

static void reindex_cancel(void *work)
{
    struct reindex *reindex = work;
    reindex->end_tail_ms = clock_monotonic_ms() + CANCELED_TAIL_MS;
}

static void reindex_end_work(void *work)
{
    struct reindex *reindex = work;
    free_engines(reindex);
    index_requests_free(reindex->requests);
    reindex_forget_listing(reindex);
    reindex_checkpoint_release(&reindex->at);
    free(reindex);
}

struct job_kind reindex_kind(const struct index_context *context)
{
    return (struct job_kind){.name = JOB_KIND_REINDEX,
                             .arg = (void *)(uintptr_t)context,
                             .begin = reindex_begin,
                             .step = reindex_step,
                             .cancel = reindex_cancel,
                             .end = reindex_end_work};
}
