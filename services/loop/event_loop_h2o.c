/* event_loop on libh2o's evloop: one socket that never reads or writes, on a duplicate of the epoll
 * descriptor because h2o closes its own. */
#include "services/loop/event_loop_h2o.h"
#include "services/base/memory.h"
#include "services/loop/event_loop_core.h"
#include <fcntl.h>
#include <stdlib.h>

struct event_loop_h2o {
    struct event_loop core; /* first: a pointer to one is a pointer to the other */
    h2o_socket_t *socket;
};

static void on_readable(h2o_socket_t *socket, const char *err)
{
    (void)err; /* set only by reading, which this socket never does */
    event_loop_turn(socket->data, 0);
}

struct event_loop *event_loop_h2o_new(h2o_loop_t *evloop)
{
    struct event_loop_h2o *loop = memory_new(sizeof(*loop));
    event_loop_init(&loop->core);
    int fd = fcntl(loop->core.epoll_fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        abort();
    loop->socket = h2o_evloop_socket_create(evloop, fd, H2O_SOCKET_FLAG_DONT_READ);
    loop->socket->data = &loop->core;
    h2o_socket_read_start(loop->socket, on_readable);
    return &loop->core;
}

void event_loop_h2o_free(struct event_loop *core)
{
    if (core == NULL)
        return;
    struct event_loop_h2o *loop = (struct event_loop_h2o *)core;
    h2o_socket_close(loop->socket);
    event_loop_release(&loop->core);
    free(loop);
}
