/* Batches against a fake _bulk endpoint: a function from request to answer. */
#include "services/indexer/bulk_answer.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT 8
#define BEGUN_MS 5000

/* As Elasticsearch answers, but for "_id", which write_item() adds. */
static const char item_created[] = "{\"index\":{\"status\":201}}";
static const char item_malformed[] =
    "{\"index\":{\"status\":400,\"error\":{\"type\":\"mapper_parsing_exception\",\"reason\":"
    "\"failed to parse field [amount] of type [double], value '\\u0000x\\u0000'\"}}}";

/* ---- the orders ---- */

#define ORDERS 24

static struct order orders[ORDERS];
static const struct order *order_list[ORDERS];

static int make_orders(void **state)
{
    (void)state;
    for (size_t i = 0; i < ORDERS; i++) {
        orders[i].id.bytes[15] = (unsigned char)i;
        order_list[i] = &orders[i];
    }
    return 0;
}

/* Appends the item of the order in this place. */
static void write_item(char *body, size_t place, const char *item)
{
    static const char begin[] = "{\"index\":{";
    assert_memory_equal(item, begin, strlen(begin));
    char id[ORDER_ID_TEXT_LEN + 1];
    order_id_format(&orders[place].id, id);
    sprintf(body + strlen(body), "%s\"_id\":\"%s\",%s", begin, id, item + strlen(begin));
}

/* ---- answers to single requests ---- */

static bool ended, down;
static int64_t elapsed_ms; /* since the batch began */

static void write_part(void *self, struct batch *batch)
{
    (void)self, (void)batch;
}

static int try_part(void *self, struct batch *batch, int64_t timeout_ms)
{
    (void)self;
    (void)batch;
    assert_in_range(timeout_ms, 1, BULK_TIMEOUT_MS - elapsed_ms);
    return 0;
}

static void on_done(void *arg, bool store_down)
{
    (void)arg;
    ended = true;
    down = store_down;
}

static const struct batch_store store = {.write_part = write_part,
                                         .try_part = try_part,
                                         .limit_ms = BULK_TIMEOUT_MS,
                                         .unavailable = "elasticsearch_unavailable"};

static void begin(struct batch *batch, size_t count, struct verdict verdicts[])
{
    ended = false;
    elapsed_ms = 0;
    batch_write(batch, 0, &store, order_list, count, verdicts);
    batch_begin(batch, on_done, NULL, BEGUN_MS);
}

/* A whole batch of one request, which is taken. */
static void judge(size_t count, struct verdict verdicts[], const char *body)
{
    static struct batch batch;
    begin(&batch, count, verdicts);
    bulk_answer_judge(&batch, 200, body, strlen(body), NULL);
    batch_go_on(&batch, BEGUN_MS);
    assert_true(ended);
}

struct item_case {
    const char *item;
    enum outcome outcome;
    const char *code, *detail;
};

