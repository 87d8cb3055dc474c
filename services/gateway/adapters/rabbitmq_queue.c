/* order_queue on the process's publisher: each order becomes one publish request, whose result
 * comes back to the loop through a mailbox. */
#include "services/gateway/adapters/rabbitmq_queue.h"
#include "services/base/memory.h"
#include "services/clients/rabbitmq/publish_mailbox.h"
#include <stdlib.h>
#include <string.h>

struct rabbitmq_queue {
    struct order_queue port;
    struct publisher *publisher;
    const char *queue_name;
    struct publish_mailbox *mailbox;
    bool submitted; /* in this turn */
};

struct publication {
    struct publish_request request; /* the first member: the mailbox gives it back */
    order_queue_done_fn *on_done;
    void *arg;
    amqp_table_t headers;
    amqp_table_entry_t entries[3];
    char message_id[ORDER_ID_TEXT_LEN + 1], traceparent[TRACEPARENT_LEN + 1];
    char tracestate[];
};

static void on_result(void *arg, struct publish_request *request, enum publish_result result)
{
    (void)arg;
    struct publication *publication = (struct publication *)request;
    publication->on_done(publication->arg, result);
    free(publication);
}

static void discard(struct publish_request *request)
{
    free(request);
}

static void add_text(amqp_table_t *headers, const char *name, const char *text, size_t len)
{
    amqp_table_entry_t *entry = &headers->entries[headers->num_entries++];
    entry->key = amqp_cstring_bytes(name);
    entry->value.kind = AMQP_FIELD_KIND_UTF8;
    entry->value.value.bytes = (amqp_bytes_t){.len = len, .bytes = (void *)(uintptr_t)text};
}

/* They lie in the publication: one allocation for each order. */
static void make_headers(struct publication *publication, const struct order_message *message)
{
    const struct trace_context *trace = message->trace;
    amqp_table_t *headers = &publication->headers;
    headers->entries = publication->entries;
    traceparent_format(trace, publication->traceparent);
    add_text(headers, "traceparent", publication->traceparent, TRACEPARENT_LEN);
    if (trace->state_len > 0) {
        memcpy(publication->tracestate, trace->state, trace->state_len);
        add_text(headers, "tracestate", publication->tracestate, trace->state_len);
    }
    if (message->replay_of != 0) {
        amqp_table_entry_t *entry = &headers->entries[headers->num_entries++];
        entry->key = amqp_cstring_bytes("x-replay-of");
        entry->value.kind = AMQP_FIELD_KIND_I64;
        entry->value.value.i64 = message->replay_of;
    }
}

static int publish(void *self, const struct order_message *message, int64_t deadline_ms,
                   order_queue_done_fn *on_done, void *arg)
{
    struct rabbitmq_queue *queue = self;
    if (!publisher_accepts(queue->publisher))
        return -1;
    struct publication *publication = memory_new(sizeof *publication + message->trace->state_len);
    publication->on_done = on_done;
    publication->arg = arg;
    order_id_format(message->id, publication->message_id);
    make_headers(publication, message);
    publication->request = (struct publish_request){
        .routing_key = queue->queue_name,
        .body = message->json,
        .body_len = message->json_len,
        .content_type = "application/json",
        .message_id = publication->message_id,
        .headers = &publication->headers,
        .deadline_ms = deadline_ms,
        .on_result = publish_mailbox_post,
        .mailbox = queue->mailbox,
    };
    if (publisher_submit(queue->publisher, &publication->request) == 0) {
        queue->submitted = true;
        return 0;
    }
    free(publication);
    return -1;
}

void rabbitmq_queue_flush(struct order_queue *port)
{
    struct rabbitmq_queue *queue = port->self;
    if (queue->submitted)
        publisher_wake(queue->publisher);
    queue->submitted = false;
}

static bool accepts(void *self)
{
    const struct rabbitmq_queue *queue = self;
    return publisher_accepts(queue->publisher);
}

struct order_queue *rabbitmq_queue_new(struct event_loop *events, struct publisher *publisher,
                                       const char *queue_name)
{
    struct rabbitmq_queue *queue = memory_new(sizeof *queue);
    queue->port = (struct order_queue){.self = queue, .publish = publish, .accepts = accepts};
    queue->publisher = publisher;
    queue->queue_name = queue_name;
    queue->mailbox = publish_mailbox_new(
        events, &(struct publish_receiver){.on_result = on_result, .discard = discard});
    return &queue->port;
}

void rabbitmq_queue_free(struct order_queue *port)
{
    if (!port)
        return;
    struct rabbitmq_queue *queue = port->self;
    publish_mailbox_free(queue->mailbox);
    free(queue);
}
