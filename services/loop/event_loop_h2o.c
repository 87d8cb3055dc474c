/* Ties an event_loop to libh2o's evloop by one socket that never reads or writes. The socket has a
 * duplicate of the loop's descriptor, because h2o closes its own. */
#include "services/loop/event_loop_h2o.h"
#include <fcntl.h>
#include <stdlib.h>

static void on_readable(h2o_socket_t *socket, const char *err)
{
    (void)err; /* set only by reading, which this socket never does */
    event_loop_turn(socket->data, 0);
}

struct event_loop *event_loop_h2o_new(h2o_loop_t *evloop)
{
    struct event_loop *loop = event_loop_new();
    int fd = fcntl(event_loop_fd(loop), F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        abort();
    h2o_socket_t *socket = h2o_evloop_socket_create(evloop, fd, H2O_SOCKET_FLAG_DONT_READ);
    socket->data = loop;
    h2o_socket_read_start(socket, on_readable);
    *event_loop_driver(loop) = socket;
    return loop;
}

void event_loop_h2o_free(struct event_loop *loop)
{
    h2o_socket_close(*event_loop_driver(loop));
    event_loop_free(loop);
}
