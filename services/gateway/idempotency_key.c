/* Ids by UUIDv5 of the key, in the deployment's namespace. */
#include "services/gateway/idempotency_key.h"
#include "services/gateway/api.h"
#include <stdio.h>

enum idempotency_key_result idempotency_key_read(const struct request *request,
                                                 h2o_iovec_t *ret_key)
{
    h2o_iovec_t key;
    size_t count = request_header(request, "idempotency-key", &key);
    if (count == 0)
        return IDEMPOTENCY_KEY_NONE;
    if (count > 1 || key.len == 0 || key.len > IDEMPOTENCY_KEY_MAX_LEN)
        return IDEMPOTENCY_KEY_INVALID;
    for (size_t i = 0; i < key.len; i++)
        if (key.base[i] < 0x20 || key.base[i] > 0x7e)
            return IDEMPOTENCY_KEY_INVALID;
    *ret_key = key;
    return IDEMPOTENCY_KEY_GIVEN;
}

struct order_id idempotency_key_order(const struct request *request, h2o_iovec_t key)
{
    return order_id_from_key(&request->api->settings->idempotency_namespace, key.base, key.len);
}

struct order_id idempotency_key_bulk_order(const struct request *request, h2o_iovec_t key,
                                           size_t index)
{
    /* No key contains a line feed, so this text is no other key's. */
    char text[IDEMPOTENCY_KEY_MAX_LEN + 24];
    int len = snprintf(text, sizeof(text), "%.*s\n%zu", (int)key.len, key.base, index);
    return order_id_from_key(&request->api->settings->idempotency_namespace, text, (size_t)len);
}
