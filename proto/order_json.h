/* The order as JSON: what RabbitMQ, Redis, Elasticsearch and HTTP clients see. Never blocks. */
#ifndef PROTO_ORDER_JSON_H
#define PROTO_ORDER_JSON_H

#include "proto/error.h"
#include "proto/order.h"
#include <stdbool.h>
#include <stddef.h>

/* The longest JSON that order_to_json() writes, NUL included (every byte of a name escaped as
 * \u00xx). */
#define ORDER_JSON_SIZE (6 * ORDER_NAME_MAX_BYTES + 192)

#define ORDER_BULK_MAX_ITEMS 1000

enum decode_result {
    DECODE_OK,
    DECODE_MALFORMED,    /* not JSON, or not of the expected shape: HTTP 400 */
    DECODE_UNACCEPTABLE, /* well-formed, but a value is out of bounds: HTTP 422 */
};

/* Write the canonical form {"id":…,"product_name":…,"amount":…,"created_at":…} and a NUL; returns
 * its length. Two equal orders give the same bytes. */
size_t order_to_json(const struct order *order, char json[ORDER_JSON_SIZE]);

/* Decode a client's {"product_name","amount"}: fills only these two members of *ret_order, others
 * are ignored. On failure `err` says why, *ret_order is untouched. */
enum decode_result order_request_from_json(const char *json, size_t len_bytes,
                                           struct order *ret_order, struct error *err)
    __attribute__((warn_unused_result));

/* Decode a client's bulk request in either of its forms ({"item_1","item_2"} or
 * {"orders":[…]}): fills name and amount of ret_orders[0..*ret_count). `err` names the bad item by
 * its index. */
enum decode_result bulk_request_from_json(const char *json, size_t len_bytes,
                                          struct order ret_orders[ORDER_BULK_MAX_ITEMS],
                                          size_t *ret_count, struct error *err)
    __attribute__((warn_unused_result));

/* Decode a whole order from a queue or a cache, written by us or by a foreign producer: amounts may
 * be zero or negative, created_at has any offset, ids any case. On failure `err` says why. */
enum decode_result order_from_json(const char *json, size_t len_bytes, struct order *ret_order,
                                   struct error *err) __attribute__((warn_unused_result));

/* The same for what was made of a row, which may have a name that nobody may send: an empty one,
 * one with control characters, or any other of up to ORDER_NAME_MAX_BYTES. */
enum decode_result order_of_row_from_json(const char *json, size_t len_bytes,
                                          struct order *ret_order, struct error *err)
    __attribute__((warn_unused_result));

/* Read the id of a JSON object that need not be an order otherwise. Returns false when `json` is no
 * such object, or has no UUID as its id; then *ret_id is untouched. */
bool order_id_from_json(const char *json, size_t len_bytes, struct order_id *ret_id)
    __attribute__((warn_unused_result));

#endif
