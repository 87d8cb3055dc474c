#include "services/gateway/idempotency_key.h"
#include "tests/unit/gateway/http_test.h"
#include "tests/unit/support/real_time.h"
#include "tests/unit/support/test_clock.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define LAPTOP "{\"product_name\":\"Laptop\",\"amount\":1299.99}"
#define PHONE "{\"product_name\":\"Phone\",\"amount\":1299.99}"
#define KEY "Idempotency-Key: k-1\r\n"

static void post(const char *headers, const char *body)
{
    http_request(fixture, "POST", "/api/orders", headers, body, &reply);
}

/* The answer is a 202; its id. */
static struct order_id accepted(void)
{
    assert_int_equal(reply.status, 202);
    char text[ORDER_ID_TEXT_LEN + 1] = "";
    assert_int_equal(
        sscanf(reply.body, "{\"status\":\"processing\",\"order_id\":\"%36[0-9a-f-]\"}", text), 1);
    assert_int_equal(reply.body_len, strlen("{\"status\":\"processing\",\"order_id\":\"\"}") + 36);
    char location[64];
    snprintf(location, sizeof(location), "/api/orders/%s", text);
    assert_string_equal(reply_header_value(&reply, "location"), location);
    assert_string_equal(reply_header_value(&reply, "content-type"), "application/json");
    assert_string_equal(reply_header_value(&reply, "cache-control"), "no-store");
    assert_string_equal(reply_header_value(&reply, "x-content-type-options"), "nosniff");
    struct order_id id;
    assert_int_equal(order_id_parse(text, 36, &id), 0);
    return id;
}

static struct order_id key_id(const char *key)
{
    return order_id_from_key(&http_fixture_settings(fixture)->idempotency_namespace, key,
                             strlen(key));
}

/* An order known under a key. */
static struct order known(const char *key, const char *name, int64_t amount_cents)
{
    struct order order = {
        .id = key_id(key), .amount_cents = amount_cents, .created_at_us = 1700000000123456};
    order_set_name(&order, name, strlen(name));
    return order;
}

static void test_accepted(void **state)
{
    (void)state;
    post("", LAPTOP);
    struct order_id id = accepted();
    assert_string_equal(fakes->calls, "publish put ");
    assert_true(order_id_equal(&fakes->published.id, &id));
    assert_string_equal(fakes->published.product_name, "Laptop");
    assert_int_equal(fakes->published.amount_cents, 129999);
    assert_false(fakes_entry(fakes, &id)->provisional);
}

static void test_unknown_members_and_types_are_ignored(void **state)
{
    (void)state;
    post("Content-Type: text/csv\r\n",
         "{\"id\":\"x\",\"created_at\":7,\"more\":[{}],\"product_name\":\"a\",\"amount\":1e2}");
    accepted();
    assert_int_equal(fakes->published.amount_cents, 10000);
}

static void test_refused_bodies(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int status;
    } cases[] = {
        {NULL, 400},
        {"", 400},
        {"[]", 400},
        {"{", 400},
        {"{\"product_name\":\"a\"}", 400},
        {"{\"amount\":1}", 400},
        {"{\"product_name\":\"a\",\"amount\":\"1\"}", 400},
        {"{\"product_name\":\"a\",\"amount\":NaN}", 400},
        {"{\"product_name\":\"a\",\"amount\":1}x", 400},
        {"{\"product_name\":\"a\",\"amount\":1,\"amount\":1}", 400},
        {"{\"product_name\":\"\xff\",\"amount\":1}", 400},
        {"{\"product_name\":\"\",\"amount\":1}", 422},
        {"{\"product_name\":\"a\\u0001\",\"amount\":1}", 422},
        {"{\"product_name\":\"a\",\"amount\":0}", 422},
        {"{\"product_name\":\"a\",\"amount\":-1}", 422},
        {"{\"product_name\":\"a\",\"amount\":1.005}", 422},
        {"{\"product_name\":\"a\",\"amount\":10000000000}", 422},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        post("", cases[i].body);
        assert_problem(&reply, cases[i].status,
                       cases[i].status == 400 ? "malformed_order" : "unacceptable_order");
    }
    assert_string_equal(fakes->calls, "");
}

static void test_queue_known_to_be_down(void **state)
{
    (void)state;
    fakes->queue_accepts = false;
    post("", LAPTOP);
    assert_problem(&reply, 503, "queue_unavailable");
    assert_string_equal(fakes->calls, ""); /* nothing kept */
}

