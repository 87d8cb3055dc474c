/* The monotonic clock of a whole test program: it stands still, and moves only where the test moves
 * it. Deadlines are then tested to the millisecond, and no test waits for one. A program has this
 * clock when it is linked with the library test_clock. Every module and every library of the
 * program reads this clock, on any thread; timers of event loops expire by it. Not moved by it: the
 * kernel's own waits (such as the timeout of poll(2)), and the wall clock, by which libh2o's
 * timeouts go. */
#ifndef TESTS_TEST_CLOCK_H
#define TESTS_TEST_CLOCK_H

#include "tests/unit/support/real_time.h"
#include <stdint.h>

/* Let `ms` pass at once. Timers that are due then expire when their loops turn. */
void test_clock_advance(int64_t ms);

/* Let `ms` pass one by one, with a turn of a loop after each: for timers that start timers. */
#define test_clock_pass(ms, turn)                                                                  \
    do {                                                                                           \
        for (int64_t left_ms_ = (ms); left_ms_ > 0; left_ms_--) {                                  \
            test_clock_advance(1);                                                                 \
            turn;                                                                                  \
        }                                                                                          \
    } while (0)

/* A turn of a loop, with as much time as it took, 20 ms at most: no faster than the real clock, so
 * that other processes, such as PostgreSQL, keep the deadlines that go by this one. */
#define test_clock_turn(turn)                                                                      \
    do {                                                                                           \
        int64_t began_ms_ = real_time_ms();                                                        \
        turn;                                                                                      \
        int64_t took_ms_ = real_time_ms() - began_ms_;                                             \
        test_clock_advance(took_ms_ < 20 ? took_ms_ : 20);                                         \
    } while (0)

#endif
