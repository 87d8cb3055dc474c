/* A publisher, messages for it, and a count of what became of them. */
#ifndef TEST_PUBLISH_LOAD_H
#define TEST_PUBLISH_LOAD_H

#include "services/clients/rabbitmq/publisher.h"
#include <stdatomic.h>

#define PUBLISH_LOAD_RECORDED 200000

struct publish_load {
    struct publisher *publisher;
    atomic_bool up;
    atomic_uint downs, failed_attempts;
    _Atomic int64_t down_ms; /* when it last went down */
    atomic_uint results[3];  /* by enum publish_result */
    unsigned accepted, refused_at_once;
    /* What was answered about "message-<index>"; only the first so many. */
    _Atomic uint8_t recorded[PUBLISH_LOAD_RECORDED]; /* 1 + enum publish_result */
};

/* Starts a publisher for this queue and waits until it is up. */
void publish_load_start(struct publish_load *load, const char *url, const char *queue,
                        enum queue_type type, unsigned window);
void publish_load_stop(struct publish_load *load);

/* Submit one message of this size; returns whether it was taken. */
bool publish_load_submit(struct publish_load *load, const char *routing_key, size_t body_len,
                         int64_t timeout_ms);

/* Submit this many, as fast as the window allows, while the publisher is up. */
void publish_load_submit_many(struct publish_load *load, const char *routing_key, unsigned count,
                              int64_t timeout_ms);

unsigned publish_load_answered(const struct publish_load *load);

/* Wait until all are answered, or until it is up, or has been down once: fails the test after
 * `limit_ms`; returns how long it took. */
int64_t publish_load_wait_answered(const struct publish_load *load, int64_t limit_ms);
int64_t publish_load_wait_up(const struct publish_load *load, int64_t limit_ms);
int64_t publish_load_wait_down(const struct publish_load *load, int64_t limit_ms);

#endif
