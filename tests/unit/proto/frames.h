/* What the tests of job and reply share: messages put together by hand with msgpack-c's packer, and
 * decoding from a heap copy of the exact length, so that AddressSanitizer sees a read past it. */
#ifndef TESTS_PROTO_MESSAGES_H
#define TESTS_PROTO_MESSAGES_H

#include "proto/job.h"
#include "proto/reply.h"
#include <msgpack.h>

static inline void pack_envelope(msgpack_packer *packer, uint64_t version, uint64_t kind,
                                 size_t incarnation_bytes, uint64_t stage, size_t items)
{
    static const char zeros[64];
    msgpack_pack_array(packer, 6);
    msgpack_pack_uint64(packer, version);
    msgpack_pack_uint64(packer, kind);
    msgpack_pack_bin(packer, incarnation_bytes);
    msgpack_pack_bin_body(packer, zeros, incarnation_bytes);
    msgpack_pack_uint64(packer, 3);
    msgpack_pack_uint64(packer, stage);
    msgpack_pack_array(packer, items);
}

static inline void pack_text(msgpack_packer *packer, const char *text)
{
    msgpack_pack_str(packer, strlen(text));
    msgpack_pack_str_body(packer, text, strlen(text));
}

/* The same frame with which every decoder must fail. */
static const struct hostile_frame {
    const char *what;
    size_t len;
    const char *bytes;
} hostile_frames[] = {
    {"nothing", 0, ""},
    {"nil", 1, "\xc0"},
    {"never used byte", 1, "\xc1"},
    {"array32 of 4 billion", 5, "\xdd\xff\xff\xff\xff"},
    {"map32 of 4 billion", 5, "\xdf\xff\xff\xff\xff"},
    {"array16 of 65535", 3, "\xdc\xff\xff"},
    {"str32 of 4 GB", 5, "\xdb\xff\xff\xff\xff"},
    {"bin32 of 4 GB", 5, "\xc6\xff\xff\xff\xff"},
    {"ext32 of 4 GB", 5, "\xc9\xff\xff\xff\xff"},
    {"ext32 of 4 GB and a type", 6, "\xc9\xff\xff\xff\xff\x01"},
    {"fixext", 3, "\xd4\x01\x01"},
    {"double", 9, "\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00"},
    {"nested too deep", 8, "\x91\x91\x91\x91\x91\x91\x91\x91"},
    {"empty array", 1, "\x90"},
    {"empty map", 1, "\x80"},
    {"version alone", 2, "\x91\x01"},
    {"version 2 with something else", 5, "\x92\x02\xa2hi"},
    {"version 3", 25, "\x96\x03\x01\xc4\x10zzzzzzzzzzzzzzzz\x01\x01\x91\x90"},
    {"items of 4 billion", 27, "\x96\x01\x01\xc4\x10zzzzzzzzzzzzzzzz\x01\x01\xdd\xff\xff\xff"},
    {"items of 4 billion, complete", 28,
     "\x96\x01\x01\xc4\x10zzzzzzzzzzzzzzzz\x01\x01\xdd\xff\xff\xff\xff"},
};

#endif
