/* Builds a loop from the bottom up (HTTP server, clients of the servers, timers), runs it on its
 * thread, and drains it. */
#include "services/gateway/loop.h"
#include "services/base/clock.h"
#include "services/base/memory.h"
#include "services/clients/postgres/connection.h"
#include "services/clients/postgres/search_index.h"
#include "services/clients/rabbitmq/publisher.h"
#include "services/gateway/adapters/elasticsearch_search.h"
#include "services/gateway/adapters/postgres_letters.h"
#include "services/gateway/adapters/postgres_store.h"
#include "services/gateway/adapters/rabbitmq_queue.h"
#include "services/gateway/adapters/redis_cache.h"
#include "services/gateway/adapters/refresh_jobs.h"
#include "services/gateway/adapters/shared_reads.h"
#include "services/gateway/adapters/shared_status.h"
#include "services/gateway/adapters/stored_waiters.h"
#include "services/gateway/outbox_task.h"
#include "services/gateway/router.h"
#include "services/http/http_server.h"
#include "services/loop/event_loop_h2o.h"
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PENDING_MAX 4096         /* requests under way; more are refused with 503 */
#define ADMIN_CONNECTIONS_MAX 64 /* beside those of the API port, which cannot use them up */
#define SEARCHES_MAX 256
#define SEARCH_RESPONSE_MAX_BYTES (16 * 1024 * 1024)
#define OUTBOX_STATEMENTS_MAX 8
#define TICK_MS 1000
#define START_TICK_MS 20
#define START_PATIENCE_MS 3000
#define CROWD_CONNECTIONS 256
#define KEPT_BUFFERS 128 /* of 8 KiB, for the next requests; libh2o keeps 16 of its own accord */
#define DRAIN_TIMEOUT_MS 8000 /* after API_DRAIN; service_main() ends the process after 10 s */

enum { API_PORT, ADMIN_PORT, PORTS_MAX };

struct port {
    struct http_server *server;
    struct router router;
};

struct gateway_loop {
    const struct loop_shared *shared;
    pthread_t thread;
    h2o_loop_t *evloop;
    struct event_loop *events;
    struct api api;
    struct port ports[PORTS_MAX];
    unsigned port_count;             /* ADMIN_PORT is on one loop only */
    struct outbox_task *outbox;      /* on loop 0 only */
    struct status_collector *status; /* on loop 0 only */
    struct dependency_link *search_index;
    struct loop_watch *stop_watch;
    int api_fd;               /* listening; -1 once the server has it */
    struct loop_timer *start; /* until then */
    struct loop_timer *tick;
    struct metric_gauge *connections, *requests;
    unsigned most_connections; /* since memory was given back */
    int64_t drain_deadline_ms; /* 0: not draining */
};

/* What the requests of many connections have taken stays with the allocator, which gives back by
 * itself only what lies at the end of its heaps. Once a crowd has left, all of it. */
static void give_memory_back(struct gateway_loop *loop, unsigned connections)
{
    if (connections > loop->most_connections)
        loop->most_connections = connections;
    if (loop->most_connections < CROWD_CONNECTIONS || connections > loop->most_connections / 2)
        return;
    loop->most_connections = connections;
    malloc_trim(0);
}

static void on_tick(void *arg)
{
    struct gateway_loop *loop = arg;
    unsigned connections = http_server_connections(loop->ports[API_PORT].server);
    metric_set(loop->connections, connections);
    give_memory_back(loop, connections);
    metric_set(loop->requests, requests_under_way(&loop->api.requests));
    if (loop->outbox != NULL) /* loop 0 */
        loop->shared->on_tick(loop->shared->arg);
    loop_timer_start(loop->tick, TICK_MS);
}

static bool has_started(const struct loop_shared *shared)
{
    return (dependency_heard_of(shared->rabbitmq) && dependency_heard_of(shared->postgres) &&
            dependency_heard_of(shared->redis) && dependency_heard_of(shared->elasticsearch)) ||
           clock_monotonic_ms() - shared->started_ms >= START_PATIENCE_MS;
}

/* Clients of the API wait in the kernel's queue until there has been time to connect to the
 * servers: a balancer sends requests as soon as the port is open, and they would be answered 503.
 */
static void on_start(void *arg)
{
    struct gateway_loop *loop = arg;
    if (!has_started(loop->shared)) {
        loop_timer_start(loop->start, START_TICK_MS);
        return;
    }
    http_server_listen(loop->ports[API_PORT].server, loop->api_fd);
    loop->api_fd = -1;
}

static void on_stop(void *arg, bool readable, bool writable)
{
    (void)readable, (void)writable;
    struct gateway_loop *loop = arg;
    loop_watch_want(loop->stop_watch, false, false);
    if (loop->api_fd != -1) {
        loop_timer_stop(loop->start);
        (void)close(loop->api_fd);
    }
    int64_t listen_ms = loop->shared->settings->drain_ms;
    loop->drain_deadline_ms = clock_monotonic_ms() + listen_ms + DRAIN_TIMEOUT_MS;
    stored_waiters_stop(loop->api.waits);
    for (unsigned i = 0; i < loop->port_count; i++)
        http_server_drain(loop->ports[i].server, listen_ms);
}

