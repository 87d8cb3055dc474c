/* The table of the gateway's variables, and what --check tries. */
#include "services/gateway/settings.h"
#include "services/base/certificates.h"
#include "services/clients/elasticsearch/options.h"
#include "services/clients/postgres/connection.h"
#include "services/clients/postgres/options.h"
#include "services/clients/rabbitmq/connection.h"
#include "services/clients/rabbitmq/options.h"
#include "services/clients/rabbitmq/queue_declaration.h"
#include "services/clients/redis/tls.h"
#include "services/gateway/adapters/elasticsearch_search.h"
#include "services/gateway/adapters/service_replicas.h"
#include "services/gateway/adapters/service_urls.h"
#include "services/gateway/cors.h"
#include "services/gateway/gateway.h"
#include "services/http/http_lingering.h"
#include "services/runtime/admin_server.h"
#include "services/runtime/options.h"
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static const char *const on_off[] = {[SETTING_ON] = "on", [SETTING_OFF] = "off", NULL};

static int redis_address_validate(const char *value, struct error *err)
{
    struct host_port address;
    return redis_address_parse(value, &address, err);
}

/* The token is compared with what comes in one header line. */
static int admin_token_validate(const char *value, struct error *err)
{
    for (const char *c = value; *c != '\0'; c++) {
        if (*c < 0x21 || *c > 0x7e) {
            error_set(err, "must be printable ASCII without blanks");
            return -1;
        }
    }
    return 0;
}

