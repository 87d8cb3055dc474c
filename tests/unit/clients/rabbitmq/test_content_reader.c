/* Frames in, messages out. A step is one frame: "deliver TAG", "header SIZE", "body LEN"; the
 * answer is "", "TAG" when a message is complete, or "error". */
#include "services/clients/rabbitmq/content_reader.h"
#include "tests/unit/support/cmocka_headers.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned char zeros[131072];

/* Returns what came of it; a completed message is released. */
static const char *take(struct content_reader *reader, const char *step, char answer[32])
{
    char verb[16];
    unsigned long long number;
    assert_int_equal(sscanf(step, "%15s %llu", verb, &number), 2);
    struct error err = {"unset"};
    struct content *content = NULL;
    uint64_t tag = 0;
    amqp_basic_properties_t properties = {._flags = 0};
    amqp_frame_t frame = {.channel = 1};
    int result;
    answer[0] = '\0';
    if (strcmp(verb, "deliver") == 0) {
        amqp_basic_deliver_t deliver = {
            .delivery_tag = number,
            .exchange = amqp_cstring_bytes("ex"),
            .routing_key = amqp_cstring_bytes("order_queue"),
        };
        result = content_reader_begin(reader, &deliver, &err);
    } else if (strcmp(verb, "header") == 0) {
        frame.frame_type = AMQP_FRAME_HEADER;
        frame.payload.properties.class_id = AMQP_BASIC_CLASS;
        frame.payload.properties.body_size = number;
        frame.payload.properties.decoded = &properties;
        result = content_reader_add(reader, &frame, &content, &tag, &err);
    } else {
        frame.frame_type = AMQP_FRAME_BODY;
        frame.payload.body_fragment = (amqp_bytes_t){.len = (size_t)number, .bytes = zeros};
        result = content_reader_add(reader, &frame, &content, &tag, &err);
    }
    if (result != 0) {
        assert_string_not_equal(err.message, "unset");
        return "error";
    }
    if (content != NULL) {
        assert_int_equal(content->head.routing_key_len, strlen("order_queue"));
        assert_memory_equal(content->head.exchange, "ex", 2);
        snprintf(answer, 32, "%llu", (unsigned long long)tag);
        content_unref(content);
    }
    return answer;
}

static void test_sequences(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *steps[12]; /* step, answer, step, answer … */
    } cases[] = {
        {"one body frame", {"deliver 7", "", "header 5", "", "body 5", "7"}},
        {"several body frames",
         {"deliver 7", "", "header 5", "", "body 2", "", "body 0", "", "body 3", "7"}},
        {"an empty body has no frame", {"deliver 7", "", "header 0", "7", "deliver 8", ""}},
        {"header without deliver", {"header 5", "error"}},
        {"body without header", {"deliver 7", "", "body 5", "error"}},
        {"two delivers", {"deliver 7", "", "deliver 8", "error"}},
        {"deliver within a body", {"deliver 7", "", "header 5", "", "deliver 8", "error"}},
        {"header within a body", {"deliver 7", "", "header 5", "", "header 5", "error"}},
        {"more than announced", {"deliver 7", "", "header 5", "", "body 6", "error"}},
        {"more, later", {"deliver 7", "", "header 5", "", "body 3", "", "body 3", "error"}},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct content_budget budget = {.limit_bytes = CONTENT_KEEP_BYTES};
        struct content_reader reader;
        content_reader_init(&reader, &budget);
        char answer[32];
        for (size_t k = 0; k + 1 < COUNT(cases[i].steps) && cases[i].steps[k] != NULL; k += 2)
            if (strcmp(take(&reader, cases[i].steps[k], answer), cases[i].steps[k + 1]) != 0)
                fail_msg("%s: after \"%s\"", cases[i].name, cases[i].steps[k]);
        content_reader_release(&reader);
    }
}

static void test_a_lost_connection_forgets_half_a_message(void **state)
{
    (void)state;
    struct content_budget budget = {.limit_bytes = CONTENT_KEEP_BYTES};
    struct content_reader reader;
    content_reader_init(&reader, &budget);
    char answer[32];
    take(&reader, "deliver 7", answer);
    take(&reader, "header 5", answer);
    content_reader_reset(&reader);
    assert_string_equal(take(&reader, "deliver 1", answer), "");
    assert_string_equal(take(&reader, "header 1", answer), "");
    assert_string_equal(take(&reader, "body 1", answer), "1");
    content_reader_release(&reader);
}

