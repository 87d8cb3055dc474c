/* The content of a delivery (AMQP 0-9-1, 2.3.5): properties and body (cut to what is kept), where
 * it was published, and the order in it or the reason why there is none. References are counted: in
 * the bridge the flow holds one, each dead letter on its way another, all on one thread. Without
 * librabbitmq. */
#ifndef CLIENTS_RABBITMQ_CONTENT_H
#define CLIENTS_RABBITMQ_CONTENT_H

#include "proto/error.h"
#include "proto/order.h"
#include "proto/trace_context.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTENT_LARGE_BYTES (64u << 10) /* more than any order has */
#define CONTENT_KEEP_BYTES (1u << 20)   /* of a body; the rest is only counted */

/* What is known before the body arrives. Copied by content_new(). */
struct content_head {
    uint64_t body_size;     /* true size, bytes */
    const void *properties; /* as encoded on the wire: AMQP 0-9-1, 4.2.6.1 */
    size_t properties_len;
    const char *message_id; /* NULL: it has none. No text of these ends in a NUL. */
    size_t message_id_len;
    const char *exchange; /* where it was published to */
    size_t exchange_len;
    const char *routing_key;
    size_t routing_key_len;
    struct trace_context trace; /* of its headers, or a new one */
    bool redelivered; /* basic.deliver's flag: it was delivered before, or may have been */
};

struct content {
    struct content_head head; /* pointing into this allocation */
    const char *fault; /* why this is no order: "malformed", …; static; NULL when it is one */
    struct error *fault_detail; /* NULL without a fault */
    struct order *order;        /* only order_size() bytes of one; NULL when there is a fault */
    uint64_t received;          /* bytes of the body so far */
    size_t body_len;            /* bytes kept of it */
    unsigned references;
    size_t *large_bytes; /* where the memory of a large content is counted; else NULL */
    unsigned char *body;
};

/* A content with one reference and no body yet. `large_bytes` counts the memory of all contents
 * whose body and properties are together over CONTENT_LARGE_BYTES; it must outlive the content. */
struct content *content_new(const struct content_head *head, size_t *large_bytes);
bool content_head_is_large(const struct content_head *head);
/* The memory that is counted for it; 0 unless it is large. */
size_t content_large_bytes(const struct content *content);

/* Add a piece of the body. Returns 0, or -1 when there is more than the head said. */
int content_append(struct content *content, const void *bytes, size_t len)
    __attribute__((warn_unused_result));
/* Give it a copy of its order, once. */
void content_set_order(struct content *content, const struct order *order);

/* Say why it is no order, once; `fault` must be static, the detail is copied. */
void content_set_fault(struct content *content, const char *fault, const struct error *detail);

/* Decode the body when the content is complete: sets `order`, or `fault` ("too_large", "malformed",
 * "unacceptable", "message_id_mismatch") with its detail. */
void content_decode(struct content *content);

bool content_complete(const struct content *content);

struct content *content_ref(struct content *content);
void content_unref(struct content *content);

#endif