static void test_refused_orders_leave_nothing(void **state)
{
    (void)state;
    fakes->queue_mode = FAKE_REFUSES;
    post("", LAPTOP);
    assert_problem(&reply, 503, "queue_unavailable");
    assert_string_equal(fakes->calls, "publish ");
    fakes->calls[0] = '\0';
    post(KEY, LAPTOP);
    assert_problem(&reply, 503, "queue_unavailable");
    assert_string_equal(fakes->calls, "get find reserve publish remove ");

    fakes->queue_mode = FAKE_FAILS;
    fakes->queue_result = PUBLISH_REFUSED;
    post("", LAPTOP);
    assert_problem(&reply, 503, "queue_unavailable");
    post(KEY, LAPTOP);
    assert_problem(&reply, 503, "queue_unavailable");
    assert_int_equal(fakes->entry_count, 0);
}

static void test_outcome_unknown_without_a_key_leaves_nothing(void **state)
{
    (void)state;
    fakes->queue_mode = FAKE_FAILS;
    fakes->queue_result = PUBLISH_UNKNOWN;
    post("", LAPTOP);
    assert_problem(&reply, 503, "outcome_unknown");
    assert_string_equal(fakes->calls, "publish ");
    assert_int_equal(fakes->entry_count, 0);
}

static void test_outcome_unknown_stays_provisional(void **state)
{
    (void)state;
    fakes->queue_mode = FAKE_FAILS;
    fakes->queue_result = PUBLISH_UNKNOWN;
    post(KEY, LAPTOP);
    assert_problem(&reply, 503, "outcome_unknown");
    struct order_id id = key_id("k-1");
    assert_true(fakes_entry(fakes, &id)->provisional);
    struct order first = fakes->published;

    /* the same key: the very same order */
    fakes->queue_mode = FAKE_WORKS;
    post(KEY, LAPTOP);
    accepted();
    assert_true(order_equal(&fakes->published, &first));
    assert_false(fakes_entry(fakes, &id)->provisional);
}

static void test_cache_down(void **state)
{
    (void)state;
    static const enum fake_mode modes[] = {FAKE_REFUSES, FAKE_FAILS};
    for (size_t i = 0; i < 2; i++) {
        fakes_reset(fakes);
        fakes->cache_mode = modes[i];
        post("", LAPTOP);
        accepted();
        post(KEY, LAPTOP);
        struct order_id id = accepted(), expected = key_id("k-1");
        assert_true(order_id_equal(&id, &expected));
    }
    /* nothing to take back */
    fakes_reset(fakes);
    fakes->cache_mode = FAKE_REFUSES;
    fakes->queue_mode = FAKE_REFUSES;
    post("", LAPTOP);
    assert_problem(&reply, 503, "queue_unavailable");
    post(KEY, LAPTOP);
    assert_problem(&reply, 503, "queue_unavailable");
    assert_string_equal(fakes->calls, "publish get find reserve publish ");
}

static void test_key_new(void **state)
{
    (void)state;
    post(KEY, LAPTOP);
    struct order_id id = accepted(), expected = key_id("k-1");
    assert_true(order_id_equal(&id, &expected));
    assert_string_equal(fakes->calls, "get find reserve publish confirm ");
}

static void test_key_in_cache(void **state)
{
    (void)state;
    struct order first = known("k-1", "Laptop", 129999);
    fakes_put_entry(fakes, &first);
    post(KEY, LAPTOP);
    struct order_id id = accepted();
    assert_true(order_id_equal(&id, &first.id));
    assert_true(order_equal(&fakes->published, &first)); /* its created_at, too */
    assert_string_equal(fakes->calls, "get publish confirm ");

    fakes->calls[0] = '\0';
    post(KEY, PHONE);
    assert_problem(&reply, 422, "idempotency_key_reused");
    post(KEY, "{\"product_name\":\"Laptop\",\"amount\":1299.98}");
    assert_problem(&reply, 422, "idempotency_key_reused");
    assert_string_equal(fakes->calls, "get get ");
}

static void test_replay_refused_harms_nothing(void **state)
{
    (void)state;
    struct order first = known("k-1", "Laptop", 129999);
    fakes_put_entry(fakes, &first);
    fakes->queue_mode = FAKE_REFUSES;
    post(KEY, LAPTOP);
    assert_problem(&reply, 503, "queue_unavailable");
    assert_string_equal(fakes->calls, "get publish ");
    assert_non_null(fakes_entry(fakes, &first.id));
}

static void test_key_in_store_only(void **state)
{
    (void)state;
    struct order first = known("k-1", "Laptop", 129999);
    fakes->rows[fakes->row_count++] = first;
    post(KEY, LAPTOP);
    accepted();
    assert_string_equal(fakes->calls, "get find confirm ");
    char json[ORDER_JSON_SIZE];
    size_t len = order_to_json(&first, json);
    const struct fake_entry *entry = fakes_entry(fakes, &first.id);
    assert_int_equal(entry->json_len, len);
    assert_memory_equal(entry->json, json, len);

    fakes->entry_count = 0;
    post(KEY, PHONE);
    assert_problem(&reply, 422, "idempotency_key_reused");
}

