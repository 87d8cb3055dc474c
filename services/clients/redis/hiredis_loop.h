/* hiredis' asynchronous interface on a gateway's loop. Commands are written once per turn of the
 * loop, all that have gathered in one write. */
#ifndef CLIENTS_REDIS_HIREDIS_LOOP_H
#define CLIENTS_REDIS_HIREDIS_LOOP_H

#include "services/loop/event_loop.h"
#include <h2o.h>
#include <hiredis/async.h>

struct hiredis_loop {
    h2o_loop_t *evloop;
    struct event_loop *events;
    redisAsyncContext *context; /* attached, or NULL */
    struct loop_watch *watch;
    bool want_read, want_write;
    h2o_timeout_t turn; /* zero: runs at the end of this turn of the loop */
    h2o_timeout_entry_t flush;
    bool flushing;
    void (*on_flushed)(void *arg);
    void *arg;
};

/* Both loops stay the caller's. `on_flushed` is called at the end of a turn that had commands. */
void hiredis_loop_init(struct hiredis_loop *loop, h2o_loop_t *evloop, struct event_loop *events,
                       void (*on_flushed)(void *arg), void *arg);

/* After the context is gone. */
void hiredis_loop_release(struct hiredis_loop *loop);

/* Serve the context, one at a time, until it is about to be freed. */
void hiredis_loop_attach(struct hiredis_loop *loop, redisAsyncContext *context);

#endif