static const struct config_option options[] = {
    CONFIG_OPTION("API_ADDRESS", CONFIG_STRING, struct gateway_settings, api_address,
                  .default_text = "::", .help = "numeric address to serve HTTP on; :: is every one",
                  .validate = listen_address_validate),
    CONFIG_OPTION("API_PORT", CONFIG_INTEGER, struct gateway_settings, api_port,
                  .default_text = "8080", .help = "port to serve HTTP on", .minimum = 1,
                  .maximum = 65535),
    CONFIG_OPTION("API_ADMIN", CONFIG_CHOICE, struct gateway_settings, api_admin,
                  .default_text = "on", .help = "off: /api/admin is on the admin port alone",
                  .choices = on_off),
    CONFIG_OPTION("API_METRICS", CONFIG_CHOICE, struct gateway_settings, api_metrics,
                  .default_text = "off", .help = "on: /metrics is on the API port too",
                  .choices = on_off),
    CONFIG_OPTION(
        "API_CONSOLE", CONFIG_CHOICE, struct gateway_settings, api_console, .default_text = "off",
        .help = "on: the API port shows browsers the console too, at /", .choices = on_off),
    CONFIG_OPTION("API_CORS_ORIGINS", CONFIG_STRING, struct gateway_settings, cors_origins,
                  .help = "origins whose scripts may use the API, such as "
                          "https://shop.example,http://localhost:3000; or *",
                  .validate = cors_validate),
    CONFIG_OPTION("API_MAX_CONNECTIONS", CONFIG_INTEGER, struct gateway_settings, max_connections,
                  .default_text = "0",
                  .help =
                      "clients at once; 0: 16384, or fewer when the limit of open files is lower",
                  .minimum = 0, .maximum = 1000000),
    CONFIG_OPTION("API_KEEPALIVE", CONFIG_DURATION, struct gateway_settings, keepalive_ms,
                  .default_text = "75s",
                  .help = "how long a connection without a request is kept; longer than the load "
                          "balancer in front keeps it",
                  .minimum = 1000, .maximum = INT64_C(24) * 3600 * 1000),
    CONFIG_OPTION("API_DRAIN", CONFIG_DURATION, struct gateway_settings, drain_ms,
                  .default_text = "5s",
                  .help = "how long connections are still taken after SIGTERM, while load "
                          "balancers learn of it",
                  .minimum = 0, .maximum = INT64_C(300) * 1000),
    CONFIG_OPTION("API_BODY_BUDGET", CONFIG_INTEGER, struct gateway_settings, body_budget_bytes,
                  .default_text = "67108864",
                  .help = "bytes that the bodies being received may take in all; past it 503",
                  .minimum = 4 * 1024 * 1024, .maximum = INT64_C(1) << 40),
    CONFIG_OPTION("API_ANSWER_BUDGET", CONFIG_INTEGER, struct gateway_settings, answer_budget_bytes,
                  .default_text = "67108864",
                  .help = "bytes that Elasticsearch's answers may take in all, until their clients "
                          "have them; past it 503",
                  .minimum = 4 * 1024 * 1024, .maximum = INT64_C(1) << 40),
    CONFIG_OPTION_ADMIN_ADDRESS(struct gateway_settings, admin_address),
    CONFIG_OPTION_ADMIN_PORT(struct gateway_settings, admin_port, "9105"),
    CONFIG_OPTION("GATEWAY_THREADS", CONFIG_INTEGER, struct gateway_settings, threads,
                  .default_text = "0",
                  .help = "event loops, each with a thread; 0 = one per processor", .minimum = 0,
                  .maximum = 64),
    CONFIG_OPTION_POSTGRES_DSN(struct gateway_settings, postgres_dsn),
    CONFIG_OPTION("REDIS_ADDR", CONFIG_STRING, struct gateway_settings, redis.address,
                  .default_text = "redis:6379",
                  .help = "Redis: host:port, rediss://host:port (TLS) or unix:/path",
                  .validate = redis_address_validate),
    CONFIG_OPTION("REDIS_CA_FILE", CONFIG_STRING, struct gateway_settings, redis.ca_file,
                  .help = "certificates (PEM) that a rediss:// server must be signed by; else the "
                          "system's",
                  .validate = certificates_validate),
    CONFIG_OPTION("REDIS_USERNAME", CONFIG_STRING, struct gateway_settings, redis.username,
                  .help = "user for Redis; needs REDIS_PASSWORD"),
    CONFIG_OPTION("REDIS_PASSWORD", CONFIG_SECRET, struct gateway_settings, redis.password,
                  .help = "password for Redis"),
    CONFIG_OPTION("ORDER_CACHE_TTL", CONFIG_DURATION, struct gateway_settings, order_cache_ttl_ms,
                  .default_text = "24h", .help = "how long an order stays in the cache",
                  /* longer than a provisional entry lives (order_cache.h) */
                  .minimum = INT64_C(60) * 1000, .maximum = INT64_C(365) * 24 * 3600 * 1000),
    CONFIG_OPTION_RABBITMQ_URL(struct gateway_settings, rabbitmq_url),
    CONFIG_OPTION_RABBITMQ_CA_FILE(struct gateway_settings, rabbitmq_ca_file),
    CONFIG_OPTION_ORDER_QUEUE(struct gateway_settings, order_queue),
    CONFIG_OPTION_ORDER_QUEUE_TYPE(struct gateway_settings, order_queue_type),
    CONFIG_OPTION("ORDER_PUBLISH_WINDOW", CONFIG_INTEGER, struct gateway_settings, publish_window,
                  .default_text = "4096",
                  .help =
                      "orders given to RabbitMQ and not confirmed yet; more are refused with 503",
                  .minimum = 1, .maximum = 65536),
    CONFIG_OPTION_ELASTICSEARCH_URL(struct gateway_settings, elasticsearch.url),
    CONFIG_OPTION_ELASTICSEARCH_CA_FILE(struct gateway_settings, elasticsearch.ca_file),
    CONFIG_OPTION_ELASTICSEARCH_API_KEY(struct gateway_settings, elasticsearch.api_key),
    CONFIG_OPTION_ORDER_INDEX(struct gateway_settings, order_index),
    CONFIG_OPTION("ADMIN_TOKEN", CONFIG_SECRET, struct gateway_settings, admin_token,
                  .help =
                      "bearer token of operators, for /api/admin; without a token that answers 403",
                  .validate = admin_token_validate),
    CONFIG_OPTION("ADMIN_READ_TOKEN", CONFIG_SECRET, struct gateway_settings, admin_read_token,
                  .help = "bearer token with which /api/admin may be read, and nothing changed",
                  .validate = admin_token_validate),
    CONFIG_OPTION("ADMIN_AUTH", CONFIG_CHOICE, struct gateway_settings, admin_auth,
                  .default_text = "on", .help = "off: POST /api/admin/refresh asks for no token",
                  .choices = on_off),
    CONFIG_OPTION("SERVICE_ADMIN_URLS", CONFIG_STRING, struct gateway_settings, service_urls,
                  .help = "the other services' admin ports, for GET /api/admin/status: "
                          "http://bridge:9101,http://persister:9102; each address of a name is a "
                          "replica. Or the path of a file of them, which is read again",
                  .validate = service_urls_validate),
    CONFIG_OPTION("IDEMPOTENCY_NAMESPACE", CONFIG_SECRET, struct gateway_settings,
                  idempotency_namespace, .default_text = "order-pipeline",
                  .help = "any text; equal in all gateways, and of its own in each deployment"),
};