#define EXAMPLE "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

static amqp_table_entry_t text_entry(const char *name, const char *text, char kind)
{
    amqp_table_entry_t entry = {.key = amqp_cstring_bytes(name), .value.kind = (uint8_t)kind};
    entry.value.value.bytes = amqp_cstring_bytes(text);
    return entry;
}

/* The trace is that of the headers. A message without a valid one begins a trace. */
static void test_traces(void **state)
{
    (void)state;
    static const struct {
        const char *traceparent, *tracestate; /* NULL: there is none */
        char kind;
        bool taken;
        const char *kept;
    } cases[] = {
        {EXAMPLE, "a=1", AMQP_FIELD_KIND_UTF8, true, "a=1"},
        {EXAMPLE, NULL, AMQP_FIELD_KIND_UTF8, true, ""},
        {EXAMPLE, "a=1", AMQP_FIELD_KIND_BYTES, true, "a=1"},
        {EXAMPLE, "a", AMQP_FIELD_KIND_UTF8, true, ""},
        {"x", "a=1", AMQP_FIELD_KIND_UTF8, false, ""},
        {NULL, "a=1", AMQP_FIELD_KIND_UTF8, false, ""},
        {NULL, NULL, AMQP_FIELD_KIND_UTF8, false, ""},
        {EXAMPLE, "a=1", AMQP_FIELD_KIND_I64, false, ""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct content_budget budget = {.limit_bytes = CONTENT_KEEP_BYTES};
        struct content_reader reader;
        struct content *content;
        uint64_t tag;
        amqp_table_entry_t entries[3] = {text_entry("traceparents", "more", 'S')};
        amqp_basic_properties_t properties = {._flags = AMQP_BASIC_HEADERS_FLAG,
                                              .headers = {1, entries}};
        if (cases[i].traceparent != NULL)
            entries[properties.headers.num_entries++] =
                text_entry("traceparent", cases[i].traceparent, cases[i].kind);
        if (cases[i].tracestate != NULL)
            entries[properties.headers.num_entries++] =
                text_entry("tracestate", cases[i].tracestate, cases[i].kind);
        content_reader_init(&reader, &budget);
        assert_int_equal(
            content_reader_begin(&reader, &(amqp_basic_deliver_t){.delivery_tag = 1}, NULL), 0);
        amqp_frame_t frame = {.frame_type = AMQP_FRAME_HEADER};
        frame.payload.properties.class_id = AMQP_BASIC_CLASS;
        frame.payload.properties.decoded = &properties;
        assert_int_equal(content_reader_add(&reader, &frame, &content, &tag, NULL), 0);
        memset(entries, 0, sizeof entries); /* the content has its own copy */

        const struct trace_context *trace = &content->head.trace;
        char text[TRACEPARENT_LEN + 1];
        traceparent_format(trace, text);
        assert_int_equal(strcmp(text, EXAMPLE) == 0, cases[i].taken);
        assert_memory_not_equal(text + 3, "00000000000000000000000000000000", 32);
        assert_int_equal(trace->state_len, strlen(cases[i].kept));
        assert_memory_equal(trace->state, cases[i].kept, trace->state_len);
        content_unref(content);
        content_reader_release(&reader);
    }
}

static void test_large_messages_wait_for_earlier_ones(void **state)
{
    (void)state;
    enum { FIT = 16 };
    struct content_budget budget = {.limit_bytes = FIT * CONTENT_KEEP_BYTES};
    struct content_reader reader;
    struct content *alive[FIT + 1];
    content_reader_init(&reader, &budget);
    amqp_basic_properties_t properties = {._flags = 0};
    uint64_t tag;
    for (size_t i = 0; i <= FIT; i++) {
        amqp_basic_deliver_t deliver = {.delivery_tag = i + 1};
        assert_int_equal(content_reader_begin(&reader, &deliver, NULL), 0);
        assert_false(content_reader_must_wait(&reader));
        amqp_frame_t frame = {.frame_type = AMQP_FRAME_HEADER};
        frame.payload.properties.class_id = AMQP_BASIC_CLASS;
        frame.payload.properties.body_size = 2 * CONTENT_KEEP_BYTES;
        frame.payload.properties.decoded = &properties;
        assert_int_equal(content_reader_add(&reader, &frame, &alive[i], &tag, NULL), 0);
        assert_true(content_reader_must_wait(&reader) == (i == FIT));
        if (i == FIT) {
            content_unref(alive[0]);
            assert_false(content_reader_must_wait(&reader));
        }
        frame = (amqp_frame_t){.frame_type = AMQP_FRAME_BODY};
        frame.payload.body_fragment = (amqp_bytes_t){.len = sizeof zeros, .bytes = zeros};
        for (size_t sent = 0; sent < 2 * CONTENT_KEEP_BYTES; sent += sizeof zeros)
            assert_int_equal(content_reader_add(&reader, &frame, &alive[i], &tag, NULL), 0);
        assert_non_null(alive[i]);
    }
    for (size_t i = 1; i <= FIT; i++)
        content_unref(alive[i]);
    content_reader_release(&reader);
    assert_int_equal(budget.large_bytes, 0);
}

/* The first frames of a large message; returns its content when it is complete. */
static struct content *read_large(struct content_reader *reader, bool to_the_end)
{
    amqp_basic_properties_t properties = {._flags = 0};
    amqp_frame_t header = {.frame_type = AMQP_FRAME_HEADER}, body = {.frame_type = AMQP_FRAME_BODY};
    struct content *content = NULL;
    uint64_t tag;
    if (reader->state == CONTENT_NONE) {
        assert_int_equal(
            content_reader_begin(reader, &(amqp_basic_deliver_t){.delivery_tag = 1}, NULL), 0);
        header.payload.properties.class_id = AMQP_BASIC_CLASS;
        header.payload.properties.body_size = CONTENT_KEEP_BYTES;
        header.payload.properties.decoded = &properties;
        assert_int_equal(content_reader_add(reader, &header, &content, &tag, NULL), 0);
    }
    body.payload.body_fragment = (amqp_bytes_t){.len = sizeof zeros, .bytes = zeros};
    do
        assert_int_equal(content_reader_add(reader, &body, &content, &tag, NULL), 0);
    while (to_the_end && content == NULL);
    return content;
}

/* Of several readers over the limit one goes on. The others wait for it, and for what is complete.
 */
static void test_half_read_messages_do_not_wait_for_each_other(void **state)
{
    (void)state;
    struct content_budget budget = {.limit_bytes = 0};
    struct content_reader readers[3];
    for (size_t i = 0; i < COUNT(readers); i++) {
        content_reader_init(&readers[i], &budget);
        assert_null(read_large(&readers[i], false));
        assert_true(content_reader_must_wait(&readers[i]) == (i > 0));
    }
    struct content *content = read_large(&readers[0], true);
    assert_non_null(content);
    for (size_t i = 1; i < COUNT(readers); i++) /* memory is full until it is stored */
        assert_true(content_reader_must_wait(&readers[i]));
    content_unref(content);
    assert_false(content_reader_must_wait(&readers[1]));
    assert_true(content_reader_must_wait(&readers[2]));
    assert_null(read_large(&readers[0], false)); /* it is not first any more */
    assert_true(content_reader_must_wait(&readers[0]));
    assert_false(content_reader_must_wait(&readers[1]));

    content_reader_reset(&readers[1]); /* its connection is lost */
    assert_false(content_reader_must_wait(&readers[2]));
    content_reader_reset(&readers[0]);
    content_unref(read_large(&readers[2], true));
    assert_int_equal(budget.large_bytes + budget.half_bytes, 0);
    for (size_t i = 0; i < COUNT(readers); i++)
        content_reader_release(&readers[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sequences),
        cmocka_unit_test(test_a_lost_connection_forgets_half_a_message),
        cmocka_unit_test(test_traces),
        cmocka_unit_test(test_large_messages_wait_for_earlier_ones),
        cmocka_unit_test(test_half_read_messages_do_not_wait_for_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
