/* A dead letter: its first two bytes say how many bytes of properties follow, the rest is the body.
 */
#include "proto/timestamp.h"
#include "proto/utf8.h"
#include "services/scheduler/archive_letter.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>

static void assert_fit(const char *text, size_t size)
{
    size_t len = strnlen(text, size), step;
    REQUIRE(len < size);
    for (size_t at = 0; at < len; at += step) {
        uint32_t character = utf8_decode(text + at, len - at, &step);
        REQUIRE(character != UTF8_INVALID && character >= 0x20 &&
                (character < 0x7f || character >= 0xa0));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t len = (size_t)data[0] << 8 | data[1], large = 0;
    len = len < size - 2 ? len : size - 2;
    struct content_head head = {
        .properties = data + 2, .properties_len = len, .body_size = size - 2 - len};
    struct content *content = content_new(&head, &large);
    struct dead_letter_row row;
    int appended = content_append(content, data + 2 + len, size - 2 - len);
    REQUIRE(appended == 0);
    archive_letter_read(content, "order_queue", 0, &row);
    for (int plain = 0; plain < 2; plain++) {
        assert_fit(row.reason, sizeof row.reason);
        assert_fit(row.detail, sizeof row.detail);
        assert_fit(row.tracestate, sizeof row.tracestate);
        REQUIRE(row.reason[0] != '\0' && row.attempts >= 0 && row.replay_of >= 0);
        REQUIRE(row.died_at_us >= TIMESTAMP_MIN_US && row.died_at_us <= TIMESTAMP_MAX_US);
        archive_letter_make_plain(&row, "22021");
    }
    content_unref(content);
    return 0;
}
