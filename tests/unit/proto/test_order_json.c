#include "proto/amount.h"
#include "proto/order_json.h"
#include "proto/timestamp.h"
#include "tests/unit/support/cmocka_headers.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID "0190163d-8694-739b-aea5-966c26f8ad91"

static struct order sample(const char *name, int64_t cents, const char *created_at)
{
    struct order order;
    memset(&order, 0, sizeof order);
    assert_int_equal(order_id_parse(ID, 36, &order.id), 0);
    order_set_name(&order, name, strlen(name));
    order.amount_cents = cents;
    assert_int_equal(timestamp_parse(created_at, strlen(created_at), &order.created_at_us), 0);
    return order;
}

static void test_canonical_form(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t cents;
        const char *created_at, *json;
    } cases[] = {
        {"Laptop", 129999, "2026-11-23T06:45:12.345678Z",
         "{\"id\":\"" ID "\",\"product_name\":\"Laptop\",\"amount\":1299.99,"
         "\"created_at\":\"2026-11-23T06:45:12.345678Z\"}"},
        {"15\" \\ \xe2\x82\xac / </b>", 100, "2026-11-23T06:45:12Z",
         "{\"id\":\"" ID "\",\"product_name\":\"15\\\" \\\\ \xe2\x82\xac / </b>\",\"amount\":1,"
         "\"created_at\":\"2026-11-23T06:45:12Z\"}"},
        {"a\n\x1f\x7f", -1, "0001-01-01T00:00:00Z",
         "{\"id\":\"" ID "\",\"product_name\":\"a\\u000a\\u001f\x7f\",\"amount\":-0.01,"
         "\"created_at\":\"0001-01-01T00:00:00Z\"}"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char json[ORDER_JSON_SIZE];
        struct order order = sample(cases[i].name, cases[i].cents, cases[i].created_at);
        assert_int_equal(order_to_json(&order, json), strlen(cases[i].json));
        assert_string_equal(json, cases[i].json);
    }
}

static void test_longest_order_fits(void **state)
{
    (void)state;
    struct order order = sample("x", -AMOUNT_MAX_CENTS, "9999-12-31T23:59:59.999999Z");
    memset(order.product_name, 1, ORDER_NAME_MAX_BYTES);
    order.product_name_len = ORDER_NAME_MAX_BYTES;
    char *json = malloc(ORDER_JSON_SIZE); /* on the heap: AddressSanitizer sees its end */
    assert_true(order_to_json(&order, json) < ORDER_JSON_SIZE);
    free(json);
}

static void test_round_trip(void **state)
{
    (void)state;
    char name[ORDER_NAME_MAX_BYTES + 1] = "";
    for (int i = 0; i < ORDER_NAME_MAX_CHARS; i++)
        memcpy(name + 4 * i, "\xf0\x9f\x92\xbb", 5);
    const char *const names[] = {"a", "\\\"\\\"", "Käse & <Wurst>", name};
    for (size_t i = 0; i < COUNT(names); i++) {
        struct order order = sample(names[i], AMOUNT_MAX_CENTS, "2026-11-23T06:45:12.1Z"), back;
        char json[ORDER_JSON_SIZE];
        struct error err;
        size_t len = order_to_json(&order, json);
        assert_int_equal(order_from_json(json, len, &back, &err), DECODE_OK);
        assert_true(order_equal(&order, &back));
        for (size_t cut = 0; cut < len; cut++)
            assert_int_equal(order_from_json(json, cut, &back, &err), DECODE_MALFORMED);

        /* nearly canonical, and so left to the parser */
        char spaced[ORDER_JSON_SIZE + 1] = " ";
        memcpy(spaced + 1, json, len);
        assert_int_equal(order_from_json(spaced, len + 1, &back, &err), DECODE_OK);
        assert_true(order_equal(&order, &back));
        json[len] = 'x';
        assert_int_equal(order_from_json(json, len + 1, &back, &err), DECODE_MALFORMED);
    }
}

