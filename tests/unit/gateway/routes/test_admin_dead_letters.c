/* The archive of dead letters over HTTP: pages, a letter, discarding, and many at once. */
#include "tests/unit/gateway/http_test.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TOKEN "Authorization: Bearer s3cret\r\nX-Operator: ada\r\n"
#define LETTERS "/api/admin/dead-letters"
#define ID "0190a5b2-0000-7000-8000-000000000001"

static void get(const char *path)
{
    http_request(fixture, "GET", path, TOKEN, NULL, &reply);
}

static void post(const char *path, const char *body)
{
    http_request(fixture, "POST", path, TOKEN, body, &reply);
}

/* Whoever looks with the read token, and whoever has none, at each route. */
static void test_tokens(void **state)
{
    (void)state;
    struct api_settings *settings = http_fixture_settings(fixture);
    settings->admin_read_token = "l00k";
    settings->admin_auth = false; /* opens none of these */
    static const char *const reads[] = {LETTERS, LETTERS "/1", "/api/admin/jobs",
                                        "/api/admin/jobs/1"};
    static const char *const changes[] = {LETTERS "/1/replay",        LETTERS "/1/discard",
                                          LETTERS "/replay",          LETTERS "/discard",
                                          "/api/admin/jobs/1/cancel", "/api/admin/jobs"};
    fake_letters_add(letters, "malformed", "");
    letters->jobs[0] = (struct job_record){.id = 1, .kind = "replay", .state = "done"};
    letters->job_count = 1;
    for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
        http_request(fixture, "GET", reads[i], "Authorization: Bearer l00k\r\n", NULL, &reply);
        assert_int_equal(reply.status, 200);
        assert_string_equal(reply_header_value(&reply, "cache-control"), "no-store");
        http_request(fixture, "GET", reads[i], "", NULL, &reply);
        assert_problem(&reply, 401, "unauthorized");
        bool changes_too = strcmp(reads[i], "/api/admin/jobs") == 0;
        http_request(fixture, "DELETE", reads[i], TOKEN, NULL, &reply);
        assert_problem(&reply, 405, "method_not_allowed");
        assert_string_equal(reply_header_value(&reply, "allow"),
                            changes_too ? "GET, HEAD, POST" : "GET, HEAD");
    }
    fakes->calls[0] = '\0';
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        http_request(fixture, "POST", changes[i], "Authorization: Bearer l00k\r\n", "", &reply);
        assert_problem(&reply, 403, "read_only_token");
        http_request(fixture, "POST", changes[i], "", "", &reply);
        assert_problem(&reply, 401, "unauthorized");
        if (strcmp(changes[i], "/api/admin/jobs") == 0)
            continue; /* it is read, too */
        get(changes[i]);
        assert_problem(&reply, 405, "method_not_allowed");
        assert_string_equal(reply_header_value(&reply, "allow"), "POST");
    }
    assert_string_equal(fakes->calls, "");
    settings->admin_read_token = NULL;
    settings->admin_auth = true;
}

