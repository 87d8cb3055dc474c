/* Orders and documents by the hour of their created_at: which hours differ. A table in memory,
 * without input or output. */
#ifndef SCHEDULER_INDEX_COMPARE_HOURS_H
#define SCHEDULER_INDEX_COMPARE_HOURS_H

#include "services/clients/postgres/order_hours.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COMPARE_HOURS_MAX 200000 /* with an order or a document; 22 years without a gap */

struct compare_hour {
    int64_t start_us;
    int64_t orders, cents, magnitude_cents; /* as of struct order_hour */
    int64_t documents;
    double amount; /* of the documents */
};

struct compare_hours {
    struct compare_hour *hours; /* ascending after compare_hours_settle(), one for each hour */
    size_t count, capacity;
    int64_t orders, documents; /* of all hours */
    bool too_many;             /* hours: not all are in the table */
};

void compare_hours_release(struct compare_hours *hours);

/* Add to an hour, again and again, in any order. */
void compare_hours_add_orders(struct compare_hours *hours, const struct order_hour *hour);
void compare_hours_add_documents(struct compare_hours *hours, int64_t start_us, int64_t documents,
                                 double amount);

/* After the last, before what is below. Returns 0, or -1 when there are more than
 * COMPARE_HOURS_MAX. */
int compare_hours_settle(struct compare_hours *hours) __attribute__((warn_unused_result));

/* How hours are compared. */
struct compare_choice {
    bool every;       /* look into every hour, else into those whose count or sum differs */
    bool floats;      /* the index keeps amounts as float, whose sum is not exact */
    bool counts_only; /* it has no sums */
};

/* Does the hour's count or sum differ? */
bool compare_hour_differs(const struct compare_hour *hour, struct compare_choice choice);

/* Some hours that follow each other in the table, to be looked into at once. */
struct compare_span {
    size_t first, end;      /* in the table */
    int64_t from_us, to_us; /* `to_us` is excluded */
};

/* Which instants of created_at are compared: from `from_us` to `to_us` (excluded), and from
 * `later_us` on. An hour at least lies between the two, of which the table has nothing. */
struct compare_range {
    int64_t from_us, to_us;
    int64_t later_us; /* INT64_MAX: only the former */
};

bool compare_range_has(const struct compare_range *range, int64_t us);
/* Cut off what a span has outside the range: its ends. */
void compare_range_clip(const struct compare_range *range, struct compare_span *span);

/* The next span at `at` or after it, and before `end`: hours to look into without a gap, `longest`
 * at most; or, with `longest` 0, all from the first to the last, gaps included. Returns false when
 * there is none. */
bool compare_hours_next(const struct compare_hours *hours, struct compare_choice choice, size_t at,
                        size_t end, size_t longest, struct compare_span *ret_span);

/* Does an hour of the span differ? */
bool compare_hours_differ(const struct compare_hours *hours, struct compare_choice choice,
                          const struct compare_span *span);

/* Where an hour has more orders than documents, or more documents: how many, of all hours. */
int64_t compare_hours_lacking(const struct compare_hours *hours);
int64_t compare_hours_surplus(const struct compare_hours *hours);

/* Orders in hours to look into. */
int64_t compare_hours_lookups(const struct compare_hours *hours, struct compare_choice choice);

/* Write the beginnings of the hours of the span that are to be looked into; returns how many. */
size_t compare_hours_list(const struct compare_hours *hours, struct compare_choice choice,
                          const struct compare_span *span, int64_t *starts_us);

#endif
