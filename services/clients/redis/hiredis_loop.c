/* The event hooks of a hiredis context (hiredis/async.h, `ev`). */
#include "services/clients/redis/hiredis_loop.h"
#include <sys/ioctl.h>

#define READS_AT_ONCE 64

static void on_ready(void *arg, bool readable, bool writable)
{
    struct hiredis_loop *loop = arg;
    redisAsyncContext *context = loop->context;
    if (writable)
        redisAsyncHandleWrite(context);
    if (readable && loop->context == context)
        redisAsyncHandleRead(context); /* 16 KiB; for what is left there is another turn */
}

static bool has_unread(const struct hiredis_loop *loop)
{
    int unread = 0;
    return loop->context != NULL && ioctl(loop->context->c.fd, FIONREAD, &unread) == 0 &&
           unread > 0;
}

void hiredis_loop_read(struct hiredis_loop *loop)
{
    for (unsigned i = 0; i < READS_AT_ONCE && has_unread(loop); i++)
        redisAsyncHandleRead(loop->context);
}

static void want(struct hiredis_loop *loop, bool read, bool write)
{
    loop->want_read = read;
    loop->want_write = write;
    if (loop->watch != NULL)
        loop_watch_want(loop->watch, read, write);
}

static void add_read(void *arg)
{
    struct hiredis_loop *loop = arg;
    want(loop, true, loop->want_write);
}

static void del_read(void *arg)
{
    struct hiredis_loop *loop = arg;
    want(loop, false, loop->want_write);
}

/* When connecting, or when a write was partial, the socket must become writable first. Else the
 * commands are written by hiredis_loop_flush(). */
static void add_write(void *arg)
{
    struct hiredis_loop *loop = arg;
    bool connected = loop->context != NULL && (loop->context->c.flags & REDIS_CONNECTED) != 0;
    if (!connected || loop->flushing)
        want(loop, loop->want_read, true);
    else
        loop->unwritten = true;
}

static void del_write(void *arg)
{
    struct hiredis_loop *loop = arg;
    if (loop->want_write)
        want(loop, loop->want_read, false);
}

void hiredis_loop_flush(struct hiredis_loop *loop)
{
    if (!loop->unwritten)
        return;
    loop->unwritten = false;
    loop->flushing = true;
    redisAsyncHandleWrite(loop->context);
    loop->flushing = false;
    loop->on_flushed(loop->arg);
}

/* hiredis is about to close the socket. */
static void on_cleanup(void *arg)
{
    struct hiredis_loop *loop = arg;
    loop_watch_free(loop->watch);
    loop->watch = NULL;
    loop->context = NULL;
    loop->want_read = loop->want_write = loop->unwritten = false;
}

void hiredis_loop_init(struct hiredis_loop *loop, struct event_loop *events,
                       void (*on_flushed)(void *arg), void *arg)
{
    *loop = (struct hiredis_loop){.events = events, .on_flushed = on_flushed, .arg = arg};
}

void hiredis_loop_attach(struct hiredis_loop *loop, redisAsyncContext *context)
{
    loop->context = context;
    loop->watch = event_loop_watch(loop->events, context->c.fd, on_ready, loop);
    context->ev.data = loop;
    context->ev.addRead = add_read;
    context->ev.delRead = del_read;
    context->ev.addWrite = add_write;
    context->ev.delWrite = del_write;
    context->ev.cleanup = on_cleanup;
}