static void each_item_by_its_status(void **state)
{
    (void)state;
    static const struct item_case cases[] = {
        {item_created, OUTCOME_DONE, "", ""},
        {"{\"index\":{\"status\":200}}", OUTCOME_DONE, "", ""},
        {"{\"index\":{\"status\":409,\"error\":{\"type\":\"version_conflict_engine_exception\"}}}",
         OUTCOME_DONE, "", ""},
        {item_malformed, OUTCOME_REJECT, "bulk_400",
         "mapper_parsing_exception: failed to parse field [amount] of type [double], value '"},
        {"{\"index\":{\"status\":429,\"error\":{\"type\":\"es_rejected_execution_exception\","
         "\"reason\":\"queue full\"}}}",
         OUTCOME_RETRY, "bulk_429", "es_rejected_execution_exception: queue full"},
        {"{\"index\":{\"status\":403,\"error\":{\"type\":\"cluster_block_exception\",\"reason\":"
         "\"index [orders] blocked by: [FORBIDDEN/12/index read-only / allow delete (api)];\"}}}",
         OUTCOME_RETRY, "bulk_403",
         "cluster_block_exception: index [orders] blocked by: [FORBIDDEN/12/index read-only / "
         "allow delete (api)];"},
        {"{\"index\":{\"status\":404,\"error\":{\"type\":\"index_not_found_exception\"}}}",
         OUTCOME_RETRY, "bulk_404", "index_not_found_exception: no reason given"},
        {"{\"index\":{\"status\":400,\"error\":{\"type\":\"index_closed_exception\",\"reason\":"
         "\"closed\"}}}",
         OUTCOME_RETRY, "bulk_400", "index_closed_exception: closed"},
        {"{\"index\":{\"status\":400,\"error\":{\"type\":\"document_parsing_exception\",\"reason\":"
         "\"[1:9] failed to parse\"}}}",
         OUTCOME_REJECT, "bulk_400", "document_parsing_exception: [1:9] failed to parse"},
        /* 400 that a repair of the configuration ends */
        {"{\"index\":{\"status\":400,\"error\":{\"type\":\"illegal_argument_exception\",\"reason\":"
         "\"no write index is defined for alias [orders]\"}}}",
         OUTCOME_RETRY, "bulk_400",
         "illegal_argument_exception: no write index is defined for alias [orders]"},
        {"{\"index\":{\"status\":400,\"error\":{\"type\":\"illegal_argument_exception\",\"reason\":"
         "\"pipeline with id [none] does not exist\"}}}",
         OUTCOME_RETRY, "bulk_400",
         "illegal_argument_exception: pipeline with id [none] does not exist"},
        {"{\"index\":{\"status\":400,\"error\":{\"type\":\"strict_dynamic_mapping_exception\"}}}",
         OUTCOME_RETRY, "bulk_400", "strict_dynamic_mapping_exception: no reason given"},
        {"{\"index\":{\"status\":400,\"error\":{\"type\":\"routing_missing_exception\"}}}",
         OUTCOME_RETRY, "bulk_400", "routing_missing_exception: no reason given"},
        {"{\"index\":{\"status\":400}}", OUTCOME_RETRY, "bulk_400", "no reason given"},
        {"{\"index\":{\"status\":500,\"error\":{\"type\":\"mapper_parsing_exception\"}}}",
         OUTCOME_RETRY, "bulk_500", "mapper_parsing_exception: no reason given"},
        {"{\"index\":{\"status\":403,\"error\":{\"type\":\"security_exception\",\"reason\":"
         "\"action [indices:data/write/bulk[s]] is unauthorized\"}}}",
         OUTCOME_RETRY, "bulk_403",
         "the privilege write is missing: security_exception: action [indices:data/write/bulk[s]] "
         "is unauthorized"},
        {"{\"index\":{\"status\":403,\"error\":{\"type\":\"security_exception\",\"reason\":"
         "\"action [indices:admin/auto_create] is unauthorized\"}}}",
         OUTCOME_RETRY, "bulk_403",
         "the privilege create_index is missing: security_exception: action "
         "[indices:admin/auto_create] is unauthorized"},
        {"{\"index\":{\"status\":500}}", OUTCOME_RETRY, "bulk_500", "no reason given"},
        {"{\"index\":{\"status\":503,\"error\":\"plain\"}}", OUTCOME_RETRY, "bulk_503", "plain"},
        {"{\"index\":{\"status\":301}}", OUTCOME_RETRY, "bulk_301", "no reason given"},
    };
    char body[16384] = "{\"errors\":true,\"items\":[";
    struct verdict verdicts[sizeof(cases) / sizeof(cases[0])];
    const size_t count = sizeof(cases) / sizeof(cases[0]);
    for (size_t i = 0; i < count; i++) {
        strcat(body, i > 0 ? "," : "");
        write_item(body, i, cases[i].item);
    }
    strcat(body, "]}");
    judge(count, verdicts, body);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(verdicts[i].outcome, cases[i].outcome);
        assert_string_equal(verdicts[i].code, cases[i].code);
        assert_string_equal(verdicts[i].detail, cases[i].detail);
    }
}

#define ID(last) "00000000-0000-0000-0000-0000000000" last
#define ITEM(id, status) "{\"index\":{\"_id\":\"" id "\",\"status\":" status "}}"
#define FIRST ITEM(ID("00"), "201")
#define SECOND ITEM(ID("01"), "201")

