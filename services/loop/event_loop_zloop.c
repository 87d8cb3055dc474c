/* event_loop on czmq's zloop: one poller on the epoll descriptor. */
#include "services/loop/event_loop_zloop.h"
#include "services/base/memory.h"
#include "services/loop/event_loop_core.h"
#include <stdlib.h>

struct event_loop_zloop {
    struct event_loop core; /* first: a pointer to one is a pointer to the other */
    zloop_t *zloop;
    struct loop_timer *stop_timer; /* brings a stop into a callback that zloop listens to */
    bool stopped;
};

static zmq_pollitem_t poll_item(const struct event_loop *core)
{
    return (zmq_pollitem_t){.fd = core->epoll_fd, .events = ZMQ_POLLIN};
}

static int on_readable(zloop_t *zloop, zmq_pollitem_t *item, void *arg)
{
    (void)zloop;
    (void)item;
    struct event_loop_zloop *loop = arg;
    loop->stopped = false;
    event_loop_turn(&loop->core, 0);
    return loop->stopped ? -1 : 0;
}

static void on_stop(void *arg)
{
    struct event_loop_zloop *loop = arg;
    loop->stopped = true;
}

struct event_loop *event_loop_zloop_new(zloop_t *zloop)
{
    struct event_loop_zloop *loop = memory_new(sizeof(*loop));
    event_loop_init(&loop->core);
    loop->zloop = zloop;
    loop->stop_timer = event_loop_timer(&loop->core, on_stop, loop);
    zmq_pollitem_t item = poll_item(&loop->core);
    if (zloop_poller(zloop, &item, on_readable, loop) != 0)
        abort();
    zloop_poller_set_tolerant(zloop, &item);
    return &loop->core;
}

void event_loop_zloop_free(struct event_loop *core)
{
    if (core == NULL)
        return;
    struct event_loop_zloop *loop = (struct event_loop_zloop *)core;
    zmq_pollitem_t item = poll_item(core);
    zloop_poller_end(loop->zloop, &item);
    loop_timer_free(loop->stop_timer);
    event_loop_release(core);
    free(loop);
}

void event_loop_zloop_stop(struct event_loop *core)
{
    struct event_loop_zloop *loop = (struct event_loop_zloop *)core;
    loop_timer_start(loop->stop_timer, 0);
}
