/* Waiting in real time, for what other threads and processes do. */
#ifndef TESTS_REAL_TIME_H
#define TESTS_REAL_TIME_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define PATIENCE_MS 120000 /* only a hang takes so long, also under a sanitizer on busy cores */

/* It passes under test_clock.h too. */
static inline int64_t real_time_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Take `step` (such as a turn of a loop) again and again until `condition` holds; the test fails
 * when that takes longer than PATIENCE_MS. */
#define wait_until(condition, step)                                                                \
    do {                                                                                           \
        int64_t end_ms_ = real_time_ms() + PATIENCE_MS;                                            \
        while (!(condition)) {                                                                     \
            if (real_time_ms() > end_ms_)                                                          \
                fail_msg("waited in vain for %s", #condition);                                     \
            step;                                                                                  \
        }                                                                                          \
    } while (0)

#endif
