/* Encodes and decodes jobs. */
#include "proto/job.h"
#include "proto/amount.h"
#include "proto/frame_reader.h"
#include "proto/frame_writer.h"
#include "proto/timestamp.h"
#include <assert.h>

/* Delivery tag, attempt, id, amount, created at, product name; trace id since version 2. */
#define ITEM_VALUES 7

/* A value of msgpack has at most 9 bytes of head and number, the ids 2 + 16, the name 3 of head. */
_Static_assert(64 + JOB_MAX_ORDERS * (1 + 4 * 9 + 2 * 18 + 3 + ORDER_NAME_MAX_BYTES) <=
                   FRAME_MAX_BYTES,
               "the longest job fits");

size_t job_encode(const struct job_route *route, const struct job_item *items, size_t count,
                  uint8_t buffer[FRAME_MAX_BYTES])
{
    assert(count >= 1 && count <= JOB_MAX_ORDERS);
    struct frame_writer writer;
    frame_writer_begin(&writer, buffer, FRAME_MAX_BYTES, FRAME_VERSION, FRAME_JOB,
                       FRAME_JOB_VALUES);
    frame_write_route(&writer, route, count);
    for (size_t i = 0; i < count; i++) {
        const struct order *order = items[i].order;
        frame_write_array(&writer, ITEM_VALUES);
        frame_write_unsigned(&writer, items[i].delivery_tag);
        frame_write_unsigned(&writer, items[i].attempt);
        frame_write_bytes(&writer, order->id.bytes, sizeof order->id.bytes);
        frame_write_signed(&writer, order->amount_cents);
        frame_write_signed(&writer, order->created_at_us);
        frame_write_text(&writer, order->product_name, order->product_name_len);
        frame_write_bytes(&writer, items[i].trace_id.bytes, sizeof items[i].trace_id.bytes);
    }
    return writer.len_bytes;
}

static bool read_item(struct frame_reader *reader, struct job_item *item, struct order *order)
{
    uint64_t values, attempt, wanted = reader->version == 1 ? ITEM_VALUES - 1 : ITEM_VALUES;
    const char *name;
    size_t name_len;
    item->trace_id = (struct trace_id){{0}};
    if (!frame_read_array(reader, wanted, wanted, &values) ||
        !frame_read_unsigned(reader, 1, UINT64_MAX, &item->delivery_tag) ||
        !frame_read_unsigned(reader, 0, UINT32_MAX, &attempt) ||
        !frame_read_bytes(reader, order->id.bytes, sizeof order->id.bytes) ||
        !frame_read_signed(reader, -AMOUNT_MAX_CENTS, AMOUNT_MAX_CENTS, &order->amount_cents) ||
        !frame_read_signed(reader, TIMESTAMP_MIN_US, TIMESTAMP_MAX_US, &order->created_at_us) ||
        !frame_read_text(reader, ORDER_NAME_MAX_BYTES, &name, &name_len) ||
        !order_name_valid(name, name_len) ||
        (reader->version > 1 &&
         !frame_read_bytes(reader, item->trace_id.bytes, sizeof item->trace_id.bytes)))
        return false;
    order_set_name(order, name, name_len);
    item->attempt = (uint32_t)attempt;
    item->order = order;
    return true;
}

int job_decode(const uint8_t *frame, size_t len_bytes, struct job_route *ret_route,
               struct job_item ret_items[JOB_MAX_ORDERS], struct order ret_orders[JOB_MAX_ORDERS],
               size_t *ret_count, struct error *err)
{
    struct frame_reader reader;
    struct job_route route;
    size_t count;
    if (frame_reader_begin(&reader, frame, len_bytes, FRAME_JOB, FRAME_JOB_VALUES, err) != 0 ||
        frame_read_route(&reader, &route, &count, err) != 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (!read_item(&reader, &ret_items[i], &ret_orders[i])) {
            error_set(err, "job with a bad item %zu", i);
            return -1;
        }
    if (frame_reader_end(&reader, err) != 0)
        return -1;
    *ret_route = route;
    *ret_count = count;
    return 0;
}
