#include "proto/amount.h"
#include "proto/job.h"
#include "proto/timestamp.h"
#include "tests/unit/support/cmocka_headers.h"
#include <stdlib.h>
#include <string.h>

#include "tests/unit/proto/frames.h"

static uint8_t frame[FRAME_MAX_BYTES];
static struct order orders[JOB_MAX_ORDERS], ret_orders[JOB_MAX_ORDERS];
static struct job_item items[JOB_MAX_ORDERS], ret_items[JOB_MAX_ORDERS];

static int decode(const void *bytes, size_t len, struct job_route *ret_route, size_t *ret_count,
                  struct error *err)
{
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    memcpy(copy, bytes, len);
    int result = job_decode(copy, len, ret_route, ret_items, ret_orders, ret_count, err);
    free(copy);
    return result;
}

static struct job_route some_route(enum stage stage)
{
    struct job_route route = {.epoch = UINT64_MAX, .stage = stage};
    for (uint8_t i = 0; i < 16; i++)
        route.incarnation[i] = (uint8_t)(200 + i);
    return route;
}

static void fill_item(size_t i, const char *name, size_t name_len, int64_t cents, int64_t us)
{
    orders[i].id = order_id_new((int64_t)i);
    orders[i].amount_cents = cents;
    orders[i].created_at_us = us;
    order_set_name(&orders[i], name, name_len);
    items[i] = (struct job_item){
        .delivery_tag = UINT64_MAX - i,
        .attempt = UINT32_MAX - (uint32_t)i,
        .trace_id = trace_context_begin().id,
        .order = &orders[i],
    };
}

static void check_round_trip(enum stage stage, size_t count)
{
    struct job_route route = some_route(stage), ret_route;
    struct error err;
    size_t len = job_encode(&route, items, count, frame), ret_count = 0;
    memset(ret_orders, 0xaa, sizeof ret_orders);
    if (decode(frame, len, &ret_route, &ret_count, &err) != 0)
        fail_msg("%s", err.message);
    assert_memory_equal(ret_route.incarnation, route.incarnation, 16);
    assert_true(ret_route.epoch == route.epoch);
    assert_int_equal(ret_route.stage, stage);
    assert_int_equal(ret_route.version, FRAME_VERSION);
    assert_int_equal(ret_count, count);
    for (size_t i = 0; i < count; i++) {
        assert_true(ret_items[i].delivery_tag == items[i].delivery_tag);
        assert_true(ret_items[i].attempt == items[i].attempt);
        assert_memory_equal(&ret_items[i].trace_id, &items[i].trace_id, sizeof(struct trace_id));
        assert_ptr_equal(ret_items[i].order, &ret_orders[i]);
        assert_true(order_equal(&ret_orders[i], &orders[i]));
        assert_int_equal(ret_orders[i].product_name[ret_orders[i].product_name_len], '\0');
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    fill_item(0, "x", 1, -AMOUNT_MAX_CENTS, TIMESTAMP_MIN_US);
    check_round_trip(STAGE_PERSIST, 1);
    fill_item(1, "Laptop", 6, 0, 0);
    fill_item(2, "K\xc3\xa4se", 5, 129999, -1);
    check_round_trip(STAGE_INDEX, 3);
}

static void test_longest_job_fits(void **state)
{
    (void)state;
    char name[ORDER_NAME_MAX_BYTES];
    for (size_t i = 0; i < sizeof name; i += 4)
        memcpy(name + i, "\xf0\x9f\x92\xbb", 4);
    for (size_t i = 0; i < JOB_MAX_ORDERS; i++)
        fill_item(i, name, sizeof name, AMOUNT_MAX_CENTS, TIMESTAMP_MAX_US);
    check_round_trip(STAGE_PERSIST, JOB_MAX_ORDERS);
}

static void test_every_prefix_is_refused(void **state)
{
    (void)state;
    fill_item(0, "Laptop", 6, 129999, TIMESTAMP_MAX_US);
    fill_item(1, "A name over 31 bytes takes a str8 header", 40, -1, -1);
    struct job_route route = some_route(STAGE_PERSIST), ret_route;
    struct error err;
    size_t len = job_encode(&route, items, 2, frame), count;
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(decode(frame, cut, &ret_route, &count, &err), -1);
    frame[len] = 0;
    assert_int_equal(decode(frame, len + 1, &ret_route, &count, &err), -1);
    assert_int_equal(decode(frame, FRAME_MAX_BYTES, &ret_route, &count, &err), -1);
}

static void test_every_changed_byte_is_survived(void **state)
{
    (void)state;
    fill_item(0, "Laptop", 6, 129999, TIMESTAMP_MAX_US);
    struct job_route route = some_route(STAGE_PERSIST), ret_route;
    struct error err;
    size_t len = job_encode(&route, items, 1, frame), count;
    for (size_t i = 0; i < len; i++) {
        uint8_t original = frame[i];
        for (unsigned value = 0; value < 256; value++) {
            frame[i] = (uint8_t)value;
            if (decode(frame, len, &ret_route, &count, &err) == 0) {
                assert_int_equal(count, 1);
                assert_true(
                    order_name_valid(ret_orders[0].product_name, ret_orders[0].product_name_len));
            }
        }
        frame[i] = original;
    }
}

static void test_hostile_frames(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(hostile_frames); i++) {
        struct job_route route;
        struct error err = {""};
        size_t count = 77;
        if (decode(hostile_frames[i].bytes, hostile_frames[i].len, &route, &count, &err) != -1)
            fail_msg("taken: %s", hostile_frames[i].what);
        assert_int_equal(count, 77);
        assert_true(err.message[0] != '\0');
    }
    static uint8_t large[FRAME_MAX_BYTES + 1];
    struct job_route route;
    struct error err;
    size_t count;
    assert_int_equal(decode(large, sizeof large, &route, &count, &err), -1);
}

