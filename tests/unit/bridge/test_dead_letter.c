#include "services/bridge/dead_letter.h"
#include "tests/unit/support/cmocka_headers.h"
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static const amqp_field_value_t *find(const amqp_table_t *table, const char *name)
{
    for (int i = 0; i < table->num_entries; i++)
        if (table->entries[i].key.len == strlen(name) &&
            memcmp(table->entries[i].key.bytes, name, strlen(name)) == 0)
            return &table->entries[i].value;
    return NULL;
}

static void assert_text(const amqp_table_t *table, const char *name, const char *text)
{
    const amqp_field_value_t *value = find(table, name);
    assert_non_null(value);
    assert_int_equal(value->kind, AMQP_FIELD_KIND_UTF8);
    assert_int_equal(value->value.bytes.len, strlen(text));
    assert_memory_equal(value->value.bytes.bytes, text, strlen(text));
}

static void assert_number(const amqp_table_t *table, const char *name, int64_t number)
{
    const amqp_field_value_t *value = find(table, name);
    assert_non_null(value);
    assert_int_equal(value->kind, AMQP_FIELD_KIND_I64);
    assert_int_equal(value->value.i64, number);
}

static const amqp_table_t *properties_of(const struct dead_letter *letter)
{
    const amqp_field_value_t *value = find(&letter->headers, "x-original-properties");
    assert_non_null(value);
    assert_int_equal(value->kind, AMQP_FIELD_KIND_TABLE);
    return &value->value.table;
}

/* Properties as on the wire (AMQP 0-9-1, 4.2.6.1): flags, then the values in the order of the
 * flags: content_type, headers {"k": "v"}, correlation_id, expiration, message_id, user_id. */
static const char wire[] = "\xA5\x90"
                           "\x10"
                           "application/json"
                           "\x00\x00\x00\x08"
                           "\x01kS\x00\x00\x00\x01v"
                           "\x02"
                           "cc"
                           "\x05"
                           "60000"
                           "\x04"
                           "id-1"
                           "\x05"
                           "guest";

static void test_without_properties(void **state)
{
    (void)state;
    size_t large = 0;
    struct content_head head = {.body_size = 3u << 20,
                                .properties = "\0\0",
                                .properties_len = 2,
                                .exchange = "",
                                .routing_key = "order_queue",
                                .routing_key_len = 11};
    struct content *content = content_new(&head, &large);
    struct dead_letter_report report = {
        .reason = "too_large", .stage = NULL, .detail = "too much", .attempts = 0};
    struct dead_letter letter;
    dead_letter_init(&letter, content, &report, 1000, INT64_C(1700000006000000));
    assert_string_equal(letter.content_type, "application/octet-stream");
    assert_null(letter.message_id);
    assert_text(&letter.headers, "x-reason", "too_large");
    assert_text(&letter.headers, "x-detail", "too much");
    assert_text(&letter.headers, "x-original-exchange", "");
    assert_text(&letter.headers, "x-original-routing-key", "order_queue");
    assert_number(&letter.headers, "x-attempts", 0);
    assert_number(&letter.headers, "x-original-size", 3u << 20);
    assert_text(&letter.headers, "x-stage", "intake");
    assert_text(&letter.headers, "x-first-attempt", "2023-11-14T22:13:26Z");
    assert_text(&letter.headers, "x-last-attempt", "2023-11-14T22:13:26Z");
    assert_text(&letter.headers, "x-cut", "body");
    assert_non_null(find(&letter.headers, "traceparent"));
    assert_null(find(&letter.headers, "tracestate"));
    assert_int_equal(properties_of(&letter)->num_entries, 0);
    dead_letter_release(&letter);
    content_unref(content);
}

