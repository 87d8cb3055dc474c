/* Port: a refresh of the daily sales on request (the scheduler service in production). The rules of
 * all ports: order_cache.h. */
#ifndef GATEWAY_PORTS_SALES_REFRESH_H
#define GATEWAY_PORTS_SALES_REFRESH_H

#include <stdint.h>

/* Two refreshes in a row (one that was running already, and the next) of 5 minutes each. */
#define SALES_REFRESH_TIMEOUT_MS (INT64_C(605) * 1000)

enum sales_refresh_status {
    SALES_REFRESH_DONE,        /* every order committed before the call is in it */
    SALES_REFRESH_FAILED,      /* it was tried and failed */
    SALES_REFRESH_UNAVAILABLE, /* no scheduler can be reached */
    SALES_REFRESH_TIMEOUT,     /* no answer in time; it may still happen */
};

typedef void sales_refresh_done_fn(void *arg, enum sales_refresh_status status);

struct sales_refresh {
    void *self;

    /* Ask for a refresh that begins after this call. Returns -1 at once when too many callers wait
     * already. */
    int (*refresh)(void *self, sales_refresh_done_fn *on_done, void *arg);
};

#endif
