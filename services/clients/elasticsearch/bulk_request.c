/* Writes the NDJSON of a _bulk request into a buffer. */
#include "services/clients/elasticsearch/bulk_request.h"
#include "proto/order_json.h"
#include <string.h>

static const char action_begin[] = "{\"index\":{\"_id\":\"";
static const char action_end[] = "\"}}\n";

#define LINES_MAX_BYTES                                                                            \
    (sizeof(action_begin) + ORDER_ID_TEXT_LEN + sizeof(action_end) + ORDER_JSON_SIZE + 1)
_Static_assert(LINES_MAX_BYTES <= BULK_REQUEST_MAX_BYTES, "one order always fits");

static char *append(char *end, const char *text, size_t len)
{
    memcpy(end, text, len);
    return end + len;
}

size_t bulk_request_write(struct bulk_request *request, const struct order *const orders[],
                          size_t count)
{
    char *end = request->body;
    const char *limit = request->body + sizeof(request->body) - LINES_MAX_BYTES;
    size_t written = 0;
    for (; written < count && end <= limit; written++) {
        const struct order *order = orders[written];
        char id[ORDER_ID_TEXT_LEN + 1];
        order_id_format(&order->id, id);
        end = append(end, action_begin, sizeof(action_begin) - 1);
        end = append(end, id, ORDER_ID_TEXT_LEN);
        end = append(end, action_end, sizeof(action_end) - 1);
        end += order_to_json(order, end);
        *end++ = '\n';
    }
    request->len_bytes = (size_t)(end - request->body);
    return written;
}
