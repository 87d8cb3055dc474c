#include "proto/amount.h"
#include "proto/order_json.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct order orders[ORDER_BULK_MAX_ITEMS];
    size_t count = 0;
    struct error err;
    if (bulk_request_from_json((const char *)data, size, orders, &count, &err) != DECODE_OK)
        return 0;
    REQUIRE(count >= 1 && count <= ORDER_BULK_MAX_ITEMS);
    for (size_t i = 0; i < count; i++) {
        REQUIRE(order_name_valid(orders[i].product_name, orders[i].product_name_len));
        REQUIRE(orders[i].amount_cents >= 1 && orders[i].amount_cents <= AMOUNT_MAX_CENTS);
    }
    return 0;
}
