/* Exponential backoff with full jitter: processes that lost the same server at the same moment come
 * back at different moments. */
#include "services/base/backoff.h"
#include <limits.h>

int64_t backoff_next_ms(struct backoff *backoff, uint32_t random)
{
    int64_t high = backoff->base_ms < backoff->cap_ms ? backoff->base_ms : backoff->cap_ms;
    for (unsigned i = 0; i < backoff->failures && i < 63 && high < backoff->cap_ms; i++)
        high = high <= backoff->cap_ms / 2 ? high * 2 : backoff->cap_ms;
    int64_t low = backoff->base_ms / 2 < high ? backoff->base_ms / 2 : high;

    if (backoff->failures < UINT_MAX)
        backoff->failures++;
    return low + (int64_t)(((uint64_t)(high - low) + 1) * random >> 32);
}

void backoff_reset(struct backoff *backoff)
{
    backoff->failures = 0;
}
