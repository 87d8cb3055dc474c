/* A dead letter that is replayed: as it is, and corrected with the cache in step. */
#include "tests/unit/gateway/http_test.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ID "0190a5b2-0000-7000-8000-000000000001"
#define OTHER_ID "0190a5b2-0000-7000-8000-000000000002"
#define TOKEN "Authorization: Bearer s3cret\r\nX-Operator: ada\r\n"
#define GOOD                                                                                       \
    "{\"id\":\"" ID "\",\"product_name\":\"Cable\",\"amount\":-0.10,"                              \
    "\"created_at\":\"2026-01-01T01:00:00+01:00\"}"
#define NAMELESS "{\"id\":\"" ID "\",\"amount\":1,\"created_at\":\"2026-01-01T00:00:00Z\"}"
#define CORRECTED "{\"order\":{\"product_name\":\"Cable\",\"amount\":1.50}}"
#define CORRECTED_JSON                                                                             \
    "{\"id\":\"" ID "\",\"product_name\":\"Cable\",\"amount\":1.5,"                                \
    "\"created_at\":\"2026-01-01T00:00:00Z\"}"

static struct order_id id_of(const char *text)
{
    struct order_id id;
    assert_int_equal(order_id_parse(text, ORDER_ID_TEXT_LEN, &id), 0);
    return id;
}

static struct letter *add_letter(const char *reason, const char *body)
{
    struct letter *letter = fake_letters_add(letters, reason, body);
    letter->has_order_id = true;
    letter->order_id = id_of(ID);
    return letter;
}

static void replay(const char *body)
{
    http_request(fixture, "POST", "/api/admin/dead-letters/1/replay", TOKEN, body, &reply);
}

static void assert_refused(const char *body, int status, const char *code)
{
    replay(body);
    assert_problem(&reply, status, code);
    assert_int_equal(letters->outbox_count, 0);
    assert_int_equal(fakes->entry_count, 0);
}

static void test_as_it_is(void **state)
{
    (void)state;
    add_letter("unacceptable", GOOD);
    replay(NULL);
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, "{\"id\":1,\"state\":\"replayed\",\"order_id\":\"" ID "\"}");
    assert_string_equal(reply_header_value(&reply, "cache-control"), "no-store");
    assert_int_equal(letters->outbox_count, 1);
    char json[ORDER_JSON_SIZE];
    order_to_json(&letters->outbox[0], json);
    assert_string_equal(json, "{\"id\":\"" ID "\",\"product_name\":\"Cable\",\"amount\":-0.1,"
                              "\"created_at\":\"2026-01-01T00:00:00Z\"}");
    assert_string_equal(fakes->calls, "letter settle ");
    assert_string_equal(letters->asked, "settle by=ada reason=");

    replay("{}");
    assert_problem(&reply, 409, "dead_letter_settled");
    assert_non_null(strstr(reply.body, "it was replayed at "));
    assert_non_null(strstr(reply.body, " by somebody"));
    assert_int_equal(letters->outbox_count, 1);
}

static void test_no_order(void **state)
{
    (void)state;
    add_letter("unacceptable", NAMELESS);
    assert_refused("", 422, "not_an_order");
    assert_non_null(strstr(reply.body, "product_name"));
    letters->contents[0] = (struct letter_content){.body = "\xff\0x", .body_len = 3};
    assert_refused("{}", 422, "not_an_order");
    /* A body that would be an order, had it not been cut. */
    letters->contents[0] = (struct letter_content){.body = GOOD, .body_len = strlen(GOOD)};
    letters->letters[0].body_bytes = (int64_t)strlen(GOOD) + 1;
    assert_refused("{\"new_id\":false}", 422, "not_an_order");
}

static void test_corrected(void **state)
{
    (void)state;
    add_letter("unacceptable", NAMELESS);
    replay(CORRECTED);
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, "{\"id\":1,\"state\":\"replayed\",\"order_id\":\"" ID "\"}");
    assert_string_equal(fakes->calls, "letter find replace settle keep ");
    const struct fake_entry *entry = &fakes->entries[0];
    assert_int_equal(fakes->entry_count, 1);
    assert_false(entry->provisional);
    assert_int_equal(entry->json_len, strlen(CORRECTED_JSON));
    assert_memory_equal(entry->json, CORRECTED_JSON, entry->json_len);
    char json[ORDER_JSON_SIZE];
    order_to_json(&letters->outbox[0], json);
    assert_string_equal(json, CORRECTED_JSON); /* cache and row agree */
}