static bool is_drained(const struct gateway_loop *loop)
{
    for (unsigned i = 0; i < loop->port_count; i++)
        if (!http_server_drained(loop->ports[i].server))
            return false;
    return requests_under_way(&loop->api.requests) == 0;
}

static void *run(void *arg)
{
    struct gateway_loop *loop = arg;
    h2o_socket_buffer_prototype.allocator.max = KEPT_BUFFERS; /* of this thread */
    while (loop->drain_deadline_ms == 0 ||
           (!is_drained(loop) && clock_monotonic_ms() < loop->drain_deadline_ms)) {
        int32_t wait_ms = loop->drain_deadline_ms == 0 ? INT32_MAX : TICK_MS / 10;
        for (unsigned i = 0; i < loop->port_count; i++)
            wait_ms = http_server_turn(loop->ports[i].server, wait_ms);
        rabbitmq_queue_flush(loop->api.queue);
        redis_cache_flush(loop->api.cache);
        h2o_evloop_run(loop->evloop, wait_ms);
    }
    return NULL;
}

/* ---- what is on a loop ---- */

static h2o_multithread_queue_t *loop_queue(const struct gateway_loop *loop)
{
    return http_server_context(loop->ports[API_PORT].server)->queue;
}

static void on_search_index(void *arg, const struct search_index *index)
{
    struct gateway_loop *loop = arg;
    struct error reason;
    if (index == NULL) {
        dependency_report(loop->search_index, false, "not known: no connection to PostgreSQL");
        return;
    }
    bool wrong = search_index_wrong(index, &reason);
    loop->api.search_incomplete = index->incomplete;
    loop->api.search_missing = index->missing;
    dependency_report(loop->search_index, !wrong, wrong ? reason.message : NULL);
}

static void add_clients(struct gateway_loop *loop)
{
    const struct loop_shared *shared = loop->shared;
    const struct gateway_settings *settings = shared->settings;

    struct redis_options redis = settings->redis;
    redis.on_state = dependency_report;
    redis.arg = dependency_link_new(shared->redis);
    loop->api.cache =
        redis_cache_new(loop->events, &redis, settings->order_cache_ttl_ms / 1000, shared->owed);

    struct elasticsearch_search_options search = {
        .client = settings->elasticsearch,
        .index = settings->order_index,
        .on_state = dependency_report,
        .arg = dependency_link_new(shared->elasticsearch),
    };
    search.client.max_in_flight = SEARCHES_MAX;
    search.client.max_response_bytes = SEARCH_RESPONSE_MAX_BYTES;
    search.client.answers = shared->answers;
    loop->api.search = elasticsearch_search_new(loop->events, &search);

    const struct postgres_store_options postgres = {
        .dsn = settings->postgres_dsn,
        .outbox_wake_fd = shared->outbox_wake_fd,
        .on_state = dependency_report,
        .arg = dependency_link_new(shared->postgres),
    };
    loop->api.store = postgres_store_new(loop->events, &postgres);
    loop->api.reader =
        shared_reads_new(shared->reads, postgres_store_reader(loop->api.store), loop_queue(loop));

    loop->api.waits =
        stored_waiters_new(loop->events, &(struct stored_waiters_options){
                                             .dsn = settings->postgres_dsn,
                                             .waiting = shared->waiting,
                                             .on_state = dependency_report,
                                             .arg = dependency_link_new(shared->postgres),
                                         });

    loop->api.queue = rabbitmq_queue_new(loop->events, shared->publisher, settings->order_queue);

    loop->search_index = dependency_link_new(shared->search_index);
    const struct refresh_jobs_options refresh = {
        .dsn = settings->postgres_dsn,
        .uses = GATEWAY_DATABASE_USES,
        .on_state = dependency_report,
        .arg = dependency_link_new(shared->scheduler),
        .on_index = on_search_index,
        .index_arg = loop,
        .on_connection = dependency_report,
        .connection_arg = dependency_link_new(shared->postgres),
    };
    loop->api.sales_refresh = refresh_jobs_new(loop->events, &refresh);

    const struct postgres_letters_options letters = {
        .dsn = settings->postgres_dsn,
        .outbox_wake_fd = shared->outbox_wake_fd,
        .on_state = dependency_report,
        .arg = dependency_link_new(shared->postgres),
    };
    loop->api.dead_letters = postgres_letters_new(loop->events, &letters);
    loop->api.job_records = postgres_letters_jobs(loop->api.dead_letters);
    loop->api.status = shared_status_new(shared->status_desk, loop_queue(loop));
}