/* Nothing is believed to be done unless each order has its own item with a status. */
static void answers_that_make_no_sense(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "",
        "{}",
        "[]",
        "null",
        "<html>502 Bad Gateway</html>",
        "{\"errors\":false}",
        "{\"items\":[]}",
        "{\"items\":{\"index\":{\"status\":201}}}",
        "{\"items\":[" FIRST "]}",
        "{\"items\":[" FIRST "," SECOND "," ITEM(ID("02"), "201") "]}",
        "{\"items\":[" FIRST "," SECOND,
        "{\"items\":[" FIRST "," SECOND "]",
        "{\"items\":[" FIRST "," SECOND ",]}",
        "{\"items\":[" FIRST SECOND "]}",
        "{\"items\":[" FIRST "," SECOND "]}]}",
        "{\"items\":[" FIRST "," SECOND "]}{",
        /* an item without a status, or of no order */
        "{\"items\":[" FIRST ",{\"index\":{\"_id\":\"" ID("01") "\"}}]}",
        "{\"items\":[" FIRST "," ITEM(ID("01"), "\"201\"") "]}",
        "{\"items\":[" FIRST "," ITEM(ID("01"), "20100000000") "]}",
        "{\"items\":[" FIRST "," ITEM(ID("01"), "99") "]}",
        "{\"items\":[" FIRST ",{\"delete\":{\"_id\":\"" ID("01") "\",\"status\":200}}]}",
        "{\"items\":[" FIRST ",null]}",
        "{\"items\":[" FIRST ",[]]}",
        "{\"items\":[" FIRST ",201]}",
        "{\"items\":[" FIRST ",{\"index\":201}]}",
        /* an item that is not of the order in its place */
        "{\"items\":[" SECOND "," FIRST "]}",
        "{\"items\":[" FIRST "," FIRST "]}",
        "{\"items\":[" FIRST "," ITEM(ID("02"), "201") "]}",
        "{\"items\":[" FIRST "," ITEM(ID("02"), "400") "]}",
        "{\"items\":[" FIRST "," ITEM(ID("0"), "201") "]}",
        "{\"items\":[" FIRST "," ITEM(ID("01\\u0000"), "201") "]}",
        "{\"items\":[" FIRST "," ITEM("", "201") "]}",
        "{\"items\":[" FIRST ",{\"index\":{\"_id\":1,\"status\":201}}]}",
        "{\"items\":[" FIRST ",{\"index\":{\"status\":201}}]}",
    };
    static const char *const good_bodies[] = {
        "{\"items\":[" FIRST "," SECOND "]}",
        "{\"items\":[" FIRST "," ITEM(ID("01"), "200") "]}",
        "{\"items\":[" FIRST "," ITEM(ID("01"), "202") "]}",
        "{\"items\": [" FIRST ", " SECOND "]}\n",
        "{\"took\":3,\"errors\":false,\"items\":[" FIRST "," SECOND "]}",
    };
    for (size_t i = 0; i < sizeof(good_bodies) / sizeof(good_bodies[0]); i++) {
        struct verdict good[2];
        judge(2, good, good_bodies[i]);
        assert_int_equal(good[0].outcome, OUTCOME_DONE);
        assert_int_equal(good[1].outcome, OUTCOME_DONE);
        assert_false(down);
    }
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct verdict verdicts[2];
        judge(2, verdicts, bodies[i]);
        assert_true(down);
        for (size_t k = 0; k < 2; k++) {
            assert_int_equal(verdicts[k].outcome, OUTCOME_RETRY);
            assert_string_equal(verdicts[k].code, "elasticsearch_unreadable");
            assert_string_not_equal(verdicts[k].detail, "");
        }
    }
}

/* ---- whole batches ---- */

struct endpoint {
    long status;              /* of the whole request */
    const char *error_body;   /* unless 200 */
    size_t largest;           /* more orders than this: 413 */
    const char *items[COUNT]; /* of each order; NULL: created */
    size_t fits;              /* orders in one request */
    int64_t cost_ms;
    /* seen */
    unsigned requests;
    unsigned sent[COUNT];
    struct verdict verdicts[COUNT];
    bool backend_down;
};

