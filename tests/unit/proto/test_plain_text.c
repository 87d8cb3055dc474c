#include "proto/order.h"
#include "proto/order_json.h"
#include "proto/plain_text.h"
#include "tests/unit/support/cmocka_headers.h"
#include <string.h>

#define LEN 24

static bool is_plain(unsigned byte)
{
    return byte >= ' ' && byte <= '~' && byte != '"' && byte != '\\';
}

/* Every byte at every place among others, of all kinds. */
static void no_other_byte_is_counted(void **state)
{
    (void)state;
    static const char *const around = "a~ \xff!#[]";
    for (const char *other = around; *other != '\0'; other++)
        for (size_t place = 0; place < LEN; place++)
            for (unsigned byte = 0; byte < 256; byte++) {
                char text[LEN];
                memset(text, *other, sizeof text);
                text[place] = (char)byte;
                size_t plain = plain_text_len(text, LEN);
                bool all = is_plain(byte) && is_plain((unsigned char)*other);
                assert_int_equal(plain, all                               ? LEN
                                        : is_plain((unsigned char)*other) ? place / 8 * 8
                                                                          : 0);
            }
}

static void a_short_rest_is_not_looked_at(void **state)
{
    (void)state;
    for (size_t len = 0; len <= LEN; len++)
        assert_int_equal(plain_text_len("abcdefghijklmnopqrstuvwx", len), len / 8 * 8);
}

/* What is made of it: names, and their JSON. */
static void names_with_every_byte_at_every_place(void **state)
{
    (void)state;
    for (size_t place = 0; place < LEN; place++)
        for (unsigned byte = 0; byte < 128; byte++) {
            struct order order = {.amount_cents = 100}, read;
            struct error err;
            char name[LEN], json[ORDER_JSON_SIZE];
            memset(name, 'n', sizeof name);
            name[place] = (char)byte;
            bool valid = byte >= ' ' && byte != 0x7f;
            assert_int_equal(order_name_valid(name, LEN), valid);
            if (!valid)
                continue;
            order_set_name(&order, name, LEN);
            size_t len = order_to_json(&order, json);
            assert_int_equal(order_from_json(json, len, &read, &err), DECODE_OK);
            assert_true(order_equal(&order, &read));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_other_byte_is_counted),
        cmocka_unit_test(a_short_rest_is_not_looked_at),
        cmocka_unit_test(names_with_every_byte_at_every_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
