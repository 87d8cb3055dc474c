/* How many bytes the requests of a process may take while they are received and answered. Its
 * servers share one budget. Any thread. */
#ifndef RUNTIME_BODY_BUDGET_H
#define RUNTIME_BODY_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct body_budget {
    size_t limit_bytes;
    atomic_size_t used_bytes;
};

/* Returns false, and takes nothing, when that would pass the limit. */
static inline bool body_budget_take(struct body_budget *budget, size_t bytes)
{
    size_t used = atomic_fetch_add_explicit(&budget->used_bytes, bytes, memory_order_relaxed);
    if (used + bytes <= budget->limit_bytes)
        return true;
    atomic_fetch_sub_explicit(&budget->used_bytes, bytes, memory_order_relaxed);
    return false;
}

static inline void body_budget_return(struct body_budget *budget, size_t bytes)
{
    atomic_fetch_sub_explicit(&budget->used_bytes, bytes, memory_order_relaxed);
}

#endif
