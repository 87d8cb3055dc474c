#include "proto/job.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct job_item items[JOB_MAX_ORDERS], back_items[JOB_MAX_ORDERS];
    static struct order orders[JOB_MAX_ORDERS], back_orders[JOB_MAX_ORDERS];
    static uint8_t frame[FRAME_MAX_BYTES];
    struct job_route route, back_route;
    struct error err;
    size_t count, back_count;

    if (job_decode(data, size, &route, items, orders, &count, &err) != 0)
        return 0;
    REQUIRE(count >= 1 && count <= JOB_MAX_ORDERS);
    size_t len = job_encode(&route, items, count, frame);
    REQUIRE(job_decode(frame, len, &back_route, back_items, back_orders, &back_count, &err) == 0);
    REQUIRE(memcmp(&route.incarnation, &back_route.incarnation, sizeof route.incarnation) == 0);
    REQUIRE(route.epoch == back_route.epoch && route.stage == back_route.stage);
    REQUIRE(route.version >= FRAME_VERSION_OLDEST && back_route.version == FRAME_VERSION);
    REQUIRE(count == back_count);
    for (size_t i = 0; i < count; i++) {
        REQUIRE(items[i].delivery_tag == back_items[i].delivery_tag && items[i].delivery_tag != 0);
        REQUIRE(items[i].attempt == back_items[i].attempt);
        REQUIRE(memcmp(&items[i].trace_id, &back_items[i].trace_id, sizeof(struct trace_id)) == 0);
        REQUIRE(order_equal(&orders[i], &back_orders[i]));
        REQUIRE(order_name_valid(orders[i].product_name, orders[i].product_name_len));
    }
    return 0;
}
