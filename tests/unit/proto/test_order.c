#include "proto/order.h"
#include "tests/unit/support/cmocka_headers.h"
#include <string.h>

static void repeat(char *to, const char *character, size_t times)
{
    size_t len = strlen(character);
    for (size_t i = 0; i < times; i++)
        memcpy(to + i * len, character, len);
}

static void test_name_valid(void **state)
{
    (void)state;
    static const char *const good[] = {
        "a", " ",        "Laptop 15\"",  "Käse",         "笔记本",
        "💻", "\xc2\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf"};
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(order_name_valid(good[i], strlen(good[i])));

    static const char *const bad[] = {
        "",
        "\n",
        "a\tb",
        "\x1f",
        "a\x7f",
        "\x80",
        "\xbf\xbf",
        "\xc0\x80",         /* overlong NUL */
        "\xc1\xbf",         /* overlong */
        "\xe0\x9f\xbf",     /* overlong */
        "\xf0\x8f\xbf\xbf", /* overlong */
        "\xed\xa0\x80",     /* surrogate */
        "\xed\xbf\xbf",     /* surrogate */
        "\xf4\x90\x80\x80", /* over U+10FFFF */
        "\xf5\x80\x80\x80",
        "\xff",
        "\xc3",         /* cut short */
        "\xe2\x82",     /* cut short */
        "\xf0\x9f\x92", /* cut short */
        "\xe2\x28\xa1",
        "\xf0\x9f\x28\xbb",
    };
    for (size_t i = 0; i < COUNT(bad); i++)
        if (order_name_valid(bad[i], strlen(bad[i])))
            fail_msg("bad name %zu taken", i);
    assert_false(order_name_valid("a\0b", 3));
}

static void test_name_length_counts_characters(void **state)
{
    (void)state;
    char name[ORDER_NAME_MAX_BYTES + 8];
    static const char *const characters[] = {"a", "ä", "€", "💻"};
    for (size_t i = 0; i < COUNT(characters); i++) {
        size_t width = strlen(characters[i]);
        repeat(name, characters[i], 256);
        assert_true(order_name_valid(name, 255 * width));
        assert_false(order_name_valid(name, 256 * width));
    }
}

static void test_copy_and_equal(void **state)
{
    (void)state;
    struct order a = {.id = {{1, 2, 3}}, .amount_cents = -5, .created_at_us = 7}, b;
    order_set_name(&a, "Laptop", 6);
    assert_string_equal(a.product_name, "Laptop");
    memset(&b, 0xaa, sizeof b);
    order_copy(&b, &a);
    assert_true(order_equal(&a, &b));
    assert_string_equal(b.product_name, "Laptop");

    struct order other;
    order_copy(&other, &a), other.id.bytes[15] ^= 1;
    assert_false(order_equal(&a, &other));
    order_copy(&other, &a), other.amount_cents++;
    assert_false(order_equal(&a, &other));
    order_copy(&other, &a), other.created_at_us++;
    assert_false(order_equal(&a, &other));
    order_copy(&other, &a), order_set_name(&other, "Lapto", 5);
    assert_false(order_equal(&a, &other));
    order_copy(&other, &a), order_set_name(&other, "laptop", 6);
    assert_false(order_equal(&a, &other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_name_valid),
        cmocka_unit_test(test_name_length_counts_characters),
        cmocka_unit_test(test_copy_and_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
