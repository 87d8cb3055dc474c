#include "services/clients/rabbitmq/content.h"
#include "tests/unit/support/cmocka_headers.h"
#include <stdlib.h>
#include <string.h>

#define ID "0190a3c2-0000-7000-8000-00000000abcd"
#define ID_UPPER "0190A3C2-0000-7000-8000-00000000ABCD"
#define OTHER_ID "0190a3c2-0000-7000-8000-00000000abce"
#define ORDER                                                                                      \
    "{\"id\":\"" ID "\",\"product_name\":\"Laptop\",\"amount\":1299.99,"                           \
    "\"created_at\":\"2024-05-06T07:08:09Z\"}"

static struct content *make(const char *body, size_t len, const char *message_id, size_t *large)
{
    struct content_head head = {
        .body_size = len,
        .message_id = message_id,
        .message_id_len = message_id != NULL ? strlen(message_id) : 0,
    };
    struct content *content = content_new(&head, large);
    assert_int_equal(content_append(content, body, len), 0);
    return content;
}

static void test_orders_and_poison(void **state)
{
    (void)state;
    static const struct {
        const char *body, *message_id, *fault;
    } cases[] = {
        {ORDER, NULL, NULL},
        {ORDER, ID, NULL},
        {ORDER, ID_UPPER, NULL},
        {ORDER, OTHER_ID, "message_id_mismatch"},
        {ORDER, "", "message_id_mismatch"},
        {ORDER, "42", "message_id_mismatch"},
        {"", NULL, "malformed"},
        {"hello", ID, "malformed"},
        {ORDER "x", ID, "malformed"},
        {"{\"id\":\"" ID "\",\"product_name\":\"Laptop\",\"amount\":0.005,"
         "\"created_at\":\"2024-05-06T07:08:09Z\"}",
         ID, "unacceptable"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t large = 0;
        struct content *content =
            make(cases[i].body, strlen(cases[i].body), cases[i].message_id, &large);
        content_decode(content);
        if (cases[i].fault == NULL) {
            assert_null(content->fault);
            assert_int_equal(content->order->amount_cents, 129999);
        } else {
            assert_non_null(content->fault);
            assert_string_equal(content->fault, cases[i].fault);
            assert_true(strlen(content->fault_detail->message) > 0);
        }
        content_unref(content);
    }
}

/* The same order, padded with blanks, up to the limit and one byte over it. */
static void test_size_limit(void **state)
{
    (void)state;
    for (size_t over = 0; over <= 1; over++) {
        size_t large = 0, len = CONTENT_LARGE_BYTES + over;
        char *body = malloc(len);
        assert_non_null(body);
        memset(body, ' ', len);
        memcpy(body, ORDER, strlen(ORDER));
        struct content *content = make(body, len, NULL, &large);
        content_decode(content);
        if (over == 0)
            assert_null(content->fault);
        else
            assert_string_equal(content->fault, "too_large");
        content_unref(content);
        free(body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_orders_and_poison),
        cmocka_unit_test(test_size_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
