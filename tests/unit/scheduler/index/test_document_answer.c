/* Answers about documents, as Elasticsearch 8 gives them and as it should not. */
#include "proto/order_json.h"
#include "services/scheduler/index/document_answer.h"
#include "tests/unit/support/cmocka_headers.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID "0190163d-8694-739b-aea5-966c26f8ad91"
#define SOURCE(amount)                                                                             \
    "{\"id\":\"" ID "\",\"product_name\":\"x\",\"amount\":" amount                                 \
    ",\"created_at\":\"2026-11-23T06:45:12Z\"}"

static struct document_answer *read_answer(const char *body, struct error *err)
{
    return document_answer_new(body, strlen(body), err);
}

static void test_multi_get(void **state)
{
    (void)state;
    static const char body[] =
        "{\"docs\":[{\"_index\":\"r1\",\"_id\":\"" ID "\",\"_seq_no\":7,\"_primary_term\":2,"
        "\"found\":true,\"_source\":" SOURCE(
            "149.9") "},"
                     "{\"_index\":\"r1\",\"_id\":\"a\\\"b\",\"found\":false},"
                     "{\"_index\":\"r1\",\"_id\":\"c\",\"error\":{\"type\":\"index_not_found_"
                     "exception\","
                     "\"reason\":\"no such index\"}}, "
                     "{\"_id\":\"d\",\"found\":true,\"_source\":{\"x\":[1,{}]}},"
                     "{\"_id\":\"e\",\"found\":true}]}";
    struct error err;
    struct document_item item;
    struct order order;
    struct document_answer *answer = read_answer(body, &err);
    assert_non_null(answer);
    assert_int_equal(document_answer_count(answer), 5);
    assert_null(document_answer_scroll(answer));
    assert_true(document_answer_next(answer, &item));
    assert_string_equal(item.id, ID);
    assert_string_equal(item.index, "r1");
    assert_int_equal(item.seq_no, 7);
    assert_int_equal(item.primary_term, 2);
    assert_true(item.found && !item.failed);
    assert_int_equal(document_order(item.source, &order), 0);
    assert_int_equal(order.amount_cents, 14990);
    assert_true(document_answer_next(answer, &item));
    assert_string_equal(item.id, "a\"b");
    assert_false(item.found);
    assert_int_equal(document_order(item.source, &order), -1);
    assert_true(document_answer_next(answer, &item));
    assert_true(item.failed);
    assert_true(server_error_is(&item.error, "index_not_found_exception"));
    assert_true(document_answer_next(answer, &item));
    assert_string_equal(item.index, "");
    assert_int_equal(item.source.len, strlen("{\"x\":[1,{}]}"));
    assert_int_equal(document_order(item.source, &order), -1);
    assert_true(document_answer_next(answer, &item));
    assert_int_equal(item.source.len, 0);
    assert_false(document_answer_next(answer, &item));
    assert_false(document_answer_next(answer, &item));
    document_answer_free(answer);
}

static void test_search(void **state)
{
    (void)state;
    struct error err;
    struct document_item item;
    struct document_answer *answer =
        read_answer("{\"_scroll_id\":\"abc==\",\"timed_out\":false,\"_shards\":{\"failed\":0},"
                    "\"hits\":{\"hits\":[{\"_index\":\"r2\",\"_id\":\"z\",\"_seq_no\":1,"
                    "\"_primary_term\":1}]}}",
                    &err);
    assert_non_null(answer);
    assert_string_equal(document_answer_scroll(answer), "abc==");
    assert_true(document_answer_next(answer, &item));
    assert_true(item.found);
    assert_false(document_answer_next(answer, &item));
    document_answer_free(answer);
    /* filter_path leaves out what is empty */
    answer = read_answer("{\"timed_out\":false,\"_shards\":{\"failed\":0}}", &err);
    assert_non_null(answer);
    assert_int_equal(document_answer_count(answer), 0);
    assert_false(document_answer_next(answer, &item));
    document_answer_free(answer);
    document_answer_free(NULL);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "",
        "<html>",
        "[]",
        "{}",
        "{\"docs\":{}}",
        "{\"hits\":{\"hits\":[]}",
        "{\"timed_out\":true,\"hits\":{\"hits\":[]}}",
        "{\"timed_out\":false,\"_shards\":{\"failed\":1},\"hits\":{\"hits\":[]}}",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct error err = {""};
        struct document_hour hour;
        size_t count;
        int64_t documents, undated;
        assert_null(read_answer(bodies[i], &err));
        assert_string_not_equal(err.message, "");
        assert_int_equal(document_answer_hours(bodies[i], strlen(bodies[i]), &hour, &count, &err),
                         -1);
        assert_int_equal(
            document_answer_totals(bodies[i], strlen(bodies[i]), &documents, &undated, &err), -1);
    }
}

