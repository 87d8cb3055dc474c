#include "proto/job.h"
#include "proto/refresh_message.h"
#include "tests/unit/support/cmocka_headers.h"
#include <stdlib.h>
#include <string.h>

#include "tests/unit/proto/frames.h"

static uint8_t frame[REFRESH_MESSAGE_MAX_BYTES];

static void test_request(void **state)
{
    (void)state;
    static const uint64_t ids[] = {0, 1, 127, 128, UINT64_MAX};
    for (size_t i = 0; i < COUNT(ids); i++) {
        uint64_t id = 77;
        struct error err;
        size_t len = refresh_request_encode(ids[i], frame);
        assert_int_equal(refresh_request_decode(frame, len, &id, &err), 0);
        assert_true(id == ids[i]);
        for (size_t cut = 0; cut < len; cut++)
            assert_int_equal(refresh_request_decode(frame, cut, &id, &err), -1);
        assert_int_equal(refresh_request_decode(frame, len + 1, &id, &err), -1);
    }
}

static void test_answer(void **state)
{
    (void)state;
    for (int answer_state = REFRESH_ANSWER_ACCEPTED; answer_state <= REFRESH_ANSWER_DECLINED;
         answer_state++) {
        struct refresh_answer answer = {UINT64_MAX, (enum refresh_state)answer_state, ""}, back;
        struct error err;
        memset(answer.detail, 'd', REFRESH_DETAIL_SIZE - 1);
        size_t len = refresh_answer_encode(&answer, frame);
        assert_int_equal(refresh_answer_decode(frame, len, &back, &err), 0);
        assert_true(back.request_id == answer.request_id);
        assert_int_equal(back.state, answer.state);
        assert_string_equal(back.detail, answer.detail);
        for (size_t cut = 0; cut < len; cut++)
            assert_int_equal(refresh_answer_decode(frame, cut, &back, &err), -1);
    }
    struct refresh_answer answer = {1, REFRESH_ANSWER_FAILED, "a\nb\xff"}, back;
    struct error err;
    size_t len = refresh_answer_encode(&answer, frame);
    assert_int_equal(refresh_answer_decode(frame, len, &back, &err), 0);
    assert_string_equal(back.detail, "a?b?");
}

static void test_bad_messages(void **state)
{
    (void)state;
    uint64_t id;
    struct refresh_answer answer;
    struct error err;
    for (size_t i = 0; i < COUNT(hostile_frames); i++) {
        uint8_t *copy = malloc(hostile_frames[i].len + 1);
        memcpy(copy, hostile_frames[i].bytes, hostile_frames[i].len);
        assert_int_equal(refresh_request_decode(copy, hostile_frames[i].len, &id, &err), -1);
        assert_int_equal(refresh_answer_decode(copy, hostile_frames[i].len, &answer, &err), -1);
        free(copy);
    }
    static const struct {
        size_t len;
        const char *bytes;
    } requests[] =
        {
            {4, "\x93\x02\x03\x01"},         /* version 2 */
            {4, "\x93\x01\x04\x01"},         /* an answer's kind */
            {4, "\x93\x01\x03\xff"},         /* a negative id */
            {5, "\x93\x01\x03\xa1x"},        /* a text for an id */
            {5, "\x94\x01\x03\x01\x01"},     /* a value too many */
            {3, "\x92\x01\x03"},             /* one too few */
            {6, "\x93\x01\x03\x91\x91\x90"}, /* nested */
        },
      answers[] = {
          {6, "\x95\x01\x04\x01\x00\xa0"},     /* state 0 */
          {6, "\x95\x01\x04\x01\x06\xa0"},     /* state 6 */
          {6, "\x95\x01\x03\x01\x01\xa0"},     /* a request's kind */
          {6, "\x95\x02\x04\x01\x01\xa0"},     /* version 2 */
          {7, "\x95\x01\x04\x01\x01\xa1\x0a"}, /* not printable */
          {7, "\x95\x01\x04\x01\x01\xc4\x00"}, /* bytes for a text */
      };
    for (size_t i = 0; i < COUNT(requests); i++)
        assert_int_equal(
            refresh_request_decode((const uint8_t *)requests[i].bytes, requests[i].len, &id, &err),
            -1);
    for (size_t i = 0; i < COUNT(answers); i++)
        assert_int_equal(
            refresh_answer_decode((const uint8_t *)answers[i].bytes, answers[i].len, &answer, &err),
            -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_answer),
        cmocka_unit_test(test_bad_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