static void test_foreign_orders(void **state)
{
    (void)state;
    static const struct {
        const char *json, *canonical_rest;
    } good[] = {
        /* as the original's api publishes it: Go's encoding/json of a float64 and a time.Time */
        {"{\"id\":\"" ID "\",\"product_name\":\"Laptop\",\"amount\":1e+06,"
         "\"created_at\":\"2026-11-23T07:45:12.123456789+01:00\"}",
         "\"product_name\":\"Laptop\",\"amount\":1000000,"
         "\"created_at\":\"2026-11-23T06:45:12.123457Z\"}"},
        {" {\"amount\": 0, \"created_at\": \"2026-11-23T06:45:12Z\",\n\"id\":"
         "\"0190163D-8694-739B-AEA5-966C26F8AD91\", \"product_name\": \"a\\u003cb\", \"x\": [{}]} ",
         "\"product_name\":\"a<b\",\"amount\":0,\"created_at\":\"2026-11-23T06:45:12Z\"}"},
        {"{\"id\":\"" ID "\",\"product_name\":\"x\",\"amount\":-0e999999999,"
         "\"created_at\":\"2026-11-23T06:45:12Z\"}",
         "\"product_name\":\"x\",\"amount\":0,\"created_at\":\"2026-11-23T06:45:12Z\"}"},
        {"{\"id\":\"" ID "\",\"product_name\":\"\xef\xbb\xbfx\",\"amount\":1.0e1,"
         "\"created_at\":\"2026-11-23T06:45:12Z\"}",
         "\"product_name\":\"\xef\xbb\xbfx\",\"amount\":10,"
         "\"created_at\":\"2026-11-23T06:45:12Z\"}"},
        {"{\"id\":\"" ID "\",\"product_name\":\"x\",\"amount\":-12.5,"
         "\"created_at\":\"2026-11-23T06:45:12Z\"}",
         "\"product_name\":\"x\",\"amount\":-12.5,\"created_at\":\"2026-11-23T06:45:12Z\"}"},
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        struct order order;
        struct error err = {""};
        char json[ORDER_JSON_SIZE], expected[512];
        if (order_from_json(good[i].json, strlen(good[i].json), &order, &err) != DECODE_OK)
            fail_msg("%s: %s", good[i].json, err.message);
        order_to_json(&order, json);
        (void)snprintf(expected, sizeof expected, "{\"id\":\"" ID "\",%s", good[i].canonical_rest);
        assert_string_equal(json, expected);
    }

#define REST ",\"created_at\":\"2026-11-23T06:45:12Z\"}"
    static const struct {
        enum decode_result result;
        const char *json;
    } bad[] = {
        {DECODE_MALFORMED, ""},
        {DECODE_MALFORMED, "[]"},
        {DECODE_MALFORMED, "{}"},
        {DECODE_MALFORMED, "{\"product_name\":\"x\",\"amount\":1" REST},
        {DECODE_MALFORMED, "{\"id\":7,\"product_name\":\"x\",\"amount\":1" REST},
        {DECODE_MALFORMED, "{\"id\":\"" ID "\",\"amount\":1" REST},
        {DECODE_MALFORMED, "{\"id\":\"" ID "\",\"product_name\":\"x\"" REST},
        {DECODE_MALFORMED, "{\"id\":\"" ID "\",\"product_name\":\"x\",\"amount\":\"1\"" REST},
        {DECODE_MALFORMED, "{\"id\":\"" ID "\",\"product_name\":\"x\",\"amount\":1}"},
        {DECODE_MALFORMED,
         "{\"id\":\"" ID "\",\"id\":\"" ID "\",\"product_name\":\"x\",\"amount\":1" REST},
        {DECODE_UNACCEPTABLE, "{\"id\":\"ERROR\",\"product_name\":\"x\",\"amount\":1" REST},
        {DECODE_UNACCEPTABLE, "{\"id\":\"" ID "\",\"product_name\":\"\",\"amount\":1" REST},
        {DECODE_UNACCEPTABLE, "{\"id\":\"" ID "\",\"product_name\":\"x\",\"amount\":0.001" REST},
        {DECODE_UNACCEPTABLE, "{\"id\":\"" ID "\",\"product_name\":\"x\",\"amount\":-1e10" REST},
        {DECODE_UNACCEPTABLE, "{\"id\":\"" ID "\",\"product_name\":\"x\",\"amount\":1e-400" REST},
        {DECODE_UNACCEPTABLE,
         "{\"id\":\"" ID "\",\"product_name\":\"x\",\"amount\":1.0000000000000000001" REST},
        {DECODE_UNACCEPTABLE,
         "{\"id\":\"" ID "\",\"product_name\":\"x\",\"amount\":1.005,\"x\":{\"amount\":1}" REST},
        {DECODE_MALFORMED,
         "\xef\xbb\xbf{\"id\":\"" ID "\",\"product_name\":\"x\",\"amount\":1" REST},
        {DECODE_UNACCEPTABLE, "{\"id\":\"" ID "\",\"product_name\":\"x\",\"amount\":1,"
                              "\"created_at\":\"yesterday\"}"},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct order order, untouched;
        struct error err = {""};
        memset(&order, 0x55, sizeof order);
        untouched = order;
        if (order_from_json(bad[i].json, strlen(bad[i].json), &order, &err) != bad[i].result)
            fail_msg("%s: %s", bad[i].json, err.message);
        assert_true(err.message[0] != '\0');
        assert_memory_equal(&order, &untouched, sizeof order);
    }
}