static void answer_part(struct endpoint *endpoint, struct batch *batch)
{
    const struct part *part = &batch->part;
    static const struct error refused = {"connection refused"};
    endpoint->requests++;
    for (size_t i = 0; i < part->count; i++)
        endpoint->sent[part->first + i]++;
    if (part->count > endpoint->largest) {
        bulk_answer_judge(batch, 413, "too large", 9, NULL);
        return;
    }
    if (endpoint->status != 200) {
        const char *body = endpoint->error_body ? endpoint->error_body : "";
        bulk_answer_judge(batch, endpoint->status, body, strlen(body), &refused);
        return;
    }
    char body[4096] = "{\"items\":[";
    for (size_t i = 0; i < part->count; i++) {
        const char *item = endpoint->items[part->first + i];
        strcat(body, i > 0 ? "," : "");
        write_item(body, part->first + i, item ? item : item_created);
    }
    strcat(body, "]}");
    bulk_answer_judge(batch, 200, body, strlen(body), NULL);
}

static void run(struct endpoint *endpoint)
{
    static struct batch batch;
    endpoint->largest = endpoint->largest ? endpoint->largest : COUNT;
    endpoint->fits = endpoint->fits ? endpoint->fits : COUNT;
    begin(&batch, COUNT, endpoint->verdicts);
    while (!ended) {
        batch_shorten(&batch,
                      batch.part.count < endpoint->fits ? batch.part.count : endpoint->fits);
        elapsed_ms += endpoint->cost_ms;
        answer_part(endpoint, &batch);
        batch_go_on(&batch, BEGUN_MS + elapsed_ms);
    }
    endpoint->backend_down = down;
    for (size_t i = 0; i < COUNT; i++)
        assert_in_range(endpoint->verdicts[i].outcome, OUTCOME_DONE, OUTCOME_REJECT);
}

static size_t count_outcome(const struct endpoint *endpoint, enum outcome outcome)
{
    size_t total = 0;
    for (size_t i = 0; i < COUNT; i++)
        total += endpoint->verdicts[i].outcome == outcome;
    return total;
}

static void all_indexed_by_one_request(void **state)
{
    (void)state;
    struct endpoint endpoint = {.status = 200};
    run(&endpoint);
    assert_int_equal(endpoint.requests, 1);
    assert_int_equal(count_outcome(&endpoint, OUTCOME_DONE), COUNT);
    assert_false(endpoint.backend_down);
}

static void only_the_failed_items_fail(void **state)
{
    (void)state;
    struct endpoint endpoint = {
        .status = 200, .items = {[2] = item_malformed, [5] = "{\"index\":{\"status\":429}}"}};
    run(&endpoint);
    assert_int_equal(count_outcome(&endpoint, OUTCOME_DONE), COUNT - 2);
    assert_int_equal(endpoint.verdicts[2].outcome, OUTCOME_REJECT);
    assert_int_equal(endpoint.verdicts[5].outcome, OUTCOME_RETRY);
    assert_false(endpoint.backend_down);
}

static void all_items_refused_for_now_is_a_backend_down(void **state)
{
    (void)state;
    struct endpoint endpoint = {.status = 200};
    for (size_t i = 0; i < COUNT; i++)
        endpoint.items[i] = "{\"index\":{\"status\":403}}";
    run(&endpoint);
    assert_int_equal(count_outcome(&endpoint, OUTCOME_RETRY), COUNT);
    assert_string_equal(endpoint.verdicts[0].code, "bulk_403");
    assert_true(endpoint.backend_down);
}

static void all_items_rejected_is_not(void **state)
{
    (void)state;
    struct endpoint endpoint = {.status = 200};
    for (size_t i = 0; i < COUNT; i++)
        endpoint.items[i] = item_malformed;
    run(&endpoint);
    assert_int_equal(count_outcome(&endpoint, OUTCOME_REJECT), COUNT);
    assert_false(endpoint.backend_down);
}

