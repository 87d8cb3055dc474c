#include "proto/order_id.h"
#include "tests/unit/support/cmocka_headers.h"
#include <string.h>

static struct order_id id_of(const char *text)
{
    struct order_id id;
    assert_int_equal(order_id_parse(text, strlen(text), &id), 0);
    return id;
}

static void test_new_is_a_uuid_v7_of_the_time(void **state)
{
    (void)state;
    static const int64_t times_ms[] = {0, 1, INT64_C(0x017F22E279B0), INT64_C(1) << 47};
    for (size_t i = 0; i < COUNT(times_ms); i++) {
        struct order_id id = order_id_new(times_ms[i]);
        int64_t ms = 0;
        for (int byte = 0; byte < 6; byte++)
            ms = ms << 8 | id.bytes[byte];
        assert_int_equal(ms, times_ms[i]);
        assert_int_equal(id.bytes[6] >> 4, 7);
        assert_int_equal(id.bytes[8] >> 6, 2);
    }
}

static void test_new_ids_order_by_time_and_differ(void **state)
{
    (void)state;
    struct order_id before = order_id_new(1700000000000);
    for (int64_t ms = 1; ms < 1000; ms++) {
        struct order_id id = order_id_new(1700000000000 + ms);
        struct order_id same_ms = order_id_new(1700000000000 + ms);
        assert_true(memcmp(before.bytes, id.bytes, sizeof id.bytes) < 0);
        assert_false(order_id_equal(&id, &same_ms));
        before = id;
    }
}

static void test_random_bits_are_all_used(void **state)
{
    (void)state;
    struct order_id ones = {{0}}, zeros = {{0}};
    for (int i = 0; i < 200; i++) {
        struct order_id id = order_id_new(0);
        for (size_t byte = 0; byte < sizeof id.bytes; byte++) {
            ones.bytes[byte] |= id.bytes[byte];
            zeros.bytes[byte] |= (uint8_t)~id.bytes[byte];
        }
    }
    static const uint8_t random_bits[16] = {[6] = 0x0f, 0xff, 0x3f, 0xff, 0xff,
                                            0xff,       0xff, 0xff, 0xff, 0xff};
    for (size_t byte = 6; byte < 16; byte++) {
        assert_int_equal(ones.bytes[byte] & random_bits[byte], random_bits[byte]);
        assert_int_equal(zeros.bytes[byte] & random_bits[byte], random_bits[byte]);
    }
}

static void test_from_key_is_uuid_v5(void **state)
{
    (void)state;
    /* RFC 9562, appendix A.4 */
    struct order_id dns = id_of("6ba7b810-9dad-11d1-80b4-00c04fd430c8");
    struct order_id expected = id_of("2ed6657d-e927-568b-95e1-2665a8aea6a2");
    struct order_id id = order_id_from_key(&dns, "www.example.com", strlen("www.example.com"));
    assert_true(order_id_equal(&id, &expected));

    struct order_id shorter = order_id_from_key(&dns, "www.example.com", 3);
    struct order_id elsewhere = order_id_from_key(&id, "www.example.com", 15);
    assert_false(order_id_equal(&id, &shorter));
    assert_false(order_id_equal(&id, &elsewhere));
}

static void test_text(void **state)
{
    (void)state;
    char text[ORDER_ID_TEXT_LEN + 1];
    struct order_id id = id_of("0190163D-8694-739B-AEA5-966C26F8AD91");
    assert_int_equal(id.bytes[0], 0x01);
    assert_int_equal(id.bytes[15], 0x91);
    order_id_format(&id, text);
    assert_string_equal(text, "0190163d-8694-739b-aea5-966c26f8ad91");

    static const char *const bad[] = {
        "",
        "0190163d8694739baea5966c26f8ad91",
        "0190163d-8694-739b-aea5-966c26f8ad9",
        "0190163d-8694-739b-aea5-966c26f8ad911",
        "{190163d-8694-739b-aea5-966c26f8ad9}",
        "0190163g-8694-739b-aea5-966c26f8ad91",
        "0190163d_8694-739b-aea5-966c26f8ad91",
        "0190163-d8694-739b-aea5-966c26f8ad91",
        "0x90163d-8694-739b-aea5-966c26f8ad91",
        "+190163d-8694-739b-aea5-966c26f8ad91",
        " 190163d-8694-739b-aea5-966c26f8ad91",
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct order_id untouched = id;
        assert_int_equal(order_id_parse(bad[i], strlen(bad[i]), &untouched), -1);
        assert_true(order_id_equal(&untouched, &id));
    }
    assert_int_equal(order_id_parse("0190163d-8694-739b-aea5-966c26f8\0d91", 36, &id), -1);
}

static void test_parse_lower(void **state)
{
    (void)state;
    static const char lower[] = "0190163d-8694-739b-aea5-966c26f8ad91";
    struct order_id id, untouched;
    assert_int_equal(order_id_parse_lower(lower, 36, &id), 0);
    untouched = id;
    assert_int_equal(order_id_parse_lower("0190163D-8694-739b-aea5-966c26f8ad92", 36, &id), -1);
    assert_int_equal(order_id_parse_lower(lower, 35, &id), -1);
    assert_true(order_id_equal(&untouched, &id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_lower),
        cmocka_unit_test(test_new_is_a_uuid_v7_of_the_time),
        cmocka_unit_test(test_new_ids_order_by_time_and_differ),
        cmocka_unit_test(test_random_bits_are_all_used),
        cmocka_unit_test(test_from_key_is_uuid_v5),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
