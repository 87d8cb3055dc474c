/* Questions about documents against a small server whose answers the test sets. */
#include "proto/timestamp.h"
#include "services/scheduler/index/document_reader.h"
#include "services/scheduler/index/index_requests.h"
#include "tests/unit/support/cmocka_headers.h"
#include "tests/unit/support/http_peer.h"
#include "tests/unit/support/run_loop.h"
#include <curl/curl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define ID1 "0190163d-8694-739b-aea5-966c26f8ad91"
#define ID2 "0190163d-8694-739b-aea5-966c26f8ad92"
#define SOURCE(id)                                                                                 \
    "\"_source\":{\"id\":\"" id "\",\"product_name\":\"x\",\"amount\":1.5,"                        \
    "\"created_at\":\"2026-11-23T06:45:12Z\"}"
#define REQUESTS_MAX 8
#define WHOLE "\"timed_out\":false,\"_shards\":{\"failed\":0}"

struct answer {
    int status;
    const char *body;
};

struct scene {
    struct http_peer *peer;
    struct event_loop *loop;
    struct index_requests *requests;
    struct document_reader *reader;
    const struct answer *answers; /* in turn; the last one stays */
    atomic_int asked;
    char asked_for[REQUESTS_MAX][1200];

    bool done;
    char failure[256];
    size_t count;
    int64_t documents, undated;
    bool more;
    struct document_hour hour;
    struct document found[3];
    char index[40];
    enum document_page page;
    struct document_place place;
    char id[40];
    enum document_deletion deletions[6];
};

static int serve(void *arg, const char *request, char *body, size_t size)
{
    struct scene *scene = arg;
    int at = atomic_load(&scene->asked);
    const struct answer *answer = scene->answers;
    for (int i = 0; i < at && answer[1].body != NULL; i++)
        answer++;
    if (at < REQUESTS_MAX)
        snprintf(scene->asked_for[at], sizeof scene->asked_for[at], "%s", request);
    snprintf(body, size, "%s", answer->body);
    atomic_store(&scene->asked, at + 1);
    return answer->status;
}

static int set_up(void **state)
{
    struct scene *scene = test_calloc(1, sizeof *scene);
    char url[64];
    scene->loop = event_loop_new();
    scene->peer = http_peer_new_answering(serve, scene);
    snprintf(url, sizeof url, "http://127.0.0.1:%u", (unsigned)http_peer_port(scene->peer));
    scene->requests =
        index_requests_new(scene->loop, &(struct elasticsearch_options){.url = url}, 1000);
    scene->reader = document_reader_new(scene->requests, "orders");
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    document_reader_free(scene->reader);
    index_requests_free(scene->requests);
    http_peer_free(scene->peer);
    event_loop_free(scene->loop);
    test_free(scene);
    return 0;
}

static void begin(struct scene *scene, const struct answer *answers)
{
    scene->answers = answers;
    scene->done = false;
    scene->failure[0] = '\0';
    atomic_store(&scene->asked, 0);
}

static void end(struct scene *scene, const struct error *failure)
{
    assert_false(scene->done);
    scene->done = true;
    if (failure != NULL)
        snprintf(scene->failure, sizeof scene->failure, "%s", failure->message);
}

static void await(struct scene *scene)
{
    assert_false(scene->done);
    run_loop_until(scene->loop, scene->done);
}

static bool asked_for(const struct scene *scene, int at, const char *text)
{
    return strstr(scene->asked_for[at], text) != NULL;
}

/* ---- hours ---- */

static void on_hours(void *arg, const struct document_hour *hours, size_t count, bool more,
                     const struct error *failure)
{
    struct scene *scene = arg;
    scene->count = count;
    scene->more = more;
    if (count > 0)
        scene->hour = hours[0];
    end(scene, failure);
}

#define BUCKETS(more)                                                                              \
    "{" WHOLE ",\"aggregations\":{\"hours\":{\"buckets\":[{\"key\":{\"hour\":1767225600000},"      \
    "\"doc_count\":3" more "}]}}}"