static void test_page(void **state)
{
    (void)state;
    get(LETTERS);
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, "{\"dead_letters\":[],\"next\":null}");
    assert_string_equal(letters->asked, "list state=dead reason= stage= detail= order_id= since=0"
                                        " until=0 before=9223372036854775807 limit=51");

    struct letter *letter = fake_letters_add(letters, "malformed", "x");
    letter->has_order_id = letter->has_replayed_as = letter->ended = true;
    assert_int_equal(order_id_parse(ID, 36, &letter->order_id), 0);
    letter->replayed_as = letter->order_id;
    letter->ended_by = "a\"b";
    letter->ended_reason = "\xff"; /* no UTF-8 */
    letter->replay_of = 9;
    letter->job = 8;
    snprintf(letter->trace_id, sizeof letter->trace_id, "4bf9");
    fake_letters_add(letters, "expired", "");
    get(LETTERS "?limit=1");
    assert_string_equal(
        reply.body,
        "{\"dead_letters\":[{\"id\":1,\"state\":\"dead\",\"queue\":\"order_queue\",\"reason\":"
        "\"malformed\",\"detail\":\"\",\"stage\":\"persist\",\"attempts\":0,\"order_id\":\"" ID
        "\",\"body_bytes\":1,\"copies\":0,\"died_at\":\"1970-01-01T00:00:00.000001Z\","
        "\"archived_at\":\"1970-01-01T00:00:00Z\",\"trace_id\":\"4bf9\",\"replay_of\":9,"
        "\"ended_at\":\"1970-01-01T00:00:00Z\",\"ended_by\":\"a\\\"b\",\"ended_reason\":null,"
        "\"replayed_as\":\"" ID "\",\"job\":8}],\"next\":\"1\"}");
    get(LETTERS "?cursor=1&state=all");
    assert_non_null(strstr(letters->asked, "list state= "));
    assert_non_null(strstr(letters->asked, " before=1 "));
    assert_non_null(strstr(reply.body, "\"order_id\":null"));
    assert_non_null(strstr(reply.body, "\"ended_at\":null"));
    assert_non_null(strstr(reply.body, "\"next\":null"));

    get(LETTERS "?state=discarded&reason=id_conflict&stage=index&detail=a%20B%26&order_id=" ID
                "&since=1970-01-01T00:00:01Z&until=1970-01-01T01:00:02%2B01:00&limit=500");
    assert_string_equal(letters->asked,
                        "list state=discarded reason=id_conflict stage=index detail=a B& "
                        "order_id=" ID " since=1000000 until=2000000 before=9223372036854775807"
                        " limit=501");
    letters->status = ORDER_STORE_UNAVAILABLE;
    get(LETTERS);
    assert_problem(&reply, 503, "store_unavailable");
}

static void test_bad_queries(void **state)
{
    (void)state;
    static const char *const queries[] = {"limit=0",
                                          "limit=501",
                                          "limit=a",
                                          "limit=",
                                          "cursor=0",
                                          "cursor=-1",
                                          "cursor=x",
                                          "cursor=",
                                          "state=",
                                          "state=Dead",
                                          "state=dead%00",
                                          "reason=",
                                          "detail=",
                                          "detail=%00",
                                          "detail=%ff",
                                          "detail=%2",
                                          "order_id=1",
                                          "since=1",
                                          "until=tomorrow",
                                          "resaon=malformed",
                                          "limit=1&limit=2",
                                          "reason",
                                          "=",
                                          "&x=1",
                                          "since=",
                                          "cursor=9223372036854775808",
                                          "&"};
    char path[128];
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        snprintf(path, sizeof(path), LETTERS "?%s", queries[i]);
        get(path);
        assert_problem(&reply, 400, "invalid_parameter");
    }
    assert_string_equal(fakes->calls, "");
}

static void test_show(void **state)
{
    (void)state;
    fake_letters_add(letters, "malformed", "{\"a\":\"ä\"}");
    get(LETTERS "/1");
    assert_int_equal(reply.status, 200);
    assert_non_null(strstr(reply.body, "\"body\":\"{\\\"a\\\":\\\"ä\\\"}\",\"body_cut\":false,"
                                       "\"properties\":{},\"properties_base64\":\"AAA=\"}"));
    letters->letters[0].body_bytes = 2000000;
    letters->contents[0].body = "\xff\x00\x01\x02";
    letters->contents[0].body_len = 4;
    letters->contents[0].properties_len = 0;
    get(LETTERS "/1");
    assert_non_null(strstr(reply.body,
                           "\"body_base64\":\"/wABAg==\",\"body_cut\":true,"
                           "\"properties\":{\"cut\":true},\"properties_base64\":\"\"}"));
    letters->contents[0].body = "a\0b";
    letters->contents[0].body_len = 3;
    get(LETTERS "/1");
    assert_non_null(strstr(reply.body, "\"body_base64\":\"YQBi\""));
    get(LETTERS "/2");
    assert_problem(&reply, 404, "dead_letter_not_found");
    get(LETTERS "/x");
    assert_problem(&reply, 404, "dead_letter_not_found");
    http_request(fixture, "HEAD", LETTERS "/1", TOKEN, NULL, &reply);
    assert_int_equal(reply.status, 200);
}

