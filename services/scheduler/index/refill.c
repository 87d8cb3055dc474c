/* Finds the index, which may not be there yet; copies all orders into it; where the copy cannot
 * tell what was committed meanwhile, compares. The checkpoint is the copy's, or the comparison's
 * after it, beside the identity of the index: in another index the job begins anew. */
#include "services/scheduler/index/refill.h"
#include "proto/timestamp.h"
#include "services/base/clock.h"
#include "services/base/memory.h"
#include "services/clients/postgres/jobs.h"
#include "services/clients/postgres/search_index.h"
#include "services/scheduler/index/copy_progress.h"
#include "services/scheduler/index/index_compare.h"
#include "services/scheduler/index/index_context.h"
#include "services/scheduler/index/index_target.h"
#include "services/scheduler/index/order_copy.h"
#include <stdlib.h>
#include <string.h>

#define ABSENT_MAX_MS (5 * 60 * 1000)     /* indexers make an index within seconds */
#define RECENT_US (INT64_C(60) * 1000000) /* orders so young may be in flight */
#define TELL_MS 1000
#define SHARE_STEP 0.0005 /* smaller steps are not told */

enum refill_phase { REFILL_COPY, REFILL_COMPARE, REFILL_END };

struct refill {
    const struct index_context *context;
    struct job_run *run;
    enum refill_phase phase;
    struct index_target *target;
    const struct index_look *look; /* once it is found */
    struct order_copy *copy;
    struct index_compare *compare;
    json_t *copied; /* the copy's result, once it is done */
    int64_t done, total;
    int64_t tell_at_ms, share_at_ms;
    double share; /* that was told last; below 0: none yet */
    bool told;    /* REFILL_END: the result */
    struct error refusal;
};

/* ---- telling ---- */

static void on_told(void *arg, const struct database_answer *answer)
{
    struct refill *refill = arg;
    if (job_run_answered(refill->run, answer, true))
        refill->told = refill->phase == REFILL_END;
}

static json_t *result_of(const struct refill *refill)
{
    json_t *result =
        refill->copy != NULL ? order_copy_result(refill->copy) : json_deep_copy(refill->copied);
    (void)json_object_set_new(result, "index", json_string(refill->look->name));
    return result;
}

static void tell(struct refill *refill)
{
    struct job_run *run = refill->run;
    json_t *at = json_pack("{ss ss* so*}", "identity", refill->look->identity, "copy",
                           refill->copy != NULL ? order_copy_checkpoint(refill->copy) : NULL,
                           "copied", refill->copied != NULL ? json_incref(refill->copied) : NULL);
    if (refill->compare != NULL)
        (void)json_object_set_new(at, "compare",
                                  json_string(index_compare_checkpoint(refill->compare)));
    json_t *so_far = result_of(refill);
    char *checkpoint = json_dumps(at, JSON_COMPACT), *result = json_dumps(so_far, JSON_COMPACT);
    const struct long_job_progress progress = {
        .done = refill->done, .total = refill->total, .checkpoint = checkpoint, .result = result};
    refill->tell_at_ms = clock_monotonic_ms() + TELL_MS;
    job_run_sent(run, long_jobs_progress(run->database, run->job, &progress, on_told, refill));
    free(checkpoint);
    free(result);
    json_decref(at);
    json_decref(so_far);
}

static void on_share(void *arg, const struct database_answer *answer)
{
    struct refill *refill = arg;
    if (!job_run_answered(refill->run, answer, true))
        refill->share = -1;
}

/* Returns whether it had to. */
static bool tell_share(struct refill *refill)
{
    if (refill->total <= 0)
        return false; /* unknown, or nothing to share */
    double share = 1 - (double)refill->done / (double)refill->total, step = refill->share - share;
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms < refill->share_at_ms ||
        (refill->share >= 0 && step < SHARE_STEP && step > -SHARE_STEP))
        return false;
    refill->share = share;
    refill->share_at_ms = now_ms + TELL_MS;
    job_run_sent(refill->run, search_index_missing(refill->run->database, refill->run->job, share,
                                                   on_share, refill));
    return true;
}

/* ---- filling ---- */

/* What the checkpoint says about this index. */
static void begin_engine(struct refill *refill)
{
    const char *text = refill->run->job->checkpoint;
    json_t *at = text != NULL ? json_loads(text, 0, NULL) : NULL;
    const char *identity = json_string_value(json_object_get(at, "identity"));
    bool same = identity != NULL && strcmp(identity, refill->look->identity) == 0;
    if (refill->phase == REFILL_COPY && same && json_object_get(at, "copied") != NULL) {
        refill->copied = json_deep_copy(json_object_get(at, "copied"));
        refill->phase = REFILL_COMPARE;
    }
    if (refill->phase == REFILL_COPY)
        refill->copy = order_copy_new(
            refill->context, refill->run,
            &(struct order_copy_options){
                .index = refill->context->index,
                .require_alias = refill->look->form == INDEX_ALIAS,
                .checkpoint = same ? json_string_value(json_object_get(at, "copy")) : NULL,
            });
    else
        refill->compare = index_compare_new(
            refill->context, refill->run,
            &(struct index_compare_options){
                .index = refill->context->index,
                .require_alias = refill->look->form == INDEX_ALIAS,
                .float_amounts = refill->look->amount_is_float,
                .counts_only = !refill->look->amount_is_number,
                .full = true,
                .to_us = timestamp_now_us() - RECENT_US,
                .mode = INDEX_COMPARE_REPAIR,
                .checkpoint = same ? json_string_value(json_object_get(at, "compare")) : NULL,
            });
    json_decref(at);
}