static void test_hours(void **state)
{
    struct scene *scene = *state;
    begin(scene, (struct answer[]){{200, BUCKETS(",\"sum\":{\"value\":2.5}")}, {0}});
    document_reader_hours(scene->reader, INT64_C(1767225600000000), INT64_C(1767232800500000), true,
                          on_hours, scene);
    await(scene);
    assert_string_equal(scene->failure, "");
    assert_int_equal(scene->count, 1);
    assert_false(scene->more);
    assert_int_equal(scene->hour.start_us, INT64_C(1767225600000000));
    assert_true(scene->hour.documents == 3 && scene->hour.sum == 2.5);
    assert_true(asked_for(scene, 0, "POST /orders/_search?allow_partial_search_results=false&"));
    assert_true(asked_for(scene, 0, "\"gte\":\"2026-01-01T00:00:00Z\""));
    assert_true(asked_for(scene, 0, "\"lt\":\"2026-01-01T02:00:00.5Z\""));
    assert_true(asked_for(scene, 0, "\"field\":\"amount\""));

    begin(scene, (struct answer[]){{200, BUCKETS("")}, {0}});
    document_reader_hours(scene->reader, TIMESTAMP_MIN_US, INT64_C(1767232800000000), false,
                          on_hours, scene);
    await(scene);
    assert_string_equal(scene->failure, "");
    assert_false(asked_for(scene, 0, "\"gte\""));
    assert_false(asked_for(scene, 0, "amount"));

    begin(scene, (struct answer[]){{200, BUCKETS("")}, {0}});
    document_reader_hours(scene->reader, INT64_C(1767225600000000), TIMESTAMP_MAX_US, false,
                          on_hours, scene);
    await(scene);
    assert_true(asked_for(scene, 0, "\"gte\":\"2026-01-01T00:00:00Z\",\"format\""));
    assert_false(asked_for(scene, 0, "\"lt\""));
}

/* What Elasticsearch refuses is told in the words of a shard; what is no answer, too. */
static void test_hours_refused(void **state)
{
    static const struct {
        struct answer answer;
        const char *words;
    } cases[] = {
        {{400, "{\"error\":{\"root_cause\":[{\"type\":\"illegal_argument_exception\",\"reason\":"
               "\"Field [created_at] of type [keyword]\"}],"
               "\"type\":\"search_phase_execution_exception\",\"reason\":\"all shards failed\"}}"},
         "illegal_argument_exception: Field [created_at] of type [keyword]"},
        {{403, "{\"error\":{\"type\":\"security_exception\",\"reason\":\"no\"}}"},
         "the privilege read is missing"},
        {{200, "{}"}, "tells of no hours"},
        {{200, "{\"timed_out\":true}"}, "does not tell of all shards"},
        {{200, "<html>"}, "not JSON"},
    };
    struct scene *scene = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin(scene, (struct answer[]){cases[i].answer, {0}});
        document_reader_hours(scene->reader, 0, 1000, true, on_hours, scene);
        await(scene);
        assert_non_null(strstr(scene->failure, cases[i].words));
        assert_int_equal(scene->count, 0);
        assert_false(scene->more);
    }
}

static void on_count(void *arg, int64_t documents, int64_t undated, const struct error *failure)
{
    struct scene *scene = arg;
    scene->documents = documents;
    scene->undated = undated;
    end(scene, failure);
}

static void test_count(void **state)
{
    struct scene *scene = *state;
    begin(scene, (struct answer[]){{200, "{" WHOLE ",\"hits\":{\"total\":{\"value\":7}},"
                                         "\"aggregations\":{\"undated\":{\"doc_count\":2}}}"},
                                   {0}});
    document_reader_count(scene->reader, on_count, scene);
    await(scene);
    assert_string_equal(scene->failure, "");
    assert_true(scene->documents == 7 && scene->undated == 2);
}

/* ---- documents ---- */

static void on_documents(void *arg, const struct document *documents, const struct error *failure)
{
    struct scene *scene = arg;
    assert_int_equal(documents == NULL, failure != NULL);
    for (size_t i = 0; documents != NULL && i < 3; i++)
        scene->found[i] = documents[i];
    if (documents != NULL && documents[0].index != NULL)
        snprintf(scene->index, sizeof scene->index, "%s", documents[0].index);
    end(scene, failure);
}

static const char *const three[] = {ID1, ID2, "no \"uuid\""};