static void test_discard(void **state)
{
    (void)state;
    char reason[700];
    fake_letters_add(letters, "malformed", "");
    static const char *const bad[] = {"",
                                      "{}",
                                      "{\"reason\":\"\"}",
                                      "{\"reason\":\"  \"}",
                                      "{\"reason\":1}",
                                      "{\"reason\":\"a\\nb\"}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        post(LETTERS "/1/discard", bad[i]);
        assert_problem(&reply, 422, "reason_required");
    }
    snprintf(reason, sizeof(reason), "{\"reason\":\"%0501d\"}", 0);
    post(LETTERS "/1/discard", reason);
    assert_problem(&reply, 422, "reason_required");
    post(LETTERS "/1/discard", "{\"reason\":\"a\",\"raeson\":\"b\"}");
    assert_problem(&reply, 400, "malformed_request");
    assert_string_equal(fakes->calls, "");

    post(LETTERS "/1/discard", "{\"reason\":\"ein Prüfstück\"}");
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, "{\"id\":1,\"state\":\"discarded\"}");
    assert_string_equal(letters->asked, "settle by=ada reason=ein Prüfstück");
    post(LETTERS "/1/discard", "{\"reason\":\"a\"}");
    assert_problem(&reply, 409, "dead_letter_settled");
    assert_non_null(strstr(reply.body, "it was discarded"));
    post(LETTERS "/2/discard", "{\"reason\":\"a\"}");
    assert_problem(&reply, 404, "dead_letter_not_found");
    letters->settle_status = ORDER_STORE_UNKNOWN;
    post(LETTERS "/1/discard", "{\"reason\":\"a\"}");
    assert_problem(&reply, 503, "outcome_unknown");
}

static void test_dry_run(void **state)
{
    (void)state;
    letters->counts = (struct letter_counts){
        .letters = 5, .reason_count = 2, .reasons = {{"malformed", 3}, {"expired", 1}}};
    post(LETTERS "/replay", "{\"filter\":{\"stage\":\"intake\"},\"dry_run\":true}");
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body,
                        "{\"matches\":5,\"by_reason\":{\"malformed\":3,\"expired\":1}}");
    assert_non_null(strstr(letters->asked, "count state=dead reason= stage=intake"));
    post(LETTERS "/discard", "{\"filter\":{},\"dry_run\":true}");
    assert_int_equal(reply.status, 200);
    post(LETTERS "/discard", "{\"filter\":{},\"dry_run\":true,\"reason\":\"tests\"}");
    assert_int_equal(reply.status, 200);
    assert_string_equal(fakes->calls, "count count count ");
    letters->status = ORDER_STORE_FAILED;
    post(LETTERS "/discard", "{\"filter\":{},\"dry_run\":true}");
    assert_problem(&reply, 500, "store_failed");
}

