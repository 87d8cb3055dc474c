/* What the writer of frames writes is what msgpack-c's packer writes. */
#include "proto/frame_writer.h"
#include "tests/unit/support/cmocka_headers.h"
#include <msgpack.h>
#include <string.h>

static uint8_t buffer[FRAME_MAX_BYTES];
static struct frame_writer writer;
static msgpack_sbuffer wanted;
static msgpack_packer packer;

static int begin(void **state)
{
    (void)state;
    writer = (struct frame_writer){.buffer = buffer, .size = sizeof buffer};
    msgpack_sbuffer_init(&wanted);
    msgpack_packer_init(&packer, &wanted, msgpack_sbuffer_write);
    return 0;
}

static int end(void **state)
{
    (void)state;
    assert_int_equal(writer.len_bytes, wanted.size);
    assert_memory_equal(buffer, wanted.data, wanted.size);
    msgpack_sbuffer_destroy(&wanted);
    return 0;
}

/* All powers of two and their neighbours. */
static void numbers(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 64; bit++)
        for (uint64_t near = 0; near < 3; near++) {
            uint64_t number = (UINT64_C(1) << bit) + near - 1;
            frame_write_unsigned(&writer, number);
            msgpack_pack_uint64(&packer, number);
            frame_write_signed(&writer, (int64_t)number);
            msgpack_pack_int64(&packer, (int64_t)number);
            frame_write_signed(&writer, (int64_t)(0 - number));
            msgpack_pack_int64(&packer, (int64_t)(0 - number));
        }
    frame_write_unsigned(&writer, UINT64_MAX);
    msgpack_pack_uint64(&packer, UINT64_MAX);
}

static const size_t lengths[] = {0, 1, 15, 16, 31, 32, 255, 256, 1020, 20000};

static void arrays(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(lengths); i++) {
        frame_write_array(&writer, lengths[i]);
        msgpack_pack_array(&packer, lengths[i]);
    }
}

static void bytes_and_texts(void **state)
{
    (void)state;
    static char text[20000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i % 26);
    for (size_t i = 0; i < COUNT(lengths); i++) {
        frame_write_bytes(&writer, (const uint8_t *)text, lengths[i]);
        msgpack_pack_bin(&packer, lengths[i]);
        msgpack_pack_bin_body(&packer, text, lengths[i]);
        frame_write_text(&writer, text, lengths[i]);
        msgpack_pack_str(&packer, lengths[i]);
        msgpack_pack_str_body(&packer, text, lengths[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(numbers, begin, end),
        cmocka_unit_test_setup_teardown(arrays, begin, end),
        cmocka_unit_test_setup_teardown(bytes_and_texts, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
