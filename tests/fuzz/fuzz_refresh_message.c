#include "proto/refresh_message.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t frame[REFRESH_MESSAGE_MAX_BYTES];
    uint64_t id, back_id;
    struct refresh_answer answer, back;
    struct error err;

    if (refresh_request_decode(data, size, &id, &err) == 0) {
        size_t len = refresh_request_encode(id, frame);
        REQUIRE(refresh_request_decode(frame, len, &back_id, &err) == 0 && back_id == id);
    }
    if (refresh_answer_decode(data, size, &answer, &err) == 0) {
        size_t len = refresh_answer_encode(&answer, frame);
        REQUIRE(refresh_answer_decode(frame, len, &back, &err) == 0);
        REQUIRE(back.request_id == answer.request_id && back.state == answer.state);
        REQUIRE(strcmp(back.detail, answer.detail) == 0);
    }
    return 0;
}
