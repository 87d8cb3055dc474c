#include "services/gateway/accept.h"
#include "tests/unit/support/cmocka_headers.h"
#include <string.h>

#define FIREFOX                                                                                    \
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"

/* Headers of one name; the list ends with NULL. */
static h2o_headers_t headers_of(const h2o_token_t *name, const char *const *lines)
{
    static h2o_header_t entries[4];
    h2o_headers_t headers = {.entries = entries};
    for (; lines[headers.size] != NULL; headers.size++)
        entries[headers.size] = (h2o_header_t){
            .name = (h2o_iovec_t *)&name->buf,
            .value = h2o_iovec_init(lines[headers.size], strlen(lines[headers.size])),
        };
    return headers;
}

static const struct {
    const char *lines[4];
    bool html;
} forms[] = {
    {{NULL}, false},
    {{""}, false},
    {{"*/*"}, false},
    {{"text/html"}, true},
    {{"TEXT/HTML"}, true},
    {{"text/*"}, true},
    {{"text/html;charset=utf-8"}, true},
    {{FIREFOX}, true},
    {{"application/json"}, false},
    {{"application/json, text/html"}, false},
    {{"text/html, application/json"}, false},
    {{"text/html, application/json;q=0.9"}, true},
    {{"text/html;q=0.9, application/json"}, false},
    {{"text/html;q=0.9, */*"}, false},
    {{"text/html;q=0.9, */*;q=0.899"}, true},
    {{"text/html;q=0.001"}, true},
    {{"text/html;q=0"}, false},
    {{"text/html;q=0.000, text/*"}, false},
    {{"text/*;q=0.5, text/html;q=0.1, application/*;q=0.2"}, false},
    {{"text/*;q=0.1, text/html;q=0.5, application/*;q=0.2"}, true},
    {{"*/*;q=0.1, application/json;q=0, text/*;q=0.2"}, true},
    {{"*/*, application/json;q=0.5"}, true},
    {{"*/*, application/*;q=0.5"}, true},
    {{"text/html;level=1;q=0.3, text/html;q=0.7, application/json;q=0.5"}, true},
    {{"text/html;level=\"a,b;q=0\";q=0.7, application/json;q=0.5"}, true},
    {{"text/html;Q=0.7, application/json;q=0.5"}, true},
    {{" text/html\t; q=1.000 ,\tapplication/json ; q=0.999 "}, true},
    {{"text/html;;q=0.5;"}, true},
    {{",, text/html ,"}, true},
    {{"application/json;q=0.5", "text/html"}, true},
    {{"text/html", "application/json"}, false},
    /* passed over */
    {{"text/html;q=1.001"}, false},
    {{"text/html;q=2"}, false},
    {{"text/html;q=0.1234"}, false},
    {{"text/html;q=.5"}, false},
    {{"text/html;q=-1"}, false},
    {{"text/html;q="}, false},
    {{"text/html;q"}, false},
    {{"text/html;q =1"}, false},
    {{"text/html;q=0,5"}, false},
    {{"text"}, false},
    {{"text/"}, false},
    {{"/html"}, false},
    {{"*/html"}, false},
    {{"*"}, false},
    {{"text/html x"}, false},
    {{"text / html"}, false},
    {{"text/html/html"}, false},
    {{"text/htmlx, text/htm"}, false},
    {{"text/html;a=\"x, text/html"}, false},
    {{"x y, text/html"}, true},
    {{"text/html;q=5, text/*"}, true},
    {{"application/json;q=2, text/html;q=0.1"}, true},
};

static void test_forms(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(forms); i++) {
        h2o_headers_t headers = headers_of(H2O_TOKEN_ACCEPT, forms[i].lines);
        if (accept_prefers_html(&headers) != forms[i].html)
            fail_msg("Accept: %s", forms[i].lines[0]);
    }
}

static const struct {
    const char *lines[4];
    bool gzip;
} codings[] = {
    {{NULL}, false},
    {{""}, false},
    {{"gzip"}, true},
    {{"GZip"}, true},
    {{"x-gzip"}, true},
    {{"gzip, deflate, br, zstd"}, true},
    {{"deflate;q=0.5,gzip;q=0.001"}, true},
    {{"br"}, false},
    {{"gzip;q=0"}, false},
    {{"gzip;q=0.000"}, false},
    {{"gzip;q=0, *"}, false},
    {{"*"}, true},
    {{"*;q=0"}, false},
    {{"gzip, *;q=0"}, true},
    {{"identity"}, false},
    {{"gzip, identity"}, true},
    {{"gzip;q=0.5, identity;q=0.6"}, false},
    {{"gzip;q=0.5, identity;q=0.5"}, true},
    {{"identity;q=0, gzip;q=0.5"}, true},
    {{"identity;q=0.5, *"}, true},
    {{"deflate", "gzip"}, true},
    /* passed over */
    {{"gzip/1"}, false},
    {{"*/*"}, false},
    {{"gzip deflate"}, false},
    {{"gzip;q=1.1"}, false},
    {{"gzipped"}, false},
};

static void test_codings(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(codings); i++) {
        h2o_headers_t headers = headers_of(H2O_TOKEN_ACCEPT_ENCODING, codings[i].lines);
        if (accept_takes_gzip(&headers) != codings[i].gzip)
            fail_msg("Accept-Encoding: %s", codings[i].lines[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_forms),
                                       cmocka_unit_test(test_codings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
