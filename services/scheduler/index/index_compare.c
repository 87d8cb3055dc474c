/* A state machine:
 *
 *   count ─▶ next span ─▶ first look ─▶ settle ─▶ judge ─▶ mend
 *              ▲ └─ while there is room ─┘           │      │
 *              └─────────────────────────────────────┴──────┘
 *
 * A span is some hours that differ. What the first look collects is looked at again in rounds: a
 * round ends when there is no room for more, after ROUND_MS, and at the end of all spans. So the
 * memory that is needed does not follow the number of differences. Where nothing is mended, and
 * there is no room for more, the rest is told by hours instead. */
#include "services/scheduler/index/index_compare.h"
#include "proto/timestamp.h"
#include "services/base/clock.h"
#include "services/base/memory.h"
#include "services/scheduler/index/first_look.h"
#include "services/scheduler/index/hour_count.h"
#include "services/scheduler/index/index_context.h"
#include "services/scheduler/index/second_look.h"
#include <stdlib.h>

#define ANSWER_MAX_BYTES ((size_t)16 * 1024 * 1024)
#define SPAN_HOURS 24        /* that are looked into at once, when read by time */
#define ROUND_MS (60 * 1000) /* from the first candidate on */
#define TURN_MS 1000         /* while waiting */

enum compare_phase {
    COMPARE_COUNT,
    COMPARE_NEXT_SPAN,
    COMPARE_FIRST_LOOK,
    COMPARE_SETTLE,
    COMPARE_JUDGE,
    COMPARE_MEND,
    COMPARE_END,
};

struct index_compare {
    enum index_compare_mode mode;
    struct compare_parts parts;
    enum compare_phase phase;
    struct compare_range range;
    struct compare_choice choice;
    struct compare_hours hours;
    struct compare_result result;
    struct compare_candidates candidates;
    struct hour_count *count;
    struct first_look *first;
    struct second_look *second;

    bool by_time;     /* orders are read by created_at */
    int64_t undated;  /* documents without created_at that were not looked at */
    int64_t after_us; /* hours before this one are through */
    size_t at;        /* the next hour to look into */

    bool round_full; /* the first look is not through, for want of room */
    enum compare_phase after_round;
    size_t seen;               /* candidates at the last step */
    int64_t first_ms, last_ms; /* when the first and the last candidate of the round came */
    char *checkpoint;
};

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void next_step(struct index_compare *compare, enum compare_phase phase)
{
    compare->phase = phase;
    job_run_step_in(compare->parts.run, 0);
}

/* ---- the checkpoint ---- */

static void keep_checkpoint(struct index_compare *compare)
{
    json_t *json = json_pack("{s:I, s:o}", "after_us", (json_int_t)compare->after_us, "result",
                             compare_result_save(&compare->result));
    free(compare->checkpoint);
    compare->checkpoint = json_dumps(json, JSON_COMPACT);
    json_decref(json);
}

/* One that cannot be read is none: all is compared again. */
static void load_checkpoint(struct index_compare *compare,
                            const struct index_compare_options *options)
{
    json_t *json = options->checkpoint == NULL ? NULL : json_loads(options->checkpoint, 0, NULL);
    const json_t *after_us = json_object_get(json, "after_us");
    if (json_is_integer(after_us) &&
        compare_result_load(json_object_get(json, "result"), &compare->result) == 0) {
        compare->after_us = json_integer_value(after_us);
    } else {
        compare->after_us = INT64_MIN;
        compare->result = (struct compare_result){
            .from_us = options->full ? INT64_MIN : options->from_us, .to_us = options->to_us};
    }
    json_decref(json);
    keep_checkpoint(compare);
}

/* Of all orders, those dated later than the coming hour are compared, too. Those in between are
 * orders that come while the comparison runs. */
static struct compare_range range_of(const struct compare_result *result)
{
    struct compare_range range = {
        .from_us = result->from_us, .to_us = result->to_us, .later_us = INT64_MAX};
    if (range.from_us == INT64_MIN) {
        int64_t now_us = timestamp_now_us();
        range.from_us = TIMESTAMP_MIN_US;
        range.later_us = order_hour_of(larger(range.to_us, now_us)) + 2 * ORDER_HOUR_US;
    }
    return range;
}