/* A job of one item, each member of which a case may replace. */
struct wanted {
    uint64_t version, kind, stage, tag, attempt;
    size_t incarnation_bytes, items_declared, values, id_bytes, trace_id_bytes;
    int64_t cents, us;
    const char *name;
    bool accepted;
};
#define GOOD                                                                                       \
    .version = 1, .kind = 1, .stage = 1, .tag = 1, .attempt = 1, .incarnation_bytes = 16,          \
    .items_declared = 1, .values = 6, .id_bytes = 16, .cents = 1, .us = 1, .name = "x"
#define GOOD_2 GOOD, .version = 2, .values = 7, .trace_id_bytes = 16

static void test_bounds(void **state)
{
    (void)state;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
    static const struct wanted cases[] = {
        {GOOD, .accepted = true},
        {GOOD, .stage = 2, .accepted = true},
        {GOOD, .version = 2},
        {GOOD, .version = 2, .values = 7},
        {GOOD, .values = 7, .trace_id_bytes = 16},
        {GOOD_2, .accepted = true},
        {GOOD_2, .values = 6},
        {GOOD_2, .values = 8},
        {GOOD_2, .trace_id_bytes = 15},
        {GOOD_2, .trace_id_bytes = 17},
        {GOOD_2, .version = 3},
        {GOOD, .version = 0},
        {GOOD, .kind = 2},
        {GOOD, .kind = 0},
        {GOOD, .stage = 0},
        {GOOD, .stage = STAGES + 1},
        {GOOD, .stage = UINT64_C(1) << 32 | 1},
        {GOOD, .incarnation_bytes = 15},
        {GOOD, .incarnation_bytes = 17},
        {GOOD, .incarnation_bytes = 0},
        {GOOD, .items_declared = 0},
        {GOOD, .items_declared = 2},
        {GOOD, .items_declared = 51},
        {GOOD, .tag = 0}, /* would ack everything (AMQP 0-9-1, basic.ack) */
        {GOOD, .attempt = UINT32_MAX, .accepted = true},
        {GOOD, .attempt = UINT64_C(1) << 32},
        {GOOD, .id_bytes = 15},
        {GOOD, .id_bytes = 17},
        {GOOD, .cents = AMOUNT_MAX_CENTS, .accepted = true},
        {GOOD, .cents = AMOUNT_MAX_CENTS + 1},
        {GOOD, .cents = -AMOUNT_MAX_CENTS - 1},
        {GOOD, .us = TIMESTAMP_MAX_US + 1},
        {GOOD, .us = TIMESTAMP_MIN_US - 1},
        {GOOD, .us = INT64_MIN},
        {GOOD, .name = ""},
        {GOOD, .name = "a\nb"},
        {GOOD, .name = "\xff"},
    };
#pragma GCC diagnostic pop
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct wanted *c = &cases[i];
        msgpack_sbuffer buffer;
        msgpack_packer packer;
        msgpack_sbuffer_init(&buffer);
        msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
        pack_envelope(&packer, c->version, c->kind, c->incarnation_bytes, c->stage,
                      c->items_declared);
        msgpack_pack_array(&packer, c->values);
        msgpack_pack_uint64(&packer, c->tag);
        msgpack_pack_uint64(&packer, c->attempt);
        msgpack_pack_bin(&packer, c->id_bytes);
        msgpack_pack_bin_body(&packer, "0123456789abcdefghi", c->id_bytes);
        msgpack_pack_int64(&packer, c->cents);
        msgpack_pack_int64(&packer, c->us);
        pack_text(&packer, c->name);
        if (c->trace_id_bytes > 0) {
            msgpack_pack_bin(&packer, c->trace_id_bytes);
            msgpack_pack_bin_body(&packer, "0123456789abcdefghi", c->trace_id_bytes);
        }

        struct job_route route;
        struct error err = {""};
        size_t count;
        int result = decode(buffer.data, buffer.size, &route, &count, &err);
        if ((result == 0) != c->accepted)
            fail_msg("case %zu: %s", i, err.message);
        msgpack_sbuffer_destroy(&buffer);
    }
}

static void test_unknown_version_is_named(void **state)
{
    (void)state;
    struct job_route route;
    struct error err;
    size_t count;
    assert_int_equal(decode("\x92\x03\xa2hi", 5, &route, &count, &err), -1);
    assert_string_equal(err.message, "message of unknown version 3");
    assert_int_equal(decode("\x92\x00\xa2hi", 5, &route, &count, &err), -1);
    assert_string_equal(err.message, "message of unknown version 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_longest_job_fits),
        cmocka_unit_test(test_every_prefix_is_refused),
        cmocka_unit_test(test_every_changed_byte_is_survived),
        cmocka_unit_test(test_hostile_frames),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_unknown_version_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
