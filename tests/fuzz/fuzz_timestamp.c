#include "proto/timestamp.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t us, back;
    if (timestamp_parse((const char *)data, size, &us) != 0)
        return 0;
    REQUIRE(us >= TIMESTAMP_MIN_US && us <= TIMESTAMP_MAX_US);
    char text[TIMESTAMP_TEXT_SIZE];
    size_t len = timestamp_format(us, text);
    REQUIRE(len < sizeof text && timestamp_parse(text, len, &back) == 0 && back == us);
    return 0;
}
