/* Puts contents together from frames: basic.deliver, a content header, body frames (AMQP 0-9-1,
 * 4.2.6). By hand, because librabbitmq's own reader waits for the rest of a content without a
 * deadline and keeps bodies of any size in memory. */
#ifndef CLIENTS_RABBITMQ_CONTENT_READER_H
#define CLIENTS_RABBITMQ_CONTENT_READER_H

#include "proto/error.h"
#include "services/clients/rabbitmq/amqp.h"
#include "services/clients/rabbitmq/content.h"
#include <stdbool.h>
#include <stdint.h>

/* The memory that large contents may take, for several readers of a thread. */
struct content_budget {
    size_t limit_bytes;
    size_t large_bytes; /* of all large contents, those being read included */
    size_t half_bytes;  /* of those being read */
    /* Of several that are being read, the one that goes on although they are over the limit */
    const struct content_reader *first;
};

struct content_reader {
    enum content_state { CONTENT_NONE, CONTENT_HEADER, CONTENT_BODY } state; /* what comes next */
    uint64_t delivery_tag;
    bool redelivered;
    size_t exchange_len, routing_key_len;
    char exchange[255], routing_key[255]; /* AMQP's short strings */
    struct content *content;
    struct content_budget *budget;
};

/* The budget must outlive the reader and all contents that it reads. */
void content_reader_init(struct content_reader *reader, struct content_budget *budget);
void content_reader_release(struct content_reader *reader);

/* Forget a content that is half read: its connection is gone. */
void content_reader_reset(struct content_reader *reader);

/* Whether the next frame must not be read yet: it belongs to a large content, there are others, and
 * all together are over the budget. Of the readers that ask, one waits for complete contents only,
 * so that half-read ones do not wait for each other. (RabbitMQ closes a connection that takes
 * nothing for about half a minute: so this is a last resort, not one large content at a time.) */
bool content_reader_must_wait(struct content_reader *reader);

/* A basic.deliver has come. Returns 0, or -1 with `err` set when that was not its turn. */
int content_reader_begin(struct content_reader *reader, const amqp_basic_deliver_t *deliver,
                         struct error *err) __attribute__((warn_unused_result));

/* A frame of the content has come. Copies what it keeps. Returns 0, with the content and its tag
 * when this completed it (the reference is the caller's), else with *ret_content NULL; or -1 with
 * `err` set when it was not its turn. */
int content_reader_add(struct content_reader *reader, const amqp_frame_t *frame,
                       struct content **ret_content, uint64_t *ret_delivery_tag, struct error *err)
    __attribute__((warn_unused_result));

#endif
