#include "proto/amount.h"
#include "proto/order_json.h"
#include "proto/plain_request.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>
#include <string.h>

/* A plain request, with one more member, which calls the parser in: the same order. */
static void compare_with_parser(const char *json, size_t len, const struct order *order)
{
    static const char member[] = "{\"x\":0,";
    const size_t member_len = sizeof member - 1;
    const char *members = (const char *)memchr(json, '{', len) + 1;
    size_t members_len = len - (size_t)(members - json);
    char *text = malloc(member_len + members_len);
    REQUIRE(text != NULL);
    memcpy(text, member, member_len);
    memcpy(text + member_len, members, members_len);
    struct order parsed;
    struct error err;
    REQUIRE(order_request_from_json(text, member_len + members_len, &parsed, &err) == DECODE_OK);
    REQUIRE(parsed.amount_cents == order->amount_cents &&
            strcmp(parsed.product_name, order->product_name) == 0);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct order order;
    struct error err;
    if (order_request_from_json((const char *)data, size, &order, &err) != DECODE_OK)
        return 0;
    REQUIRE(order_name_valid(order.product_name, order.product_name_len));
    REQUIRE(order.amount_cents >= 1 && order.amount_cents <= AMOUNT_MAX_CENTS);
    struct json_span name, amount;
    if (plain_request_read((struct json_span){(const char *)data, size}, &name, &amount))
        compare_with_parser((const char *)data, size, &order);
    return 0;
}