static void test_requests(void **state)
{
    (void)state;
    static const struct {
        const char *json, *name;
        int64_t cents;
    } good[] = {
        {"{\"product_name\":\"Laptop\",\"amount\":1299.99}", "Laptop", 129999},
        {"{\"amount\":1e2,\"product_name\":\"x\"}", "x", 10000},
        {"{\"amount\":149.990,\"product_name\":\"x\"}", "x", 14999},
        {"{\"amount\":5,\"product_name\":\"x\"}", "x", 500},
        {"{\"amount\":0.01,\"product_name\":\"\\u00e4\\ud83d\\ude00\"}", "\xc3\xa4\xf0\x9f\x98\x80",
         1},
        {"{\"amount\":9999999999.99,\"product_name\":\"x\"}", "x", AMOUNT_MAX_CENTS},
        {"{\"amount\":0.1e1,\"product_name\":\"x\"}", "x", 100},
        {"{\"amount\" : 1234e-2 ,\"product_name\":\"x\"}", "x", 1234},
        {"{\"amount\":1,\"product_name\":\"x\",\"y\":12566355166404426030120960}", "x", 100},
        {"{\"x\":{\"amount\":1.005},\"\\u0061mount\":1.0000e1,\"product_name\":\"\\\"amount\\\":"
         "2\"}",
         "\"amount\":2", 1000},
        {"{\"amount\":1,\"product_name\":\"\\ufeff\"}", "\xef\xbb\xbf", 100},
        {"{\"id\":false,\"created_at\":[],\"amount\":1,\"product_name\":\"ERROR\"}", "ERROR", 100},
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        struct order order;
        struct error err = {""};
        memset(&order, 0x55, sizeof order);
        struct order_id id = order.id;
        int64_t created_at_us = order.created_at_us;
        if (order_request_from_json(good[i].json, strlen(good[i].json), &order, &err) != DECODE_OK)
            fail_msg("%s: %s", good[i].json, err.message);
        assert_string_equal(order.product_name, good[i].name);
        assert_int_equal(order.amount_cents, good[i].cents);
        assert_true(order_id_equal(&order.id, &id));
        assert_int_equal(order.created_at_us, created_at_us);
    }

#define AMOUNT(text) "{\"product_name\":\"x\",\"amount\":" text "}"
#define NAME(text) "{\"amount\":1,\"product_name\":" text "}"
    static const struct {
        enum decode_result result;
        const char *json;
    } bad[] = {
        {DECODE_MALFORMED, ""},
        {DECODE_MALFORMED, "null"},
        {DECODE_MALFORMED, "7"},
        {DECODE_MALFORMED, "\"x\""},
        {DECODE_MALFORMED, "[" AMOUNT("1") "]"},
        {DECODE_MALFORMED, "{}"},
        {DECODE_MALFORMED, "{\"amount\":1}"},
        {DECODE_MALFORMED, "{\"product_name\":\"x\"}"},
        {DECODE_MALFORMED, AMOUNT("1") "x"},
        {DECODE_MALFORMED, AMOUNT("1") AMOUNT("1")},
        {DECODE_MALFORMED, "\xef\xbb\xbf" AMOUNT("1")},
        {DECODE_MALFORMED, "{\"product_name\":\"x\",\"amount\":1,}"},
        {DECODE_MALFORMED, "{'product_name':'x','amount':1}"},
        {DECODE_MALFORMED, "{\"product_name\":\"x\",\"amount\":1,\"amount\":1}"},
        {DECODE_MALFORMED, "{\"product_name\":\"x\",\"amount\":1,\"y\":{\"a\":1,\"a\":2}}"},
        {DECODE_MALFORMED, AMOUNT("\"1\"")},
        {DECODE_MALFORMED, AMOUNT("true")},
        {DECODE_MALFORMED, AMOUNT("null")},
        {DECODE_MALFORMED, AMOUNT("[1]")},
        {DECODE_MALFORMED, AMOUNT("NaN")},
        {DECODE_MALFORMED, AMOUNT("Infinity")},
        {DECODE_MALFORMED, AMOUNT("1.")},
        {DECODE_MALFORMED, AMOUNT(".5")},
        {DECODE_MALFORMED, AMOUNT("01")},
        {DECODE_MALFORMED, AMOUNT("+1")},
        {DECODE_MALFORMED, AMOUNT("0x10")},
        {DECODE_MALFORMED, AMOUNT("1e400")},
        {DECODE_MALFORMED, AMOUNT("1e999999999999")},
        {DECODE_UNACCEPTABLE, AMOUNT("12566355166404426030120960")},
        {DECODE_MALFORMED, "{\"product_name\":\"x\",\"amount\":1,\"\\u0061mount\":1}"},
        {DECODE_MALFORMED, NAME("\"\xef\xbb\xbfx\"")},
        {DECODE_MALFORMED, "{\"product_name\":\"x\",\"amount\":1,\"y\":\"\xef\xbb\xbf\"}"},
        {DECODE_MALFORMED, NAME("7")},
        {DECODE_MALFORMED, NAME("true")},
        {DECODE_MALFORMED, NAME("\"\xff\"")},
        {DECODE_MALFORMED, NAME("\"\xc0\x80\"")},
        {DECODE_MALFORMED, NAME("\"\xed\xa0\x80\"")},
        {DECODE_MALFORMED, NAME("\"\\ud83d\"")},
        {DECODE_MALFORMED, NAME("\"\\ude00\\ud83d\"")},
        {DECODE_MALFORMED, NAME("\"a\nb\"")},
        {DECODE_MALFORMED, NAME("\"a\\u0000b\"")},
        {DECODE_MALFORMED, NAME("\"a\\x\"")},
        {DECODE_UNACCEPTABLE, AMOUNT("0")},
        {DECODE_UNACCEPTABLE, AMOUNT("-0.0")},
        {DECODE_UNACCEPTABLE, AMOUNT("-1")},
        {DECODE_UNACCEPTABLE, AMOUNT("0.001")},
        {DECODE_UNACCEPTABLE, AMOUNT("1.005")},
        {DECODE_UNACCEPTABLE, AMOUNT("1e-400")},
        {DECODE_UNACCEPTABLE, AMOUNT("1.0000000000000000001")},
        {DECODE_UNACCEPTABLE, AMOUNT("9999999999.9900000000000000000001")},
        {DECODE_UNACCEPTABLE, AMOUNT("0e999999999")},
        {DECODE_UNACCEPTABLE, AMOUNT("1e300")},
        {DECODE_UNACCEPTABLE, AMOUNT("10000000000")},
        {DECODE_UNACCEPTABLE, AMOUNT("9999999999.995")},
        {DECODE_UNACCEPTABLE, AMOUNT("9223372036854775807")},
        {DECODE_UNACCEPTABLE, NAME("\"\"")},
        {DECODE_UNACCEPTABLE, NAME("\"a\\nb\"")},
        {DECODE_UNACCEPTABLE, NAME("\"\\u001f\"")},
        {DECODE_UNACCEPTABLE, NAME("\"\\u007f\"")},
        {DECODE_UNACCEPTABLE, NAME("\"\x7f\"")},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct order order, untouched;
        struct error err = {""};
        memset(&order, 0x55, sizeof order);
        untouched = order;
        if (order_request_from_json(bad[i].json, strlen(bad[i].json), &order, &err) !=
            bad[i].result)
            fail_msg("%s: %s", bad[i].json, err.message);
        assert_true(err.message[0] != '\0');
        assert_memory_equal(&order, &untouched, sizeof order);
    }
}

