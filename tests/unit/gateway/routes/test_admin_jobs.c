#include "tests/unit/gateway/http_test.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define TOKEN "Authorization: Bearer s3cret\r\n"
#define JOBS "/api/admin/jobs"
#define FIRST                                                                                      \
    "{\"id\":1,\"kind\":\"replay\",\"state\":\"running\",\"parameters\":{\"per_second\":50},"      \
    "\"requested_at\":\"1970-01-01T00:00:01Z\",\"requested_by\":\"ada\","                          \
    "\"automatic\":false,\"started_at\":\"1970-01-01T00:00:02Z\",\"finished_at\":null,\"done\":5," \
    "\"total\":7,"                                                                                 \
    "\"result\":{\"searchable\":5},\"error\":null,\"cancel_requested\":true}"

static void get(const char *path)
{
    http_request(fixture, "GET", path, TOKEN, NULL, &reply);
}

static int with_jobs(void **state)
{
    reset(state);
    letters->jobs[0] = (struct job_record){.id = 1,
                                           .kind = "replay",
                                           .state = "running",
                                           .parameters = "{\"per_second\": 50}",
                                           .result = "{\"searchable\": 5}",
                                           .requested_by = "ada",
                                           .requested_at_us = 1000000,
                                           .was_started = true,
                                           .started_at_us = 2000000,
                                           .done = 5,
                                           .has_total = true,
                                           .total = 7,
                                           .cancel_requested = true};
    letters->jobs[1] = (struct job_record){.id = 2, .kind = "refresh", .state = "waiting"};
    letters->job_count = 2;
    return 0;
}

static void test_list(void **state)
{
    (void)state;
    get(JOBS "?limit=1");
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, "{\"jobs\":[" FIRST "],\"next\":\"1\"}");
    assert_string_equal(letters->asked, "jobs before=9223372036854775807 limit=2");
    get(JOBS "?cursor=3");
    assert_string_equal(letters->asked, "jobs before=3 limit=51");
    assert_non_null(strstr(reply.body, "\"parameters\":null,"));
    assert_non_null(strstr(reply.body, "\"total\":null,\"result\":null"));
    assert_non_null(strstr(reply.body, "\"next\":null"));
    get(JOBS "?state=dead");
    assert_problem(&reply, 400, "invalid_parameter");
    letters->status = ORDER_STORE_FAILED;
    get(JOBS);
    assert_problem(&reply, 500, "store_failed");
}

static void test_show(void **state)
{
    (void)state;
    get(JOBS "/1");
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, FIRST);
    get(JOBS "/9");
    assert_problem(&reply, 404, "job_not_found");
    get(JOBS "/x");
    assert_problem(&reply, 404, "job_not_found");
    letters->refuses = true;
    get(JOBS "/1");
    assert_problem(&reply, 503, "store_unavailable");
}

static void post(const char *body)
{
    http_request(fixture, "POST", JOBS, TOKEN "X-Operator: ada\r\n", body, &reply);
}

static void test_begin(void **state)
{
    (void)state;
    static const struct {
        const char *body, *asked;
    } cases[] = {
        {"{\"kind\":\"reindex\"}", "begin reindex {\"keep_old\":false} by=ada"},
        {"{\"kind\":\"reindex\",\"parameters\":{\"keep_old\":true}}",
         "begin reindex {\"keep_old\":true} by=ada"},
        {"{\"kind\":\"verify\",\"parameters\":{}}",
         "begin verify {\"full\":false,\"fields\":false} by=ada"},
        {"{\"kind\":\"verify\",\"parameters\":{\"fields\":true,\"full\":true}}",
         "begin verify {\"full\":true,\"fields\":true} by=ada"},
        {"{\"kind\":\"repair\",\"parameters\":{\"delete_extra\":true}}",
         "begin repair {\"full\":false,\"fields\":false,\"delete_extra\":true} by=ada"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        post(cases[i].body);
        assert_int_equal(reply.status, 202);
        assert_string_equal(reply.body, FIRST);
        assert_string_equal(reply_header_value(&reply, "location"), JOBS "/1");
        assert_string_equal(letters->asked, cases[i].asked);
    }
    letters->begins = false;
    post(cases[0].body);
    assert_problem(&reply, 409, "job_unfinished");
    assert_non_null(strstr(reply.body, "\"detail\":\"job 1 (replay) runs\""));
    assert_non_null(strstr(reply.body, "\"job\":" FIRST));
    letters->jobs[0].state = "waiting";
    post(cases[0].body);
    assert_non_null(strstr(reply.body, "\"detail\":\"job 1 (replay) waits\""));
    letters->status = ORDER_STORE_UNKNOWN;
    post(cases[0].body);
    assert_problem(&reply, 503, "outcome_unknown");
    letters->status = ORDER_STORE_FAILED;
    post(cases[0].body);
    assert_problem(&reply, 500, "store_failed");
    letters->refuses = true;
    post(cases[0].body);
    assert_problem(&reply, 503, "store_unavailable");
}

/* What a scheduler begins by itself, too, is nothing to ask for. */
static void test_begin_refused(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "",
        "{}",
        "[]",
        "{\"kind\":7}",
        "{\"kind\":\"replay\"}",
        "{\"kind\":\"refresh\"}",
        "{\"kind\":\"reindex\",\"full\":true}",
        "{\"kind\":\"reindex\",\"parameters\":null}",
        "{\"kind\":\"reindex\",\"parameters\":{\"full\":true}}",
        "{\"kind\":\"verify\",\"parameters\":{\"full\":1}}",
        "{\"kind\":\"verify\",\"parameters\":{\"repair\":\"within_limits\"}}",
        "{\"kind\":\"repair\",\"parameters\":{\"refill\":true}}",
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        post(bodies[i]);
        assert_problem(&reply, 400, "malformed_request");
        assert_string_equal(letters->asked, "");
    }
}

static void test_cancel(void **state)
{
    (void)state;
    http_request(fixture, "POST", JOBS "/1/cancel", TOKEN, "", &reply);
    assert_int_equal(reply.status, 202);
    assert_string_equal(reply.body, FIRST);
    http_request(fixture, "POST", JOBS "/9/cancel", TOKEN, "", &reply);
    assert_problem(&reply, 404, "job_not_found");
    http_request(fixture, "POST", JOBS "/1/cancel", TOKEN, "{\"x\":1}", &reply);
    assert_problem(&reply, 400, "malformed_request");
    letters->cancels = false;
    http_request(fixture, "POST", JOBS "/1/cancel", TOKEN, "{}", &reply);
    assert_problem(&reply, 409, "job_finished");
    letters->status = ORDER_STORE_UNAVAILABLE;
    http_request(fixture, "POST", JOBS "/1/cancel", TOKEN, "{}", &reply);
    assert_problem(&reply, 503, "store_unavailable");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_list, with_jobs),
        cmocka_unit_test_setup(test_show, with_jobs),
        cmocka_unit_test_setup(test_begin, with_jobs),
        cmocka_unit_test_setup(test_begin_refused, with_jobs),
        cmocka_unit_test_setup(test_cancel, with_jobs),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