static void test_keeps_what_the_message_had(void **state)
{
    (void)state;
    size_t large = 0;
    struct content_head head = {.body_size = 2,
                                .properties = wire,
                                .properties_len = sizeof wire - 1,
                                .message_id = "id-1",
                                .message_id_len = 4,
                                .exchange = "ex",
                                .exchange_len = 2,
                                .routing_key = "key",
                                .routing_key_len = 3,
                                .trace = {.id.bytes = {0xab},
                                          .parent_id = {0xcd},
                                          .sampled = true,
                                          .state = "a=1,b=2!",
                                          .state_len = 7}};
    struct content *content = content_new(&head, &large);
    struct dead_letter_report report = {.reason = "id_conflict",
                                        .stage = "persist",
                                        .detail = "another order",
                                        .attempts = 3,
                                        .first_attempt_ms = 1000,
                                        .last_attempt_ms = 5500};
    assert_int_equal(content_append(content, "{}", 2), 0);
    struct dead_letter letter;
    dead_letter_init(&letter, content, &report, 6000, INT64_C(1700000006000000));
    assert_string_equal(letter.content_type, "application/json");
    assert_string_equal(letter.message_id, "id-1");
    assert_text(&letter.headers, "x-reason", "id_conflict");
    assert_text(&letter.headers, "x-stage", "persist");
    assert_number(&letter.headers, "x-attempts", 3);
    assert_text(&letter.headers, "x-first-attempt", "2023-11-14T22:13:21Z");
    assert_text(&letter.headers, "x-last-attempt", "2023-11-14T22:13:25.5Z");

    assert_text(&letter.headers, "traceparent",
                "00-ab000000000000000000000000000000-cd00000000000000-01");
    assert_text(&letter.headers, "tracestate", "a=1,b=2");

    const amqp_table_t *properties = properties_of(&letter);
    assert_text(properties, "correlation_id", "cc");
    assert_text(properties, "expiration", "60000");
    assert_text(properties, "user_id", "guest");
    const amqp_field_value_t *headers = find(properties, "headers");
    assert_non_null(headers);
    assert_text(&headers->value.table, "k", "v");
    assert_text(&letter.headers, "x-cut", "");
    dead_letter_release(&letter);
    content_unref(content);
}

/* content_type, a header "k" of `len` bytes, correlation_id */
static char *large_properties(size_t len, size_t *ret_len)
{
    static const char begin[] = "\xA4\x00\x10"
                                "application/json";
    const uint32_t table_be = htonl((uint32_t)len + 7), value_be = htonl((uint32_t)len);
    char *wire_form = malloc(len + 64), *end = wire_form;
    end = mempcpy(end, begin, sizeof begin - 1);
    end = mempcpy(end, &table_be, sizeof table_be);
    end = mempcpy(end, "\x01kS", 3);
    end = mempcpy(end, &value_be, sizeof value_be);
    end = mempcpy(memset(end, 'v', len) + len,
                  "\x02"
                  "cc",
                  3);
    *ret_len = (size_t)(end - wire_form);
    return wire_form;
}

