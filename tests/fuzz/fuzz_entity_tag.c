/* A line of If-None-Match. A tag that matches stands there, and one in a line of its own matches
 * whatever the line before it was. */
#include "services/gateway/entity_tag.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>

#define TAG "W/\"a\""

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    h2o_header_t lines[] = {
        {.name = (h2o_iovec_t *)&H2O_TOKEN_IF_NONE_MATCH->buf,
         .value = h2o_iovec_init((const char *)data, size)},
        {.name = (h2o_iovec_t *)&H2O_TOKEN_IF_NONE_MATCH->buf,
         .value = h2o_iovec_init(H2O_STRLIT(TAG))},
    };
    h2o_headers_t one = {.entries = lines, .size = 1}, both = {.entries = lines, .size = 2};
    if (entity_tag_matches(&one, TAG))
        REQUIRE((size == 1 && data[0] == '*') || memmem(data, size, "\"a\"", 3) != NULL);
    REQUIRE(entity_tag_matches(&both, TAG));
    return 0;
}
