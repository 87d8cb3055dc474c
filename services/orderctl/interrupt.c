/* A flag that a signal sets. */
#include "services/orderctl/interrupt.h"
#include "services/base/clock.h"
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define SLICE_MS 50

static volatile sig_atomic_t asked;

static void on_signal(int signal_number)
{
    (void)signal_number;
    asked = 1;
}

void interrupt_watch(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    if (sigaction(SIGINT, &action, NULL) != 0 || sigaction(SIGTERM, &action, NULL) != 0)
        abort();
}

bool interrupt_asked(void)
{
    return asked != 0;
}

bool interrupt_sleep_ms(int64_t ms)
{
    int64_t end_ms = clock_monotonic_ms() + ms, left_ms;
    while (!interrupt_asked() && (left_ms = end_ms - clock_monotonic_ms()) > 0) {
        int64_t slice_ms = left_ms < SLICE_MS ? left_ms : SLICE_MS;
        struct timespec slice = {.tv_nsec = slice_ms * 1000000};
        (void)nanosleep(&slice, NULL); /* less after a signal, which the loop looks at */
    }
    return interrupt_asked();
}
