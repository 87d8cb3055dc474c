/* A letter of the bridge's has its reason in headers (bridge/dead_letter.h). Others come from
 * RabbitMQ, which tells in x-death why, or from anybody. */
#include "services/scheduler/archive_letter.h"
#include "proto/order_json.h"
#include "proto/timestamp.h"
#include "proto/trace_context.h"
#include "proto/utf8.h"
#include "services/clients/rabbitmq/message_fields.h"
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define US_PER_S 1000000

_Static_assert(DEAD_LETTER_BODY_MAX == CONTENT_KEEP_BYTES, "what is read is what is kept");
_Static_assert(DEAD_LETTER_TRACEPARENT_SIZE == TRACEPARENT_LEN + 1, "traceparent");
_Static_assert(DEAD_LETTER_TRACESTATE_SIZE == TRACESTATE_MAX_BYTES + 1, "tracestate");

/* Texts */

/* Copy as UTF-8 without control characters, cut at a whole character. */
static void set_text(char *to, size_t size, struct message_text from)
{
    size_t len = 0, step;
    for (size_t at = 0; at < from.len; at += step) {
        uint32_t character = utf8_decode(from.bytes + at, from.len - at, &step);
        bool control = character < 0x20 || (character >= 0x7f && character < 0xa0);
        bool plain = character == UTF8_INVALID || control;
        size_t takes = plain ? 1 : step;
        if (len + takes >= size)
            break;
        if (plain)
            to[len] = control ? ' ' : '?';
        else
            memcpy(to + len, from.bytes + at, step);
        len += takes;
    }
    to[len] = '\0';
}

static struct message_text header_text(struct field_table headers, const char *name)
{
    struct field field;
    return field_table_find(headers, name, &field) ? field_text(&field)
                                                   : (struct message_text){.bytes = NULL};
}

static int64_t header_integer(struct field_table headers, const char *name)
{
    struct field field;
    int64_t number;
    return field_table_find(headers, name, &field) && field_integer(&field, &number) ? number : 0;
}

static struct field_table header_table(struct field_table headers, const char *name)
{
    struct field field;
    return field_table_find(headers, name, &field) ? field_inner(&field)
                                                   : (struct field_table){.bytes = NULL};
}

/* The last death of a message, as RabbitMQ tells it: the first table of x-death. */
static struct field_table last_death(struct field_table headers)
{
    struct field_table deaths = header_table(headers, "x-death");
    struct field field;
    return field_array_next(&deaths, &field) == 1 ? field_inner(&field)
                                                  : (struct field_table){.bytes = NULL};
}

/* Why, where, when */

static void read_our_words(struct field_table headers, struct dead_letter_row *row)
{
    static const char *const stages[] = {"persist", "index"};
    struct message_text stage = header_text(headers, "x-stage");
    set_text(row->reason, sizeof row->reason, header_text(headers, "x-reason"));
    set_text(row->detail, sizeof row->detail, header_text(headers, "x-detail"));
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++)
        if (message_text_is(stage, stages[i]))
            strcpy(row->stage, stages[i]);
    int64_t attempts = header_integer(headers, "x-attempts");
    row->attempts = attempts > 0 ? attempts : 0;
    int64_t size = header_integer(headers, "x-original-size");
    if (size > row->body_bytes)
        row->body_bytes = size;
}

static void read_foreign_words(struct field_table headers, struct dead_letter_row *row)
{
    struct message_text reason = header_text(headers, "x-first-death-reason");
    struct message_text from = header_text(headers, "x-first-death-queue");
    struct field_table death = last_death(headers);
    if (reason.bytes == NULL)
        reason = header_text(death, "reason");
    if (from.bytes == NULL)
        from = header_text(death, "queue");
    if (reason.bytes == NULL) {
        strcpy(row->reason, "unknown");
        strcpy(row->detail, "it was published to the dead-letter queue, and does not say why");
        return;
    }
    char queue[256], detail[DEAD_LETTER_DETAIL_SIZE];
    set_text(row->reason, sizeof row->reason, reason);
    set_text(queue, sizeof queue, from);
    int len = snprintf(detail, sizeof detail, "RabbitMQ moved it here from the queue %s: %s", queue,
                       row->reason);
    set_text(row->detail, sizeof row->detail,
             (struct message_text){.bytes = detail, .len = (size_t)len});
}

static bool from_seconds(int64_t seconds, int64_t *ret_us)
{
    if (seconds < TIMESTAMP_MIN_US / US_PER_S || seconds > TIMESTAMP_MAX_US / US_PER_S)
        return false;
    *ret_us = seconds * US_PER_S;
    return true;
}

static int64_t died_at_us(const struct message_properties *properties, int64_t now_us)
{
    struct message_text last = header_text(properties->headers, "x-last-attempt");
    struct field field;
    int64_t us, seconds;
    if (last.bytes != NULL && timestamp_parse(last.bytes, last.len, &us) == 0)
        return us;
    if (field_table_find(last_death(properties->headers), "time", &field) &&
        field_integer(&field, &seconds) && from_seconds(seconds, &us))
        return us;
    if (properties->has_timestamp && properties->timestamp <= INT64_MAX &&
        from_seconds((int64_t)properties->timestamp, &us))
        return us;
    return now_us;
}

static void read_trace(struct field_table headers, struct dead_letter_row *row)
{
    struct field_table original =
        header_table(header_table(headers, "x-original-properties"), "headers");
    struct message_text parent = header_text(headers, "traceparent");
    if (parent.bytes == NULL) {
        headers = original;
        parent = header_text(headers, "traceparent");
    }
    struct message_text state = header_text(headers, "tracestate");
    struct trace_context trace;
    if (parent.bytes == NULL || traceparent_parse(parent.bytes, parent.len, &trace) != 0)
        return;
    traceparent_format(&trace, row->traceparent);
    if (state.bytes != NULL && tracestate_valid(state.bytes, state.len))
        set_text(row->tracestate, sizeof row->tracestate, state);
}

