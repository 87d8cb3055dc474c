#include "proto/order_json.h"
#include "services/clients/elasticsearch/bulk_request.h"
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct bulk_request request;

static void make_order(struct order *order, unsigned number, const char *name)
{
    memset(order, 0, sizeof(*order));
    order->id.bytes[0] = (uint8_t)(number >> 8);
    order->id.bytes[15] = (uint8_t)number;
    order->amount_cents = 129999;
    order->created_at_us = INT64_C(1790000000123456);
    order_set_name(order, name, strlen(name));
}

static void two_lines_for_each_order(void **state)
{
    (void)state;
    struct order a, b;
    make_order(&a, 1, "Laptop");
    make_order(&b, 2, "Mouse \"x\"");
    const struct order *orders[] = {&a, &b};
    assert_int_equal(bulk_request_write(&request, orders, 2), 2);
    char expected[2 * ORDER_JSON_SIZE], a_json[ORDER_JSON_SIZE], b_json[ORDER_JSON_SIZE];
    order_to_json(&a, a_json);
    order_to_json(&b, b_json);
    int len = snprintf(expected, sizeof(expected),
                       "{\"index\":{\"_id\":\"00000000-0000-0000-0000-000000000001\"}}\n%s\n"
                       "{\"index\":{\"_id\":\"00000000-0000-0000-0000-000000000002\"}}\n%s\n",
                       a_json, b_json);
    assert_int_equal(request.len_bytes, len);
    assert_memory_equal(request.body, expected, (size_t)len);
}

/* A name cannot break out of its line, whatever it contains. */
static void hostile_names_stay_in_their_line(void **state)
{
    (void)state;
    static const char *const names[] = {
        "\"}\\n{\"delete\":{\"_id\":\"1\"}}",
        "\\\"\\\\",
        "\xe2\x80\xa8\xe2\x80\xa9\xc2\x85",
        "{\"index\":{}}",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct order order;
        make_order(&order, 3, names[i]);
        const struct order *orders[] = {&order};
        assert_int_equal(bulk_request_write(&request, orders, 1), 1);
        const char *end = request.body + request.len_bytes;
        const char *first = memchr(request.body, '\n', request.len_bytes);
        assert_non_null(first);
        assert_ptr_equal(memchr(first + 1, '\n', (size_t)(end - first - 1)), end - 1);
        json_t *document = json_loadb(first + 1, (size_t)(end - first - 2), 0, NULL);
        assert_string_equal(json_string_value(json_object_get(document, "product_name")), names[i]);
        json_decref(document);
    }
}

static void writes_what_is_sure_to_fit(void **state)
{
    (void)state;
    char name[ORDER_NAME_MAX_BYTES + 1];
    memset(name, '"', ORDER_NAME_MAX_BYTES);
    name[ORDER_NAME_MAX_BYTES] = '\0';
    static struct order orders[1500];
    const struct order *pointers[1500];
    for (unsigned i = 0; i < 1500; i++) {
        make_order(&orders[i], i, name);
        pointers[i] = &orders[i];
    }
    size_t written = bulk_request_write(&request, pointers, 1500);
    assert_in_range(written, 500, 1499);
    assert_in_range(request.len_bytes, BULK_REQUEST_MAX_BYTES / 2, BULK_REQUEST_MAX_BYTES);
    assert_int_equal(request.body[request.len_bytes - 1], '\n');
    assert_int_equal(bulk_request_write(&request, pointers + written, 1500 - written),
                     1500 - written);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_lines_for_each_order),
        cmocka_unit_test(hostile_names_stay_in_their_line),
        cmocka_unit_test(writes_what_is_sure_to_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