static void plan(struct index_compare *compare)
{
    if (hour_count_step(compare->count))
        return;
    if (compare_hours_settle(&compare->hours) != 0) {
        compare_fail(&compare->parts, "orders and documents are spread over more than 200,000 "
                                      "hours");
        _Static_assert(COMPARE_HOURS_MAX == 200000, "the words");
        return;
    }
    compare->by_time = hour_count_by_time(compare->count);
    compare->undated = hour_count_undated(compare->count);
    compare->result.orders = compare->hours.orders;
    compare->result.documents = compare->hours.documents + compare->undated;
    while (compare->at < compare->hours.count &&
           compare->hours.hours[compare->at].start_us < compare->after_us)
        compare->at++;
    next_step(compare, COMPARE_NEXT_SPAN);
}

/* ---- the first look ---- */

static void end_round(struct index_compare *compare, bool full, enum compare_phase after)
{
    compare_candidates_settle(&compare->candidates);
    compare->round_full = full;
    compare->after_round = after;
    next_step(compare, COMPARE_SETTLE);
}

/* All that was begun is through, and no candidate is left. */
static void note_progress(struct index_compare *compare)
{
    compare->after_us =
        compare->at < compare->hours.count ? compare->hours.hours[compare->at].start_us : INT64_MAX;
    keep_checkpoint(compare);
}

static void next_span(struct index_compare *compare)
{
    struct compare_span span;
    if (compare_hours_next(&compare->hours, compare->choice, compare->at, compare->hours.count,
                           compare->by_time ? SPAN_HOURS : 0, &span)) {
        compare->at = span.end;
        compare_range_clip(&compare->range, &span);
        first_look_span(compare->first, &span, !compare->by_time);
        next_step(compare, COMPARE_FIRST_LOOK);
    } else if (compare->undated > 0) {
        compare->at = compare->hours.count;
        compare->undated = 0;
        first_look_undated(compare->first);
        next_step(compare, COMPARE_FIRST_LOOK);
    } else if (compare->candidates.count > 0) {
        compare->at = compare->hours.count;
        end_round(compare, false, COMPARE_END);
    } else {
        next_step(compare, COMPARE_END);
    }
}

static void look_first(struct index_compare *compare)
{
    int64_t now_ms = clock_monotonic_ms();
    if (compare->candidates.count > compare->seen) {
        compare->first_ms = compare->seen == 0 ? now_ms : compare->first_ms;
        compare->last_ms = now_ms;
        compare->seen = compare->candidates.count;
    }
    if (compare->seen > 0 && now_ms - compare->first_ms >= ROUND_MS) {
        end_round(compare, false, COMPARE_FIRST_LOOK);
        return;
    }
    switch (first_look_step(compare->first)) {
    case FIRST_LOOK_RUNS:
        break;
    case FIRST_LOOK_FULL:
        end_round(compare, true, COMPARE_FIRST_LOOK);
        break;
    case FIRST_LOOK_DONE:
        if (compare->seen == 0)
            note_progress(compare);
        next_step(compare, COMPARE_NEXT_SPAN);
        break;
    }
}

/* ---- the second look ---- */

static void settle(struct index_compare *compare)
{
    int64_t left_ms = compare->last_ms + INDEX_COMPARE_SETTLE_MS - clock_monotonic_ms();
    if (left_ms > 0) {
        job_run_step_in(compare->parts.run, left_ms < TURN_MS ? left_ms : TURN_MS);
        return;
    }
    second_look_judge(compare->second);
    next_step(compare, COMPARE_JUDGE);
}

static bool may_mend(const struct index_compare *compare)
{
    const struct compare_result *result = &compare->result;
    int64_t wrong = result->missing.count + result->different.count;
    switch (compare->mode) {
    case INDEX_COMPARE_REPORT:
        return false;
    case INDEX_COMPARE_WITHIN_LIMITS:
        if (compare->round_full)
            wrong = larger(wrong, compare_hours_lacking(&compare->hours));
        return compare_within_limits(wrong, result->orders);
    case INDEX_COMPARE_REPAIR:
        return true;
    }
    return false;
}

static void end_of_round(struct index_compare *compare)
{
    compare_candidates_clear(&compare->candidates);
    compare->seen = 0;
    if (compare->after_round == COMPARE_END)
        note_progress(compare);
    next_step(compare, compare->after_round);
}

