/* Rows of the configuration table that several services share: name, default, help and check are
 * written once. Each takes the service's settings struct and the member that holds the value:
 *   static const struct config_option options[] = {
 *       CONFIG_OPTION_RABBITMQ_URL(struct bridge_settings, rabbitmq_url), ...
 * LOG_LEVEL is no row of any table: service_main() reads it for all. */
#ifndef COMMON_CONFIG_OPTIONS_H
#define COMMON_CONFIG_OPTIONS_H

#include "services/common/config.h"
#include "services/common/elasticsearch.h"
#include "services/common/endpoint.h"

/* char *. Include services/common/database/connection.h, too. */
#define CONFIG_OPTION_POSTGRES_DSN(type, field)                                                    \
    {                                                                                              \
        .name = "POSTGRES_DSN",                                                                    \
        .default_text =                                                                            \
            "user=postgres password=secret dbname=ecommerce sslmode=disable host=postgres",        \
        .help = "PostgreSQL, as libpq keywords or URI", .kind = CONFIG_SECRET,                     \
        .offset = offsetof(type, field), .validate = database_dsn_validate                         \
    }

/* char *. Include services/common/broker/connection.h, too. */
#define CONFIG_OPTION_RABBITMQ_URL(type, field)                                                    \
    {                                                                                              \
        .name = "RABBITMQ_URL", .default_text = "amqp://guest:guest@rabbitmq:5672/",               \
        .help = "RabbitMQ: amqp[s]://user:password@host:port/vhost", .kind = CONFIG_SECRET,        \
        .offset = offsetof(type, field), .validate = broker_url_validate                           \
    }

/* char *, NULL by default */
#define CONFIG_OPTION_RABBITMQ_CA_FILE(type, field)                                                \
    {                                                                                              \
        .name = "RABBITMQ_CA_FILE",                                                                \
        .help = "certificates (PEM) that an amqps:// server must be "                              \
                "signed by; else the system's",                                                    \
        .kind = CONFIG_STRING, .offset = offsetof(type, field), .validate = file_validate          \
    }

/* char * */
#define CONFIG_OPTION_ORDER_QUEUE(type, field)                                                     \
    {                                                                                              \
        .name = "ORDER_QUEUE", .default_text = "order_queue",                                      \
        .help = "the queue of accepted orders; poison goes to the one with .dead added",           \
        .kind = CONFIG_STRING, .offset = offsetof(type, field), .validate = queue_name_validate    \
    }

/* int: enum queue_type. Include services/common/broker/queue_declaration.h, too. */
#define CONFIG_OPTION_ORDER_QUEUE_TYPE(type, field)                                                \
    {                                                                                              \
        .name = "ORDER_QUEUE_TYPE", .default_text = "quorum",                                      \
        .help = "how the queue is declared when it does not exist yet", .kind = CONFIG_CHOICE,     \
        .offset = offsetof(type, field), .choices = (const char *const[])                          \
        {                                                                                          \
            [QUEUE_QUORUM] = "quorum", [QUEUE_CLASSIC] = "classic", NULL                           \
        }                                                                                          \
    }

/* char * */
#define CONFIG_OPTION_ELASTICSEARCH_URL(type, field)                                               \
    {                                                                                              \
        .name = "ELASTICSEARCH_URL", .default_text = "http://elasticsearch:9200",                  \
        .help = "Elasticsearch or OpenSearch: http[s]://[user:password@]host:port[/prefix]",       \
        .kind = CONFIG_SECRET, .offset = offsetof(type, field),                                    \
        .validate = elasticsearch_url_validate                                                     \
    }

/* char *, NULL by default */
#define CONFIG_OPTION_ELASTICSEARCH_CA_FILE(type, field)                                           \
    {                                                                                              \
        .name = "ELASTICSEARCH_CA_FILE",                                                           \
        .help = "certificates (PEM) that an https:// server must be signed by; else the system's", \
        .kind = CONFIG_STRING, .offset = offsetof(type, field), .validate = file_validate          \
    }

/* char *, NULL by default */
#define CONFIG_OPTION_ELASTICSEARCH_API_KEY(type, field)                                           \
    {                                                                                              \
        .name = "ELASTICSEARCH_API_KEY",                                                           \
        .help = "API key (encoded), instead of a user and password in the URL",                    \
        .kind = CONFIG_SECRET, .offset = offsetof(type, field),                                    \
        .validate = elasticsearch_api_key_validate                                                 \
    }

/* char * */
#define CONFIG_OPTION_ORDER_INDEX(type, field)                                                     \
    {                                                                                              \
        .name = "ORDER_INDEX", .default_text = "orders", .help = "the index of the orders",        \
        .kind = CONFIG_STRING, .offset = offsetof(type, field),                                    \
        .validate = elasticsearch_index_validate                                                   \
    }

/* char *, for endpoint_list_parse() and then bridge_endpoints_parse() */
#define CONFIG_OPTION_BRIDGE_ENDPOINTS(type, field)                                                \
    {                                                                                              \
        .name = "BRIDGE_ENDPOINTS", .default_text = "tcp://bridge:7100",                           \
        .help = "the bridges to work for, a comma between them; each tcp://host:port (also uses "  \
                "the next two ports) or ipc://path",                                               \
        .kind = CONFIG_STRING, .offset = offsetof(type, field),                                    \
        .validate = bridge_endpoint_list_validate                                                  \
    }

/* char * */
#define CONFIG_OPTION_ADMIN_ADDRESS(type, field)                                                   \
    {                                                                                              \
        .name = "ADMIN_ADDRESS", .default_text = "0.0.0.0",                                        \
        .help = "numeric address to serve /livez, /readyz and /metrics on", .kind = CONFIG_STRING, \
        .offset = offsetof(type, field), .validate = listen_address_validate                       \
    }

/* int64_t */
#define CONFIG_OPTION_ADMIN_PORT(type, field, default_port_text)                                   \
    {                                                                                              \
        .name = "ADMIN_PORT", .default_text = default_port_text,                                   \
        .help = "port of /livez, /readyz and /metrics", .kind = CONFIG_INTEGER,                    \
        .offset = offsetof(type, field), .minimum = 1, .maximum = 65535                            \
    }

/* Checks, for config_option.validate. */
int file_validate(const char *value, struct error *err); /* can it be read now? */
int queue_name_validate(const char *value, struct error *err);
int bridge_endpoint_validate(const char *value, struct error *err);
int bridge_endpoint_list_validate(const char *value, struct error *err);
int zmq_endpoint_list_validate(const char *value, struct error *err);
int listen_address_validate(const char *value, struct error *err);

#endif