static void test_what_was_cut_is_marked(void **state)
{
    (void)state;
    size_t large_len;
    char *large_wire = large_properties(CONTENT_LARGE_BYTES, &large_len);
    const struct {
        const void *properties;
        size_t len;
        uint64_t body_size;
        const char *cut;
    } cases[] = {
        {"\0\0", 2, 0, ""},
        {"\xFF\xFE", 2, 0, "properties"},
        {"", 0, 0, "properties"},
        {"", 0, CONTENT_KEEP_BYTES + 1, "body,properties"},
        {large_wire, large_len, 0, "headers"},
        {large_wire, large_len, CONTENT_KEEP_BYTES + 1, "body,headers"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t large = 0;
        struct content_head head = {.body_size = cases[i].body_size,
                                    .properties = cases[i].properties,
                                    .properties_len = cases[i].len};
        struct content *content = content_new(&head, &large);
        struct dead_letter_report report = {.reason = "malformed", .detail = ""};
        struct dead_letter letter;
        dead_letter_init(&letter, content, &report, 0, 0);
        assert_text(&letter.headers, "x-reason", "malformed");
        assert_text(&letter.headers, "x-cut", cases[i].cut);
        if (cases[i].properties == large_wire) { /* all but the headers */
            assert_text(properties_of(&letter), "correlation_id", "cc");
            assert_string_equal(letter.content_type, "application/json");
        }
        assert_null(find(properties_of(&letter), "headers"));
        dead_letter_release(&letter);
        content_unref(content);
    }
    free(large_wire);
}

/* Headers {"x-replay-of": …}, of one type or another. */
/* Arrays in arrays, as many as fit into a megabyte: a RabbitMQ of a large frame_max takes them. */
static void test_deep_headers_are_left_out(void **state)
{
    (void)state;
    static const unsigned char array[] = {'A', 0, 0, 0, 0};
    const size_t len = 1u << 20, headers_at = 2, first_at = headers_at + 4 + 2;
    unsigned char *deep = calloc(1, len);
    assert_non_null(deep);
    deep[0] = 0x20; /* headers alone */
    uint32_t table_len = htonl((uint32_t)(len - headers_at - 4));
    memcpy(deep + headers_at, &table_len, sizeof table_len);
    memcpy(deep + headers_at + 4, "\x01x", 2);
    for (size_t at = first_at; at + sizeof array <= len; at += sizeof array) {
        uint32_t inner_len = htonl((uint32_t)(len - at - sizeof array));
        deep[at] = array[0];
        memcpy(deep + at + 1, &inner_len, sizeof inner_len);
    }
    size_t large = 0;
    struct content_head head = {.body_size = 0, .properties = deep, .properties_len = len};
    struct content *content = content_new(&head, &large);
    struct dead_letter_report report = {.reason = "malformed", .detail = "", .attempts = 0};
    struct dead_letter letter;
    dead_letter_init(&letter, content, &report, 0, 0);
    assert_text(&letter.headers, "x-cut", "headers");
    dead_letter_release(&letter);
    content_unref(content);
    free(deep);
}

static void test_says_what_it_may_be_a_copy_of(void **state)
{
    (void)state;
    static const char replay[] = "\x20\x00\x00\x00\x00\x15\x0bx-replay-ofl\0\0\0\0\0\0\x01\x07",
                      text[] = "\x20\x00\x00\x00\x00\x14\x0bx-replay-ofS\0\0\0\x03"
                               "263";
    const struct {
        const char *properties;
        size_t len;
        bool redelivered;
        int64_t replay_of;
    } cases[] = {
        {"\0\0", 2, false, 0},
        {"\0\0", 2, true, 0},
        {replay, sizeof replay - 1, true, 263},
        {text, sizeof text - 1, false, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t large = 0;
        struct content_head head = {.properties = cases[i].properties,
                                    .properties_len = cases[i].len,
                                    .redelivered = cases[i].redelivered};
        struct content *content = content_new(&head, &large);
        struct dead_letter_report report = {.reason = "malformed", .detail = ""};
        struct dead_letter letter;
        dead_letter_init(&letter, content, &report, 0, 0);
        assert_text(&letter.headers, "x-cut", "");
        const amqp_field_value_t *redelivered = find(&letter.headers, "x-redelivered");
        assert_true((redelivered != NULL) == cases[i].redelivered);
        if (redelivered != NULL) {
            assert_int_equal(redelivered->kind, AMQP_FIELD_KIND_BOOLEAN);
            assert_true(redelivered->value.boolean);
        }
        if (cases[i].replay_of != 0)
            assert_number(&letter.headers, "x-replay-of", cases[i].replay_of);
        else
            assert_null(find(&letter.headers, "x-replay-of"));
        dead_letter_release(&letter);
        content_unref(content);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_properties),
        cmocka_unit_test(test_keeps_what_the_message_had),
        cmocka_unit_test(test_what_was_cut_is_marked),
        cmocka_unit_test(test_deep_headers_are_left_out),
        cmocka_unit_test(test_says_what_it_may_be_a_copy_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
