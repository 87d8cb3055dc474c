#include "services/scheduler/archive_letter.h"
#include "tests/unit/support/cmocka_headers.h"
#include <stdlib.h>
#include <string.h>

#define NOW_US INT64_C(1800000000000000)
#define ID "0190a1b2-0000-7000-8000-000000000001"
#define ORDER                                                                                      \
    "{\"id\":\"" ID                                                                                \
    "\",\"product_name\":\"x\",\"amount\":1,\"created_at\":\"2024-01-01T00:00:00Z\"}"
#define PARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

/* Properties that are made of pieces. */
struct wire {
    unsigned char bytes[8192];
    size_t len;
};

static void put(struct wire *wire, const void *bytes, size_t len)
{
    assert_true(wire->len + len <= sizeof wire->bytes);
    memcpy(wire->bytes + wire->len, bytes, len);
    wire->len += len;
}

static void put_number(struct wire *wire, uint64_t number, int width)
{
    for (int shift = 8 * (width - 1); shift >= 0; shift -= 8)
        put(wire, &(unsigned char){(unsigned char)(number >> shift)}, 1);
}

static void put_name(struct wire *table, const char *name, char type)
{
    put_number(table, strlen(name), 1);
    put(table, name, strlen(name));
    put(table, &type, 1);
}

static void put_text(struct wire *table, const char *name, const char *text)
{
    put_name(table, name, 'S');
    put_number(table, strlen(text), 4);
    put(table, text, strlen(text));
}

static void put_table(struct wire *table, const char *name, const struct wire *inner)
{
    put_name(table, name, 'F');
    put_number(table, inner->len, 4);
    put(table, inner->bytes, inner->len);
}

static void put_integer(struct wire *table, const char *name, int64_t number)
{
    put_name(table, name, 'l');
    put_number(table, (uint64_t)number, 8);
}

/* x-death, as RabbitMQ writes it. */
static void put_death(struct wire *table, const char *reason, int64_t seconds)
{
    struct wire death = {.len = 0};
    put_text(&death, "reason", reason);
    put_text(&death, "queue", "order_queue");
    put_name(&death, "time", 'T');
    put_number(&death, (uint64_t)seconds, 8);
    put_name(table, "x-death", 'A');
    put_number(table, death.len + 5, 4);
    put(table, "F", 1);
    put_number(table, death.len, 4);
    put(table, death.bytes, death.len);
}

/* Headers, a message id if there is one, a timestamp if it is not 0. */
static struct wire properties_of(const struct wire *headers, const char *message_id,
                                 uint64_t timestamp)
{
    struct wire wire = {.len = 0};
    put_number(&wire, 0x2000u | (message_id != NULL ? 0x80u : 0) | (timestamp != 0 ? 0x40u : 0), 2);
    put_number(&wire, headers->len, 4);
    put(&wire, headers->bytes, headers->len);
    if (message_id != NULL) {
        put_number(&wire, strlen(message_id), 1);
        put(&wire, message_id, strlen(message_id));
    }
    if (timestamp != 0)
        put_number(&wire, timestamp, 8);
    return wire;
}

static struct dead_letter_row read_raw(const void *properties, size_t len, const char *body,
                                       size_t body_len, bool redelivered)
{
    static struct content *content;
    size_t large = 0;
    content_unref(content); /* the row before is no longer looked at */
    struct content_head head = {.body_size = body_len,
                                .properties = properties,
                                .properties_len = len,
                                .redelivered = redelivered};
    content = content_new(&head, &large);
    assert_int_equal(content_append(content, body, body_len), 0);
    struct dead_letter_row row;
    archive_letter_read(content, "order_queue", NOW_US, &row);
    return row;
}

static struct dead_letter_row read_letter(const struct wire *headers, const char *message_id,
                                          const char *body)
{
    struct wire wire = properties_of(headers, message_id, 0);
    return read_raw(wire.bytes, wire.len, body, strlen(body), false);
}

