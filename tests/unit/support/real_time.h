/* Time as it passes for the test itself, whatever time the modules under test are told. */
#ifndef TESTS_REAL_TIME_H
#define TESTS_REAL_TIME_H

#include <stdint.h>
#include <time.h>

#define PATIENCE_MS 30000 /* only a hang takes so long */

static inline int64_t real_time_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

#endif