static void test_many(void **state)
{
    (void)state;
    post(LETTERS "/replay", "{\"filter\":{\"reason\":\"expired\"}}");
    assert_int_equal(reply.status, 202);
    assert_string_equal(reply.body, "{\"job\":7,\"total\":3}");
    assert_string_equal(reply_header_value(&reply, "location"), "/api/admin/jobs/7");
    assert_string_equal(letters->asked,
                        "replay state=dead reason=expired stage= detail= order_id= since=0 until=0"
                        " by=ada {\"filter\":{\"reason\":\"expired\"},\"per_second\":50}");
    post(LETTERS "/replay", "{\"filter\":{},\"per_second\":1000,\"dry_run\":false}");
    assert_non_null(strstr(letters->asked, "{\"filter\":{},\"per_second\":1000}"));
    post(LETTERS "/replay", "{\"filter\":{},\"per_second\":20.0}"); /* a whole number, too */
    assert_non_null(strstr(letters->asked, "{\"filter\":{},\"per_second\":20}"));
    post(LETTERS "/discard", "{\"filter\":{},\"reason\":\"tests\"}");
    assert_int_equal(reply.status, 202);
    assert_non_null(strstr(letters->asked, "discard state=dead"));
    assert_non_null(strstr(letters->asked, " by=ada {\"filter\":{},\"reason\":\"tests\"}"));

    char text[600], characters[512] = "";
    for (int i = 0; i < 250; i++)
        strcat(characters, "\xc3\xa9"); /* characters are counted, not bytes */
    snprintf(text, sizeof(text), "{\"filter\":{\"detail\":\"%s\"}}", characters);
    post(LETTERS "/replay", text);
    assert_int_equal(reply.status, 202);
    snprintf(text, sizeof(text), "{\"filter\":{\"detail\":\"%sx\"}}", characters);
    post(LETTERS "/replay", text);
    assert_problem(&reply, 400, "malformed_request");

    letters->job = 0;
    post(LETTERS "/replay", "{\"filter\":{}}");
    assert_problem(&reply, 409, "archive_off");
    letters->status = ORDER_STORE_UNKNOWN;
    post(LETTERS "/replay", "{\"filter\":{}}");
    assert_problem(&reply, 503, "outcome_unknown");
    letters->refuses = true;
    post(LETTERS "/replay", "{\"filter\":{}}");
    assert_problem(&reply, 503, "store_unavailable");
}

static void test_bad_requests_for_many(void **state)
{
    (void)state;
    static const char *const bodies[] = {"",
                                         "{}",
                                         "{\"filter\":null}",
                                         "{\"filter\":[]}",
                                         "{\"filter\":{\"raeson\":\"a\"}}",
                                         "{\"filter\":{\"reason\":null}}",
                                         "{\"filter\":{\"reason\":\"\"}}",
                                         "{\"filter\":{\"state\":\"all\"}}",
                                         "{\"filter\":{\"since\":\"x\"}}",
                                         "{\"filter\":{\"order_id\":7}}",
                                         "{\"filter\":{},\"filters\":{}}",
                                         "{\"filter\":{},\"per_second\":0}",
                                         "{\"filter\":{},\"per_second\":1001}",
                                         "{\"filter\":{},\"per_second\":1.5}",
                                         "{\"filter\":{},\"per_second\":\"1\"}",
                                         "{\"filter\":{},\"dry_run\":\"true\"}",
                                         "{\"filter\":{},\"dry_run\":true,\"per_second\":0}",
                                         "{\"filter\":{},\"reason\":\"a\"}",
                                         "{\"filter\":{}}x"};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        post(LETTERS "/replay", bodies[i]);
        assert_problem(&reply, 400, "malformed_request");
    }
    post(LETTERS "/discard", "{\"filter\":{}}");
    assert_problem(&reply, 422, "reason_required");
    post(LETTERS "/discard", "{\"filter\":{},\"dry_run\":true,\"reason\":\" \"}");
    assert_problem(&reply, 422, "reason_required");
    post(LETTERS "/discard", "{\"filter\":{},\"per_second\":1}");
    assert_problem(&reply, 400, "malformed_request");
    assert_string_equal(fakes->calls, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_tokens, reset),
        cmocka_unit_test_setup(test_page, reset),
        cmocka_unit_test_setup(test_bad_queries, reset),
        cmocka_unit_test_setup(test_show, reset),
        cmocka_unit_test_setup(test_discard, reset),
        cmocka_unit_test_setup(test_dry_run, reset),
        cmocka_unit_test_setup(test_many, reset),
        cmocka_unit_test_setup(test_bad_requests_for_many, reset),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
