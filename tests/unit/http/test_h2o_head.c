/* What the reader says goes through libh2o to the handler. */
#include "services/http/h2o_head.h"
#include "tests/unit/support/cmocka_headers.h"
#include <stdio.h>
#include <string.h>

#define SHOWN_MAX 100

/* As libh2o does with the fields that it is shown, but for those that it keeps for itself. */
static void read_request(h2o_req_t *req, const char *text)
{
    static char bytes[8192];
    const char *method, *path;
    size_t method_len, path_len, count;
    int minor_version;
    struct phr_header shown[SHOWN_MAX];
    snprintf(bytes, sizeof(bytes), "%s", text);
    memset(req, 0, sizeof(*req));
    h2o_mem_init_pool(&req->pool);
    assert_int_equal(phr_parse_request(bytes, strlen(bytes), &method, &method_len, &path, &path_len,
                                       &minor_version, shown, &count, 0),
                     strlen(bytes));
    assert_true(count <= SHOWN_MAX);
    assert_null(h2o_lookup_token(shown[0].name, shown[0].name_len));
    for (size_t i = 0; i < count; i++) {
        h2o_strtolower((char *)(uintptr_t)shown[i].name, shown[i].name_len);
        h2o_add_header_by_str(&req->pool, &req->headers, shown[i].name, shown[i].name_len, 1, NULL,
                              shown[i].value, shown[i].value_len);
    }
}

static void test_verdicts(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        enum request_head_fault fault;
        bool last;
        size_t fields;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", REQUEST_HEAD_FINE, false, 1},
        {"\r\nGET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\r\n", REQUEST_HEAD_FINE, false, 2},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", REQUEST_HEAD_FINE, false, 1},
        {"GET / HTTP/1.0\r\n\r\n", REQUEST_HEAD_FINE, true, 0},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", REQUEST_HEAD_FINE, true, 2},
        {"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", REQUEST_HEAD_FINE, true,
         2},
        {"GET / HTTP/1.1\r\n\r\n", REQUEST_HEAD_MALFORMED, true, 0},
        {"GET / HTTP/1.1\r\nHost: a\r\n:0: b\r\n\r\n", REQUEST_HEAD_MALFORMED, true, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        h2o_req_t req;
        size_t len;
        bool last;
        read_request(&req, cases[i].head);
        assert_int_equal(h2o_head_take_verdict(&req, &len, &last), cases[i].fault);
        assert_int_equal(last, cases[i].last);
        assert_int_equal(len, strlen(cases[i].head));
        assert_int_equal(req.headers.size, cases[i].fields);
        /* There is room for as many fields as libh2o thinks. */
        for (size_t more = 0; more < 100; more++)
            h2o_add_header_by_str(&req.pool, &req.headers, H2O_STRLIT("x"), 0, NULL,
                                  H2O_STRLIT("y"));
        assert_int_equal(req.headers.size, cases[i].fields + 100);
        h2o_mem_clear_pool(&req.pool);
    }
}

static void test_sizes(void **state)
{
    (void)state;
    h2o_req_t req;
    size_t len;
    bool last;
    char text[8192] = "GET / HTTP/1.1\r\nHost: a\r\n";
    for (size_t i = 1; i < REQUEST_HEAD_MAX_FIELDS; i++)
        strcat(text, "X: a\r\n");
    size_t used = strlen(text);
    strcat(text, "\r\n");
    read_request(&req, text);
    assert_int_equal(h2o_head_take_verdict(&req, &len, &last), REQUEST_HEAD_FINE);
    assert_int_equal(req.headers.size, REQUEST_HEAD_MAX_FIELDS);
    h2o_mem_clear_pool(&req.pool);

    strcpy(text + used, "X: a\r\n\r\n");
    read_request(&req, text);
    assert_int_equal(h2o_head_take_verdict(&req, &len, &last), REQUEST_HEAD_TOO_LARGE);
    assert_true(last);
    h2o_mem_clear_pool(&req.pool);
}

/* Where the linker has taken libh2o's own parser, no request is served. */
static void test_what_another_parser_has_read_is_refused(void **state)
{
    (void)state;
    h2o_req_t req = {0};
    size_t len;
    bool last;
    h2o_mem_init_pool(&req.pool);
    assert_int_equal(h2o_head_take_verdict(&req, &len, &last), REQUEST_HEAD_MALFORMED);
    assert_true(last);
    h2o_add_header_by_str(&req.pool, &req.headers, H2O_STRLIT("te"), 1, NULL, H2O_STRLIT("a"));
    assert_int_equal(h2o_head_take_verdict(&req, &len, &last), REQUEST_HEAD_MALFORMED);
    assert_true(last);
    assert_int_equal(req.headers.size, 1);
    h2o_mem_clear_pool(&req.pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_what_another_parser_has_read_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
