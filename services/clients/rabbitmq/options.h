/* Rows of the configuration table for RabbitMQ. Each takes the service's settings struct and the
 * member that holds the value. */
#ifndef CLIENTS_RABBITMQ_OPTIONS_H
#define CLIENTS_RABBITMQ_OPTIONS_H

#include "services/base/config.h"
#include "services/clients/rabbitmq/connection.h"
#include "services/clients/rabbitmq/queue_declaration.h"

/* char * */
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

/* int: enum queue_type */
#define CONFIG_OPTION_ORDER_QUEUE_TYPE(type, field)                                                \
    {                                                                                              \
        .name = "ORDER_QUEUE_TYPE", .default_text = "quorum",                                      \
        .help = "how the queue is declared when it does not exist yet", .kind = CONFIG_CHOICE,     \
        .offset = offsetof(type, field), .choices = (const char *const[])                          \
        {                                                                                          \
            [QUEUE_QUORUM] = "quorum", [QUEUE_CLASSIC] = "classic", NULL                           \
        }                                                                                          \
    }

#endif
