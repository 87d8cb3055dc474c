#include "services/clients/rabbitmq/content.h"
#include "tests/unit/support/cmocka_headers.h"
#include <stdlib.h>
#include <string.h>

static void test_keeps_all_parts(void **state)
{
    (void)state;
    size_t large_bytes = 0;
    char properties[] = "prop", id[] = "id-1", exchange[] = "ex", key[] = "key";
    struct content_head head = {.body_size = 5,
                                .properties = properties,
                                .properties_len = 4,
                                .message_id = id,
                                .message_id_len = 4,
                                .exchange = exchange,
                                .exchange_len = 2,
                                .routing_key = key,
                                .routing_key_len = 3};
    struct content *content = content_new(&head, &large_bytes);
    memset(properties, 'z', 4);
    memset(id, 'z', 4);
    memset(exchange, 'z', 2);
    memset(key, 'z', 3);
    assert_false(content_complete(content));
    assert_int_equal(content_append(content, "ab", 2), 0);
    assert_false(content_complete(content));
    assert_int_equal(content_append(content, "cde", 3), 0);
    assert_true(content_complete(content));
    assert_int_equal(content_append(content, "f", 1), -1);
    assert_int_equal(content->body_len, 5);
    assert_memory_equal(content->body, "abcde", 5);
    assert_memory_equal(content->head.properties, "prop", 4);
    assert_memory_equal(content->head.message_id, "id-1", 4);
    assert_memory_equal(content->head.exchange, "ex", 2);
    assert_memory_equal(content->head.routing_key, "key", 3);
    content_unref(content);
    assert_int_equal(large_bytes, 0);
}

static void test_cuts_a_huge_body_and_knows_its_size(void **state)
{
    (void)state;
    size_t large_bytes = 0;
    static unsigned char piece[100000];
    memset(piece, 'x', sizeof piece);
    struct content_head head = {.body_size = 128u << 20};
    struct content *content = content_new(&head, &large_bytes);
    assert_int_equal(large_bytes, CONTENT_KEEP_BYTES);
    uint64_t left = head.body_size;
    while (left > 0) {
        size_t len = left < sizeof piece ? (size_t)left : sizeof piece;
        assert_int_equal(content_append(content, piece, len), 0);
        left -= len;
    }
    assert_true(content_complete(content));
    assert_int_equal(content->body_len, CONTENT_KEEP_BYTES);
    assert_int_equal(content->head.body_size, 128u << 20);
    struct content *again = content_ref(content);
    content_unref(content);
    assert_int_equal(large_bytes, CONTENT_KEEP_BYTES);
    content_unref(again);
    assert_int_equal(large_bytes, 0);
    content_unref(NULL);
}

static void test_what_is_large(void **state)
{
    (void)state;
    static const struct {
        uint64_t body_size;
        size_t properties_len;
        bool large;
    } cases[] = {
        {0, 0, false},
        {CONTENT_LARGE_BYTES, 0, false},
        {CONTENT_LARGE_BYTES + 1, 0, true},
        {CONTENT_LARGE_BYTES, 1, true},
        {CONTENT_LARGE_BYTES - 100, 100, false},
        {0, CONTENT_LARGE_BYTES + 1, true},
        {UINT64_MAX, 100, true},
        {UINT64_MAX, CONTENT_LARGE_BYTES + 1, true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct content_head head = {.body_size = cases[i].body_size,
                                    .properties_len = cases[i].properties_len};
        assert_int_equal(content_head_is_large(&head), cases[i].large);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keeps_all_parts),
        cmocka_unit_test(test_cuts_a_huge_body_and_knows_its_size),
        cmocka_unit_test(test_what_is_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
