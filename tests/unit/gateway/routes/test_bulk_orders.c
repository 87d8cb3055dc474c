#include "tests/unit/gateway/http_test.h"
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TWO                                                                                        \
    "{\"orders\":[{\"product_name\":\"a\",\"amount\":1},{\"product_name\":\"b\",\"amount\":2.5}]}"
#define ONE "{\"orders\":[{\"product_name\":\"a\",\"amount\":1}]}"
#define THREE                                                                                      \
    "{\"orders\":[{\"product_name\":\"a\",\"amount\":1},{\"product_name\":\"b\",\"amount\":2.5},{" \
    "\"product_name\":\"c\",\"amount\":3}]}"
#define OTHER                                                                                      \
    "{\"orders\":[{\"product_name\":\"a\",\"amount\":1},{\"product_name\":\"b\",\"amount\":2.6}]}"
#define KEY "Idempotency-Key: bulk\r\n"

static void post(const char *headers, const char *body)
{
    http_request(fixture, "POST", "/api/bulk-orders", headers, body, &reply);
}

/* The answer is a 201 that names the last `count` rows in their order. */
static void assert_stored(size_t count)
{
    assert_int_equal(reply.status, 201);
    json_t *json = json_loadb(reply.body, reply.body_len, 0, NULL);
    const json_t *ids = json_object_get(json, "order_ids");
    assert_int_equal(json_array_size(ids), count);
    for (size_t i = 0; i < count; i++) {
        char id[ORDER_ID_TEXT_LEN + 1];
        order_id_format(&fakes->rows[fakes->row_count - count + i].id, id);
        assert_string_equal(json_string_value(json_array_get(ids, i)), id);
    }
    json_decref(json);
}

static void test_stored(void **state)
{
    (void)state;
    post("", TWO);
    assert_stored(2);
    assert_string_equal(fakes->rows[0].product_name, "a");
    assert_int_equal(fakes->rows[1].amount_cents, 250);
    assert_string_equal(fakes->calls, "insert ");
}

static void test_the_original_form(void **state)
{
    (void)state;
    post("", "{\"item_1\":\"ERROR\",\"item_2\":\"b\"}");
    assert_stored(2);
    assert_string_equal(fakes->rows[0].product_name, "ERROR");
    assert_int_equal(fakes->rows[0].amount_cents, 10000);
    assert_int_equal(fakes->rows[1].amount_cents, 5000);
}

static void test_refused(void **state)
{
    (void)state;
    post("", "{\"orders\":1}");
    assert_problem(&reply, 400, "malformed_order");
    post("", NULL);
    assert_problem(&reply, 400, "malformed_order");
    post("", "{\"orders\":[{\"product_name\":\"a\",\"amount\":1},{\"product_name\":\"\",\"amount\":"
             "1}]}");
    assert_problem(&reply, 422, "unacceptable_order");
    assert_non_null(strstr(reply.body, "1")); /* names the item */
    post("Idempotency-Key:\r\n", TWO);
    assert_problem(&reply, 400, "invalid_idempotency_key");
    assert_string_equal(fakes->calls, "");
}

static void test_store_failures(void **state)
{
    (void)state;
    fakes->store_mode = FAKE_REFUSES;
    post("", TWO);
    assert_problem(&reply, 503, "store_unavailable");
    fakes->store_mode = FAKE_FAILS;
    fakes->store_status = ORDER_STORE_UNAVAILABLE;
    post("", TWO);
    assert_problem(&reply, 503, "store_unavailable");
    fakes->store_status = ORDER_STORE_UNKNOWN;
    post("", TWO);
    assert_problem(&reply, 503, "outcome_unknown");
    fakes->store_status = ORDER_STORE_FAILED;
    post("", TWO);
    assert_problem(&reply, 500, "store_failed");
}

/* They are stored, but whether the key stood for more of them cannot be told. */
static void test_key_not_looked_up(void **state)
{
    (void)state;
    fakes->find_mode = FAKE_REFUSES;
    post(KEY, TWO);
    assert_problem(&reply, 503, "outcome_unknown");
    fakes->find_mode = FAKE_FAILS;
    fakes->store_status = ORDER_STORE_UNAVAILABLE;
    post(KEY, TWO);
    assert_problem(&reply, 503, "outcome_unknown");
    fakes->find_mode = FAKE_WORKS;
    post(KEY, TWO);
    assert_stored(2);
}

static void test_replay(void **state)
{
    (void)state;
    post(KEY, TWO);
    assert_stored(2);
    post(KEY, TWO);
    assert_stored(2);
    assert_int_equal(fakes->row_count, 2);
}

static void test_other_payloads_under_the_key(void **state)
{
    (void)state;
    static const char *const others[] = {OTHER, ONE, THREE};
    post(KEY, TWO);
    for (size_t i = 0; i < 3; i++) {
        post(KEY, others[i]);
        assert_problem(&reply, 422, "idempotency_key_reused");
    }
    assert_int_equal(fakes->row_count, 2);
}

static void test_the_key_of_a_single_order_is_another(void **state)
{
    (void)state;
    http_request(fixture, "POST", "/api/orders", KEY, "{\"product_name\":\"x\",\"amount\":9}",
                 &reply);
    assert_int_equal(reply.status, 202);
    post(KEY, TWO);
    assert_stored(2);
}

static void test_largest(void **state)
{
    (void)state;
    /* a body of 1 MiB is read, one byte more is too much */
    size_t size = 1024 * 1024;
    char *body = malloc(size + 2);
    memset(body, ' ', size + 1);
    body[size + 1] = '\0';
    post("", body);
    assert_problem(&reply, 413, "body_too_large");
    body[size] = '\0';
    memcpy(body, ONE, sizeof(ONE) - 1);
    post("", body);
    assert_stored(1);
    free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_stored, reset),
        cmocka_unit_test_setup(test_the_original_form, reset),
        cmocka_unit_test_setup(test_refused, reset),
        cmocka_unit_test_setup(test_store_failures, reset),
        cmocka_unit_test_setup(test_key_not_looked_up, reset),
        cmocka_unit_test_setup(test_replay, reset),
        cmocka_unit_test_setup(test_other_payloads_under_the_key, reset),
        cmocka_unit_test_setup(test_the_key_of_a_single_order_is_another, reset),
        cmocka_unit_test_setup(test_largest, reset),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
