/* The request header Idempotency-Key: 1..255 printable ASCII characters that name one order, or one
 * bulk of orders, for ever. */
#ifndef GATEWAY_IDEMPOTENCY_KEY_H
#define GATEWAY_IDEMPOTENCY_KEY_H

#include "proto/order_id.h"
#include "services/gateway/request.h"

#define IDEMPOTENCY_KEY_MAX_LEN 255

enum idempotency_key_result {
    IDEMPOTENCY_KEY_NONE,
    IDEMPOTENCY_KEY_GIVEN,
    IDEMPOTENCY_KEY_INVALID, /* twice, empty, too long, or not printable */
};

/* *ret_key points into the request. */
enum idempotency_key_result idempotency_key_read(const struct request *request,
                                                 h2o_iovec_t *ret_key);

/* The id of the order that the key names. */
struct order_id idempotency_key_order(const struct request *request, h2o_iovec_t key);

/* The id of the bulk's order at `index`. Never the id of another index, key, or single order. */
struct order_id idempotency_key_bulk_order(const struct request *request, h2o_iovec_t key,
                                           size_t index);

#endif
