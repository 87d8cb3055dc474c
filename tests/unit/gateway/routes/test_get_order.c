#include "tests/unit/gateway/http_test.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ID "0190c1f0-1111-7222-8333-444455556666"

static struct order an_order(void)
{
    struct order order = {.amount_cents = 14990, .created_at_us = 1700000000120000};
    assert_int_equal(order_id_parse(ID, 36, &order.id), 0);
    static const char name[] = "K\xc3\xa4se \"x\"";
    order_set_name(&order, name, sizeof(name) - 1);
    return order;
}

static void get(const char *path)
{
    http_request(fixture, "GET", path, "", NULL, &reply);
}

static void assert_order(const char *cache)
{
    struct order order = an_order();
    char json[ORDER_JSON_SIZE];
    size_t len = order_to_json(&order, json);
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply_header_value(&reply, "x-cache"), cache);
    assert_string_equal(reply_header_value(&reply, "cache-control"), "no-store");
    assert_string_equal(reply_header_value(&reply, "content-type"), "application/json");
    assert_int_equal(reply.body_len, len);
    assert_memory_equal(reply.body, json, len);
}

static void test_miss_then_hit(void **state)
{
    (void)state;
    fakes->rows[fakes->row_count++] = an_order();
    get("/api/orders/" ID);
    assert_order("MISS");
    assert_string_equal(fakes->calls, "get find fill ");
    fakes->row_count = 0;
    get("/api/orders/" ID);
    assert_order("HIT");
}

static void test_id_in_upper_case(void **state)
{
    (void)state;
    struct order order = an_order();
    fakes_put_entry(fakes, &order);
    get("/api/orders/0190C1F0-1111-7222-8333-444455556666");
    assert_order("HIT");
}

static void test_foreign_entry_gives_the_same_bytes(void **state)
{
    (void)state;
    static const char foreign[] =
        "{\"created_at\":\"2023-11-14T23:13:20.120000000+01:00\", \"amount\":1.499e2,"
        "\"product_name\":\"K\\u00e4se "
        "\\\"x\\\"\",\"id\":\"0190C1F0-1111-7222-8333-444455556666\"}";
    struct order order = an_order();
    fakes_put_entry(fakes, &order);
    fakes->entries[0].json_len = sizeof(foreign) - 1;
    memcpy(fakes->entries[0].json, foreign, sizeof(foreign) - 1);
    get("/api/orders/" ID);
    assert_order("HIT");
}

static void test_rubbish_in_the_cache_is_a_miss(void **state)
{
    (void)state;
    struct order order = an_order();
    fakes->rows[fakes->row_count++] = order;
    fakes_put_entry(fakes, &order);
    fakes->entries[0].json_len = 7;
    get("/api/orders/" ID);
    assert_order("MISS");
}

static void test_unknown(void **state)
{
    (void)state;
    get("/api/orders/" ID);
    assert_problem(&reply, 404, "order_not_found");
}

/* The second look joins a read that another request began before the row was there. */
static void test_stored_as_its_fate_says(void **state)
{
    (void)state;
    fakes->stored_unseen = true;
    get("/api/orders/" ID);
    assert_problem(&reply, 503, "order_state_unknown");
    assert_string_equal(fakes->calls, "get find fate find ");
}

static void test_dead(void **state)
{
    (void)state;
    static const char *const states[] = {"dead", "replayed", "discarded"};
    fakes->letter_count = 1;
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        fakes->letters[0] = (struct dead_letter_brief){
            .id = 7, .reason = "refused", .stage = "persist", .state = states[i]};
        fakes->archived = true;
        fakes->calls[0] = '\0';
        get("/api/orders/" ID);
        assert_problem(&reply, 409, "order_dead");
        assert_string_equal(reply_header_value(&reply, "cache-control"), "no-store");
        assert_string_equal(fakes->calls, "get find fate ");
        fakes->archived = false; /* the letters say nothing of now */
        get("/api/orders/" ID);
        assert_problem(&reply, 404, "order_not_found");
    }
    fakes->archived = true;
    struct order order = an_order();
    fakes->rows[fakes->row_count++] = order;
    fakes->calls[0] = '\0';
    get("/api/orders/" ID);
    assert_order("MISS");
    assert_string_equal(fakes->calls,
                        "get find fill "); /* letters cost those alone that find no row */
    get("/api/orders/" ID);
    assert_order("HIT");
}