static int validate(const void *arg, struct error *err)
{
    const struct gateway_settings *settings = arg;
    if (settings->redis.username != NULL && settings->redis.password == NULL) {
        error_set(err, "REDIS_USERNAME: needs REDIS_PASSWORD");
        return -1;
    }
    if (settings->admin_token != NULL && settings->admin_read_token != NULL &&
        strcmp(settings->admin_token, settings->admin_read_token) == 0) {
        error_set(err, "ADMIN_READ_TOKEN: must differ from ADMIN_TOKEN");
        return -1;
    }
    return 0;
}

/* ---- --check ---- */

static int reach_postgres(const void *arg, struct error *err)
{
    const struct gateway_settings *settings = arg;
    return database_reach(settings->postgres_dsn, GATEWAY_DATABASE_USES, err);
}

static int reach_redis(const void *arg, struct error *err)
{
    const struct gateway_settings *settings = arg;
    return redis_reach(&settings->redis, err);
}

static int reach_rabbitmq(const void *arg, struct error *err)
{
    const struct gateway_settings *settings = arg;
    return broker_reach(&(struct broker_options){.url = settings->rabbitmq_url,
                                                 .ca_file = settings->rabbitmq_ca_file,
                                                 .name = "gateway check"},
                        err);
}

static int reach_elasticsearch(const void *arg, struct error *err)
{
    const struct gateway_settings *settings = arg;
    return elasticsearch_search_reach(&settings->elasticsearch, settings->order_index, err);
}

static const struct service_probe probes[] = {
    {"postgres", reach_postgres},           {"redis", reach_redis}, {"rabbitmq", reach_rabbitmq},
    {"elasticsearch", reach_elasticsearch}, {NULL, NULL},
};

static int64_t stop_delay_ms(const void *arg)
{
    const struct gateway_settings *settings = arg;
    return settings->drain_ms;
}

#define CONNECTIONS_MIN 64          /* that it starts with, when no number is asked for */
#define LOOP_DESCRIPTORS 64         /* of a loop: its listeners and its connections to servers */
#define CONNECTION_BYTES (8 * 1024) /* of a client, while it waits for an answer */
#define ORDER_BYTES 4096

unsigned gateway_threads(const struct gateway_settings *settings)
{
    return settings->threads > 0 ? (unsigned)settings->threads
                                 : (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
}

uint64_t gateway_own_descriptors(const struct gateway_settings *settings)
{
    return 2 * ADMIN_SERVER_CONNECTIONS_MAX +
           (settings->service_urls != NULL ? UINT64_C(1) * SERVICE_REPLICAS_MAX : 0) +
           gateway_threads(settings) * UINT64_C(1) * (LOOP_DESCRIPTORS + HTTP_LINGERING_MAX);
}

static struct limits_wanted wanted(const void *arg)
{
    const struct gateway_settings *settings = arg;
    uint64_t connections =
        settings->max_connections > 0 ? (uint64_t)settings->max_connections : CONNECTIONS_MIN;
    return (struct limits_wanted){
        .descriptors = gateway_own_descriptors(settings) + connections,
        .descriptors_for = "API_MAX_CONNECTIONS and GATEWAY_THREADS",
        .memory_bytes =
            SERVICE_MEMORY_BYTES + (uint64_t)settings->body_budget_bytes +
            (uint64_t)settings->answer_budget_bytes + connections * CONNECTION_BYTES +
            (uint64_t)settings->publish_window * ORDER_BYTES +
            (settings->service_urls != NULL ? UINT64_C(1) * SERVICE_REPLICAS_ANSWERS_MAX_BYTES : 0),
        .threads = gateway_threads(settings) + 6,
        .memory_for = "API_BODY_BUDGET, API_ANSWER_BUDGET, API_MAX_CONNECTIONS and "
                      "ORDER_PUBLISH_WINDOW",
    };
}

const struct service gateway_service = {
    .name = "gateway",
    .summary = "takes orders over HTTP, and answers what has become of them",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .settings = &(struct gateway_settings){0},
    .admin_address = offsetof(struct gateway_settings, admin_address),
    .admin_port = offsetof(struct gateway_settings, admin_port),
    .run_serves_admin = true,
    .probes = probes,
    .validate = validate,
    .wanted = wanted,
    .stop_delay_ms = stop_delay_ms,
    .run = gateway_run,
};