static struct order bulk[ORDER_BULK_MAX_ITEMS];

/* A NUL at every place of each kind of text. */
static void test_a_nul_anywhere_is_malformed(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"product_name\":\"Laptop\",\"amount\":1299.99}\n",
        "{\"id\":\"" ID "\",\"product_name\":\"x\",\"amount\":1,"
        "\"created_at\":\"2026-11-23T06:45:12Z\"}",
        "{\"orders\":[{\"product_name\":\"a\",\"amount\":1}]} ",
        "{\"item_1\":\"a\",\"item_2\":\"b\"}",
    };
    for (size_t i = 0; i < COUNT(texts); i++)
        for (size_t at = 0, len = strlen(texts[i]); at <= len; at++) {
            char json[256];
            struct order order;
            struct error err;
            size_t count;
            memcpy(json, texts[i], at);
            json[at] = '\0';
            memcpy(json + at + 1, texts[i] + at, len - at);
            assert_int_equal(order_request_from_json(json, len + 1, &order, &err),
                             DECODE_MALFORMED);
            assert_int_equal(order_from_json(json, len + 1, &order, &err), DECODE_MALFORMED);
            assert_int_equal(bulk_request_from_json(json, len + 1, bulk, &count, &err),
                             DECODE_MALFORMED);
        }
}

