/* A TCP proxy in front of the test's RabbitMQ that can stop forwarding, in both directions or from
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
const char *stalling_proxy_url(const struct stalling_proxy *proxy);
void stalling_proxy_set(struct stalling_proxy *proxy, enum proxy_mode mode);

/* Reset every connection; what was held back is lost. */
void stalling_proxy_cut(struct stalling_proxy *proxy);

#endif