/* Whatever way an amount was written, the document has the order's. */
static void test_amounts(void **state)
{
    (void)state;
    static const struct {
        const char *source;
        int64_t cents;
    } cases[] = {
        {SOURCE("100"), 10000},
        {SOURCE("1299.99"), 129999},
        {SOURCE("1e2"), 10000},
        {SOURCE("9999999999.9899998"), INT64_C(999999999999)},
        {SOURCE("0.30000000000000004"), 30},
        {SOURCE("-5.0"), -500},
        {" { \"note\" : [1, 2], \"amount\" : 19.9900000000000002, \"product_name\":\"x\","
         "\"id\":\"" ID "\",\"created_at\":\"2026-11-23T07:45:12+01:00\"}",
         1999},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct order order;
        assert_int_equal(
            document_order((struct json_span){cases[i].source, strlen(cases[i].source)}, &order),
            0);
        assert_int_equal(order.amount_cents, cases[i].cents);
        assert_int_equal(order.created_at_us, INT64_C(1795416312000000));
    }
    static const char *const others[] = {SOURCE("1.005"), SOURCE("\"1\""), SOURCE("1e30"), "{}"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct order order;
        assert_int_equal(document_order((struct json_span){others[i], strlen(others[i])}, &order),
                         -1);
    }
}

/* Of a row that nobody has sent: its document is read as it was written. */
static void test_names_of_rows(void **state)
{
    (void)state;
    char longest[ORDER_NAME_MAX_BYTES + 1];
    memset(longest, 'x', sizeof longest);
    const struct {
        const char *name;
        size_t len;
    } cases[] = {{"", 0}, {"a\nb\x01\x7f", 5}, {longest, ORDER_NAME_MAX_BYTES}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct order row = {.amount_cents = 1}, order;
        char json[ORDER_JSON_SIZE + 1];
        order_set_name(&row, cases[i].name, cases[i].len);
        size_t len = order_to_json(&row, json);
        assert_int_equal(document_order((struct json_span){json, len}, &order), 0);
        assert_true(order_equal(&order, &row));
    }
    char json[2 * ORDER_NAME_MAX_BYTES];
    struct order order;
    snprintf(json, sizeof json,
             "{\"id\":\"" ID "\",\"product_name\":\"%.*s\",\"amount\":1,"
             "\"created_at\":\"2026-11-23T06:45:12Z\"}",
             ORDER_NAME_MAX_BYTES + 1, longest);
    assert_int_equal(document_order((struct json_span){json, strlen(json)}, &order), -1);
}

static int hours(const char *body, struct document_hour *ret_hours, size_t *ret_count)
{
    struct error err;
    return document_answer_hours(body, strlen(body), ret_hours, ret_count, &err);
}