static void test_get(void **state)
{
    struct scene *scene = *state;
    begin(scene,
          (struct answer[]){
              {200, "{\"docs\":[{\"_index\":\"orders-000001\",\"_id\":\"" ID1
                    "\",\"_seq_no\":5,\"_primary_term\":1,\"found\":true," SOURCE(
                        ID1) "},{\"_id\":\"" ID2 "\",\"found\":false},"
                             "{\"_index\":\"orders-000001\",\"_id\":\"no \\\"uuid\\\"\","
                             "\"_seq_no\":6,\"_primary_term\":1,\"found\":true," SOURCE(ID1) "}]}"},
              {0}});
    document_reader_get(scene->reader, three, 3, on_documents, scene);
    await(scene);
    assert_string_equal(scene->failure, "");
    assert_true(asked_for(scene, 0, "POST /orders/_mget?"));
    assert_true(asked_for(scene, 0, "{\"ids\":[\"" ID1 "\",\"" ID2 "\",\"no \\\"uuid\\\"\"]}"));
    assert_int_equal(scene->found[0].state, DOCUMENT_ORDER);
    assert_int_equal(scene->found[0].order.amount_cents, 150);
    assert_string_equal(scene->index, "orders-000001");
    assert_true(scene->found[0].seq_no == 5 && scene->found[0].primary_term == 1);
    assert_int_equal(scene->found[1].state, DOCUMENT_ABSENT);
    assert_int_equal(scene->found[2].state, DOCUMENT_OTHER); /* its _source has another id */
    assert_int_equal(scene->found[2].seq_no, 6);
}

/* Too long an answer: in parts. One document alone that is too long is no order. */
static void test_get_in_parts(void **state)
{
    static char longer[1100];
    struct scene *scene = *state;
    memset(longer, ' ', sizeof longer - 1);
    begin(scene,
          (struct answer[]){{200, longer},
                            {200, longer},
                            {200, longer}, /* the first alone */
                            {200, "{\"docs\":[{\"_index\":\"i\",\"_id\":\"" ID1 "\",\"found\":true,"
                                  "\"_seq_no\":4,\"_primary_term\":1}]}"},
                            {200, "{\"docs\":[{\"_index\":\"i\",\"_id\":\"" ID2 "\",\"found\":true,"
                                  "\"_seq_no\":1,\"_primary_term\":1," SOURCE(ID2) "}]}"},
                            {200, "{\"docs\":[{\"_id\":\"no \\\"uuid\\\"\",\"found\":false}]}"},
                            {0}});
    document_reader_get(scene->reader, three, 3, on_documents, scene);
    await(scene);
    assert_string_equal(scene->failure, "");
    assert_int_equal(atomic_load(&scene->asked), 6);
    assert_true(asked_for(scene, 2, "_mget?_source=true&"));
    assert_true(asked_for(scene, 3, "_mget?_source=false&"));
    assert_true(asked_for(scene, 4, "_mget?_source=true&"));
    assert_int_equal(scene->found[0].state, DOCUMENT_OTHER);
    assert_string_equal(scene->index, "i");
    assert_int_equal(scene->found[0].seq_no, 4);
    assert_int_equal(scene->found[1].state, DOCUMENT_ORDER);
    assert_int_equal(scene->found[2].state, DOCUMENT_ABSENT);
}

/* An alias of several indexes: by a search, from then on. */
static void test_get_by_search(void **state)
{
    struct scene *scene = *state;
    static const struct answer answers[] = {
        {200, "{\"docs\":[{\"_id\":\"" ID1 "\",\"error\":{\"type\":\"illegal_argument_exception\","
              "\"reason\":\"alias [orders] has more than one index\"}}]}"},
        {200, "{" WHOLE ",\"hits\":{\"hits\":["
              "{\"_index\":\"a\",\"_id\":\"no \\\"uuid\\\"\",\"_source\":{}},"
              "{\"_index\":\"a\",\"_id\":\"" ID1 "\",\"_source\":{}},"
              "{\"_index\":\"b\",\"_id\":\"" ID1
              "\",\"_seq_no\":9,\"_primary_term\":1," SOURCE(ID1) "}]}}"},
        {0}};
    begin(scene, answers);
    document_reader_get(scene->reader, three, 3, on_documents, scene);
    await(scene);
    assert_string_equal(scene->failure, "");
    assert_true(asked_for(scene, 1, "POST /orders/_search?"));
    assert_true(asked_for(scene, 1, "\"ids\":{\"values\":[\"" ID1 "\""));
    assert_int_equal(scene->found[0].state, DOCUMENT_ORDER);
    assert_string_equal(scene->index, "b");
    assert_int_equal(scene->found[1].state, DOCUMENT_ABSENT);
    assert_int_equal(scene->found[2].state, DOCUMENT_OTHER);
    begin(scene, answers + 1);
    document_reader_get(scene->reader, three, 3, on_documents, scene);
    await(scene);
    assert_true(asked_for(scene, 0, "POST /orders/_search?"));
}

