/* One event loop of the gateway on its own thread: the HTTP server and the clients of all servers
 * behind it. */
#ifndef GATEWAY_LOOP_H
#define GATEWAY_LOOP_H

#include "services/gateway/api.h"
#include "services/gateway/dependency.h"
#include "services/gateway/settings.h"
#include <stdatomic.h>

struct byte_budget;
struct publisher;
struct read_table;
struct status_desk;

/* What the loops share. */
struct loop_shared {
    const struct gateway_settings *settings;
    struct api_settings api_settings;
    const struct api_metrics *metrics;
    struct publisher *publisher;
    struct read_table *reads;
    struct status_desk *status_desk;
    struct byte_budget *bodies;
    struct byte_budget *answers; /* of Elasticsearch */
    atomic_uint *waiting;        /* requests that wait for their orders */
    atomic_uint *owed;           /* entries that the caches have still to write */
    int outbox_wake_fd;
    int stop_fd;                /* readable: drain */
    unsigned max_connections;   /* of each loop */
    void (*on_tick)(void *arg); /* called every second from loop 0 */
    void *arg;
    struct dependency *rabbitmq, *postgres, *redis, *elasticsearch, *scheduler, *search_index;
    int64_t started_ms; /* on clock_monotonic_ms() */
};

struct gateway_loop;

/* Make a loop and all that is on it; its clients begin to connect when it runs. `api_fd`, where it
 * listens, becomes the loop's, as does `admin_fd` (-1: none). Loop 0 relays the outbox. Before any
 * thread starts. */
struct gateway_loop *gateway_loop_new(const struct loop_shared *shared, unsigned index, int api_fd,
                                      int admin_fd);

/* Start its thread. */
void gateway_loop_start(struct gateway_loop *loop);

/* Wait until it has drained (at most 8 s after the drain's listening). Returns
 * whether nothing was left unanswered. */
bool gateway_loop_join(struct gateway_loop *loop);

/* After all loops have been joined and the publisher was freed. */
void gateway_loop_free(struct gateway_loop *loop);

#endif
