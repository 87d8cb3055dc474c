#include "tests/unit/clients/rabbitmq/publish_load.h"
#include "services/base/clock.h"
#include "tests/unit/clients/rabbitmq/test_broker.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct message {
    struct publish_request request;
    struct publish_load *load;
    unsigned index;
    char id[32];
    char body[];
};

static void on_state(void *arg, bool up, const char *reason)
{
    struct publish_load *load = arg;
    (void)reason;
    bool was_up = atomic_exchange(&load->up, up);
    if (!up && was_up) {
        atomic_store(&load->down_ms, clock_monotonic_ms());
        atomic_fetch_add(&load->downs, 1);
    } else if (!up) {
        atomic_fetch_add(&load->failed_attempts, 1);
    }
}

static void on_result(struct publish_request *request, enum publish_result result)
{
    struct message *message = (struct message *)request;
    if (message->index < PUBLISH_LOAD_RECORDED)
        atomic_store(&message->load->recorded[message->index], (uint8_t)(1 + result));
    atomic_fetch_add(&message->load->results[result], 1);
    free(message);
}

void publish_load_start(struct publish_load *load, const char *url, const char *queue,
                        enum queue_type type, unsigned window)
{
    memset(load, 0, sizeof *load);
    load->publisher = publisher_new(&(struct publisher_options){
        .broker = {.url = url, .name = "test publisher"},
        .queue = queue,
        .queue_type = type,
        .window = window,
        .watches_queues = true,
        .on_state = on_state,
        .arg = load,
    });
    (void)publish_load_wait_up(load, 30000);
}

void publish_load_stop(struct publish_load *load)
{
    publisher_free(load->publisher, 10000);
    load->publisher = NULL;
    assert_int_equal(publish_load_answered(load), load->accepted);
}

bool publish_load_submit(struct publish_load *load, const char *routing_key, size_t body_len,
                         int64_t timeout_ms)
{
    struct message *message = calloc(1, sizeof *message + body_len);
    assert_non_null(message);
    memset(message->body, 'x', body_len);
    (void)snprintf(message->id, sizeof message->id, "message-%u", load->accepted);
    message->load = load;
    message->index = load->accepted;
    message->request = (struct publish_request){.routing_key = routing_key,
                                                .body = message->body,
                                                .body_len = body_len,
                                                .content_type = "application/json",
                                                .message_id = message->id,
                                                .deadline_ms = clock_monotonic_ms() + timeout_ms,
                                                .on_result = on_result};
    if (publisher_submit(load->publisher, &message->request) == 0) {
        publisher_wake(load->publisher);
        load->accepted++;
        return true;
    }
    load->refused_at_once++;
    free(message);
    return false;
}

void publish_load_submit_many(struct publish_load *load, const char *routing_key, unsigned count,
                              int64_t timeout_ms)
{
    for (unsigned i = 0; i < count && atomic_load(&load->up);) {
        if (publish_load_submit(load, routing_key, 200, timeout_ms))
            i++;
        else
            usleep(100);
    }
}

unsigned publish_load_answered(const struct publish_load *load)
{
    return atomic_load(&load->results[0]) + atomic_load(&load->results[1]) +
           atomic_load(&load->results[2]);
}

int64_t publish_load_wait_answered(const struct publish_load *load, int64_t limit_ms)
{
    int64_t start_ms = clock_monotonic_ms();
    while (publish_load_answered(load) < load->accepted) {
        if (clock_monotonic_ms() - start_ms > limit_ms)
            fail_msg("%u of %u answered after %d ms", publish_load_answered(load), load->accepted,
                     (int)limit_ms);
        usleep(100);
    }
    return clock_monotonic_ms() - start_ms;
}

int64_t publish_load_wait_up(const struct publish_load *load, int64_t limit_ms)
{
    int64_t start_ms = clock_monotonic_ms();
    while (!atomic_load(&load->up)) {
        if (clock_monotonic_ms() - start_ms > limit_ms)
            fail_msg("not up after %d ms", (int)limit_ms);
        usleep(1000);
    }
    return clock_monotonic_ms() - start_ms;
}

int64_t publish_load_wait_down(const struct publish_load *load, int64_t limit_ms)
{
    int64_t start_ms = clock_monotonic_ms();
    while (atomic_load(&load->downs) == 0) {
        if (clock_monotonic_ms() - start_ms > limit_ms)
            fail_msg("never down in %d ms", (int)limit_ms);
        usleep(1000);
    }
    return clock_monotonic_ms() - start_ms;
}
