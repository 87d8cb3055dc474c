#include "proto/refresh_message.h"
#include "proto/frame_reader.h"
#include "proto/frame_writer.h"

#define REQUEST_VALUES 3 /* version, kind, request id */
#define ANSWER_VALUES 5  /* version, kind, request id, state, detail */

/* Three heads of a byte, four numbers of up to 9 bytes, the detail's head of up to 3. */
_Static_assert(3 + 4 * 9 + 3 + REFRESH_DETAIL_SIZE <= REFRESH_MESSAGE_MAX_BYTES,
               "the longest answer fits");

const char *refresh_state_name(enum refresh_state state)
{
    switch (state) {
    case REFRESH_ANSWER_ACCEPTED:
        return "accepted";
    case REFRESH_ANSWER_WAITING:
        return "waiting";
    case REFRESH_ANSWER_DONE:
        return "done";
    case REFRESH_ANSWER_FAILED:
        return "failed";
    case REFRESH_ANSWER_DECLINED:
        return "declined";
    }
    return "unknown";
}

size_t refresh_request_encode(uint64_t request_id, uint8_t buffer[REFRESH_MESSAGE_MAX_BYTES])
{
    struct frame_writer writer;
    frame_writer_begin(&writer, buffer, REFRESH_MESSAGE_MAX_BYTES, FRAME_REFRESH_REQUEST,
                       REQUEST_VALUES);
    frame_write_unsigned(&writer, request_id);
    return writer.len_bytes;
}

size_t refresh_answer_encode(const struct refresh_answer *answer,
                             uint8_t buffer[REFRESH_MESSAGE_MAX_BYTES])
{
    struct frame_writer writer;
    frame_writer_begin(&writer, buffer, REFRESH_MESSAGE_MAX_BYTES, FRAME_REFRESH_ANSWER,
                       ANSWER_VALUES);
    frame_write_unsigned(&writer, answer->request_id);
    frame_write_unsigned(&writer, answer->state);
    frame_write_printable(&writer, answer->detail, sizeof answer->detail);
    return writer.len_bytes;
}

int refresh_request_decode(const uint8_t *message, size_t len_bytes, uint64_t *ret_request_id,
                           struct error *err)
{
    struct frame_reader reader;
    if (frame_reader_begin(&reader, message, len_bytes, FRAME_REFRESH_REQUEST, REQUEST_VALUES,
                           err) != 0)
        return -1;
    if (!frame_read_unsigned(&reader, 0, UINT64_MAX, ret_request_id)) {
        error_set(err, "refresh request without an id");
        return -1;
    }
    return 0;
}

int refresh_answer_decode(const uint8_t *message, size_t len_bytes,
                          struct refresh_answer *ret_answer, struct error *err)
{
    struct frame_reader reader;
    struct refresh_answer answer;
    uint64_t state;
    if (frame_reader_begin(&reader, message, len_bytes, FRAME_REFRESH_ANSWER, ANSWER_VALUES, err) !=
        0)
        return -1;
    if (!frame_read_unsigned(&reader, 0, UINT64_MAX, &answer.request_id) ||
        !frame_read_unsigned(&reader, REFRESH_ANSWER_ACCEPTED, REFRESH_ANSWER_DECLINED, &state) ||
        !frame_read_printable(&reader, answer.detail, sizeof answer.detail)) {
        error_set(err, "refresh answer with a bad value %zu", reader.next);
        return -1;
    }
    answer.state = (enum refresh_state)state;
    *ret_answer = answer;
    return 0;
}
