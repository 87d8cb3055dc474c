/* Encodes and decodes replies. */
#include "proto/reply.h"
#include "proto/frame_reader.h"
#include "proto/frame_writer.h"
#include "proto/timestamp.h"
#include <assert.h>

#define ITEM_VALUES 6 /* delivery tag, attempt, outcome, code, detail, created at */

size_t reply_encode(const struct job_route *route, const struct reply_item *items, size_t count,
                    uint8_t buffer[FRAME_MAX_BYTES])
{
    assert(count >= 1 && count <= REPLY_MAX_ITEMS);
    struct frame_writer writer;
    assert(route->version >= FRAME_VERSION_OLDEST && route->version <= FRAME_VERSION);
    frame_writer_begin(&writer, buffer, FRAME_MAX_BYTES, route->version, FRAME_REPLY,
                       FRAME_JOB_VALUES);
    frame_write_route(&writer, route, count);
    for (size_t i = 0; i < count; i++) {
        const struct verdict *verdict = &items[i].verdict;
        frame_write_array(&writer, ITEM_VALUES);
        frame_write_unsigned(&writer, items[i].delivery_tag);
        frame_write_unsigned(&writer, items[i].attempt);
        frame_write_unsigned(&writer, verdict->outcome);
        frame_write_printable(&writer, verdict->code, sizeof verdict->code);
        frame_write_printable(&writer, verdict->detail, sizeof verdict->detail);
        frame_write_signed(&writer, verdict->created_at_us);
    }
    return writer.len_bytes;
}

static bool read_item(struct frame_reader *reader, struct reply_item *item)
{
    struct verdict *verdict = &item->verdict;
    uint64_t values, attempt, outcome;
    if (!frame_read_array(reader, ITEM_VALUES, ITEM_VALUES, &values) ||
        !frame_read_unsigned(reader, 1, UINT64_MAX, &item->delivery_tag) ||
        !frame_read_unsigned(reader, 0, UINT32_MAX, &attempt) ||
        !frame_read_unsigned(reader, OUTCOME_DONE, OUTCOME_REJECT, &outcome) ||
        !frame_read_printable(reader, verdict->code, sizeof verdict->code) ||
        !frame_read_printable(reader, verdict->detail, sizeof verdict->detail) ||
        !frame_read_signed(reader, TIMESTAMP_MIN_US, TIMESTAMP_MAX_US, &verdict->created_at_us))
        return false;
    item->attempt = (uint32_t)attempt;
    verdict->outcome = (enum outcome)outcome;
    return true;
}

int reply_decode(const uint8_t *frame, size_t len_bytes, struct job_route *ret_route,
                 struct reply_item ret_items[REPLY_MAX_ITEMS], size_t *ret_count, struct error *err)
{
    struct frame_reader reader;
    struct job_route route;
    size_t count;
    if (frame_reader_begin(&reader, frame, len_bytes, FRAME_REPLY, FRAME_JOB_VALUES, err) != 0 ||
        frame_read_route(&reader, &route, &count, err) != 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (!read_item(&reader, &ret_items[i])) {
            error_set(err, "reply with a bad item %zu", i);
            return -1;
        }
    if (frame_reader_end(&reader, err) != 0)
        return -1;
    *ret_route = route;
    *ret_count = count;
    return 0;
}