static void test_key_with_a_foreign_entry(void **state)
{
    (void)state;
    struct order other = known("k-2", "Laptop", 129999);
    fakes_put_entry(fakes, &other);
    fakes->entries[0].id = key_id("k-1"); /* another order's content */
    post(KEY, LAPTOP);
    accepted();
    assert_string_equal(fakes->calls, "get find reserve publish confirm ");
}

static void test_key_with_memories_down(void **state)
{
    (void)state;
    /* one has answered: go on */
    fakes->store_mode = FAKE_REFUSES;
    post(KEY, LAPTOP);
    accepted();
    fakes_reset(fakes);
    fakes->cache_mode = FAKE_FAILS;
    post(KEY, LAPTOP);
    accepted();
    /* none has */
    fakes->store_mode = FAKE_FAILS;
    fakes->store_status = ORDER_STORE_UNAVAILABLE;
    post(KEY, LAPTOP);
    assert_problem(&reply, 503, "idempotency_unavailable");
    fakes->store_mode = FAKE_REFUSES;
    fakes->cache_mode = FAKE_REFUSES;
    post(KEY, LAPTOP);
    assert_problem(&reply, 503, "idempotency_unavailable");
}

static void test_keys(void **state)
{
    (void)state;
    char header[320];
    char key[IDEMPOTENCY_KEY_MAX_LEN + 2];
    memset(key, 'k', sizeof(key));
    snprintf(header, sizeof(header), "Idempotency-Key: %.255s\r\n", key);
    post(header, LAPTOP);
    accepted();
    snprintf(header, sizeof(header), "Idempotency-Key: %.256s\r\n", key);
    post(header, LAPTOP);
    assert_problem(&reply, 400, "invalid_idempotency_key");

    static const char *const good[] = {"Idempotency-Key: a b~\r\n", "idempotency-key:x\r\n",
                                       "Idempotency-Key: x \t\r\n"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        post(good[i], LAPTOP);
        accepted();
    }
    static const char *const bad[] = {"Idempotency-Key: \r\n",
                                      "Idempotency-Key:\r\n",
                                      "Idempotency-Key: a\r\nIdempotency-Key: a\r\n",
                                      "Idempotency-Key: a\tb\r\n",
                                      "Idempotency-Key: \xc3\xa4\r\n",
                                      "Idempotency-Key: \x7f\r\n"};
    fakes->calls[0] = '\0';
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        post(bad[i], LAPTOP);
        assert_int_equal(reply.status, 400); /* DEL in a header is libh2o's own 400 */
    }
    assert_string_equal(fakes->calls, "");
}

static void test_deadline(void **state)
{
    (void)state;
    char byte;
    fakes->queue_mode = FAKE_SLOW;
    int fd = http_send(fixture, "POST", "/api/orders", "", LAPTOP);
    wait_until(fakes->publishes == 1, usleep(1000));
    test_clock_advance(4999);
    for (int i = 0; i < 2; i++) /* what is answered in a later turn came after it */
        http_request(fixture, "GET", "/livez", "", NULL, &reply);
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
    test_clock_advance(501); /* 10 % at most */
    http_read_reply(fd, false, &reply);
    close(fd);
    assert_problem(&reply, 503, "outcome_unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_accepted, reset),
        cmocka_unit_test_setup(test_unknown_members_and_types_are_ignored, reset),
        cmocka_unit_test_setup(test_refused_bodies, reset),
        cmocka_unit_test_setup(test_queue_known_to_be_down, reset),
        cmocka_unit_test_setup(test_refused_orders_leave_nothing, reset),
        cmocka_unit_test_setup(test_outcome_unknown_without_a_key_leaves_nothing, reset),
        cmocka_unit_test_setup(test_outcome_unknown_stays_provisional, reset),
        cmocka_unit_test_setup(test_cache_down, reset),
        cmocka_unit_test_setup(test_key_new, reset),
        cmocka_unit_test_setup(test_key_in_cache, reset),
        cmocka_unit_test_setup(test_replay_refused_harms_nothing, reset),
        cmocka_unit_test_setup(test_key_in_store_only, reset),
        cmocka_unit_test_setup(test_key_with_a_foreign_entry, reset),
        cmocka_unit_test_setup(test_key_with_memories_down, reset),
        cmocka_unit_test_setup(test_keys, reset),
        cmocka_unit_test_setup(test_deadline, reset),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