static void test_hours(void **state)
{
    (void)state;
    static struct document_hour read[DOCUMENT_HOURS_MAX];
    size_t count = 99;
    assert_int_equal(
        hours("{\"timed_out\":false,\"_shards\":{\"failed\":0},\"aggregations\":{\"hours\":"
              "{\"after_key\":{\"hour\":1767225600000},\"buckets\":["
              "{\"key\":{\"hour\":1767222000000},\"doc_count\":2,\"sum\":{\"value\":1299.99}},"
              "{\"key\":{\"hour\":1.7672256E12},\"doc_count\":1}]}}}",
              read, &count),
        0);
    assert_int_equal(count, 2);
    assert_int_equal(read[0].start_us, INT64_C(1767222000000000));
    assert_int_equal(read[0].documents, 2);
    assert_true(read[0].sum > 1299.98 && read[0].sum < 1300);
    assert_int_equal(read[1].start_us, INT64_C(1767225600000000));
    assert_true(read[1].sum == 0);
    assert_int_equal(hours("{\"timed_out\":false,\"_shards\":{\"failed\":0}}", read, &count), 0);
    assert_int_equal(count, 0);
    /* Whatever Elasticsearch takes for a date. */
    assert_int_equal(hours("{\"aggregations\":{\"hours\":{\"buckets\":["
                           "{\"key\":{\"hour\":-9223372036854000000},\"doc_count\":1},"
                           "{\"key\":{\"hour\":9.2E18},\"doc_count\":1}]}}}",
                           read, &count),
                     0);
    assert_int_equal(read[0].start_us, INT64_C(-62135596800000000));
    assert_int_equal(read[1].start_us, INT64_C(253402297200000000));
    static const char *const buckets[] = {"1", "{}", "{\"key\":{\"hour\":\"x\"},\"doc_count\":1}",
                                          "{\"key\":{\"hour\":1},\"doc_count\":1.5}"};
    for (size_t i = 0; i < sizeof buckets / sizeof buckets[0]; i++) {
        char body[200];
        snprintf(body, sizeof body, "{\"aggregations\":{\"hours\":{\"buckets\":[%s]}}}",
                 buckets[i]);
        count = 99;
        assert_int_equal(hours(body, read, &count), -1);
        assert_int_equal(count, 99);
    }
}

static void test_too_many_hours(void **state)
{
    (void)state;
    static const char bucket[] = "{\"key\":{\"hour\":0},\"doc_count\":1},";
    size_t size = (DOCUMENT_HOURS_MAX + 2) * sizeof bucket, count = 0;
    char *body = test_malloc(size), *end = body;
    struct document_hour *read = test_calloc(DOCUMENT_HOURS_MAX, sizeof *read);
    end += snprintf(end, size, "{\"aggregations\":{\"hours\":{\"buckets\":[");
    for (int i = 0; i < DOCUMENT_HOURS_MAX; i++)
        end = stpcpy(end, bucket);
    strcpy(end - 1, "]}}}");
    assert_int_equal(hours(body, read, &count), 0);
    assert_int_equal(count, DOCUMENT_HOURS_MAX);
    strcpy(end, "{}]}}}");
    end[-1] = ',';
    assert_int_equal(hours(body, read, &count), -1);
    test_free(read);
    test_free(body);
}

static void test_totals(void **state)
{
    (void)state;
    struct error err;
    int64_t documents = 0, undated = 0;
    static const char body[] =
        "{\"timed_out\":false,\"_shards\":{\"failed\":0},\"hits\":{\"total\":"
        "{\"value\":12,\"relation\":\"eq\"}},\"aggregations\":"
        "{\"undated\":{\"doc_count\":3}}}";
    assert_int_equal(document_answer_totals(body, sizeof body - 1, &documents, &undated, &err), 0);
    assert_int_equal(documents, 12);
    assert_int_equal(undated, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_multi_get),      cmocka_unit_test(test_search),
        cmocka_unit_test(test_refused),        cmocka_unit_test(test_amounts),
        cmocka_unit_test(test_names_of_rows),  cmocka_unit_test(test_hours),
        cmocka_unit_test(test_too_many_hours), cmocka_unit_test(test_totals),
    };
    return cmocka_run_group_tests_name("document answer", tests, NULL, NULL);
}