static void test_get_refused(void **state)
{
    static const struct {
        struct answer answer;
        const char *words;
    } cases[] = {
        {{200, "{\"docs\":[{\"_id\":\"" ID1 "\",\"error\":{\"type\":\"index_not_found_exception\","
               "\"reason\":\"no such index\"}}]}"},
         "index_not_found_exception"},
        {{200, "{\"docs\":[{\"_id\":\"" ID2 "\",\"found\":false}]}"}, "not asked for"},
        {{200, "{\"docs\":[{\"_id\":\"" ID1 "\",\"found\":false}]}"}, "all documents"},
        {{200, "{\"docs\":[]}"}, "all documents"},
        {{200, "{}"}, "no documents"},
        {{403, "{\"error\":\"no\"}"}, "status 403"},
    };
    struct scene *scene = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin(scene, (struct answer[]){cases[i].answer, {0}});
        document_reader_get(scene->reader, three, 3, on_documents, scene);
        await(scene);
        assert_non_null(strstr(scene->failure, cases[i].words));
    }
}

/* ---- walks ---- */

static void on_places(void *arg, enum document_page page, const struct document_place *places,
                      size_t count, const struct error *failure)
{
    struct scene *scene = arg;
    scene->page = page;
    scene->count = count;
    if (count > 0) {
        scene->place = places[0];
        snprintf(scene->id, sizeof scene->id, "%s", places[0].id);
        snprintf(scene->index, sizeof scene->index, "%s", places[0].index);
    }
    end(scene, failure);
}

static void test_walk(void **state)
{
    struct scene *scene = *state;
    static const struct answer answers[] = {
        {200,
         "{\"_scroll_id\":\"one\"," WHOLE ",\"hits\":{\"hits\":[{\"_index\":\"a\",\"_id\":\"" ID1
         "\",\"_seq_no\":3,\"_primary_term\":2}]}}"},
        {200, "{\"_scroll_id\":\"two\"," WHOLE
              ",\"hits\":{\"hits\":[{\"_index\":\"a\",\"_id\":\"0190163D-8694-739b-aea5-"
              "966c26f8ad91\"}]}}"},
        {200, "{\"_scroll_id\":\"two\"," WHOLE "}"},
        {404, "{}"},
        {0}};
    begin(scene, answers);
    document_reader_first_page(scene->reader, DOCUMENTS_UNDATED, 0, 0, on_places, scene);
    await(scene);
    assert_int_equal(scene->page, DOCUMENT_PAGE);
    assert_int_equal(scene->count, 1);
    assert_string_equal(scene->id, ID1);
    assert_string_equal(scene->index, "a");
    assert_true(scene->place.is_order_id && scene->place.seq_no == 3 &&
                scene->place.primary_term == 2);
    assert_true(asked_for(scene, 0, "/orders/_search?scroll=5m&"));
    assert_true(asked_for(scene, 0, "\"must_not\":{\"exists\":{\"field\":\"created_at\"}}"));
    scene->done = false;
    document_reader_next_page(scene->reader, on_places, scene);
    await(scene);
    assert_true(asked_for(scene, 1, "POST /_search/scroll?"));
    assert_true(asked_for(scene, 1, "{\"scroll\":\"5m\",\"scroll_id\":\"one\"}"));
    assert_false(scene->place.is_order_id); /* no order has it in this form */
    scene->done = false;
    document_reader_next_page(scene->reader, on_places, scene);
    await(scene);
    assert_true(asked_for(scene, 2, "\"scroll_id\":\"two\""));
    assert_true(asked_for(scene, 3, "DELETE /_search/scroll "));
    assert_true(asked_for(scene, 3, "{\"scroll_id\":\"two\"}"));
    assert_int_equal(scene->page, DOCUMENT_PAGE_LAST);
    assert_string_equal(scene->failure, "");

    begin(scene,
          (struct answer[]){{404, "{\"error\":{\"type\":\"index_not_found_exception\"}}"}, {0}});
    document_reader_first_page(scene->reader, DOCUMENTS_ALL, 0, 0, on_places, scene);
    await(scene);
    assert_non_null(strstr(scene->failure, "index_not_found_exception"));
}

/* A page that did not come is not asked for again: it would be the one behind it. */
static void test_lost_page(void **state)
{
    struct scene *scene = *state;
    static const struct answer lost[] = {
        {503, "{}"},
        {404, "{\"error\":{\"type\":\"search_context_missing_exception\"}}"},
        {200, "{\"_scroll_id\":\"x\",\"timed_out\":false,\"_shards\":{\"failed\":1}}"}};
    for (size_t i = 0; i < sizeof lost / sizeof lost[0]; i++) {
        begin(scene,
              (struct answer[]){{200, "{\"_scroll_id\":\"one\"," WHOLE
                                      ",\"hits\":{\"hits\":[{\"_index\":\"a\",\"_id\":\"x\"}]}}"},
                                lost[i],
                                {0}});
        document_reader_first_page(scene->reader, DOCUMENTS_DATED, 0, 1000, on_places, scene);
        await(scene);
        scene->done = false;
        document_reader_next_page(scene->reader, on_places, scene);
        await(scene);
        assert_int_equal(scene->page, DOCUMENT_PAGE_LOST);
        assert_string_equal(scene->failure, "");
        assert_int_equal(atomic_load(&scene->asked), 2);
    }
}

