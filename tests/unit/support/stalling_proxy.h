/* A TCP proxy in front of a test's server that can stop forwarding, in both directions or from
 * the server only, and cut its connections. */
#ifndef TEST_STALLING_PROXY_H
#define TEST_STALLING_PROXY_H

#include <stdint.h>

enum proxy_mode {
    PROXY_FORWARDS,
    PROXY_HOLDS_REPLIES, /* what the server says waits */
    PROXY_STALLS,        /* nothing passes, connections are still accepted */
};

struct stalling_proxy;

struct stalling_proxy *stalling_proxy_new(uint16_t server_port);
void stalling_proxy_free(struct stalling_proxy *proxy);
uint16_t stalling_proxy_port(const struct stalling_proxy *proxy);
const char *stalling_proxy_url(const struct stalling_proxy *proxy); /* amqp:// */
void stalling_proxy_set(struct stalling_proxy *proxy, enum proxy_mode mode);

/* Stall as soon as `text` (which must live on; NULL: never) comes in one piece, and swallow that
 * piece. */
void stalling_proxy_stall_at(struct stalling_proxy *proxy, const char *text);
enum proxy_mode stalling_proxy_mode(const struct stalling_proxy *proxy);

/* Reset every connection; what was held back is lost. */
void stalling_proxy_cut(struct stalling_proxy *proxy);

#endif