static void add_outbox(struct gateway_loop *loop)
{
    const struct outbox_task_options outbox = {
        .database = {.dsn = loop->shared->settings->postgres_dsn,
                     .application_name = "gateway outbox",
                     .max_in_flight = OUTBOX_STATEMENTS_MAX,
                     .statement_timeout_ms = ORDER_STORE_TIMEOUT_MS,
                     .uses = DATABASE_OUTBOX,
                     .on_state = dependency_report,
                     .arg = dependency_link_new(loop->shared->postgres)},
        .queue = loop->api.queue,
        .wake_fd = loop->shared->outbox_wake_fd,
    };
    loop->outbox = outbox_task_new(loop->events, &outbox);
}

static void add_status(struct gateway_loop *loop)
{
    const struct gateway_settings *settings = loop->shared->settings;
    const struct status_collector_options status = {
        .service_urls = settings->service_urls,
        .admin_address = settings->admin_address,
        .admin_port = (uint16_t)settings->admin_port,
        .dsn = settings->postgres_dsn,
        .queue = settings->order_queue,
        .elasticsearch = &settings->elasticsearch,
        .index = settings->order_index,
    };
    loop->status = status_collector_new(loop->events, &status);
    status_desk_attend(loop->shared->status_desk, loop->status, loop_queue(loop));
}

static struct http_server *add_port(struct gateway_loop *loop, bool admin, unsigned max_connections)
{
    struct port *port = &loop->ports[loop->port_count++];
    port->router = (struct router){.api = &loop->api, .admin = admin};
    port->server = http_server_new(
        loop->evloop, loop->events,
        &(struct http_server_options){.max_connections = max_connections,
                                      .max_body_bytes = ROUTER_BODY_READ_MAX_BYTES,
                                      .ends_slow = admin,
                                      .bodies = loop->shared->bodies,
                                      .request_timeout_ms = ROUTER_REQUEST_TIMEOUT_MS,
                                      .keepalive_ms = loop->shared->settings->keepalive_ms,
                                      .handle = router_handle,
                                      .attach = router_attach,
                                      .arg = &port->router});
    return port->server;
}

struct gateway_loop *gateway_loop_new(const struct loop_shared *shared, unsigned index, int api_fd,
                                      int admin_fd)
{
    struct gateway_loop *loop = memory_new(sizeof(*loop));
    loop->shared = shared;
    loop->evloop = h2o_evloop_create();
    loop->events = event_loop_h2o_new(loop->evloop);
    loop->api.settings = &shared->api_settings;
    loop->api.metrics = shared->metrics;
    requests_init(&loop->api.requests, loop->events, PENDING_MAX);
    loop->api_fd = api_fd;
    (void)add_port(loop, false, shared->max_connections);
    if (admin_fd != -1)
        http_server_listen(add_port(loop, true, ADMIN_CONNECTIONS_MAX), admin_fd);
    add_clients(loop);
    if (index == 0) {
        add_outbox(loop);
        add_status(loop);
    }

    char labels[32];
    snprintf(labels, sizeof(labels), "loop=\"%u\"", index);
    loop->connections = metric_gauge("http_connections", labels, "Open connections of clients");
    loop->requests = metric_gauge("http_requests_in_flight", labels, "Requests under way");
    loop->tick = event_loop_timer(loop->events, on_tick, loop);
    loop_timer_start(loop->tick, TICK_MS);
    loop->start = event_loop_timer(loop->events, on_start, loop);
    loop_timer_start(loop->start, 0);
    loop->stop_watch = event_loop_watch(loop->events, shared->stop_fd, on_stop, loop);
    loop_watch_want(loop->stop_watch, true, false);
    return loop;
}

void gateway_loop_start(struct gateway_loop *loop)
{
    if (pthread_create(&loop->thread, NULL, run, loop) != 0)
        abort(); /* out of memory, or of threads */
}

bool gateway_loop_join(struct gateway_loop *loop)
{
    pthread_join(loop->thread, NULL);
    return is_drained(loop);
}

void gateway_loop_free(struct gateway_loop *loop)
{
    outbox_task_free(loop->outbox);
    postgres_letters_free(loop->api.dead_letters);
    if (loop->status != NULL)
        status_desk_leave(loop->shared->status_desk);
    status_collector_free(loop->status);
    shared_status_free(loop->api.status);
    refresh_jobs_free(loop->api.sales_refresh);
    rabbitmq_queue_free(loop->api.queue);
    shared_reads_free(loop->api.reader);
    stored_waiters_free(loop->api.waits);
    postgres_store_free(loop->api.store);
    elasticsearch_search_free(loop->api.search);
    redis_cache_free(loop->api.cache);
    requests_release(&loop->api.requests);
    loop_timer_free(loop->start);
    loop_timer_free(loop->tick);
    loop_watch_free(loop->stop_watch);
    for (unsigned i = 0; i < loop->port_count; i++)
        http_server_free(loop->ports[i].server);
    event_loop_h2o_free(loop->events);
    h2o_evloop_run(loop->evloop, 0); /* the sockets that were closed */
    h2o_evloop_destroy(loop->evloop);
    free(loop);
}