static void a_refused_request_is_no_orders_fault(void **state)
{
    (void)state;
    static const struct {
        long status;
        const char *body, *code, *detail;
    } cases[] = {
        {0, NULL, "elasticsearch_unavailable", "connection refused"},
        {400, "", "elasticsearch_400", "no reason given"},
        {400, "{\"error\":{\"type\":\"mapper_parsing_exception\",\"reason\":\"x\"}}",
         "elasticsearch_400", "mapper_parsing_exception: x"},
        {401, "{\"error\":{\"type\":\"security_exception\",\"reason\":\"missing credentials\"}}",
         "elasticsearch_401", "security_exception: missing credentials"},
        {403, "{\"error\":\"denied\"}", "elasticsearch_403", "denied"},
        {403, "{\"error\":{\"type\":\"security_exception\",\"reason\":\"no\"}}",
         "elasticsearch_403", "the privilege write is missing: security_exception: no"},
        {404, "<html>", "elasticsearch_404", "no reason given"},
        {429, "{}", "elasticsearch_429", "no reason given"},
        {302, "", "elasticsearch_302", "no reason given"},
        {500, "", "elasticsearch_500", "no reason given"},
        {503, "", "elasticsearch_503", "no reason given"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct endpoint endpoint = {.status = cases[i].status, .error_body = cases[i].body};
        run(&endpoint);
        assert_int_equal(endpoint.requests, 1);
        assert_int_equal(count_outcome(&endpoint, OUTCOME_RETRY), COUNT);
        assert_string_equal(endpoint.verdicts[COUNT - 1].code, cases[i].code);
        assert_string_equal(endpoint.verdicts[COUNT - 1].detail, cases[i].detail);
        assert_true(endpoint.backend_down);
    }
}

static void a_request_that_is_too_large_is_cut(void **state)
{
    (void)state;
    struct endpoint endpoint = {.status = 200, .largest = 3};
    run(&endpoint);
    assert_int_equal(count_outcome(&endpoint, OUTCOME_DONE), COUNT);
    assert_int_equal(endpoint.requests, 1 + 2 + 4);
    assert_false(endpoint.backend_down);
}

/* A limit in front of the server. */
static void an_order_too_large_alone_waits(void **state)
{
    (void)state;
    static struct batch batch;
    struct verdict verdict;
    begin(&batch, 1, &verdict);
    bulk_answer_judge(&batch, 413, "", 0, NULL);
    batch_go_on(&batch, BEGUN_MS);
    assert_true(ended);
    assert_int_equal(verdict.outcome, OUTCOME_RETRY);
    assert_string_equal(verdict.code, "elasticsearch_413");
    assert_true(down);
}

static void what_does_not_fit_is_sent_next(void **state)
{
    (void)state;
    struct endpoint endpoint = {.status = 200, .fits = 3};
    run(&endpoint);
    assert_int_equal(endpoint.requests, 3);
    assert_int_equal(count_outcome(&endpoint, OUTCOME_DONE), COUNT);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(endpoint.sent[i], 1);
}

static void what_there_is_no_time_for_is_tried_later(void **state)
{
    (void)state;
    struct endpoint endpoint = {.status = 200, .fits = 1, .cost_ms = 1500};
    run(&endpoint);
    assert_int_equal(endpoint.requests, 3);
    assert_int_equal(count_outcome(&endpoint, OUTCOME_DONE), 3);
    assert_int_equal(count_outcome(&endpoint, OUTCOME_RETRY), COUNT - 3);
    assert_string_equal(endpoint.verdicts[COUNT - 1].code, "elasticsearch_unavailable");
    assert_false(endpoint.backend_down);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_item_by_its_status),
        cmocka_unit_test(answers_that_make_no_sense),
        cmocka_unit_test(all_indexed_by_one_request),
        cmocka_unit_test(only_the_failed_items_fail),
        cmocka_unit_test(all_items_refused_for_now_is_a_backend_down),
        cmocka_unit_test(all_items_rejected_is_not),
        cmocka_unit_test(a_refused_request_is_no_orders_fault),
        cmocka_unit_test(a_request_that_is_too_large_is_cut),
        cmocka_unit_test(an_order_too_large_alone_waits),
        cmocka_unit_test(what_does_not_fit_is_sent_next),
        cmocka_unit_test(what_there_is_no_time_for_is_tried_later),
    };
    return cmocka_run_group_tests(tests, make_orders, NULL);
}
