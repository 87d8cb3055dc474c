/* Builds the headers of a dead letter, in a memory pool of its own. */
#include "services/bridge/dead_letter.h"
#include "proto/timestamp.h"
#include "services/clients/rabbitmq/message_fields.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POOL_PAGE_BYTES 4096
#define HEADERS_MAX 15
#define PROPERTIES_MAX 11

static void *take_from(amqp_pool_t *pool, size_t size)
{
    void *memory = amqp_pool_alloc(pool, size);
    if (memory == NULL)
        abort();
    return memory;
}

/* A copy that ends in a NUL beside. */
static amqp_bytes_t copy(amqp_pool_t *pool, const void *bytes, size_t len)
{
    char *text = take_from(pool, len + 1);
    if (len > 0)
        memcpy(text, bytes, len);
    text[len] = '\0';
    return (amqp_bytes_t){.len = len, .bytes = text};
}

static amqp_field_value_t *add(amqp_table_t *table, const char *name, amqp_field_value_kind_t kind)
{
    amqp_table_entry_t *entry = &table->entries[table->num_entries++];
    entry->key = amqp_cstring_bytes(name);
    entry->value.kind = (uint8_t)kind;
    return &entry->value;
}

static void add_bytes(amqp_table_t *table, const char *name, amqp_bytes_t bytes)
{
    add(table, name, AMQP_FIELD_KIND_UTF8)->value.bytes = bytes;
}

static void add_number(amqp_table_t *table, const char *name, int64_t number)
{
    add(table, name, AMQP_FIELD_KIND_I64)->value.i64 = number;
}

static void add_time(struct dead_letter *letter, const char *name, int64_t us)
{
    char text[TIMESTAMP_TEXT_SIZE];
    size_t len = timestamp_format(us, text);
    add_bytes(&letter->headers, name, copy(&letter->pool, text, len));
}

/* The properties that the dead letter does not have itself. They are kept as a header: some would
 * act (expiration), or be refused (user_id). The table and its texts are the letter's; headers that
 * are kept are the pool's that `properties` were decoded into. */
static amqp_table_t copy_properties(struct dead_letter *letter,
                                    const amqp_basic_properties_t *properties)
{
    const struct {
        amqp_flags_t flag;
        const char *name;
        const amqp_bytes_t *bytes;
    } texts[] = {
        {AMQP_BASIC_CONTENT_ENCODING_FLAG, "content_encoding", &properties->content_encoding},
        {AMQP_BASIC_CORRELATION_ID_FLAG, "correlation_id", &properties->correlation_id},
        {AMQP_BASIC_REPLY_TO_FLAG, "reply_to", &properties->reply_to},
        {AMQP_BASIC_EXPIRATION_FLAG, "expiration", &properties->expiration},
        {AMQP_BASIC_TYPE_FLAG, "type", &properties->type},
        {AMQP_BASIC_USER_ID_FLAG, "user_id", &properties->user_id},
        {AMQP_BASIC_APP_ID_FLAG, "app_id", &properties->app_id},
        {AMQP_BASIC_CLUSTER_ID_FLAG, "cluster_id", &properties->cluster_id},
    };
    amqp_table_t table = {
        .entries = take_from(&letter->pool, PROPERTIES_MAX * sizeof(amqp_table_entry_t))};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (properties->_flags & texts[i].flag)
            add_bytes(&table, texts[i].name,
                      copy(&letter->pool, texts[i].bytes->bytes, texts[i].bytes->len));
    if (properties->_flags & AMQP_BASIC_PRIORITY_FLAG)
        add_number(&table, "priority", properties->priority);
    if (properties->_flags & AMQP_BASIC_TIMESTAMP_FLAG)
        add(&table, "timestamp", AMQP_FIELD_KIND_TIMESTAMP)->value.u64 = properties->timestamp;
    if (properties->_flags & AMQP_BASIC_HEADERS_FLAG)
        add(&table, "headers", AMQP_FIELD_KIND_TABLE)->value.table = properties->headers;
    return table;
}

/* The message is the replay of a dead letter: this one says so, too. */
static void add_replay_of(struct dead_letter *letter, struct field_table headers)
{
    static const char name[] = "x-replay-of";
    struct field field;
    int64_t replayed;
    if (field_table_find(headers, name, &field) && field_integer(&field, &replayed))
        add_number(&letter->headers, name, replayed);
}

/* The properties as on the wire (AMQP 0-9-1, 4.2.6.1), but for these headers of theirs. */
static amqp_bytes_t without_headers(struct dead_letter *letter, const struct content_head *head,
                                    struct field_table headers)
{
    static const size_t length_len = 4;
    static const unsigned char headers_flag = 0x20; /* in the first byte */
    const unsigned char *all = head->properties;
    size_t before = (size_t)(headers.bytes - all) - length_len;
    size_t after_at = before + length_len + headers.len, after = head->properties_len - after_at;
    unsigned char *rest = take_from(&letter->pool, before + after);
    memcpy(rest, all, before);
    memcpy(rest + before, all + after_at, after);
    rest[0] &= (unsigned char)~headers_flag;
    return (amqp_bytes_t){.len = before + after, .bytes = rest};
}

