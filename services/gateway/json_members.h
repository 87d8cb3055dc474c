/* Members of JSON that is built with jansson. */
#ifndef GATEWAY_JSON_MEMBERS_H
#define GATEWAY_JSON_MEMBERS_H

#include "proto/order_id.h"
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* Add a member; the value becomes the object's. NULL is null. */
void json_add(json_t *object, const char *name, json_t *value);

/* Texts that are NULL, or no UTF-8, are null. */
void json_add_text(json_t *object, const char *name, const char *text);
void json_add_number(json_t *object, const char *name, int64_t number);

/* An instant, and the id of an order, as texts. */
json_t *json_time(int64_t us);
json_t *json_order_id(const struct order_id *id);

/* Any bytes, in base64 (RFC 4648, 4). */
json_t *json_base64(const void *bytes, size_t len);

#endif
