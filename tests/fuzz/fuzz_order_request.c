#include "proto/amount.h"
#include "proto/order_json.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct order order;
    struct error err;
    if (order_request_from_json((const char *)data, size, &order, &err) != DECODE_OK)
        return 0;
    REQUIRE(order_name_valid(order.product_name, order.product_name_len));
    REQUIRE(order.amount_cents >= 1 && order.amount_cents <= AMOUNT_MAX_CENTS);
    return 0;
}