static void judge(struct index_compare *compare)
{
    struct compare_result *result = &compare->result;
    if (second_look_step(compare->second))
        return;
    if (may_mend(compare)) {
        second_look_mend(compare->second);
        next_step(compare, COMPARE_MEND);
        return;
    }
    if (compare->round_full) {
        result->approximate = true;
        result->missing.count =
            larger(result->missing.count, compare_hours_lacking(&compare->hours));
        result->extra.count = larger(result->extra.count, compare_hours_surplus(&compare->hours));
        compare->after_round = COMPARE_END;
    }
    end_of_round(compare);
}

/* ---- steps ---- */

static void step(struct index_compare *compare)
{
    switch (compare->phase) {
    case COMPARE_COUNT:
        plan(compare);
        break;
    case COMPARE_NEXT_SPAN:
        next_span(compare);
        break;
    case COMPARE_FIRST_LOOK:
        look_first(compare);
        break;
    case COMPARE_SETTLE:
        settle(compare);
        break;
    case COMPARE_JUDGE:
        judge(compare);
        break;
    case COMPARE_MEND:
        if (!second_look_step(compare->second))
            end_of_round(compare);
        break;
    case COMPARE_END:
        compare->result.approximate |= first_look_repeats(compare->first);
        break;
    }
}

void index_compare_step(struct index_compare *compare)
{
    if (!compare->parts.asking && !compare->parts.failed)
        step(compare);
}

enum index_compare_state index_compare_state(const struct index_compare *compare,
                                             const char **ret_reason)
{
    if (compare->parts.failed)
        *ret_reason = compare->parts.reason.message;
    return compare->parts.failed           ? INDEX_COMPARE_FAILED
           : compare->phase == COMPARE_END ? INDEX_COMPARE_DONE
                                           : INDEX_COMPARE_RUNNING;
}

const struct compare_result *index_compare_result(const struct index_compare *compare)
{
    return &compare->result;
}

int64_t index_compare_done(const struct index_compare *compare)
{
    return compare->phase == COMPARE_END
               ? index_compare_total(compare)
               : compare->hours.orders + first_look_orders(compare->first);
}

int64_t index_compare_total(const struct index_compare *compare)
{
    return compare->phase < COMPARE_NEXT_SPAN
               ? larger(compare->hours.documents, compare->hours.orders)
               : compare->hours.orders +
                     larger(compare_hours_lookups(&compare->hours, compare->choice),
                            first_look_orders(compare->first));
}

const char *index_compare_checkpoint(const struct index_compare *compare)
{
    return compare->checkpoint;
}

struct index_compare *index_compare_new(const struct index_context *context, struct job_run *run,
                                        const struct index_compare_options *options)
{
    struct index_compare *compare = memory_new(sizeof *compare);
    compare->mode = options->mode;
    compare->choice = (struct compare_choice){.every = options->fields,
                                              .floats = options->float_amounts,
                                              .counts_only = options->counts_only};
    compare->parts.run = run;
    compare->parts.requests = index_requests_new(context->loop, context->server, ANSWER_MAX_BYTES);
    compare->parts.reader = document_reader_new(compare->parts.requests, options->index);
    load_checkpoint(compare, options);
    compare->range = range_of(&compare->result);
    compare_candidates_init(&compare->candidates);
    compare->count = hour_count_new(context, &compare->parts, &compare->hours,
                                    &(struct hour_count_options){
                                        .range = compare->range,
                                        .all = compare->result.from_us == INT64_MIN,
                                        .by_time = options->by_time,
                                        .sums = !options->counts_only,
                                    });
    compare->first = first_look_new(&compare->parts, &compare->range, &compare->hours,
                                    compare->choice, &compare->candidates);
    compare->second =
        second_look_new(context, &compare->parts, &compare->candidates, &compare->result,
                        &(struct second_look_options){.index = options->index,
                                                      .require_alias = options->require_alias,
                                                      .delete_extra = options->delete_extra});
    return compare;
}

void index_compare_free(struct index_compare *compare)
{
    if (compare == NULL)
        return;
    index_requests_free(compare->parts.requests);
    document_reader_free(compare->parts.reader);
    hour_count_free(compare->count);
    first_look_free(compare->first);
    second_look_free(compare->second);
    compare_candidates_release(&compare->candidates);
    compare_hours_release(&compare->hours);
    compare_result_release(&compare->result);
    free(compare->checkpoint);
    free(compare);
}