static void copy(struct refill *refill)
{
    const char *reason;
    order_copy_step(refill->copy);
    refill->done = order_copy_done(refill->copy);
    refill->total = order_copy_total(refill->copy);
    switch (order_copy_state(refill->copy, &reason)) {
    case ORDER_COPY_RUNNING:
        return;
    case ORDER_COPY_DONE:
        break;
    case ORDER_COPY_FAILED:
        job_run_fail(refill->run, reason);
        return;
    }
    bool compare_needed = order_copy_compare_needed(refill->copy);
    refill->copied = order_copy_result(refill->copy);
    order_copy_free(refill->copy);
    refill->copy = NULL;
    refill->phase = compare_needed ? REFILL_COMPARE : REFILL_END;
    job_run_step_in(refill->run, 0);
}

static void compare(struct refill *refill)
{
    const char *reason;
    index_compare_step(refill->compare);
    switch (index_compare_state(refill->compare, &reason)) {
    case INDEX_COMPARE_RUNNING:
        return;
    case INDEX_COMPARE_DONE:
        refill->phase = REFILL_END;
        job_run_step_in(refill->run, 0);
        return;
    case INDEX_COMPARE_FAILED:
        job_run_fail(refill->run, reason);
        return;
    }
}

static void fill(struct refill *refill)
{
    if (refill->copy == NULL && refill->compare == NULL)
        begin_engine(refill);
    if (clock_monotonic_ms() >= refill->tell_at_ms)
        tell(refill);
    else if (refill->phase == REFILL_COMPARE)
        compare(refill);
    else if (!tell_share(refill))
        copy(refill);
}

/* ---- the end ---- */

static void on_complete(void *arg, const struct database_answer *answer)
{
    struct refill *refill = arg;
    if (job_run_answered(refill->run, answer, true))
        job_run_done(refill->run);
}

static void on_fault(void *arg, const struct database_answer *answer)
{
    struct refill *refill = arg;
    if (job_run_answered(refill->run, answer, true))
        job_run_fail(refill->run, refill->refusal.message);
}

/* What is refused for its mapping is refused again: that waits for a person, and the index stays
 * incomplete. */
static void finish(struct refill *refill)
{
    struct job_run *run = refill->run;
    if (!refill->told)
        tell(refill);
    else if (copy_result_is_refused(refill->copied, 0, &refill->refusal))
        job_run_sent(run, search_index_fault(run->database, run->job, refill->refusal.message,
                                             on_fault, refill));
    else
        job_run_sent(run, search_index_rebuilt(run->database, run->job, refill->look->identity,
                                               on_complete, refill));
}

static void refill_step(struct refill *refill)
{
    refill->look = index_target_step(refill->target);
    if (refill->look == NULL)
        return;
    switch (refill->phase) {
    case REFILL_COPY:
    case REFILL_COMPARE:
        fill(refill);
        return;
    case REFILL_END:
        finish(refill);
        return;
    }
}

static struct refill *refill_new(const struct index_context *context, struct job_run *run)
{
    struct refill *refill = memory_new(sizeof *refill);
    refill->context = context;
    refill->run = run;
    refill->target = index_target_new(context, run, ABSENT_MAX_MS);
    refill->total = -1;
    refill->share = -1;
    return refill;
}

static void refill_free(struct refill *refill)
{
    order_copy_free(refill->copy);
    index_compare_free(refill->compare);
    index_target_free(refill->target);
    json_decref(refill->copied);
    free(refill);
}

/* ---- the kind ---- */

struct repair {
    const struct refill_options *options;
    struct refill *refill; /* or NULL, and then: */
    void *other;           /* the work of the other kind */
};

static void *begin(void *arg, struct job_run *run)
{
    struct repair *repair = memory_new(sizeof *repair);
    repair->options = arg;
    json_t *parameters = json_loads(run->job->parameters, 0, NULL);
    const struct job_kind *other = &repair->options->repair;
    if (json_is_true(json_object_get(parameters, "refill")))
        repair->refill = refill_new(repair->options->context, run);
    else
        repair->other = other->begin(other->arg, run);
    json_decref(parameters);
    return repair;
}

static void step(void *work)
{
    struct repair *repair = work;
    if (repair->refill != NULL)
        refill_step(repair->refill);
    else
        repair->options->repair.step(repair->other);
}

static void end(void *work)
{
    struct repair *repair = work;
    if (repair->refill != NULL)
        refill_free(repair->refill);
    else
        repair->options->repair.end(repair->other);
    free(repair);
}

struct job_kind refill_kind(const struct refill_options *options)
{
    return (struct job_kind){.name = JOB_KIND_REPAIR,
                             .arg = (void *)(uintptr_t)options,
                             .begin = begin,
                             .step = step,
                             .end = end};
}
