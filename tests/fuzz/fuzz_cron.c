#include "services/scheduler/cron.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int64_t from_us = INT64_C(1795420095936745);
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    struct cron cron;
    struct error err;
    if (cron_parse(text, &cron, &err) == 0) {
        int64_t next_us = cron_next(&cron, from_us);
        REQUIRE(next_us == CRON_NEVER || next_us > from_us);
        REQUIRE(next_us == CRON_NEVER || next_us % 1000000 == 0);
    }
    free(text);
    return 0;
}
