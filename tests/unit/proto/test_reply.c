#include "proto/reply.h"
#include "proto/timestamp.h"
#include "tests/unit/support/cmocka_headers.h"
#include <stdlib.h>
#include <string.h>

#include "tests/unit/proto/frames.h"

static uint8_t frame[FRAME_MAX_BYTES];
static struct reply_item items[REPLY_MAX_ITEMS], ret_items[REPLY_MAX_ITEMS];
static struct job_route route = {
    .incarnation = "fifteen letters", .epoch = 7, .stage = STAGE_INDEX, .version = FRAME_VERSION};

static int decode(const void *bytes, size_t len, struct job_route *ret_route, size_t *ret_count,
                  struct error *err)
{
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    memcpy(copy, bytes, len);
    int result = reply_decode(copy, len, ret_route, ret_items, ret_count, err);
    free(copy);
    return result;
}

/* In one version. */
static void check_version(size_t count)
{
    struct job_route ret_route;
    struct error err;
    size_t len = reply_encode(&route, items, count, frame), ret_count = 0;
    assert_int_equal(frame[1], route.version);
    if (decode(frame, len, &ret_route, &ret_count, &err) != 0)
        fail_msg("%s", err.message);
    assert_memory_equal(ret_route.incarnation, route.incarnation, 16);
    assert_int_equal(ret_route.epoch, route.epoch);
    assert_int_equal(ret_route.stage, route.stage);
    assert_int_equal(ret_route.version, route.version);
    assert_int_equal(ret_count, count);
    for (size_t i = 0; i < count; i++) {
        assert_true(ret_items[i].delivery_tag == items[i].delivery_tag);
        assert_int_equal(ret_items[i].attempt, items[i].attempt);
        assert_int_equal(ret_items[i].verdict.outcome, items[i].verdict.outcome);
        assert_string_equal(ret_items[i].verdict.code, items[i].verdict.code);
        assert_string_equal(ret_items[i].verdict.detail, items[i].verdict.detail);
        assert_int_equal(ret_items[i].verdict.created_at_us, items[i].verdict.created_at_us);
    }
}

static void check_round_trip(size_t count)
{
    for (route.version = FRAME_VERSION_OLDEST; route.version < FRAME_VERSION; route.version++)
        check_version(count);
    check_version(count);
}

static void test_round_trip(void **state)
{
    (void)state;
    items[0] = (struct reply_item){
        .delivery_tag = 1,
        .attempt = 0,
        .verdict = {.outcome = OUTCOME_DONE, .created_at_us = 1764000000123456}};
    check_round_trip(1);
    items[1] = (struct reply_item){
        UINT64_MAX, 20, {OUTCOME_RETRY, 0, "postgres_unavailable", "connection refused"}};
    items[2] =
        (struct reply_item){300, 1, {OUTCOME_REJECT, 0, "sqlstate_22003", "~ out of range ~"}};
    check_round_trip(3);
}

static void test_longest_reply_fits(void **state)
{
    (void)state;
    for (size_t i = 0; i < REPLY_MAX_ITEMS; i++) {
        items[i] = (struct reply_item){UINT64_MAX, UINT32_MAX, {OUTCOME_REJECT, 0, "", ""}};
        memset(items[i].verdict.code, 'c', VERDICT_CODE_SIZE - 1);
        memset(items[i].verdict.detail, 'd', VERDICT_DETAIL_SIZE - 1);
    }
    check_round_trip(REPLY_MAX_ITEMS);
}

static void test_unprintable_detail_is_made_printable(void **state)
{
    (void)state;
    struct job_route ret_route;
    struct error err;
    size_t count;
    items[0] = (struct reply_item){1, 1, {OUTCOME_REJECT, 0, "c", "line 1\nK\xc3\xa4se\x7f"}};
    size_t len = reply_encode(&route, items, 1, frame);
    assert_int_equal(decode(frame, len, &ret_route, &count, &err), 0);
    assert_string_equal(ret_items[0].verdict.detail, "line 1?K??se?");

    memset(items[0].verdict.detail, 'x', VERDICT_DETAIL_SIZE); /* no NUL: cut */
    len = reply_encode(&route, items, 1, frame);
    assert_int_equal(decode(frame, len, &ret_route, &count, &err), 0);
    assert_int_equal(strlen(ret_items[0].verdict.detail), VERDICT_DETAIL_SIZE - 1);
}

static void test_every_prefix_is_refused(void **state)
{
    (void)state;
    struct job_route ret_route;
    struct error err;
    size_t count;
    items[0] = (struct reply_item){1, 1, {OUTCOME_RETRY, 0, "bulk_429", "too many requests"}};
    items[1] = (struct reply_item){2, 1, {OUTCOME_DONE, 0, "", ""}};
    size_t len = reply_encode(&route, items, 2, frame);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(decode(frame, cut, &ret_route, &count, &err), -1);
    frame[len] = 0;
    assert_int_equal(decode(frame, len + 1, &ret_route, &count, &err), -1);
}

static void test_hostile_frames(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(hostile_frames); i++) {
        struct job_route ret_route;
        struct error err;
        size_t count;
        if (decode(hostile_frames[i].bytes, hostile_frames[i].len, &ret_route, &count, &err) != -1)
            fail_msg("taken: %s", hostile_frames[i].what);
    }
}

static void test_bounds(void **state)
{
    (void)state;
    static const struct {
        uint64_t kind, tag, outcome;
        const char *code, *detail;
        bool accepted;
        int64_t created_at_us;
    } cases[] = {
        {2, 1, 1, "", "", true, 0},
        {2, 1, 3, "id_conflict", "stored with another amount", true, 0},
        {1, 1, 1, "", "", false, 0},
        {2, 0, 1, "", "", false, 0},
        {2, 1, 0, "", "", false, 0},
        {2, 1, 4, "", "", false, 0},
        {2, 1, UINT64_C(1) << 32 | 1, "", "", false, 0},
        {2, 1, 3, "forty characters do not fit into a code.", "", false, 0},
        {2, 1, 3, "new\nline", "", false, 0},
        {2, 1, 3, "c", "\x1b[31m", false, 0},
        {2, 1, 3, "c", "K\xc3\xa4se", false, 0},
        {2, 1, 1, "", "", true, TIMESTAMP_MAX_US},
        {2, 1, 1, "", "", false, TIMESTAMP_MAX_US + 1},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        msgpack_sbuffer buffer;
        msgpack_packer packer;
        msgpack_sbuffer_init(&buffer);
        msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
        pack_envelope(&packer, 1, cases[i].kind, 16, 1, 1);
        msgpack_pack_array(&packer, 6);
        msgpack_pack_uint64(&packer, cases[i].tag);
        msgpack_pack_uint64(&packer, 1);
        msgpack_pack_uint64(&packer, cases[i].outcome);
        pack_text(&packer, cases[i].code);
        pack_text(&packer, cases[i].detail);
        msgpack_pack_int64(&packer, cases[i].created_at_us);

        struct job_route ret_route;
        struct error err = {""};
        size_t count;
        int result = decode(buffer.data, buffer.size, &ret_route, &count, &err);
        if ((result == 0) != cases[i].accepted)
            fail_msg("case %zu: %s", i, err.message);
        msgpack_sbuffer_destroy(&buffer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_longest_reply_fits),
        cmocka_unit_test(test_unprintable_detail_is_made_printable),
        cmocka_unit_test(test_every_prefix_is_refused),
        cmocka_unit_test(test_hostile_frames),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
