/* jansson takes UTF-8 alone: a text that is none becomes null, and an answer never fails for it. */
#include "services/gateway/json_members.h"
#include "proto/timestamp.h"
#include "services/base/memory.h"
#include <stdlib.h>
#include <string.h>

void json_add(json_t *object, const char *name, json_t *value)
{
    if (json_object_set_new(object, name, value != NULL ? value : json_null()) != 0)
        abort(); /* out of memory */
}

void json_add_text(json_t *object, const char *name, const char *text)
{
    json_add(object, name, text != NULL ? json_string(text) : NULL);
}

void json_add_number(json_t *object, const char *name, int64_t number)
{
    json_add(object, name, json_integer(number));
}

json_t *json_time(int64_t us)
{
    char text[TIMESTAMP_TEXT_SIZE];
    (void)timestamp_format(us, text);
    return json_string(text);
}

json_t *json_order_id(const struct order_id *id)
{
    char text[ORDER_ID_TEXT_LEN + 1];
    order_id_format(id, text);
    return json_string(text);
}

json_t *json_base64(const void *bytes, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *in = bytes;
    char *text = memory_take((len + 2) / 3 * 4 + 1), *out = text;
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t three = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
                         (left > 2 ? in[i + 2] : 0u);
        *out++ = digits[three >> 18];
        *out++ = digits[three >> 12 & 63];
        *out++ = left > 1 ? digits[three >> 6 & 63] : '=';
        *out++ = left > 2 ? digits[three & 63] : '=';
    }
    json_t *json = json_stringn_nocheck(text, (size_t)(out - text));
    free(text);
    return json;
}
