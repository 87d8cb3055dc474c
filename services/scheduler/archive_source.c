/* A source that consumes the dead-letter queue also consumes the archive queue beside it
 * (archive_queue_name()), over the same channel and always the longer of the two. So a scheduler
 * that counts the consumers of both sees how many of the first are no schedulers, and a scheduler
 * that freezes or dies leaves both at once. */
#include "services/scheduler/archive_source.h"
#include "services/base/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LETTERS_TAG "archive"
#define PRESENCE_TAG "presence"

enum source_state {
    SOURCE_DOWN,
    SOURCE_IDLE, /* connected */
    SOURCE_CONSUMING,
    SOURCE_CANCELLING, /* letters may still be on their way */
};

struct archive_source {
    struct archive_source_options options;
    char dead[QUEUE_NAME_SIZE], presence[QUEUE_NAME_SIZE];
    struct broker_link *link;
    enum source_state state;
    uint64_t epoch;
    struct content_reader reader;
    bool stray; /* what is read is a message of the archive queue, which has none of ours */
    bool counted;
    unsigned consumers, schedulers, consumers_first; /* as told last; not yet with the other one */
    unsigned cancels;                                /* that are not answered */
    unsigned looks;                                  /* at the consumers, since this one consumes */
    unsigned strange;          /* looks in a row that saw others than schedulers */
    struct archive_held *held; /* a ring */
    size_t first, count;
    struct archive_refusal refusal;
    uint64_t ack_tag; /* to be acknowledged up to here; 0: nothing */
    char reason[200]; /* why it is down */
};

static void changed(struct archive_source *source)
{
    source->options.on_change(source->options.arg);
}

static void forget(struct archive_source *source)
{
    for (; source->count > 0; source->count--) {
        content_unref(source->held[source->first].content);
        source->first = (source->first + 1) % source->options.prefetch;
    }
    source->refusal = (struct archive_refusal){.singly = 0};
    source->ack_tag = 0;
    source->counted = source->stray = false;
    source->cancels = source->strange = 0;
    source->epoch++;
    content_reader_reset(&source->reader);
}

/* Sending. Frames are small, and sent only when the socket takes a few kilobytes. */

static bool sent(struct archive_source *source, int status)
{
    if (status != AMQP_STATUS_OK)
        broker_link_drop(source->link, amqp_error_string2(status), BROKER_LINK_POLICY);
    return status == AMQP_STATUS_OK;
}

static int send(struct archive_source *source, amqp_method_number_t method, void *arguments)
{
    return amqp_send_method(broker_link_connection(source->link)->amqp, BROKER_CHANNEL, method,
                            arguments);
}

static bool subscribe(struct archive_source *source, const char *queue, const char *tag,
                      bool no_ack)
{
    amqp_basic_consume_t consume = {.queue = amqp_cstring_bytes(queue),
                                    .consumer_tag = amqp_cstring_bytes(tag),
                                    .no_ack = no_ack,
                                    .nowait = 1};
    return sent(source, send(source, AMQP_BASIC_CONSUME_METHOD, &consume));
}

static bool unsubscribe(struct archive_source *source, const char *tag)
{
    amqp_basic_cancel_t cancel = {.consumer_tag = amqp_cstring_bytes(tag)};
    return sent(source, send(source, AMQP_BASIC_CANCEL_METHOD, &cancel));
}

static bool ask(struct archive_source *source)
{
    struct error err;
    struct broker_connection *connection = broker_link_connection(source->link);
    if (queue_ask(connection, source->dead, &err) == 0 &&
        queue_ask(connection, source->presence, &err) == 0)
        return true;
    broker_link_drop(source->link, err.message, BROKER_LINK_POLICY);
    return false;
}

static void acknowledge(struct archive_source *source)
{
    if (source->ack_tag == 0 || !broker_link_writable(source->link))
        return;
    uint64_t tag = source->ack_tag;
    source->ack_tag = 0;
    (void)sent(source, amqp_basic_ack(broker_link_connection(source->link)->amqp, BROKER_CHANNEL,
                                      tag, /* multiple */ 1));
}

