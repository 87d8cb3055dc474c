/* The frames of basic.publish (AMQP 0-9-1, 2.3.5 and 4.2.6): method, content header, body.
 * librabbitmq makes a system call for each of the three. */
#include "services/clients/rabbitmq/publish_batch.h"
#include "services/clients/rabbitmq/connection.h"
#include "services/clients/rabbitmq/publisher.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define FRAME_HEAD 7 /* type, channel, size */
#define FRAME_OVERHEAD (FRAME_HEAD + 1)
#define CONTENT_HEAD 12 /* class, weight, body size */

static unsigned char *write_number(unsigned char *p, uint64_t number, unsigned bytes)
{
    while (bytes-- > 0)
        *p++ = (unsigned char)(number >> (8 * bytes));
    return p;
}

/* The frame whose payload of `len` bytes stands behind the room for its head. Returns its end. */
static unsigned char *close_frame(unsigned char *frame, unsigned type, size_t len)
{
    unsigned char *p = write_number(frame, type, 1);
    p = write_number(p, BROKER_CHANNEL, 2);
    p = write_number(p, len, 4) + len;
    *p++ = AMQP_FRAME_END;
    return p;
}

static size_t room(const unsigned char *p, const unsigned char *end, size_t overhead)
{
    return (size_t)(end - p) > overhead ? (size_t)(end - p) - overhead : 0;
}

/* NULL: there is no room. */
static unsigned char *write_method(unsigned char *p, const unsigned char *end,
                                   amqp_basic_publish_t *publish)
{
    const size_t overhead = FRAME_OVERHEAD + 4;
    amqp_bytes_t arguments = {.len = room(p, end, overhead), .bytes = p + FRAME_HEAD + 4};
    int len = amqp_encode_method(AMQP_BASIC_PUBLISH_METHOD, publish, arguments);
    if (len < 0)
        return NULL;
    (void)write_number(p + FRAME_HEAD, AMQP_BASIC_PUBLISH_METHOD, 4);
    return close_frame(p, AMQP_FRAME_METHOD, 4 + (size_t)len);
}

static unsigned char *write_header(unsigned char *p, const unsigned char *end,
                                   amqp_basic_properties_t *properties, size_t body_len)
{
    const size_t overhead = FRAME_OVERHEAD + CONTENT_HEAD;
    amqp_bytes_t list = {.len = room(p, end, overhead), .bytes = p + FRAME_HEAD + CONTENT_HEAD};
    int len = amqp_encode_properties(AMQP_BASIC_CLASS, properties, list);
    if (len < 0)
        return NULL;
    unsigned char *payload = write_number(p + FRAME_HEAD, AMQP_BASIC_CLASS, 2);
    (void)write_number(write_number(payload, 0, 2), body_len, 8);
    return close_frame(p, AMQP_FRAME_HEADER, CONTENT_HEAD + (size_t)len);
}

static unsigned char *write_body(unsigned char *p, const unsigned char *end, const void *body,
                                 size_t len)
{
    if (len == 0)
        return p;
    if (room(p, end, FRAME_OVERHEAD) < len)
        return NULL;
    memcpy(p + FRAME_HEAD, body, len);
    return close_frame(p, AMQP_FRAME_BODY, len);
}

bool publish_batch_add(struct publish_batch *batch, const struct broker_connection *connection,
                       const struct publish_request *request)
{
    size_t frame_max = (size_t)amqp_get_frame_max(connection->amqp);
    if (connection->tls || request->body_len + FRAME_OVERHEAD > frame_max)
        return false;
    amqp_basic_publish_t publish = publish_method(request);
    amqp_basic_properties_t properties = publish_properties(request);
    const unsigned char *end = batch->bytes + sizeof batch->bytes;
    unsigned char *p = write_method(batch->bytes + batch->len, end, &publish);
    if (p)
        p = write_header(p, end, &properties, request->body_len);
    if (p)
        p = write_body(p, end, request->body, request->body_len);
    if (p)
        batch->len = (size_t)(p - batch->bytes);
    return p != NULL;
}

int publish_batch_write(struct publish_batch *batch, const struct broker_connection *connection)
{
    size_t written = 0, len = batch->len;
    batch->len = 0;
    while (written < len) {
        ssize_t count = send(connection->fd, batch->bytes + written, len - written, MSG_NOSIGNAL);
        if (count >= 0) {
            written += (size_t)count;
            continue;
        }
        struct pollfd pollfd = {.fd = connection->fd, .events = POLLOUT};
        bool full = errno == EAGAIN || errno == EWOULDBLOCK;
        if (errno != EINTR && !full)
            return AMQP_STATUS_SOCKET_ERROR;
        if (full && poll(&pollfd, 1, BROKER_USER_TIMEOUT_MS) == 0)
            return AMQP_STATUS_TIMEOUT;
    }
    return AMQP_STATUS_OK;
}
