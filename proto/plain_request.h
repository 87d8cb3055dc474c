/* An order as nearly all clients send it, found without a parser. */
#ifndef PROTO_PLAIN_REQUEST_H
#define PROTO_PLAIN_REQUEST_H

#include "proto/json_span.h"

/* Whether the text is an object of product_name and amount, in any order, and nothing else; the
 * name without escapes, the amount of digits with at most one point. Then it is JSON (RFC 8259) but
 * for the name's bytes, which may be no UTF-8. Sets *ret_name to what stands between the name's
 * quotes, and *ret_amount; both are parts of the text. False says only that a parser must look. */
bool plain_request_read(struct json_span text, struct json_span *ret_name,
                        struct json_span *ret_amount);

#endif