static void test_name_of_255_characters(void **state)
{
    (void)state;
    char json[8192];
    struct order order;
    struct error err;
    for (int characters = 255; characters <= 256; characters++) {
        int len = snprintf(json, sizeof json, "{\"amount\":1,\"product_name\":\"");
        for (int i = 0; i < characters; i++)
            len += snprintf(json + len, sizeof json - (size_t)len, "\\ud83d\\ude00");
        len += snprintf(json + len, sizeof json - (size_t)len, "\"}");
        assert_int_equal(order_request_from_json(json, (size_t)len, &order, &err),
                         characters == 255 ? DECODE_OK : DECODE_UNACCEPTABLE);
    }
}

static void test_absurd_nesting(void **state)
{
    (void)state;
    static const char *const opening[] = {"[", "{\"a\":"};
    for (size_t i = 0; i < COUNT(opening); i++) {
        size_t size = 65536, len = 0;
        char *json = malloc(size);
        struct order order;
        struct error err;
        for (len = 0; len + strlen(opening[i]) <= size; len += strlen(opening[i]))
            memcpy(json + len, opening[i], strlen(opening[i]));
        assert_int_equal(order_request_from_json(json, len, &order, &err), DECODE_MALFORMED);
        free(json);
    }
}

static void test_errors_do_not_quote_the_text(void **state)
{
    (void)state;
    static const char *const secrets[] = {
        "{\"product_name\":canary}", "{\"canary\":1,\"canary\":2}",
        "{\"amount\":1,\"product_name\":\"canary\\n\"}", "canary", "{\"product_name\":\"canary"};
    for (size_t i = 0; i < COUNT(secrets); i++) {
        struct order order;
        struct error err = {""};
        assert_int_not_equal(order_request_from_json(secrets[i], strlen(secrets[i]), &order, &err),
                             DECODE_OK);
        assert_null(strstr(err.message, "canary"));
    }
}