static struct wire our_headers(void)
{
    struct wire headers = {.len = 0};
    put_text(&headers, "x-reason", "id_conflict");
    put_text(&headers, "x-detail", "another order");
    put_text(&headers, "x-stage", "persist");
    put_integer(&headers, "x-attempts", 3);
    put_text(&headers, "x-last-attempt", "2023-11-14T22:13:20.5Z");
    return headers;
}

static void test_a_letter_of_the_bridge(void **state)
{
    (void)state;
    struct wire headers = our_headers();
    put_integer(&headers, "x-original-size", 3000000);
    put_integer(&headers, "x-replay-of", 12);
    put_text(&headers, "traceparent", PARENT);
    put_text(&headers, "tracestate", "a=1,b=2");
    struct dead_letter_row row = read_letter(&headers, "other", ORDER);
    assert_string_equal(row.reason, "id_conflict");
    assert_string_equal(row.detail, "another order");
    assert_string_equal(row.stage, "persist");
    assert_int_equal(row.attempts, 3);
    assert_int_equal(row.died_at_us, INT64_C(1700000000500000));
    assert_int_equal(row.body_bytes, 3000000);
    assert_int_equal(row.replay_of, 12);
    assert_string_equal(row.traceparent, PARENT);
    assert_string_equal(row.tracestate, "a=1,b=2");
    assert_true(row.has_order_id);
    assert_int_equal(row.order_id.bytes[15], 1);
    assert_false(row.may_be_copy);
    assert_memory_equal(row.body, ORDER, strlen(ORDER));

    row = read_letter(&headers, ID, "no order");
    assert_true(row.has_order_id);
    assert_int_equal(row.order_id.bytes[15], 1);
    row = read_letter(&headers, "no id", "no order");
    assert_false(row.has_order_id);
}

