/* A line of Accept or Accept-Encoding. Saying the same once more changes nothing, and a line that
 * asks for something by its name counts, whatever the line before it was. */
#include "services/gateway/accept.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>

static h2o_headers_t two_lines(const h2o_token_t *name, h2o_iovec_t first, h2o_iovec_t second)
{
    static h2o_header_t entries[2];
    entries[0] = (h2o_header_t){.name = (h2o_iovec_t *)&name->buf, .value = first};
    entries[1] = (h2o_header_t){.name = (h2o_iovec_t *)&name->buf, .value = second};
    return (h2o_headers_t){.entries = entries, .size = 2};
}

static bool html(h2o_iovec_t first, h2o_iovec_t second)
{
    h2o_headers_t headers = two_lines(H2O_TOKEN_ACCEPT, first, second);
    return accept_prefers_html(&headers);
}

static bool gzip(h2o_iovec_t first, h2o_iovec_t second)
{
    h2o_headers_t headers = two_lines(H2O_TOKEN_ACCEPT_ENCODING, first, second);
    return accept_takes_gzip(&headers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    h2o_iovec_t line = h2o_iovec_init((const char *)data, size), none = h2o_iovec_init("", 0);
    REQUIRE(html(line, none) == html(line, line));
    REQUIRE(gzip(line, none) == gzip(line, line));
    REQUIRE(!html(line, h2o_iovec_init(H2O_STRLIT("application/json"))));
    REQUIRE(!html(line, none) || html(line, h2o_iovec_init(H2O_STRLIT("text/html"))));
    REQUIRE(gzip(line, h2o_iovec_init(H2O_STRLIT("gzip"))));
    return 0;
}
