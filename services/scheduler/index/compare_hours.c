/* Additions are appended. When the array is full, it is sorted and the entries of the same hour
 * become one, so that its size follows the number of hours. */
#include "services/scheduler/index/compare_hours.h"
#include "proto/timestamp.h"
#include "services/base/memory.h"
#include <math.h>
#include <stdlib.h>

#define CAPACITY_MIN 1024
/* Half the last place of a float, relative to the number: what each amount may be off. */
#define FLOAT_ERROR 6e-8
/* Of a sum of doubles: far more than Elasticsearch's sums, which are compensated, are off. */
#define DOUBLE_ERROR 1e-13

void compare_hours_release(struct compare_hours *hours)
{
    free(hours->hours);
    *hours = (struct compare_hours){.hours = NULL};
}

static int by_start(const void *a, const void *b)
{
    int64_t left = ((const struct compare_hour *)a)->start_us,
            right = ((const struct compare_hour *)b)->start_us;
    return (left > right) - (left < right);
}

static void merge(struct compare_hours *hours)
{
    size_t kept = 0;
    if (hours->count > 0)
        qsort(hours->hours, hours->count, sizeof *hours->hours, by_start);
    for (size_t i = 0; i < hours->count; i++) {
        const struct compare_hour *from = &hours->hours[i];
        if (kept == 0 || hours->hours[kept - 1].start_us != from->start_us) {
            hours->hours[kept++] = *from;
            continue;
        }
        struct compare_hour *to = &hours->hours[kept - 1];
        to->orders += from->orders;
        to->cents += from->cents;
        to->magnitude_cents += from->magnitude_cents;
        to->documents += from->documents;
        to->amount += from->amount;
    }
    hours->count = kept;
}

static void add(struct compare_hours *hours, const struct compare_hour *hour)
{
    hours->orders += hour->orders;
    hours->documents += hour->documents;
    if (hours->count == hours->capacity) {
        if (!hours->too_many)
            merge(hours);
        hours->too_many |= hours->count > COMPARE_HOURS_MAX;
        if (hours->too_many)
            return; /* settling fails */
        if (2 * hours->count >= hours->capacity) {
            hours->capacity = hours->capacity == 0 ? CAPACITY_MIN : 2 * hours->capacity;
            hours->hours = memory_resize(hours->hours, hours->capacity * sizeof *hours->hours);
        }
    }
    hours->hours[hours->count++] = *hour;
}

void compare_hours_add_orders(struct compare_hours *hours, const struct order_hour *hour)
{
    add(hours, &(struct compare_hour){.start_us = hour->start_us,
                                      .orders = hour->orders,
                                      .cents = hour->sum_cents,
                                      .magnitude_cents = hour->magnitude_cents});
}

void compare_hours_add_documents(struct compare_hours *hours, int64_t start_us, int64_t documents,
                                 double amount)
{
    add(hours,
        &(struct compare_hour){.start_us = start_us, .documents = documents, .amount = amount});
}

int compare_hours_settle(struct compare_hours *hours)
{
    merge(hours);
    return hours->too_many || hours->count > COMPARE_HOURS_MAX ? -1 : 0;
}

bool compare_hour_differs(const struct compare_hour *hour, struct compare_choice choice)
{
    if (hour->orders != hour->documents)
        return true;
    if (choice.counts_only)
        return false;
    double off = fabs((double)hour->cents / 100 - hour->amount),
           error =
               (double)hour->magnitude_cents / 100 * (choice.floats ? FLOAT_ERROR : DOUBLE_ERROR);
    return !(off < 0.005 + error); /* a NaN differs */
}

bool compare_range_has(const struct compare_range *range, int64_t us)
{
    return us >= range->from_us && (us < range->to_us || us >= range->later_us);
}

void compare_range_clip(const struct compare_range *range, struct compare_span *span)
{
    int64_t end_us = span->to_us > range->later_us ? TIMESTAMP_MAX_US : range->to_us;
    if (span->from_us < range->from_us)
        span->from_us = range->from_us;
    if (span->to_us > end_us)
        span->to_us = end_us;
}

static bool chosen(const struct compare_hour *hour, struct compare_choice choice)
{
    return choice.every || compare_hour_differs(hour, choice);
}

bool compare_hours_next(const struct compare_hours *hours, struct compare_choice choice, size_t at,
                        size_t end, size_t longest, struct compare_span *ret_span)
{
    while (at < end && !chosen(&hours->hours[at], choice))
        at++;
    if (at >= end)
        return false;
    size_t behind = at + 1;
    if (longest == 0)
        for (size_t i = behind; i < end; i++)
            behind = chosen(&hours->hours[i], choice) ? i + 1 : behind;
    else
        while (behind < end && behind - at < longest && chosen(&hours->hours[behind], choice) &&
               hours->hours[behind].start_us == hours->hours[behind - 1].start_us + ORDER_HOUR_US)
            behind++;
    *ret_span = (struct compare_span){.first = at,
                                      .end = behind,
                                      .from_us = hours->hours[at].start_us,
                                      .to_us = hours->hours[behind - 1].start_us + ORDER_HOUR_US};
    return true;
}

bool compare_hours_differ(const struct compare_hours *hours, struct compare_choice choice,
                          const struct compare_span *span)
{
    for (size_t i = span->first; i < span->end; i++)
        if (compare_hour_differs(&hours->hours[i], choice))
            return true;
    return false;
}

int64_t compare_hours_lacking(const struct compare_hours *hours)
{
    int64_t lacking = 0;
    for (size_t i = 0; i < hours->count; i++)
        if (hours->hours[i].orders > hours->hours[i].documents)
            lacking += hours->hours[i].orders - hours->hours[i].documents;
    return lacking;
}

int64_t compare_hours_surplus(const struct compare_hours *hours)
{
    return hours->documents - hours->orders + compare_hours_lacking(hours);
}

int64_t compare_hours_lookups(const struct compare_hours *hours, struct compare_choice choice)
{
    int64_t lookups = 0;
    for (size_t i = 0; i < hours->count; i++)
        if (chosen(&hours->hours[i], choice))
            lookups += hours->hours[i].orders;
    return lookups;
}

size_t compare_hours_list(const struct compare_hours *hours, struct compare_choice choice,
                          const struct compare_span *span, int64_t *starts_us)
{
    size_t count = 0;
    for (size_t i = span->first; i < span->end; i++)
        if (chosen(&hours->hours[i], choice))
            starts_us[count++] = hours->hours[i].start_us;
    return count;
}
