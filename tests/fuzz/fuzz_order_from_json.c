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
    char spaced[1 + ORDER_JSON_SIZE] = " ", *json = spaced + 1;
    size_t len = order_to_json(&order, json);
    REQUIRE(len < ORDER_JSON_SIZE);
    /* The canonical form is read by other code than that with a space in it. */
    REQUIRE(order_from_json(spaced, len + 1, &back, &err) == DECODE_OK);
    REQUIRE(order_equal(&order, &back));
    REQUIRE(order_from_json(json, len, &back, &err) == DECODE_OK && order_equal(&order, &back));
    return 0;
}