/* A consumer that is new gets a whole prefetch of letters, beside those that are held: so there
 * must be none. */
void archive_source_consume(struct archive_source *source, bool wanted)
{
    amqp_basic_qos_t qos = {.prefetch_count = source->options.prefetch};
    bool begins =
             wanted && source->state == SOURCE_IDLE && source->count == 0 && source->ack_tag == 0,
         ends = !wanted && source->state == SOURCE_CONSUMING;
    if (!(begins || ends) || !broker_link_writable(source->link))
        return;
    source->state = begins ? SOURCE_CONSUMING : SOURCE_CANCELLING;
    source->looks = 0;
    if (begins) {
        (void)(sent(source, send(source, AMQP_BASIC_QOS_METHOD, &qos)) &&
               subscribe(source, source->presence, PRESENCE_TAG, true) &&
               subscribe(source, source->dead, LETTERS_TAG, false));
    } else {
        source->cancels = 2;
        (void)(unsubscribe(source, LETTERS_TAG) && unsubscribe(source, PRESENCE_TAG));
    }
}

/* Events */

static void on_up(void *arg, const char *warning)
{
    (void)warning; /* bridge and gateway log it */
    struct archive_source *source = arg;
    source->state = SOURCE_IDLE;
    if (ask(source))
        changed(source);
}

static void on_down(void *arg, const char *reason)
{
    struct archive_source *source = arg;
    source->state = SOURCE_DOWN;
    snprintf(source->reason, sizeof source->reason, "%s", reason);
    forget(source);
    changed(source);
}

static bool is_queue(amqp_bytes_t bytes, const char *name)
{
    return bytes.len == strlen(name) && memcmp(bytes.bytes, name, bytes.len) == 0;
}

/* The archive queue is asked for after the dead-letter queue, and a scheduler that begins consumes
 * it before: so no scheduler is seen without its presence, unless it dies in between, or RabbitMQ
 * notices the end of one consumer later than that of the other. So two looks in a row decide. An
 * answer may be older than the beginning of this consumer: one look does not make it forgotten. */
static void on_counts(void *arg, const amqp_queue_declare_ok_t *counts)
{
    struct archive_source *source = arg;
    if (is_queue(counts->queue, source->dead))
        source->consumers_first = counts->consumer_count;
    if (!is_queue(counts->queue, source->presence))
        return;
    bool forgotten =
        source->state == SOURCE_CONSUMING && source->looks++ > 0 && counts->consumer_count == 0;
    source->counted = true;
    source->consumers = source->consumers_first;
    source->schedulers = counts->consumer_count;
    source->strange = source->consumers > source->schedulers ? source->strange + 1 : 0;
    if (forgotten) /* a queue that was deleted and declared at once, as in bridge/intake.c */
        broker_link_drop(source->link, "the broker has forgotten the consumer", BROKER_LINK_POLICY);
    else
        changed(source);
}

static int take_content(struct archive_source *source, const amqp_frame_t *frame, struct error *err)
{
    struct content *content;
    uint64_t tag;
    if (content_reader_add(&source->reader, frame, &content, &tag, err) != 0)
        return -1;
    if (content_reader_must_wait(&source->reader))
        broker_link_pause(source->link, true);
    if (content == NULL)
        return 0;
    if (source->stray) {
        content_unref(content);
        return 0;
    }
    if (source->count == source->options.prefetch) {
        content_unref(content);
        error_set(err, "the broker delivered more than it may");
        return -1;
    }
    size_t place = (source->first + source->count++) % source->options.prefetch;
    source->held[place] = (struct archive_held){.content = content, .delivery_tag = tag};
    return 0;
}