/* ---- deleting ---- */

static void on_deletions(void *arg, const enum document_deletion *deletions,
                         const struct error *failure)
{
    struct scene *scene = arg;
    assert_int_equal(deletions == NULL, failure != NULL);
    if (deletions != NULL)
        memcpy(scene->deletions, deletions, scene->count * sizeof *deletions);
    end(scene, failure);
}

#define ITEM(status, more) "{\"delete\":{\"_id\":\"a\",\"status\":" #status more "}}"
#define CONFLICT(words)                                                                            \
    ITEM(409,                                                                                      \
         ",\"error\":{\"type\":\"version_conflict_engine_exception\",\"reason\":\"" words "\"}")

#define CHANGED CONFLICT("current document has seqNo [1]")
#define VANISHED CONFLICT("but no document was found")
#define BUSY ITEM(429, ",\"error\":{}")
#define AWAY ITEM(503, ",\"error\":{}")
#define EACH_KIND                                                                                  \
    "{\"items\":[" ITEM(200, "") "," ITEM(404, "") "," CHANGED "," VANISHED "," BUSY "," AWAY "]}"

static void test_delete(void **state)
{
    struct scene *scene = *state;
    static const struct document_place places[6] = {
        {.index = "orders-000001", .id = "a\"b", .seq_no = 7, .primary_term = 2},
        {.index = "i", .id = "a"},
        {.index = "i", .id = "a"},
        {.index = "i", .id = "a"},
        {.index = "i", .id = "a"},
        {.index = "i", .id = "a"}};
    begin(scene, (struct answer[]){{200, EACH_KIND}, {0}});
    scene->count = 6;
    document_reader_delete(scene->reader, places, 6, on_deletions, scene);
    await(scene);
    assert_string_equal(scene->failure, "");
    static const enum document_deletion expected[] = {DOCUMENT_DELETED, DOCUMENT_GONE,
                                                      DOCUMENT_CHANGED, DOCUMENT_GONE,
                                                      DOCUMENT_BUSY,    DOCUMENT_BUSY};
    assert_memory_equal(scene->deletions, expected, sizeof expected);
    assert_true(asked_for(scene, 0, "POST /_bulk?"));
    assert_true(
        asked_for(scene, 0,
                  "{\"delete\":{\"_index\":\"orders-000001\",\"_id\":\"a\\\"b\","
                  "\"if_seq_no\":7,\"if_primary_term\":2}}\n{\"delete\":{\"_index\":\"i\""));

    static const char *const refused[] = {
        "{\"items\":[" ITEM(403, ",\"error\":{\"type\":\"security_exception\"}") "]}",
        "{\"items\":[]}"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        begin(scene, (struct answer[]){{200, refused[i]}, {0}});
        document_reader_delete(scene->reader, places, 1, on_deletions, scene);
        await(scene);
        assert_string_not_equal(scene->failure, "");
    }
}

/* Freed in the middle of everything: nothing leaks. */
static void test_freed(void **state)
{
    /* The peer may answer when the test is over. */
    static const struct answer answers[] = {
        {200, "{\"_scroll_id\":\"one\"," WHOLE
              ",\"hits\":{\"hits\":[{\"_index\":\"a\",\"_id\":\"x\"}]}}"},
        {0}};
    struct scene *scene = *state;
    begin(scene, answers);
    document_reader_first_page(scene->reader, DOCUMENTS_ALL, 0, 0, on_places, scene);
    await(scene);
    document_reader_get(scene->reader, three, 3, on_documents, scene);
    document_reader_free(NULL);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    curl_global_init(CURL_GLOBAL_DEFAULT);
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_hours),        TEST(test_hours_refused), TEST(test_count),       TEST(test_get),
        TEST(test_get_in_parts), TEST(test_get_by_search), TEST(test_get_refused), TEST(test_walk),
        TEST(test_lost_page),    TEST(test_delete),        TEST(test_freed),
    };
    int failures = cmocka_run_group_tests_name("document reader", tests, NULL, NULL);
    curl_global_cleanup();
    return failures;
}
