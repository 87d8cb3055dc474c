/* hiredis' asynchronous interface on an event loop. Commands are written once in a turn of the
 * loop, all that have gathered in one write. */
#ifndef CLIENTS_REDIS_HIREDIS_LOOP_H
#define CLIENTS_REDIS_HIREDIS_LOOP_H

#include "services/loop/event_loop.h"
#include <hiredis/async.h>
#include <stdbool.h>

struct hiredis_loop {
    struct event_loop *events;
    redisAsyncContext *context; /* attached, or NULL */
    struct loop_watch *watch;
    bool want_read, want_write;
    bool unwritten; /* commands */
    bool flushing;
    void (*on_flushed)(void *arg);
    void *arg;
};

/* `events` stays the caller's. `on_flushed` is called when hiredis_loop_flush() has written. */
void hiredis_loop_init(struct hiredis_loop *loop, struct event_loop *events,
                       void (*on_flushed)(void *arg), void *arg);

/* Serve the context, one at a time, until it is about to be freed. */
void hiredis_loop_attach(struct hiredis_loop *loop, redisAsyncContext *context);

/* Read all replies that have come, before it is said that one has not. The context may be gone
 * afterwards. */
void hiredis_loop_read(struct hiredis_loop *loop);

/* Write the commands of a turn; before the loop waits for the next one. */
void hiredis_loop_flush(struct hiredis_loop *loop);

#endif
