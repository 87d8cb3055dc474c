/* The order that an operator puts in the place of the body of a dead letter. */
#ifndef GATEWAY_ROUTES_CORRECTED_ORDER_H
#define GATEWAY_ROUTES_CORRECTED_ORDER_H

#include "proto/order_json.h"
#include "services/clients/postgres/letter.h"
#include "services/gateway/problem.h"
#include <stdbool.h>

struct correction {
    const char *json; /* an object of product_name, amount, and perhaps id and created_at */
    size_t json_len;
    bool has_id, has_created_at;
    bool new_id; /* the order is another one than the letter's */
};

/* The order, decoded as those of foreign producers are. It keeps the letter's id, unless `new_id`;
 * and its created_at, unless it has its own: that of the letter's body, else when the letter died.
 * Returns true with *ret_order; or false with the problem and `err` set. */
bool corrected_order(const struct correction *correction, const struct letter *letter,
                     const struct letter_content *content, struct order *ret_order,
                     enum problem *ret_problem, struct error *err)
    __attribute__((warn_unused_result));

#endif
