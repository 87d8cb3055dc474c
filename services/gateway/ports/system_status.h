/* Port: how the whole system is, for operators. The rules of all ports: order_cache.h. */
#ifndef GATEWAY_PORTS_SYSTEM_STATUS_H
#define GATEWAY_PORTS_SYSTEM_STATUS_H

#include <stddef.h>

/* The answer mostly comes within 1.2 s; it may be late on a machine that is overloaded, which is
 * when an operator asks. */
#define SYSTEM_STATUS_TIMEOUT_MS 3000

/* A JSON object: routes/admin_status.c. */
typedef void system_status_done_fn(void *arg, const char *json, size_t len);

struct system_status {
    void *self;

    /* It never fails: what cannot be told is null. */
    void (*ask)(void *self, system_status_done_fn *on_done, void *arg);
};

#endif
