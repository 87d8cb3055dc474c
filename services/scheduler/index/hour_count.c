/* Documents first: their number tells about how many orders there will be. All orders are counted
 * by key, those of a window by time. */
#include "services/scheduler/index/hour_count.h"
#include "proto/timestamp.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/scheduler/index/created_at_index.h"
#include "services/scheduler/index/index_context.h"
#include <stdlib.h>

#define TURN_MS 1000
#define PREPARE_MAX_MS (10 * 60 * 1000) /* making an index may wait for an old transaction */

enum count_phase {
    COUNT_PREPARE,   /* see to the index on created_at */
    COUNT_REFRESH,   /* of Elasticsearch: what was written before is counted */
    COUNT_UNDATED,   /* documents that belong to no hour */
    COUNT_DOCUMENTS, /* by hour */
    COUNT_ORDERS,    /* by hour */
};

struct hour_count {
    const struct index_context *context;
    struct compare_parts *parts;
    struct compare_hours *hours;
    struct hour_count_options options;
    enum count_phase phase;
    struct created_at_index *created_at;
    int64_t prepare_until_ms;
    int64_t next_us, until_us; /* of the next request for documents */
    int64_t undated;
    struct order_walk walk;
    struct order_hour walked[ORDER_HOURS_MAX];
};

static void next_step(struct hour_count *count, enum count_phase phase)
{
    count->phase = phase;
    job_run_step_in(count->parts->run, 0);
}

/* ---- the index on created_at ---- */

static void on_created_at_index(void *arg, bool usable, const char *reason)
{
    struct hour_count *count = arg;
    count->options.by_time = usable;
    if (!usable)
        log_warn("orders are read by key, which takes longer: there is no index on created_at",
                 log_text("reason", reason));
    next_step(count, COUNT_REFRESH);
}

/* While an old transaction is open, the index cannot be made. */
static void prepare(struct hour_count *count)
{
    int64_t now_ms = clock_monotonic_ms();
    if (!count->options.by_time) {
        next_step(count, COUNT_REFRESH);
        return;
    }
    if (count->created_at == NULL) {
        count->prepare_until_ms = now_ms + PREPARE_MAX_MS;
        count->created_at = created_at_index_new(count->context->loop, count->context->dsn,
                                                 on_created_at_index, count);
    }
    if (now_ms < count->prepare_until_ms) {
        job_run_step_in(count->parts->run, TURN_MS);
        return;
    }
    created_at_index_free(count->created_at);
    count->created_at = NULL;
    on_created_at_index(count, false, "it could not be made in 10 minutes");
    _Static_assert(PREPARE_MAX_MS == 600000, "the words");
}

/* ---- documents ---- */

/* Where this is refused, the numbers are those of the last refresh, which the index does by itself.
 */
static void on_refreshed(void *arg, const struct error *failure)
{
    struct hour_count *count = arg;
    if (failure != NULL)
        log_warn("what has just been written to the index is compared the next time",
                 log_text("reason", failure->message));
    count->parts->asking = false;
    next_step(count, COUNT_UNDATED);
}

static void refresh(struct hour_count *count)
{
    count->parts->asking = true;
    document_reader_refresh(count->parts->reader, on_refreshed, count);
}

static void on_undated(void *arg, int64_t documents, int64_t undated, const struct error *failure)
{
    (void)documents; /* the hours tell them */
    struct hour_count *count = arg;
    if (!compare_answered(count->parts, failure))
        return;
    count->undated = undated;
    count->phase = COUNT_DOCUMENTS;
}

static void ask_undated(struct hour_count *count)
{
    count->parts->asking = true;
    document_reader_count(count->parts->reader, on_undated, count);
}

/* What is dated later is counted behind the rest. Returns whether it is to be counted. */
static bool next_documents(struct hour_count *count)
{
    const struct compare_range *range = &count->options.range;
    if (count->until_us == TIMESTAMP_MAX_US || range->later_us >= TIMESTAMP_MAX_US)
        return false;
    count->next_us = range->later_us;
    count->until_us = TIMESTAMP_MAX_US;
    return true;
}

static void begin_orders(struct hour_count *count)
{
    const struct compare_range *range = &count->options.range;
    bool later = range->later_us < TIMESTAMP_MAX_US;
    order_walk_init(&count->walk, !count->options.by_time || count->options.all, range->from_us,
                    later ? TIMESTAMP_MAX_US : range->to_us, NULL, 0);
    if (later)
        order_walk_leave_out(&count->walk, range->to_us, range->later_us);
    count->phase = COUNT_ORDERS;
}

static void on_document_hours(void *arg, const struct document_hour *hours, size_t hour_count,
                              bool more, const struct error *failure)
{
    struct hour_count *count = arg;
    if (!compare_answered(count->parts, failure))
        return;
    for (size_t i = 0; i < hour_count; i++)
        compare_hours_add_documents(count->hours, hours[i].start_us, hours[i].documents,
                                    hours[i].sum);
    count->next_us = more ? hours[hour_count - 1].start_us + ORDER_HOUR_US : count->until_us;
    if (count->next_us >= count->until_us && !next_documents(count))
        begin_orders(count);
}

static void ask_documents(struct hour_count *count)
{
    count->parts->asking = true;
    document_reader_hours(count->parts->reader, count->next_us, count->until_us,
                          count->options.sums, on_document_hours, count);
}

/* ---- orders ---- */

static void on_order_hours(void *arg, const struct database_answer *answer)
{
    struct hour_count *count = arg;
    size_t hour_count = order_hours_read(&count->walk, answer, count->walked);
    if (!job_run_answered(count->parts->run, answer, false))
        return;
    for (size_t i = 0; i < hour_count; i++)
        compare_hours_add_orders(count->hours, &count->walked[i]);
}

/* ---- steps ---- */

bool hour_count_step(struct hour_count *count)
{
    struct job_run *run = count->parts->run;
    switch (count->phase) {
    case COUNT_PREPARE:
        prepare(count);
        break;
    case COUNT_REFRESH:
        refresh(count);
        break;
    case COUNT_UNDATED:
        if (count->options.all)
            ask_undated(count);
        else
            next_step(count, COUNT_DOCUMENTS);
        break;
    case COUNT_DOCUMENTS:
        ask_documents(count);
        break;
    case COUNT_ORDERS:
        if (count->walk.ended) {
            if (!count->options.all) /* the walk may have found that created_at is in no order */
                count->options.by_time = !count->walk.by_key;
            return false;
        }
        job_run_sent(run, order_hours_next(run->database, &count->walk, on_order_hours, count));
        break;
    }
    return true;
}

bool hour_count_by_time(const struct hour_count *count)
{
    return count->options.by_time;
}

int64_t hour_count_undated(const struct hour_count *count)
{
    return count->undated;
}

struct hour_count *hour_count_new(const struct index_context *context, struct compare_parts *parts,
                                  struct compare_hours *hours,
                                  const struct hour_count_options *options)
{
    struct hour_count *count = memory_new(sizeof *count);
    count->context = context;
    count->parts = parts;
    count->hours = hours;
    count->options = *options;
    count->next_us = options->range.from_us;
    count->until_us = options->range.to_us;
    return count;
}

void hour_count_free(struct hour_count *count)
{
    if (count == NULL)
        return;
    created_at_index_free(count->created_at);
    order_walk_release(&count->walk);
    free(count);
}
