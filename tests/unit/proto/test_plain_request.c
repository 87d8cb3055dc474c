#include "proto/order_json.h"
#include "proto/plain_request.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static bool read_text(const char *text, struct json_span *name, struct json_span *amount)
{
    return plain_request_read((struct json_span){text, strlen(text)}, name, amount);
}

static void test_plain(void **state)
{
    (void)state;
    static const struct {
        const char *text, *name, *amount;
    } cases[] = {
        {"{\"product_name\":\"Laptop\",\"amount\":1299.99}", "Laptop", "1299.99"},
        {"{\"amount\":0,\"product_name\":\"\"}", "", "0"},
        {" \r\n\t{ \"amount\" : 0.5 , \"product_name\" : \" a \" } \n", " a ", "0.5"},
        {"{\"product_name\":\"\xc3\xa4 {}:,'\",\"amount\":12345678901234567890}", "\xc3\xa4 {}:,'",
         "12345678901234567890"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct json_span name, amount;
        if (!read_text(cases[i].text, &name, &amount))
            fail_msg("%s", cases[i].text);
        assert_int_equal(name.len, strlen(cases[i].name));
        assert_memory_equal(name.text, cases[i].name, name.len);
        assert_int_equal(amount.len, strlen(cases[i].amount));
        assert_memory_equal(amount.text, cases[i].amount, amount.len);
    }
}

static void test_left_to_the_parser(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        " ",
        "{}",
        "[1,2]",
        "{\"amount\":1}",
        "{\"amount\":1,}",
        "{\"amount\":1,\"amount\":1}",
        "{\"product_name\":\"a\",\"product_name\":\"a\"}",
        "{\"product_name\":\"a\",\"amount\":1",
        "{\"product_name\":\"a\",\"amount\":1}x",
        "{\"product_name\":\"a\",\"amount\":1}}",
        "{\"product_name\":\"a\",\"amount\":1,}",
        "{\"product_name\":\"a\",\"amount\":1,\"id\":1}",
        "{\"product_name\":\"a\" \"amount\":1}",
        "{\"product_name\" \"a\",\"amount\":1}",
        "{product_name:\"a\",\"amount\":1}",
        "{\"product_name\":\"a\\n\",\"amount\":1}",
        "{\"product_name\":\"a\n\",\"amount\":1}",
        "{\"product_name\":\"a,\"amount\":1}",
        "{\"product_name\":a,\"amount\":1}",
        "{\"product_name\":\"a\",\"amount\":\"1\"}",
        "{\"product_name\":\"a\",\"amount\":}",
        "{\"product_name\":\"a\",\"amount\":-1}",
        "{\"product_name\":\"a\",\"amount\":+1}",
        "{\"product_name\":\"a\",\"amount\":01}",
        "{\"product_name\":\"a\",\"amount\":.5}",
        "{\"product_name\":\"a\",\"amount\":1.}",
        "{\"product_name\":\"a\",\"amount\":1.5.5}",
        "{\"product_name\":\"a\",\"amount\":1e2}",
        "{\"product_name\":\"a\",\"amount\":0x1}",
        "{\"product_name\":\"a\",\"amount\":123456789012345678901}",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct json_span name, amount;
        if (read_text(texts[i], &name, &amount))
            fail_msg("%s", texts[i]);
    }
    /* A text that ends early, wherever. */
    static const char whole[] = "{\"product_name\":\"a\",\"amount\":1.5}";
    for (size_t len = 0; len < strlen(whole); len++) {
        struct json_span name, amount;
        assert_false(plain_request_read((struct json_span){whole, len}, &name, &amount));
    }
}

/* The same order as the parser's, which one more member calls in. */
static void test_same_as_the_parser(void **state)
{
    (void)state;
    static const char *const members[] = {
        "\"product_name\":\"a\",\"amount\":1}",
        "\"amount\": 0.01, \"product_name\": \"\xc3\xa4\xf0\x9f\x98\x80\" } ",
        "\"product_name\":\"a\",\"amount\":9999999999.99}",
        "\"product_name\":\"a\",\"amount\":149.99000000000}",
        "\"product_name\":\"a\",\"amount\":10000000000}",
        "\"product_name\":\"a\",\"amount\":1.005}",
        "\"product_name\":\"a\",\"amount\":0}",
        "\"product_name\":\"\",\"amount\":1}",
        "\"product_name\":\"\x7f\",\"amount\":1}",
        "\"product_name\":\"\xff\",\"amount\":1}",
        "\"product_name\":\"\xef\xbb\xbf\",\"amount\":1}",
    };
    for (size_t i = 0; i < COUNT(members); i++) {
        char plain[200], other[200];
        struct order order = {.amount_cents = 0}, parsed = {.amount_cents = 0};
        struct error err;
        (void)snprintf(plain, sizeof plain, "{%s", members[i]);
        (void)snprintf(other, sizeof other, "{\"x\":0,%s", members[i]);
        assert_int_equal(order_request_from_json(plain, strlen(plain), &order, &err),
                         order_request_from_json(other, strlen(other), &parsed, &err));
        assert_true(order_equal(&order, &parsed));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_left_to_the_parser),
        cmocka_unit_test(test_same_as_the_parser),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
