/* Sets up what the loops share (the publisher, the metrics, the state of the dependencies), runs
 * the loops, and takes all down in an order that answers what can be answered: connections drain,
 * then confirms, then the rest. */
#include "services/gateway/gateway.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/clients/rabbitmq/publisher.h"
#include "services/gateway/adapters/redis_cache.h"
#include "services/gateway/adapters/shared_reads.h"
#include "services/gateway/adapters/shared_status.h"
#include "services/gateway/loop.h"
#include "services/gateway/router.h"
#include "services/http/http_server.h"
#include "services/runtime/health.h"
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define LARGE_BYTES (256 * 1024) /* given back to the system when freed */
#define CONNECTIONS_USUAL 16384
#define CONFIRM_DRAIN_MS 1000
#define BROKER_PATIENCE_MS 10000 /* a shorter outage does not make the gateway unready */

struct gateway {
    struct loop_shared shared;
    struct byte_budget bodies, answers;
    atomic_uint waiting, owed;
    struct cors cors;
    struct gateway_loop **loops;
    unsigned loop_count;

    struct dependency_link *broker;
    struct health_check *accepting; /* orders */
    pthread_mutex_t mutex;
    int64_t broker_down_since_ms; /* 0: it is up */
};

/* ---- the broker's state: at once a dependency that is down; unready only when it lasts ---- */

static void on_broker_state(void *arg, bool up, const char *reason)
{
    struct gateway *gateway = arg;
    dependency_report(gateway->broker, up, reason);
    if (up && reason != NULL)
        log_warn("the order queue differs", log_text("reason", reason));
    pthread_mutex_lock(&gateway->mutex);
    if (up) {
        gateway->broker_down_since_ms = 0;
        (void)health_set(gateway->accepting, true, NULL); /* logged as a dependency */
    } else if (gateway->broker_down_since_ms == 0) {
        gateway->broker_down_since_ms = clock_monotonic_ms();
    }
    pthread_mutex_unlock(&gateway->mutex);
}

static void on_tick(void *arg)
{
    struct gateway *gateway = arg;
    pthread_mutex_lock(&gateway->mutex);
    if (gateway->broker_down_since_ms != 0 &&
        clock_monotonic_ms() >= gateway->broker_down_since_ms + BROKER_PATIENCE_MS &&
        health_set(gateway->accepting, false, "rabbitmq has been down for over 10 s"))
        log_warn("not ready: rabbitmq has been down for over 10 s");
    pthread_mutex_unlock(&gateway->mutex);
}

/* ---- set-up ---- */

/* Connections each loop may have: as many as were asked for, which the start has found possible,
 * else as many as there are descriptors for. */
static unsigned connections_per_loop(const struct gateway *gateway)
{
    const struct gateway_settings *settings = gateway->shared.settings;
    uint64_t connections = (uint64_t)settings->max_connections;
    if (connections == 0) {
        uint64_t possible = limits_raise_descriptors() - gateway_own_descriptors(settings);
        connections = possible < CONNECTIONS_USUAL ? possible : CONNECTIONS_USUAL;
        if (connections < CONNECTIONS_USUAL)
            log_warn("the limit of open files allows fewer connections than usual",
                     log_number("usual", CONNECTIONS_USUAL), log_number("possible", connections));
    }
    uint64_t each = connections / gateway->loop_count;
    return each > 0 ? (unsigned)each : 1;
}

static struct order_id namespace_from_text(const char *text)
{
    /* Of this project: fixed for ever, since ids derive from it. */
    static const struct order_id root = {{0x6f, 0x9b, 0x0c, 0x5e, 0x2d, 0x41, 0x4f, 0x6a, 0x9e,
                                          0x1c, 0x37, 0x84, 0xa1, 0x5d, 0xb2, 0x08}};
    return order_id_from_key(&root, text, strlen(text));
}

static struct publisher *start_publisher(struct gateway *gateway)
{
    const struct gateway_settings *settings = gateway->shared.settings;
    const struct publisher_options options = {
        .broker = {.url = settings->rabbitmq_url,
                   .ca_file = settings->rabbitmq_ca_file,
                   .name = "gateway publisher"},
        .queue = settings->order_queue,
        .queue_type = (enum queue_type)settings->order_queue_type,
        .window = (unsigned)settings->publish_window,
        .on_state = on_broker_state,
        .arg = gateway,
    };
    return publisher_new(&options);
}

static void register_state(struct gateway *gateway)
{
    router_register_metrics();
    redis_cache_register_metrics();
    gateway->accepting = health_check("accepting_orders", HEALTH_REQUIRED);
    gateway->shared.rabbitmq = dependency_new("rabbitmq");
    gateway->broker = dependency_link_new(gateway->shared.rabbitmq);
    gateway->shared.metrics = api_metrics();
    gateway->shared.postgres = dependency_new("postgres");
    gateway->shared.redis = dependency_new("redis");
    gateway->shared.elasticsearch = dependency_new("elasticsearch");
    gateway->shared.scheduler = dependency_new("scheduler");
    gateway->shared.search_index = dependency_new("search_index");
}

