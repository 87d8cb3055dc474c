#include "proto/amount.h"
#include "proto/order_json.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct order order, back;
    struct error err;
    if (order_from_json((const char *)data, size, &order, &err) != DECODE_OK)
        return 0;
    REQUIRE(order_name_valid(order.product_name, order.product_name_len));
    REQUIRE(order.amount_cents >= -AMOUNT_MAX_CENTS && order.amount_cents <= AMOUNT_MAX_CENTS);
    char json[ORDER_JSON_SIZE];
    size_t len = order_to_json(&order, json);
    REQUIRE(len < sizeof json);
    REQUIRE(order_from_json(json, len, &back, &err) == DECODE_OK && order_equal(&order, &back));
    return 0;
}
