/* Monotonic time: every deadline and duration is measured with it, so that a changed wall clock
 * moves none. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

int64_t clock_monotonic_ms(void);
int64_t clock_monotonic_us(void);

#endif