/* A listening socket of the API port for each loop. The sockets share their address, and would
 * share it with another gateway too: listening alone first finds out whether the address is free.
 */
static int listen_all(const struct gateway *gateway, int *ret_fds, struct error *err)
{
    const char *address = gateway->shared.settings->api_address;
    uint16_t port = (uint16_t)gateway->shared.settings->api_port;
    int alone = http_listen(address, port, false, err);
    if (alone == -1)
        return -1;
    close(alone);
    for (unsigned i = 0; i < gateway->loop_count; i++) {
        ret_fds[i] = http_listen(address, port, true, err);
        if (ret_fds[i] == -1)
            return -1; /* the process ends */
    }
    return 0;
}

static int make_loops(struct gateway *gateway, struct error *err)
{
    const struct gateway_settings *settings = gateway->shared.settings;
    int *fds = memory_new_array(gateway->loop_count, sizeof(*fds));
    int admin_fd = http_listen(settings->admin_address, (uint16_t)settings->admin_port, false, err);
    if (admin_fd == -1 || listen_all(gateway, fds, err) != 0) { /* the process ends */
        free(fds);
        return -1;
    }
    gateway->shared.publisher = start_publisher(gateway);
    gateway->loops = memory_new_array(gateway->loop_count, sizeof(*gateway->loops));
    for (unsigned i = 0; i < gateway->loop_count; i++)
        gateway->loops[i] = gateway_loop_new(&gateway->shared, i, fds[i], i == 0 ? admin_fd : -1);
    free(fds);
    return 0;
}

int gateway_run(const void *arg, int stop_fd, struct error *err)
{
    const struct gateway_settings *settings = arg;
    /* The first large answer that is freed would make the allocator keep such memory (mallopt(3)):
     * on top of what the budgets allow. */
    (void)mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
    static struct gateway gateway; /* one per process; outlives all that reports to it */
    pthread_mutex_init(&gateway.mutex, NULL);
    gateway.loop_count = gateway_threads(settings);
    gateway.shared = (struct loop_shared){
        .settings = settings,
        .api_settings = {.admin_token = settings->admin_token,
                         .admin_read_token = settings->admin_read_token,
                         .admin_auth = settings->admin_auth == SETTING_ON,
                         .public_admin = settings->api_admin == SETTING_ON,
                         .public_metrics = settings->api_metrics == SETTING_ON,
                         .public_console = settings->api_console == SETTING_ON,
                         .idempotency_namespace =
                             namespace_from_text(settings->idempotency_namespace)},
        .reads = read_table_new(),
        .status_desk = status_desk_new(),
        .bodies = &gateway.bodies,
        .answers = &gateway.answers,
        .waiting = &gateway.waiting,
        .owed = &gateway.owed,
        .stop_fd = stop_fd,
        .started_ms = clock_monotonic_ms(),
        .on_tick = on_tick,
        .arg = &gateway,
    };
    if (settings->cors_origins != NULL) {
        if (cors_parse(settings->cors_origins, &gateway.cors, err) != 0)
            return -1; /* it was validated */
        gateway.shared.api_settings.cors = &gateway.cors;
    }
    gateway.bodies.limit_bytes = (size_t)settings->body_budget_bytes;
    gateway.answers.limit_bytes = (size_t)settings->answer_budget_bytes;
    register_state(&gateway);
    gateway.shared.max_connections = connections_per_loop(&gateway);
    gateway.shared.outbox_wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (gateway.shared.outbox_wake_fd == -1) {
        error_set(err, "out of file descriptors");
        return -1;
    }
    if (make_loops(&gateway, err) != 0)
        return -1;

    for (unsigned i = 0; i < gateway.loop_count; i++)
        gateway_loop_start(gateway.loops[i]);
    log_info("serving", log_number("port", settings->api_port),
             log_number("admin_port", settings->admin_port),
             log_number("threads", gateway.loop_count));

    bool drained = true;
    for (unsigned i = 0; i < gateway.loop_count; i++)
        drained = gateway_loop_join(gateway.loops[i]) && drained;
    publisher_free(gateway.shared.publisher, CONFIRM_DRAIN_MS);
    if (!drained) {
        /* A client still waits for an answer, whose operations use all that is freed below. */
        log_warn("stopped with requests unanswered");
        return 0;
    }
    for (unsigned i = 0; i < gateway.loop_count; i++)
        gateway_loop_free(gateway.loops[i]);
    free(gateway.loops);
    read_table_free(gateway.shared.reads);
    status_desk_free(gateway.shared.status_desk);
    close(gateway.shared.outbox_wake_fd);
    return 0;
}
