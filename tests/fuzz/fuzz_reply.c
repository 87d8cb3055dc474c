#include "proto/reply.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct reply_item items[REPLY_MAX_ITEMS], back_items[REPLY_MAX_ITEMS];
    static uint8_t frame[FRAME_MAX_BYTES];
    struct job_route route, back_route;
    struct error err;
    size_t count, back_count;

    if (reply_decode(data, size, &route, items, &count, &err) != 0)
        return 0;
    REQUIRE(count >= 1 && count <= REPLY_MAX_ITEMS);
    size_t len = reply_encode(&route, items, count, frame);
    REQUIRE(reply_decode(frame, len, &back_route, back_items, &back_count, &err) == 0);
    REQUIRE(count == back_count && route.epoch == back_route.epoch);
    REQUIRE(route.version == back_route.version);
    for (size_t i = 0; i < count; i++) {
        REQUIRE(items[i].delivery_tag == back_items[i].delivery_tag && items[i].delivery_tag != 0);
        REQUIRE(items[i].attempt == back_items[i].attempt);
        REQUIRE(items[i].verdict.outcome == back_items[i].verdict.outcome);
        REQUIRE(strcmp(items[i].verdict.code, back_items[i].verdict.code) == 0);
        REQUIRE(strcmp(items[i].verdict.detail, back_items[i].verdict.detail) == 0);
    }
    return 0;
}
