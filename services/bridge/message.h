/* One message as it came out of the queue: the body (cut to what is kept), everything that its dead
 * letter must carry, and the order in it or the reason why there is none. Counted references: the
 * flow holds one, each dead letter on its way another; all of them on the bridge's thread. */
#ifndef BRIDGE_MESSAGE_H
#define BRIDGE_MESSAGE_H

#include "proto/error.h"
#include "proto/order.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MESSAGE_LARGE_BYTES (64u << 10) /* more than any order has: such are kept count of */
#define MESSAGE_KEEP_BYTES (1u << 20)   /* of a body; the rest is only counted */

/* What is known before the body arrives. Copied by message_new(). */
struct message_head {
    uint64_t body_size;     /* true size, bytes */
    const void *properties; /* as encoded on the wire: AMQP 0-9-1, 4.2.6.1 */
    size_t properties_len;
    const char *message_id; /* NULL: it has none. Not terminated, as those below. */
    size_t message_id_len;
    const char *exchange; /* where it was published to */
    size_t exchange_len;
    const char *routing_key;
    size_t routing_key_len;
};

struct message {
    struct message_head head; /* pointing into this allocation */
    const char *fault; /* why this is no order: "malformed", …; static; NULL when it is one */
    struct error fault_detail;
    struct order *order; /* only order_size() bytes of one; NULL when there is a fault */
    uint64_t received;   /* bytes of the body so far */
    size_t body_len;     /* bytes kept of it */
    unsigned references;
    size_t *large_bytes; /* set when this is a large one */
    unsigned char *body;
};

/* A message with one reference and no body yet. `large_bytes` is the memory that live messages take
 * whose body and properties are together over MESSAGE_LARGE_BYTES; it must outlive the message. */
struct message *message_new(const struct message_head *head, size_t *large_bytes);
bool message_head_is_large(const struct message_head *head);

/* Add a piece of the body. Returns 0, or -1 when there is more than the head said. */
int message_append(struct message *message, const void *bytes, size_t len)
    __attribute__((warn_unused_result));
/* Give it a copy of its order, once. */
void message_set_order(struct message *message, const struct order *order);

bool message_complete(const struct message *message);

struct message *message_ref(struct message *message);
void message_unref(struct message *message);

#endif