/* What the letter says: nothing proves that it is the order's. A body that could not be an order
 * has an id all the same, as long as it is an object in JSON. */
static void read_order_id(const struct content *content, struct message_text message_id,
                          struct dead_letter_row *row)
{
    row->has_order_id =
        (content->head.body_size <= CONTENT_LARGE_BYTES &&
         order_id_from_json((const char *)content->body, content->body_len, &row->order_id)) ||
        (message_id.bytes != NULL &&
         order_id_parse(message_id.bytes, message_id.len, &row->order_id) == 0);
}

/* The digest: of what the message was before it died, and of no delivery. */

static void add_bytes(EVP_MD_CTX *digest, const void *bytes, size_t len)
{
    uint64_t prefix = len;
    if (EVP_DigestUpdate(digest, &prefix, sizeof prefix) != 1 ||
        EVP_DigestUpdate(digest, bytes, len) != 1)
        abort();
}

/* All fields but those that RabbitMQ changes from delivery to delivery, in any order: RabbitMQ 4
 * sorts them. So the digests of the fields are added up. */
static void add_headers(EVP_MD_CTX *digest, struct field_table headers)
{
    static const char *const changing[] = {"x-death", "x-delivery-count", "x-acquired-count"};
    struct field field;
    uint64_t sum[4] = {0}, words[4];
    while (field_table_next(&headers, &field) == 1) {
        bool changes = false;
        for (size_t i = 0; i < sizeof changing / sizeof changing[0]; i++)
            changes |= message_text_is(field.name, changing[i]);
        if (changes)
            continue;
        const unsigned char *begin = (const unsigned char *)field.name.bytes;
        if (EVP_Digest(begin, (size_t)(field.value + field.len - begin), (unsigned char *)words,
                       NULL, EVP_sha256(), NULL) != 1)
            abort();
        for (size_t i = 0; i < sizeof sum / sizeof sum[0]; i++)
            sum[i] += words[i];
    }
    add_bytes(digest, sum, sizeof sum);
    add_bytes(digest, headers.bytes, headers.len); /* what could not be read */
}

static void add_original_properties(EVP_MD_CTX *digest, struct field_table properties)
{
    struct field field;
    while (field_table_next(&properties, &field) == 1) {
        add_bytes(digest, field.name.bytes, field.name.len);
        if (message_text_is(field.name, "headers"))
            add_headers(digest, field_inner(&field));
        else
            add_bytes(digest, field.value, field.len);
    }
}

static void set_digest(const struct message_properties *properties, bool ours,
                       struct dead_letter_row *row)
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    if (digest == NULL || EVP_DigestInit_ex(digest, EVP_sha256(), NULL) != 1)
        abort();
    add_bytes(digest, &row->body_bytes, sizeof row->body_bytes);
    add_bytes(digest, row->body, row->body_len);
    add_bytes(digest, properties->message_id.bytes, properties->message_id.len);
    if (ours)
        add_original_properties(digest, header_table(properties->headers, "x-original-properties"));
    else
        add_headers(digest, properties->headers);
    if (EVP_DigestFinal_ex(digest, row->digest, NULL) != 1)
        abort();
    EVP_MD_CTX_free(digest);
}

void archive_letter_read(const struct content *content, const char *queue, int64_t now_us,
                         struct dead_letter_row *ret_row)
{
    const struct content_head *head = &content->head;
    struct message_properties properties;
    struct field field;
    /* What stands before a fault is good. */
    (void)!message_properties_read(head->properties, head->properties_len, &properties);
    struct field_table headers = properties.headers;
    bool ours = header_text(headers, "x-reason").bytes != NULL;
    uint64_t size = head->body_size <= INT64_MAX ? head->body_size : INT64_MAX;
    *ret_row = (struct dead_letter_row){
        .queue = queue,
        .stage = "intake",
        .body = content->body,
        .body_len = content->body_len,
        .body_bytes = (int64_t)size,
        .properties = head->properties,
        .properties_len = head->properties_len,
        .died_at_us = died_at_us(&properties, now_us),
    };
    if (ours)
        read_our_words(headers, ret_row);
    else
        read_foreign_words(headers, ret_row);
    if (ret_row->reason[0] == '\0')
        strcpy(ret_row->reason, "unknown");
    ret_row->may_be_copy =
        head->redelivered ||
        (field_table_find(headers, "x-redelivered", &field) && field_is_true(&field));
    int64_t replay_of = header_integer(headers, "x-replay-of");
    ret_row->replay_of = replay_of > 0 ? replay_of : 0;
    read_order_id(content, properties.message_id, ret_row);
    read_trace(headers, ret_row);
    set_digest(&properties, ours, ret_row);
}

void archive_letter_make_plain(struct dead_letter_row *row, const char *sqlstate)
{
    char reason[DEAD_LETTER_REASON_SIZE], *end = reason;
    for (const char *at = row->reason; *at != '\0'; at++)
        *end++ = (*at >= 'a' && *at <= 'z') || (*at >= '0' && *at <= '9') ? *at : '_';
    *end = '\0';
    strcpy(row->reason, reason);
    snprintf(row->detail, sizeof row->detail,
             "PostgreSQL refused what the letter says, with SQLSTATE %s; it is in the properties",
             sqlstate);
    row->has_order_id = false;
    row->traceparent[0] = row->tracestate[0] = '\0';
}