static void test_dead_while_a_memory_is_away(void **state)
{
    (void)state;
    fakes->archived = true;
    fakes->letter_count = 1;
    fakes->letters[0] = (struct dead_letter_brief){
        .id = 7, .reason = "refused", .stage = "persist", .state = "dead"};
    fakes->fate_mode = FAKE_REFUSES;
    get("/api/orders/" ID);
    assert_problem(&reply, 503, "store_unavailable");
    fakes->fate_mode = FAKE_FAILS;
    fakes->store_status = ORDER_STORE_FAILED;
    get("/api/orders/" ID);
    assert_problem(&reply, 500, "store_failed");
    fakes->fate_mode = FAKE_WORKS;
    fakes->cache_mode = FAKE_FAILS; /* which may have it: then it is no 409 */
    get("/api/orders/" ID);
    assert_problem(&reply, 503, "order_state_unknown");
}

static void test_stored_between_two_looks(void **state)
{
    (void)state;
    fakes->archived = true;
    fakes->stored_meanwhile = true;
    get("/api/orders/" ID);
    assert_int_equal(reply.status, 200);
    assert_string_equal(fakes->calls, "get find fate find fill ");
}

static void test_unknown_while_the_cache_is_away(void **state)
{
    (void)state;
    /* it may have been accepted and not stored yet */
    fakes->cache_mode = FAKE_REFUSES;
    get("/api/orders/" ID);
    assert_problem(&reply, 503, "order_state_unknown");
    fakes->cache_mode = FAKE_FAILS;
    get("/api/orders/" ID);
    assert_problem(&reply, 503, "order_state_unknown");
    fakes->rows[fakes->row_count++] = an_order();
    get("/api/orders/" ID);
    assert_order("MISS");
}

static void test_store_failures_are_no_404(void **state)
{
    (void)state;
    fakes->store_mode = FAKE_REFUSES;
    get("/api/orders/" ID);
    assert_problem(&reply, 503, "store_unavailable");
    fakes->store_mode = FAKE_FAILS;
    fakes->store_status = ORDER_STORE_UNAVAILABLE;
    get("/api/orders/" ID);
    assert_problem(&reply, 503, "store_unavailable");
    fakes->store_status = ORDER_STORE_FAILED;
    get("/api/orders/" ID);
    assert_problem(&reply, 500, "store_failed");
}

static void test_not_a_uuid(void **state)
{
    (void)state;
    static const char *const ids[] = {
        "x", "0190c1f0-1111-7222-8333-44445555666", "0190c1f0-1111-7222-8333-4444555566667",
        "0190c1f011117222833344445555666600000", "0190c1f0-1111-7222-8333-44445555666g"};
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        char path[128];
        snprintf(path, sizeof(path), "/api/orders/%s", ids[i]);
        get(path);
        assert_problem(&reply, 400, "invalid_order_id");
    }
    assert_string_equal(fakes->calls, "");
}

static void test_head(void **state)
{
    (void)state;
    struct order order = an_order();
    fakes_put_entry(fakes, &order);
    char json[ORDER_JSON_SIZE], length[24];
    snprintf(length, sizeof(length), "%zu", order_to_json(&order, json));
    http_request(fixture, "HEAD", "/api/orders/" ID, "", NULL, &reply);
    assert_int_equal(reply.status, 200);
    assert_int_equal(reply.body_len, 0);
    assert_string_equal(reply_header_value(&reply, "content-length"), length);
    assert_string_equal(reply_header_value(&reply, "x-cache"), "HIT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_miss_then_hit, reset),
        cmocka_unit_test_setup(test_id_in_upper_case, reset),
        cmocka_unit_test_setup(test_foreign_entry_gives_the_same_bytes, reset),
        cmocka_unit_test_setup(test_rubbish_in_the_cache_is_a_miss, reset),
        cmocka_unit_test_setup(test_unknown, reset),
        cmocka_unit_test_setup(test_dead, reset),
        cmocka_unit_test_setup(test_dead_while_a_memory_is_away, reset),
        cmocka_unit_test_setup(test_stored_as_its_fate_says, reset),
        cmocka_unit_test_setup(test_stored_between_two_looks, reset),
        cmocka_unit_test_setup(test_unknown_while_the_cache_is_away, reset),
        cmocka_unit_test_setup(test_store_failures_are_no_404, reset),
        cmocka_unit_test_setup(test_not_a_uuid, reset),
        cmocka_unit_test_setup(test_head, reset),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
