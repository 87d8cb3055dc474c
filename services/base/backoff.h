/* Exponential backoff with full jitter. A plain value; the randomness comes in, so that it can be
 * simulated. */
#ifndef BASE_BACKOFF_H
#define BASE_BACKOFF_H

#include <stdint.h>

struct backoff {
    int64_t base_ms;
    int64_t cap_ms;
    unsigned failures; /* in a row */
};

/* How long to wait after one more failure: uniform in [base/2 .. min(cap, base·2^failures)] with
 * the failures before it, so the first wait is at most base. `random` is any uniform 32-bit number.
 */
int64_t backoff_next_ms(struct backoff *backoff, uint32_t random);

/* Forget the failures. */
void backoff_reset(struct backoff *backoff);

#endif