/* Reads what the message had. Returns what had to be left out of it. Only headers can be many. They
 * are left out before librabbitmq decodes the rest: it decodes tables by recursion, and nested ones
 * could take the whole stack. */
static const char *add_properties(struct dead_letter *letter, const struct content_head *head)
{
    amqp_bytes_t raw = {.len = head->properties_len, .bytes = (void *)(uintptr_t)head->properties};
    struct message_properties seen;
    int status = message_properties_read(head->properties, head->properties_len, &seen);
    bool cut = head->properties_len > CONTENT_LARGE_BYTES && seen.headers.bytes != NULL;
    amqp_table_t kept = {0};
    void *decoded;
    if (status == 0 && cut)
        raw = without_headers(letter, head, seen.headers);
    if (status == 0)
        status = amqp_decode_properties(AMQP_BASIC_CLASS, &letter->pool, raw, &decoded);
    if (status >= 0) {
        const amqp_basic_properties_t *properties = decoded;
        if (properties->_flags & AMQP_BASIC_CONTENT_TYPE_FLAG)
            letter->content_type =
                copy(&letter->pool, properties->content_type.bytes, properties->content_type.len)
                    .bytes;
        kept = copy_properties(letter, properties);
        add_replay_of(letter, seen.headers);
    }
    add(&letter->headers, "x-original-properties", AMQP_FIELD_KIND_TABLE)->value.table = kept;
    return status < 0 ? "properties" : cut ? "headers" : "";
}

static amqp_bytes_t bytes_of(const char *text, size_t len)
{
    return (amqp_bytes_t){.len = len, .bytes = (void *)(uintptr_t)text};
}

static void add_trace(struct dead_letter *letter, const struct trace_context *trace)
{
    char text[TRACEPARENT_LEN + 1];
    traceparent_format(trace, text);
    add_bytes(&letter->headers, "traceparent", copy(&letter->pool, text, TRACEPARENT_LEN));
    if (trace->state_len > 0)
        add_bytes(&letter->headers, "tracestate", bytes_of(trace->state, trace->state_len));
}

void dead_letter_init(struct dead_letter *letter, const struct content *content,
                      const struct dead_letter_report *report, int64_t now_ms, int64_t now_us)
{
    const struct content_head *head = &content->head;
    *letter = (struct dead_letter){.content_type = "application/octet-stream"};
    init_amqp_pool(&letter->pool, POOL_PAGE_BYTES);
    letter->headers.entries = take_from(&letter->pool, HEADERS_MAX * sizeof(amqp_table_entry_t));
    if (head->message_id != NULL)
        letter->message_id = copy(&letter->pool, head->message_id, head->message_id_len).bytes;

    amqp_table_t *headers = &letter->headers;
    add_bytes(headers, "x-reason", copy(&letter->pool, report->reason, strlen(report->reason)));
    add_bytes(headers, "x-detail", copy(&letter->pool, report->detail, strlen(report->detail)));
    add_bytes(headers, "x-stage",
              amqp_cstring_bytes(report->stage != NULL ? report->stage : "intake"));
    add_number(headers, "x-attempts", report->attempts);
    int64_t first_ms = report->attempts > 0 ? report->first_attempt_ms : now_ms;
    int64_t last_ms = report->attempts > 0 ? report->last_attempt_ms : now_ms;
    add_time(letter, "x-first-attempt", now_us - (now_ms - first_ms) * 1000);
    add_time(letter, "x-last-attempt", now_us - (now_ms - last_ms) * 1000);
    add_number(headers, "x-original-size", (int64_t)head->body_size);
    add_bytes(headers, "x-original-exchange", bytes_of(head->exchange, head->exchange_len));
    add_bytes(headers, "x-original-routing-key",
              bytes_of(head->routing_key, head->routing_key_len));
    add_trace(letter, &head->trace);

    if (head->redelivered)
        add(headers, "x-redelivered", AMQP_FIELD_KIND_BOOLEAN)->value.boolean = 1;

    const char *properties = add_properties(letter, head);
    const char *body = content->body_len < head->body_size ? "body" : "";
    char cut[32];
    int len =
        snprintf(cut, sizeof cut, "%s%s%s", body, *body && *properties ? "," : "", properties);
    add_bytes(headers, "x-cut", copy(&letter->pool, cut, (size_t)len));
}

void dead_letter_release(struct dead_letter *letter)
{
    empty_amqp_pool(&letter->pool);
}