static void test_created_at(void **state)
{
    (void)state;
    static const char *const bodies[] = {"not JSON", "[]", "{\"created_at\":1}",
                                         "{\"created_at\":\"yesterday\"}", ""};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        reset(state);
        add_letter("malformed", bodies[i])->died_at_us = 86400000000;
        replay(CORRECTED);
        assert_int_equal(reply.status, 200);
        assert_true(letters->outbox[0].created_at_us == 86400000000);
    }
    reset(state);
    add_letter("malformed", NAMELESS);
    replay("{\"order\":{\"created_at\":\"1970-01-01T00:00:02Z\",\"product_name\":\"a\","
           "\"amount\":0.00}}");
    assert_int_equal(reply.status, 200);
    assert_true(letters->outbox[0].created_at_us == 2000000);
    assert_int_equal(letters->outbox[0].amount_cents, 0);
}

static void test_unacceptable_corrections(void **state)
{
    (void)state;
    add_letter("unacceptable", NAMELESS);
    static const struct {
        const char *body;
        int status;
        const char *code;
    } cases[] = {
        {"{\"order\":{}}", 422, "unacceptable_order"},
        {"{\"order\":{\"product_name\":\"a\"}}", 422, "unacceptable_order"},
        {"{\"order\":{\"product_name\":\"\",\"amount\":1}}", 422, "unacceptable_order"},
        {"{\"order\":{\"product_name\":\"a\",\"amount\":1.001}}", 422, "unacceptable_order"},
        /* a double cannot tell it from 1 */
        {"{\"order\":{\"product_name\":\"a\",\"amount\":1.0000000000000000001}}", 422,
         "unacceptable_order"},
        {"{\"order\":{\"product_name\":\"a\",\"amount\":\"1\"}}", 422, "unacceptable_order"},
        {"{\"order\":{\"product_name\":\"a\",\"amount\":1,\"id\":null}}", 422,
         "unacceptable_order"},
        {"{\"order\":{\"product_name\":\"a\",\"amount\":1,\"created_at\":\"now\"}}", 422,
         "unacceptable_order"},
        {"{\"order\":{\"product_name\":\"a\",\"amount\":1,\"id\":\"" OTHER_ID "\"}}", 422,
         "order_id_differs"},
        {"{\"order\":{\"product_name\":\"a\",\"amount\":1,\"id\":\"" ID "\"},\"new_id\":true}", 422,
         "order_id_differs"},
        {"{\"order\":{\"product_name\":\"a\",\"amount\":1,\"price\":1}}", 400, "malformed_request"},
        {"{\"order\":[]}", 400, "malformed_request"},
        {"{\"order\":null}", 400, "malformed_request"},
        {"{\"new_id\":true}", 400, "malformed_request"},
        {"{\"new_id\":1}", 400, "malformed_request"},
        {"{\"ordr\":{}}", 400, "malformed_request"},
        {"{\"order\":{\"amount\":1,\"amount\":2}}", 400, "malformed_request"},
        {"[]", 400, "malformed_request"},
        {"{", 400, "malformed_request"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_refused(cases[i].body, cases[i].status, cases[i].code);
}

static void test_ids(void **state)
{
    (void)state;
    static const char own[] = "{\"order\":{\"id\":\"0190A5B2-0000-7000-8000-000000000001\","
                              "\"product_name\":\"a\",\"amount\":1}}";
    add_letter("unacceptable", NAMELESS);
    replay(own);
    assert_int_equal(reply.status, 200);

    reset(state); /* a letter without an id */
    fake_letters_add(letters, "malformed", "");
    assert_refused(CORRECTED, 422, "unacceptable_order");
    assert_non_null(strstr(reply.body, "give the order an id"));
    replay(own);
    assert_int_equal(reply.status, 200);
    assert_true(order_id_equal(&letters->outbox[0].id, &(struct order_id){0}) == false);
}

static void assert_new_id(void)
{
    replay("{\"new_id\":true,\"order\":{\"product_name\":\"a\",\"amount\":1}}");
    assert_int_equal(reply.status, 200);
    struct order_id old = id_of(ID);
    assert_int_equal(letters->outbox_count, 1);
    assert_false(order_id_equal(&letters->outbox[0].id, &old));
    assert_int_equal(order_id_version(&letters->outbox[0].id), 7);
    char text[ORDER_ID_TEXT_LEN + 1];
    order_id_format(&letters->outbox[0].id, text);
    assert_non_null(strstr(reply.body, text));
    assert_non_null(fakes_entry(fakes, &letters->outbox[0].id));
    assert_null(fakes_entry(fakes, &old));
}

static void test_new_id(void **state)
{
    (void)state;
    add_letter("id_conflict", GOOD);
    fakes->rows[fakes->row_count++].id = id_of(ID); /* that of the other order */
    assert_refused(CORRECTED, 422, "new_id_required");
    assert_new_id();

    reset(state);
    add_letter("unacceptable", NAMELESS);
    assert_new_id();

    reset(state);
    fake_letters_add(letters, "malformed", "x");
    assert_new_id();
}

/* The row is there: its letter died at the index. */
static void test_stored(void **state)
{
    (void)state;
    add_letter("unindexable", GOOD)->stage = "index";
    fakes->rows[fakes->row_count++].id = id_of(ID);
    assert_refused(CORRECTED, 422, "order_stored");
    assert_null(strstr(fakes->calls, "replace"));
    assert_null(strstr(fakes->calls, "settle"));
    assert_refused("{\"new_id\":true,\"order\":{\"product_name\":\"a\",\"amount\":1}}", 422,
                   "order_stored");
    replay(NULL);
    assert_int_equal(reply.status, 200);
    assert_int_equal(letters->outbox_count, 1);
}

/* ---- interleavings ---- */

/* The order is stored between the look and the transaction. */
static void row_comes(struct fake_letters *fake)
{
    fake->fakes->rows[fake->fakes->row_count++].id = id_of(ID);
}

static void test_stored_meanwhile(void **state)
{
    (void)state;
    add_letter("unacceptable", NAMELESS);
    letters->before_settling = row_comes;
    assert_refused(CORRECTED, 422, "order_stored");
}

static void put_former_entry(void)
{
    struct order former = {.id = id_of(ID), .amount_cents = 1};
    order_set_name(&former, "former", 6);
    fakes_put_entry(fakes, &former);
}

static void test_cache_down(void **state)
{
    (void)state;
    static const enum fake_mode modes[] = {FAKE_REFUSES, FAKE_FAILS};
    add_letter("unacceptable", NAMELESS);
    for (size_t i = 0; i < 2; i++) {
        fakes->cache_mode = modes[i];
        assert_refused(CORRECTED, 503, "cache_unavailable");
        assert_null(strstr(fakes->calls, "settle"));
    }
    letters->contents[0] = (struct letter_content){.body = GOOD, .body_len = strlen(GOOD)};
    letters->letters[0].body_bytes = (int64_t)strlen(GOOD);
    replay(NULL); /* the cache has no part in it */
    assert_int_equal(reply.status, 200);
}

/* Redis goes away while the letter is settled: the entry vanishes by itself. */
static void cache_goes(struct fake_letters *fake)
{
    fake->fakes->cache_mode = FAKE_REFUSES;
}

static void test_cache_goes_down_meanwhile(void **state)
{
    (void)state;
    add_letter("unacceptable", NAMELESS);
    letters->before_settling = cache_goes;
    replay(CORRECTED);
    assert_int_equal(reply.status, 200);
    assert_int_equal(letters->outbox_count, 1);
    assert_true(fakes->entries[0].provisional);

    reset(state);
    add_letter("unacceptable", NAMELESS);
    letters->before_settling = cache_goes;
    letters->settle_status = ORDER_STORE_UNAVAILABLE;
    replay(CORRECTED);
    assert_problem(&reply, 503, "store_unavailable");
    assert_true(fakes->entries[0].provisional);
}

static void test_former_entry_is_replaced(void **state)
{
    (void)state;
    add_letter("unacceptable", NAMELESS);
    put_former_entry();
    replay(CORRECTED);
    assert_int_equal(reply.status, 200);
    assert_int_equal(fakes->entry_count, 1);
    assert_memory_equal(fakes->entries[0].json, CORRECTED_JSON, fakes->entries[0].json_len);
}

static void test_not_settled_for_certain(void **state)
{
    (void)state;
    static const struct {
        enum order_store_status status;
        bool refuses;
        int http_status;
        const char *code;
    } cases[] = {{ORDER_STORE_UNAVAILABLE, false, 503, "store_unavailable"},
                 {ORDER_STORE_FAILED, false, 500, "store_failed"},
                 {ORDER_STORE_OK, true, 503, "store_unavailable"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        reset(state);
        add_letter("unacceptable", NAMELESS);
        put_former_entry();
        letters->settle_status = cases[i].status;
        letters->settle_refuses = cases[i].refuses;
        assert_refused(CORRECTED, cases[i].http_status, cases[i].code); /* the entry is gone */
    }
}

/* It may have been committed: the entry is right, or vanishes in 30 s. */
static void test_outcome_unknown(void **state)
{
    (void)state;
    add_letter("unacceptable", NAMELESS);
    letters->settle_status = ORDER_STORE_UNKNOWN;
    replay(CORRECTED);
    assert_problem(&reply, 503, "outcome_unknown");
    assert_int_equal(fakes->entry_count, 1);
    assert_true(fakes->entries[0].provisional);
    assert_string_equal(fakes->calls, "letter find replace settle ");
}

/* Another operator settles the letter between this one's look and its own transaction. */
static void other_wins(struct fake_letters *fake)
{
    fake->letters[0].ended = true;
    fake->letters[0].state = "discarded";
    fake->letters[0].ended_by = "bob";
}

static void test_another_wins(void **state)
{
    (void)state;
    add_letter("unacceptable", NAMELESS);
    letters->before_settling = other_wins;
    assert_refused(CORRECTED, 409, "dead_letter_settled");
    assert_non_null(strstr(reply.body, "discarded at "));
    assert_non_null(strstr(reply.body, "by bob"));
}

/* Another one's correction takes the place of this one's entry, and loses: the cache is left to it,
 * which removes it. */
static void other_replaces(struct fake_letters *fake)
{
    struct fakes *all = fake->fakes;
    all->entries[0].json_len = strlen("{}");
    memcpy(all->entries[0].json, "{}", 2);
}

static void test_another_replaces_the_entry(void **state)
{
    (void)state;
    add_letter("unacceptable", NAMELESS);
    letters->before_settling = other_replaces;
    replay(CORRECTED);
    assert_int_equal(reply.status, 200);
    assert_true(fakes->entries[0].provisional);
}

static void test_reads_fail(void **state)
{
    (void)state;
    replay(NULL);
    assert_problem(&reply, 404, "dead_letter_not_found");
    letters->status = ORDER_STORE_FAILED;
    replay(NULL);
    assert_problem(&reply, 500, "store_failed");
    letters->refuses = true;
    replay(NULL);
    assert_problem(&reply, 503, "store_unavailable");
    static const char *const paths[] = {"0", "01", "-1", "1e3", "99999999999999999999", "a", "+1"};
    char path[96];
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        snprintf(path, sizeof(path), "/api/admin/dead-letters/%s/replay", paths[i]);
        http_request(fixture, "POST", path, TOKEN, "", &reply);
        assert_problem(&reply, 404, "dead_letter_not_found");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_as_it_is, reset),
        cmocka_unit_test_setup(test_no_order, reset),
        cmocka_unit_test_setup(test_corrected, reset),
        cmocka_unit_test_setup(test_created_at, reset),
        cmocka_unit_test_setup(test_unacceptable_corrections, reset),
        cmocka_unit_test_setup(test_ids, reset),
        cmocka_unit_test_setup(test_new_id, reset),
        cmocka_unit_test_setup(test_stored, reset),
        cmocka_unit_test_setup(test_stored_meanwhile, reset),
        cmocka_unit_test_setup(test_cache_down, reset),
        cmocka_unit_test_setup(test_cache_goes_down_meanwhile, reset),
        cmocka_unit_test_setup(test_former_entry_is_replaced, reset),
        cmocka_unit_test_setup(test_not_settled_for_certain, reset),
        cmocka_unit_test_setup(test_outcome_unknown, reset),
        cmocka_unit_test_setup(test_another_wins, reset),
        cmocka_unit_test_setup(test_another_replaces_the_entry, reset),
        cmocka_unit_test_setup(test_reads_fail, reset),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
