/* A limit of bytes that all threads of the process share. Any thread. */
#ifndef BASE_BYTE_BUDGET_H
#define BASE_BYTE_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct byte_budget {
    size_t limit_bytes;
    atomic_size_t used_bytes;
};

/* Returns false, and takes nothing, when that would pass the limit. */
static inline bool byte_budget_take(struct byte_budget *budget, size_t bytes)
{
    size_t used = atomic_fetch_add_explicit(&budget->used_bytes, bytes, memory_order_relaxed);
    if (used + bytes <= budget->limit_bytes)
        return true;
    atomic_fetch_sub_explicit(&budget->used_bytes, bytes, memory_order_relaxed);
    return false;
}

static inline void byte_budget_return(struct byte_budget *budget, size_t bytes)
{
    atomic_fetch_sub_explicit(&budget->used_bytes, bytes, memory_order_relaxed);
}

#endif