static void test_an_order_id_needs_no_order(void **state)
{
    (void)state;
    static const char other[] = "0189d6c0-0000-7000-8000-0000000000ff";
    struct wire headers = our_headers();
    static const struct {
        const char *body;
        int last; /* byte of the id; -1: none but the message_id's */
    } cases[] = {
        {"{\"id\":\"" ID "\",\"product_name\":\"P\",\"amount\":1.005,"
         "\"created_at\":\"2024-01-01T00:00:00Z\"}",
         1},
        {" {\"nested\":{\"id\":7},\"id\":\"" ID "\"}\n", 1},
        {"{\"nested\":{\"id\":\"" ID "\"}}", -1},
        {"{\"id\":7}", -1},
        {"{\"id\":\"7\"}", -1},
        {"{\"id\":\"" ID "\",\"id\":\"" ID "\"}", -1},
        {"{\"id\":\"" ID "\"", -1},
        {"[\"id\",\"" ID "\"]", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct dead_letter_row row = read_letter(&headers, NULL, cases[i].body);
        assert_int_equal(row.has_order_id, cases[i].last >= 0);
        row = read_letter(&headers, other, cases[i].body);
        assert_true(row.has_order_id);
        assert_int_equal(row.order_id.bytes[15], cases[i].last >= 0 ? cases[i].last : 0xff);
    }
}

static void test_a_letter_of_others(void **state)
{
    (void)state;
    struct wire none = {.len = 0}, death = {.len = 0}, absurd = {.len = 0};
    put_death(&death, "maxlen", 1700000000);
    put_death(&absurd, "expired", INT64_MAX);

    struct dead_letter_row row = read_letter(&none, NULL, "");
    assert_string_equal(row.reason, "unknown");
    assert_string_equal(row.stage, "intake");
    assert_int_equal(row.died_at_us, NOW_US);
    assert_int_equal(row.body_len, 0);

    row = read_letter(&death, NULL, "");
    assert_string_equal(row.reason, "maxlen");
    assert_string_equal(row.detail, "RabbitMQ moved it here from the queue order_queue: maxlen");
    assert_int_equal(row.died_at_us, INT64_C(1700000000000000));

    put_text(&death, "x-first-death-reason", "delivery_limit");
    assert_string_equal(read_letter(&death, NULL, "").reason, "delivery_limit");

    assert_int_equal(read_letter(&absurd, NULL, "").died_at_us, NOW_US);
    struct wire wire = properties_of(&absurd, NULL, 1600000000);
    assert_int_equal(read_raw(wire.bytes, wire.len, "", 0, false).died_at_us,
                     INT64_C(1600000000000000));
    wire = properties_of(&none, NULL, UINT64_MAX);
    assert_int_equal(read_raw(wire.bytes, wire.len, "", 0, false).died_at_us, NOW_US);
    wire = properties_of(&none, NULL, UINT64_C(1600000000000)); /* milliseconds, by mistake */
    assert_int_equal(read_raw(wire.bytes, wire.len, "", 0, false).died_at_us, NOW_US);
}

static void test_texts_are_made_fit(void **state)
{
    (void)state;
    char long_text[3000];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    memcpy(long_text + 999, "\xC3\xA9", 2); /* would be cut in its middle */
    const struct {
        const char *said, *kept;
    } cases[] = {
        {"tab\tline\nbell\x07 del\x7f", "tab line bell  del "},
        {"caf\xC3\xA9 \xF0\x9F\x8D\x95", "caf\xC3\xA9 \xF0\x9F\x8D\x95"},
        {"bad \xC3( \xED\xA0\x80 \xF5", "bad ?( ??? ?"},
        {"\xC2\x85next", " next"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wire headers = {.len = 0};
        put_text(&headers, "x-reason", cases[i].said);
        put_text(&headers, "x-detail", cases[i].said);
        put_text(&headers, "x-stage", cases[i].said);
        struct dead_letter_row row = read_letter(&headers, NULL, "");
        assert_string_equal(row.reason, cases[i].kept);
        assert_string_equal(row.detail, cases[i].kept);
        assert_string_equal(row.stage, "intake");
    }
    struct wire headers = {.len = 0};
    put_text(&headers, "x-reason", "");
    put_name(&headers, "x-detail", 'S'); /* with a NUL inside */
    put_number(&headers, 3, 4);
    put(&headers, "a\0b", 3);
    struct dead_letter_row row = read_letter(&headers, NULL, "");
    assert_string_equal(row.reason, "unknown");
    assert_string_equal(row.detail, "a b");

    headers.len = 0;
    put_text(&headers, "x-reason", long_text);
    put_text(&headers, "x-detail", long_text);
    row = read_letter(&headers, NULL, "");
    assert_int_equal(strlen(row.reason), 100);
    assert_int_equal(strlen(row.detail), 999);
}

static void test_headers_of_any_type_are_taken(void **state)
{
    (void)state;
    static const char types[] = "tbBsuIilLfdDTVSxAF";
    for (const char *type = types; *type != '\0'; type++) {
        struct wire headers = {.len = 0};
        static const char *const names[] = {"x-reason",
                                            "x-detail",
                                            "x-stage",
                                            "x-attempts",
                                            "x-last-attempt",
                                            "x-death",
                                            "x-replay-of",
                                            "x-original-size",
                                            "x-redelivered",
                                            "traceparent",
                                            "tracestate",
                                            "x-original-properties",
                                            "x-first-death-reason"};
        for (size_t i = 0; i < COUNT(names); i++) {
            static const size_t fixed[256] = {
                ['t'] = 1, ['b'] = 1, ['B'] = 1, ['s'] = 2, ['u'] = 2, ['I'] = 4, ['i'] = 4,
                ['l'] = 8, ['L'] = 8, ['f'] = 4, ['d'] = 8, ['D'] = 5, ['T'] = 8};
            put_name(&headers, names[i], *type);
            if (strchr("SxAF", *type) != NULL)
                put_number(&headers, 0, 4);
            else
                for (size_t k = 0; k < fixed[(unsigned char)*type]; k++)
                    put(&headers, "\xFF", 1);
        }
        struct dead_letter_row row = read_letter(&headers, NULL, "");
        assert_string_equal(row.stage, "intake");
        assert_true(row.attempts >= 0 && row.replay_of >= 0 && row.body_bytes >= 0);
        assert_string_equal(row.traceparent, "");
        assert_true(row.may_be_copy == (*type == 't'));
    }
    /* Nor does it matter where the properties end. */
    struct wire headers = our_headers(), wire = properties_of(&headers, ID, 5);
    for (size_t len = 0; len < wire.len; len++) {
        unsigned char *cut = malloc(len + 1);
        memcpy(cut, wire.bytes, len);
        struct dead_letter_row row = read_raw(cut, len, "", 0, true);
        assert_true(row.reason[0] != '\0' && row.may_be_copy);
        free(cut);
    }
}

static bool equal(const struct dead_letter_row *a, const struct dead_letter_row *b)
{
    return memcmp(a->digest, b->digest, sizeof a->digest) == 0;
}

/* A letter of the bridge's about a message with these headers. */
static struct dead_letter_row letter_about(const struct wire *original, const char *reason,
                                           const char *message_id, const char *body)
{
    struct wire properties = {.len = 0}, headers = {.len = 0};
    put_text(&properties, "correlation_id", "c");
    put_table(&properties, "headers", original);
    put_text(&headers, "x-reason", reason);
    put_table(&headers, "x-original-properties", &properties);
    return read_letter(&headers, message_id, body);
}

static void test_the_digest_is_the_message_and_not_the_delivery(void **state)
{
    (void)state;
    struct wire first = {.len = 0}, again = {.len = 0}, other = {.len = 0}, none = {.len = 0};
    put_text(&first, "k", "v");
    put_integer(&first, "n", 1);
    put_integer(&again, "x-delivery-count", 2);
    put_integer(&again, "n", 1);
    put_text(&again, "k", "v");
    put_death(&again, "rejected", 1700000000);
    put_text(&other, "k", "w");
    put_integer(&other, "n", 1);
    struct dead_letter_row row = letter_about(&first, "malformed", ID, "body"),
                           same = letter_about(&again, "retries_exhausted", ID, "body"),
                           different[] = {letter_about(&other, "malformed", ID, "body"),
                                          letter_about(&first, "malformed", "id", "body"),
                                          letter_about(&first, "malformed", NULL, "body"),
                                          letter_about(&first, "malformed", ID, "bodY"),
                                          read_letter(&first, ID, "body"),
                                          read_letter(&none, ID, "body")};
    assert_true(equal(&row, &same));
    for (size_t i = 0; i < COUNT(different); i++) {
        assert_false(equal(&row, &different[i]));
        for (size_t k = 0; k < i; k++)
            assert_false(equal(&different[i], &different[k]));
    }
    struct dead_letter_row foreign = read_letter(&first, ID, "body"),
                           delivered_again = read_letter(&again, ID, "body");
    assert_true(equal(&foreign, &delivered_again));
}

static void test_a_plain_form_has_nothing_that_can_be_refused(void **state)
{
    (void)state;
    struct wire headers = our_headers();
    put_text(&headers, "traceparent", PARENT);
    struct dead_letter_row row = read_letter(&headers, ID, "b\xFF");
    strcpy(row.reason, "caf\xC3\xA9 'a' 9");
    archive_letter_make_plain(&row, "22021");
    assert_string_equal(row.reason, "caf____a__9");
    assert_non_null(strstr(row.detail, "22021"));
    assert_string_equal(row.traceparent, "");
    assert_false(row.has_order_id);
    assert_memory_equal(row.body, "b\xFF", 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_letter_of_the_bridge),
        cmocka_unit_test(test_an_order_id_needs_no_order),
        cmocka_unit_test(test_a_letter_of_others),
        cmocka_unit_test(test_texts_are_made_fit),
        cmocka_unit_test(test_headers_of_any_type_are_taken),
        cmocka_unit_test(test_the_digest_is_the_message_and_not_the_delivery),
        cmocka_unit_test(test_a_plain_form_has_nothing_that_can_be_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