static void test_bulk_requests(void **state)
{
    (void)state;
    struct error err;
    size_t count = 0;
    static const char pair[] = "{\"item_1\":\"a\",\"item_2\":\"ERROR\"}";
    assert_int_equal(bulk_request_from_json(pair, strlen(pair), bulk, &count, &err), DECODE_OK);
    assert_int_equal(count, 2);
    assert_string_equal(bulk[0].product_name, "a");
    assert_int_equal(bulk[0].amount_cents, 10000);
    assert_string_equal(bulk[1].product_name, "ERROR");
    assert_int_equal(bulk[1].amount_cents, 5000);

    static const char list[] = "{\"orders\":[{\"product_name\":\"a\",\"amount\":1},"
                               "{\"product_name\":\"b\",\"amount\":2.5,\"id\":7}]}";
    assert_int_equal(bulk_request_from_json(list, strlen(list), bulk, &count, &err), DECODE_OK);
    assert_int_equal(count, 2);
    assert_string_equal(bulk[1].product_name, "b");
    assert_int_equal(bulk[1].amount_cents, 250);

    static const char each[] = "{\"x\":[{\"amount\":9}],\"\\u006frders\":[ {\"amount\" : 1.10 ,"
                               "\"product_name\":\"a]},{\"} , {\"y\":{\"amount\":7},"
                               "\"product_name\":\"b\",\"amount\":2e0}]}";
    assert_int_equal(bulk_request_from_json(each, strlen(each), bulk, &count, &err), DECODE_OK);
    assert_int_equal(count, 2);
    assert_int_equal(bulk[0].amount_cents, 110);
    assert_int_equal(bulk[1].amount_cents, 200);

    static const struct {
        enum decode_result result;
        const char *json, *reason;
    } bad[] = {
        {DECODE_UNACCEPTABLE,
         "{\"orders\":[{\"product_name\":\"a\",\"amount\":1},"
         "{\"product_name\":\"a\",\"amount\":1.0000000000000000001}]}",
         "orders[1]: amount is not"},
        {DECODE_MALFORMED, "{\"orders\":[{\"product_name\":\"\xef\xbb\xbf\",\"amount\":1}]}",
         "byte order mark"},
        {DECODE_MALFORMED, "[]", "not a JSON object"},
        {DECODE_MALFORMED, "{}", "item_1 is missing"},
        {DECODE_MALFORMED, "{\"item_1\":\"a\"}", "item_2 is missing"},
        {DECODE_MALFORMED, "{\"item_1\":1,\"item_2\":\"b\"}", "item_1 is not a string"},
        {DECODE_UNACCEPTABLE, "{\"item_1\":\"a\",\"item_2\":\"\"}", "item_2 is not 1 to"},
        {DECODE_MALFORMED, "{\"orders\":{}}", "orders is not an array"},
        {DECODE_UNACCEPTABLE, "{\"orders\":[]}", "orders has 0 items"},
        {DECODE_MALFORMED, "{\"orders\":[7]}", "orders[0] is not an object"},
        {DECODE_MALFORMED, "{\"orders\":[{\"product_name\":\"a\",\"amount\":1},{\"amount\":1}]}",
         "orders[1]: product_name is missing"},
        {DECODE_UNACCEPTABLE,
         "{\"orders\":[{\"product_name\":\"a\",\"amount\":1},{\"product_name\":\"a\",\"amount\":0}]"
         "}",
         "orders[1]: amount is not"},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        count = 77;
        assert_int_equal(
            bulk_request_from_json(bad[i].json, strlen(bad[i].json), bulk, &count, &err),
            bad[i].result);
        assert_int_equal(count, 77);
        if (strstr(err.message, bad[i].reason) == NULL)
            fail_msg("%s: %s", bad[i].json, err.message);
    }
}

static void test_bulk_of_1000(void **state)
{
    (void)state;
    static const char item[] = "{\"product_name\":\"a\",\"amount\":1}";
    for (size_t items = ORDER_BULK_MAX_ITEMS; items <= ORDER_BULK_MAX_ITEMS + 1; items++) {
        struct error err;
        size_t count = 0, len = 0, size = 16 + items * sizeof item;
        char *json = malloc(size);
        len += (size_t)snprintf(json, size, "{\"orders\":[");
        for (size_t i = 0; i < items; i++)
            len += (size_t)snprintf(json + len, size - len, "%s%s", i == 0 ? "" : ",", item);
        len += (size_t)snprintf(json + len, size - len, "]}");
        enum decode_result result = bulk_request_from_json(json, len, bulk, &count, &err);
        assert_int_equal(result, items <= ORDER_BULK_MAX_ITEMS ? DECODE_OK : DECODE_UNACCEPTABLE);
        free(json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_canonical_form),
        cmocka_unit_test(test_longest_order_fits),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_foreign_orders),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_name_of_255_characters),
        cmocka_unit_test(test_absurd_nesting),
        cmocka_unit_test(test_errors_do_not_quote_the_text),
        cmocka_unit_test(test_a_nul_anywhere_is_malformed),
        cmocka_unit_test(test_bulk_requests),
        cmocka_unit_test(test_bulk_of_1000),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
