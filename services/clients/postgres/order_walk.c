/* A walk by time reads slices of time; behind a full page it goes on at the last row's instant,
 * behind its id. A walk by key reads so many rows from a key on, whatever their created_at is, and
 * keeps those of its range: then a step is as short on a table without another index, and on a view
 * or a partitioned table. Either grows its steps while they are quick. */
#include "services/clients/postgres/order_walk.h"
#include "services/base/clock.h"
#include "services/base/memory.h"
#include <assert.h>
#include <stdlib.h>

#define QUICK_MS 100 /* a quicker step makes the next one larger, */
#define SLOW_MS 400  /* a slower one smaller */

#define TIME_STEP_FIRST (INT64_C(600) * 1000000)
#define TIME_STEP_MIN 1000
#define TIME_STEP_SHORT 1000000 /* no statement should be canceled that reads so much */
#define IN_VAIN_MAX 5
#define KEY_STEP_FIRST 2000
#define KEY_STEP_MIN 200

int64_t order_hour_of(int64_t us)
{
    int64_t hour = us / ORDER_HOUR_US;
    return (us % ORDER_HOUR_US < 0 ? hour - 1 : hour) * ORDER_HOUR_US;
}

/* The first wanted hour that is not before this one, or NULL. */
static const int64_t *wanted_hour(const struct order_walk *walk, int64_t hour_us)
{
    size_t first = 0, end = walk->hour_count;
    while (first < end) {
        size_t middle = first + (end - first) / 2;
        if (walk->hours_us[middle] < hour_us)
            first = middle + 1;
        else
            end = middle;
    }
    return first < walk->hour_count ? &walk->hours_us[first] : NULL;
}

bool order_walk_wants(const struct order_walk *walk, int64_t hour_us)
{
    const int64_t *hour = walk->hours_us != NULL ? wanted_hour(walk, hour_us) : &hour_us;
    return hour != NULL && *hour == hour_us;
}

/* This instant, or the next one that is in a wanted hour. */
static int64_t wanted_from(const struct order_walk *walk, int64_t us)
{
    if (walk->hours_us == NULL)
        return us;
    const int64_t *hour = wanted_hour(walk, order_hour_of(us));
    return hour == NULL ? walk->to_us : *hour > us ? *hour : us;
}

/* By time: the walk goes on from this instant, or from the next one that is wanted. */
static void move_to(struct order_walk *walk, int64_t us)
{
    free(walk->after);
    walk->after = NULL;
    us = wanted_from(walk, us);
    if (us >= walk->out_from_us && us < walk->out_to_us)
        us = wanted_from(walk, walk->out_to_us);
    walk->at_us = us;
    walk->ended = us >= walk->to_us;
}

/* By time: the end of the step, no further than the hours reach that are wanted without a gap. */
static int64_t step_end(const struct order_walk *walk)
{
    int64_t end_us =
        walk->step < walk->to_us - walk->at_us ? walk->at_us + walk->step : walk->to_us;
    if (walk->at_us < walk->out_from_us && walk->out_from_us < end_us)
        end_us = walk->out_from_us;
    if (walk->hours_us == NULL)
        return end_us;
    const int64_t *hour = wanted_hour(walk, order_hour_of(walk->at_us)),
                  *last = walk->hours_us + walk->hour_count - 1;
    while (hour < last && *hour + ORDER_HOUR_US < end_us && hour[1] == *hour + ORDER_HOUR_US)
        hour++;
    return *hour + ORDER_HOUR_US < end_us ? *hour + ORDER_HOUR_US : end_us;
}

void order_walk_init(struct order_walk *walk, bool by_key, int64_t from_us, int64_t to_us,
                     const int64_t *hours_us, size_t hour_count)
{
    *walk = (struct order_walk){
        .by_key = by_key,
        .from_us = from_us,
        .to_us = to_us,
        .hours_us = hours_us,
        .out_from_us = to_us,
        .out_to_us = to_us,
        .hour_count = hour_count,
        .step = by_key ? KEY_STEP_FIRST : TIME_STEP_FIRST,
    };
    move_to(walk, from_us); /* which also sees that there is nothing to read */
}

void order_walk_leave_out(struct order_walk *walk, int64_t from_us, int64_t to_us)
{
    walk->out_from_us = from_us;
    walk->out_to_us = to_us;
    move_to(walk, walk->from_us);
}

void order_walk_release(struct order_walk *walk)
{
    free(walk->after);
    walk->after = NULL;
}

void order_walk_begin(struct order_walk *walk)
{
    assert(!walk->ended);
    walk->begun_ms = clock_monotonic_ms();
    if (!walk->by_key)
        walk->until_us = step_end(walk);
}

void order_walk_end_time(struct order_walk *walk)
{
    move_to(walk, walk->until_us);
}

static void set_after(struct order_walk *walk, const char *id)
{
    free(walk->after);
    walk->after = memory_copy_text(id);
}

void order_walk_end_keys(struct order_walk *walk, int64_t rows, const char *last)
{
    walk->ended = rows < walk->step;
    set_after(walk, last);
}

void order_walk_pause(struct order_walk *walk, const char *id, int64_t created_at_us)
{
    set_after(walk, id);
    if (!walk->by_key)
        walk->at_us = created_at_us;
}

/* What was read by time is not read again, but for rows of the instant `at_us`. */
static void go_on_by_key(struct order_walk *walk)
{
    walk->by_key = true;
    walk->from_us = walk->at_us;
    walk->step = KEY_STEP_FIRST;
    free(walk->after);
    walk->after = NULL;
}

void order_walk_adapt(struct order_walk *walk, enum order_walk_found found)
{
    int64_t took_ms = clock_monotonic_ms() - walk->begun_ms;
    int64_t min = walk->by_key ? KEY_STEP_MIN : TIME_STEP_MIN,
            max = walk->by_key ? ORDER_WALK_KEYS_MAX : ORDER_WALK_TIME_MAX;
    bool canceled = found == ORDER_WALK_TOO_LONG, slow = took_ms > SLOW_MS && !canceled;
    bool in_vain = canceled ? walk->step < TIME_STEP_SHORT : slow && found == ORDER_WALK_FEW;
    if (canceled)
        walk->step /= 4;
    else if (slow || found == ORDER_WALK_MANY)
        walk->step /= 2;
    else if (took_ms < QUICK_MS && found != ORDER_WALK_ENOUGH)
        walk->step *= 2;
    walk->step = walk->step < min ? min : walk->step > max ? max : walk->step;
    walk->in_vain = in_vain && !walk->by_key ? walk->in_vain + 1 : 0;
    if (walk->in_vain == IN_VAIN_MAX && !walk->ended)
        go_on_by_key(walk);
}
