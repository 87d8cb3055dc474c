#include "services/gateway/settings.h"
#include "services/clients/elasticsearch/options.h"
#include "services/clients/postgres/connection.h"
#include "services/clients/postgres/options.h"
#include "services/clients/rabbitmq/connection.h"
#include "services/clients/rabbitmq/options.h"
#include "services/clients/rabbitmq/queue_declaration.h"
#include "services/runtime/options.h"
#include <stddef.h>

#define MEMBER(field) offsetof(struct gateway_settings, field)

static const char *const on_off[] = {[ADMIN_AUTH_ON] = "on", [ADMIN_AUTH_OFF] = "off", NULL};

static int redis_address_validate(const char *value, struct error *err)
{
    struct host_port address;
    return host_port_parse(value, 6379, &address, err);
}

/* It is compared with what comes in one header line. */
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

const struct config_option gateway_options[] = {
    {.name = "API_ADDRESS",
     .default_text = "0.0.0.0",
     .help = "numeric address to serve HTTP on",
     .kind = CONFIG_STRING,
     .offset = MEMBER(api_address),
     .validate = listen_address_validate},
    {.name = "API_PORT",
     .default_text = "8080",
     .help = "port to serve HTTP on",
     .kind = CONFIG_INTEGER,
     .offset = MEMBER(api_port),
     .minimum = 1,
     .maximum = 65535},
    {.name = "API_MAX_CONNECTIONS",
     .default_text = "16384",
     .help = "clients at once; fewer when the limit of open files is lower",
     .kind = CONFIG_INTEGER,
     .offset = MEMBER(max_connections),
     .minimum = 1,
     .maximum = 1000000},
    {.name = "GATEWAY_THREADS",
     .default_text = "0",
     .help = "event loops, each with a thread; 0 = one per processor",
     .kind = CONFIG_INTEGER,
     .offset = MEMBER(threads),
     .minimum = 0,
     .maximum = 64},
    CONFIG_OPTION_POSTGRES_DSN(struct gateway_settings, postgres_dsn),
    {.name = "REDIS_ADDR",
     .default_text = "redis:6379",
     .help = "Redis: host:port or unix:/path",
     .kind = CONFIG_STRING,
     .offset = MEMBER(redis_addr),
     .validate = redis_address_validate},
    {.name = "REDIS_USERNAME",
     .help = "user for Redis; needs REDIS_PASSWORD",
     .kind = CONFIG_STRING,
     .offset = MEMBER(redis_username)},
    {.name = "REDIS_PASSWORD",
     .help = "password for Redis",
     .kind = CONFIG_SECRET,
     .offset = MEMBER(redis_password)},
    {.name = "ORDER_CACHE_TTL",
     .default_text = "24h",
     .help = "how long an order stays in the cache",
     .kind = CONFIG_DURATION,
     .offset = MEMBER(order_cache_ttl_ms),
     /* longer than a provisional entry lives (order_cache.h) */
     .minimum = INT64_C(60) * 1000,
     .maximum = INT64_C(365) * 24 * 3600 * 1000},
    CONFIG_OPTION_RABBITMQ_URL(struct gateway_settings, rabbitmq_url),
    CONFIG_OPTION_RABBITMQ_CA_FILE(struct gateway_settings, rabbitmq_ca_file),
    CONFIG_OPTION_ORDER_QUEUE(struct gateway_settings, order_queue),
    CONFIG_OPTION_ORDER_QUEUE_TYPE(struct gateway_settings, order_queue_type),
    {.name = "ORDER_PUBLISH_WINDOW",
     .default_text = "4096",
     .help = "orders given to RabbitMQ and not confirmed yet; more are refused with 503",
     .kind = CONFIG_INTEGER,
     .offset = MEMBER(publish_window),
     .minimum = 1,
     .maximum = 65536},
    CONFIG_OPTION_ELASTICSEARCH_URL(struct gateway_settings, elasticsearch_url),
    CONFIG_OPTION_ELASTICSEARCH_CA_FILE(struct gateway_settings, elasticsearch_ca_file),
    CONFIG_OPTION_ELASTICSEARCH_API_KEY(struct gateway_settings, elasticsearch_api_key),
    CONFIG_OPTION_ORDER_INDEX(struct gateway_settings, order_index),
    {.name = "SCHEDULER_ENDPOINTS",
     .default_text = "tcp://scheduler:7200",
     .help = "the schedulers to ask for a refresh, a comma between them",
     .kind = CONFIG_STRING,
     .offset = MEMBER(scheduler_endpoints),
     .validate = zmq_endpoint_list_validate},
    {.name = "ADMIN_TOKEN",
     .help = "bearer token of POST /api/admin/refresh; without it that answers 403",
     .kind = CONFIG_SECRET,
     .offset = MEMBER(admin_token),
     .validate = admin_token_validate},
    {.name = "ADMIN_AUTH",
     .default_text = "on",
     .help = "off: POST /api/admin/refresh asks for no token",
     .kind = CONFIG_CHOICE,
     .offset = MEMBER(admin_auth),
     .choices = on_off},
    {.name = "IDEMPOTENCY_NAMESPACE",
     .default_text = "order-pipeline",
     .help = "any text; equal in all gateways, and of its own in each deployment",
     .kind = CONFIG_SECRET,
     .offset = MEMBER(idempotency_namespace)},
};
const size_t gateway_option_count = sizeof(gateway_options) / sizeof(gateway_options[0]);
