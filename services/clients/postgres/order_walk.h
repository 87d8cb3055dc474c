/* A walk over the orders whose created_at lies in a range, in steps that are short whatever the
 * table is like. Either it goes by time, for which there must be an index on created_at, or by key,
 * over the whole table. Its steps adapt to how long they take. A walk by time whose steps take long
 * all the same goes on by key: the table is not in the order of created_at, so a BRIN is of no use.
 */
#ifndef CLIENTS_POSTGRES_ORDER_WALK_H
#define CLIENTS_POSTGRES_ORDER_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ORDER_HOUR_US (INT64_C(3600) * 1000000) /* hours are of UTC */

struct order_walk {
    bool ended; /* all rows were read */

    /* Private. */
    bool by_key;
    int64_t from_us, to_us;
    int64_t out_from_us, out_to_us; /* this is left out; nothing if they are the same */
    const int64_t *hours_us;
    size_t hour_count;
    int64_t at_us, until_us; /* by time: the step under way is from the one to the other */
    char *after;  /* behind the row of this id; by time, of the rows of `at_us`; NULL: none yet */
    int64_t step; /* how large the next one is: microseconds, or rows */
    int64_t begun_ms; /* when the step under way was begun */
    unsigned in_vain; /* by time: steps in a row that took long for few rows */
};

/* A walk from `from_us` to `to_us` (excluded), years 1 to 9999. `hours_us`: only over these hours
 * of the range, their beginnings, sorted, which stay the caller's and are kept; NULL: over all. */
void order_walk_init(struct order_walk *walk, bool by_key, int64_t from_us, int64_t to_us,
                     const int64_t *hours_us, size_t hour_count);
/* Leave out what was created from `from_us` to `to_us` (excluded); at most once, before the first
 * step. */
void order_walk_leave_out(struct order_walk *walk, int64_t from_us, int64_t to_us);
void order_walk_release(struct order_walk *walk);

/* ---- inside the database module ---- */

/* Where the steps of a walk begin and end: time in microseconds, and rows by key. */
#define ORDER_WALK_TIME_MAX (ORDER_HOUR_US * 24 * 366)
#define ORDER_WALK_KEYS_MAX 20000

int64_t order_hour_of(int64_t us);

/* Whether the hour that begins then is one that is walked over. */
bool order_walk_wants(const struct order_walk *walk, int64_t hour_us);

/* Begin a step, of a walk that has not ended. By time, it is from `at_us` to `until_us`, and behind
 * the row `after` of `at_us`; by key, it is `step` rows behind the row `after`. */
void order_walk_begin(struct order_walk *walk);

/* The step is read to its end: by time; or by key, where it had so many rows, of which `last` was
 * the last one. */
void order_walk_end_time(struct order_walk *walk);
void order_walk_end_keys(struct order_walk *walk, int64_t rows, const char *last);

/* It is read to this row, which was created then. */
void order_walk_pause(struct order_walk *walk, const char *id, int64_t created_at_us);

#define ORDER_WALK_FEW_ROWS 500
enum order_walk_found {
    ORDER_WALK_FEW,  /* rows: the next step may be larger; few are fewer than ORDER_WALK_FEW_ROWS */
    ORDER_WALK_SOME, /* the next step may be larger */
    ORDER_WALK_ENOUGH,   /* the next one is to find as many */
    ORDER_WALK_MANY,     /* more than it may read */
    ORDER_WALK_TOO_LONG, /* nothing: the step was canceled */
};

/* How large the next step is to be, after one that found so much. */
void order_walk_adapt(struct order_walk *walk, enum order_walk_found found);

#endif