static int on_frame(void *arg, const amqp_frame_t *frame, struct error *err)
{
    struct archive_source *source = arg;
    if (frame->frame_type != AMQP_FRAME_METHOD)
        return take_content(source, frame, err);
    const amqp_method_t *method = &frame->payload.method;
    switch (method->id) {
    case AMQP_BASIC_DELIVER_METHOD: {
        const amqp_basic_deliver_t *deliver = method->decoded;
        source->stray = !is_queue(deliver->consumer_tag, LETTERS_TAG);
        return content_reader_begin(&source->reader, deliver, err);
    }
    case AMQP_BASIC_QOS_OK_METHOD:
        return 0;
    case AMQP_BASIC_CANCEL_OK_METHOD:
        if (source->cancels > 0 && --source->cancels == 0)
            source->state = SOURCE_IDLE;
        return 0;
    default:
        error_set(err, "the broker sent an unexpected method");
        return -1;
    }
}

static void on_turn(void *arg)
{
    struct archive_source *source = arg;
    acknowledge(source);
    changed(source);
}

/* Letters */

size_t archive_source_held(const struct archive_source *source)
{
    return source->count;
}

struct archive_held *archive_source_letter(struct archive_source *source, size_t number)
{
    return &source->held[(source->first + number) % source->options.prefetch];
}

struct archive_refusal *archive_source_refusal(struct archive_source *source)
{
    return &source->refusal;
}

uint64_t archive_source_epoch(const struct archive_source *source)
{
    return source->epoch;
}

void archive_source_settle(struct archive_source *source, size_t count)
{
    for (; count > 0; count--) {
        struct archive_held *letter = &source->held[source->first];
        source->ack_tag = letter->delivery_tag;
        content_unref(letter->content);
        source->first = (source->first + 1) % source->options.prefetch;
        source->count--;
    }
    acknowledge(source);
}

void archive_source_go_on(struct archive_source *source)
{
    if (!content_reader_must_wait(&source->reader))
        broker_link_pause(source->link, false);
}

bool archive_source_idle(const struct archive_source *source)
{
    return source->state == SOURCE_DOWN ||
           (source->state == SOURCE_IDLE && source->count == 0 && source->ack_tag == 0);
}

void archive_source_look(const struct archive_source *source, struct archive_standing *ret)
{
    const struct queue_difference *letters = &broker_link_differences(source->link)->letters;
    const struct broker_connection *connection = broker_link_connection(source->link);
    ret->queue = source->options.queue;
    ret->refused = source->refusal.words[0] != '\0' ? source->refusal.words : NULL;
    ret->rabbitmq_up = connection != NULL;
    ret->rabbitmq_reason = source->reason;
    ret->delivery_limited = letters->delivery_limited;
    ret->limit_unseen = letters->unseen && connection != NULL && connection->server_major >= 4;
    bool decided = source->strange != 1;
    ret->counted = source->counted && (decided || source->state == SOURCE_CONSUMING);
    ret->consumers = decided ? source->consumers : source->schedulers;
    ret->schedulers = source->schedulers;
}

/* Life */

struct archive_source *archive_source_new(struct event_loop *loop,
                                          const struct archive_source_options *options)
{
    struct archive_source *source = memory_new(sizeof *source);
    *source = (struct archive_source){.options = *options};
    source->held = memory_new_array(options->prefetch, sizeof source->held[0]);
    dead_letter_queue_name(options->queue, source->dead);
    archive_queue_name(options->queue, source->presence);
    content_reader_init(&source->reader, options->budget);
    source->link = broker_link_new(loop, &(struct broker_link_options){
                                             .broker = options->broker,
                                             .queue = options->queue,
                                             .queue_type = options->queue_type,
                                             .third_queue = source->presence,
                                             .consumes = true,
                                             .ask_queues = 3,
                                             .on_up = on_up,
                                             .on_down = on_down,
                                             .on_counts = on_counts,
                                             .on_frame = on_frame,
                                             .on_turn = on_turn,
                                             .arg = source,
                                         });
    broker_link_hold(source->link, false);
    return source;
}

void archive_source_free(struct archive_source *source)
{
    if (source == NULL)
        return;
    broker_link_free(source->link);
    forget(source);
    content_reader_release(&source->reader);
    free(source->held);
    free(source);
}
