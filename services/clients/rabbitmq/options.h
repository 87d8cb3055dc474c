/* Rows of the configuration table for RabbitMQ. Each takes the service's settings struct and the
 * member that holds the value. */
#ifndef CLIENTS_RABBITMQ_OPTIONS_H
#define CLIENTS_RABBITMQ_OPTIONS_H

#include "services/base/certificates.h"
#include "services/base/config.h"
#include "services/clients/rabbitmq/amqp_url.h"
#include "services/clients/rabbitmq/queue_declaration.h"

/* char * */
#define CONFIG_OPTION_RABBITMQ_URL(type, field)                                                    \
    CONFIG_OPTION("RABBITMQ_URL", CONFIG_SECRET, type, field,                                      \
                  .default_text = "amqp://guest:guest@rabbitmq:5672/",                             \
                  .help = "RabbitMQ: amqp[s]://user:password@host:port/vhost; for several "        \
                          "servers URLs with commas between",                                      \
                  .validate = amqp_url_list_validate)

/* char *, NULL by default */
#define CONFIG_OPTION_RABBITMQ_CA_FILE(type, field)                                                \
    CONFIG_OPTION("RABBITMQ_CA_FILE", CONFIG_STRING, type, field,                                  \
                  .help = "certificates (PEM) that an amqps:// server must be "                    \
                          "signed by; else the system's",                                          \
                  .validate = certificates_validate)

/* char * */
#define CONFIG_OPTION_ORDER_QUEUE(type, field)                                                     \
    CONFIG_OPTION("ORDER_QUEUE", CONFIG_STRING, type, field, .default_text = "order_queue",        \
                  .help = "the queue of accepted orders; poison goes to the one with .dead added", \
                  .validate = queue_name_validate)

/* int: enum queue_type */
#define CONFIG_OPTION_ORDER_QUEUE_TYPE(type, field)                                                \
    CONFIG_OPTION("ORDER_QUEUE_TYPE", CONFIG_CHOICE, type, field, .default_text = "quorum",        \
                  .help = "how the queue is declared when it does not exist yet",                  \
                  .choices = (const char *const[]){                                                \
                      [QUEUE_QUORUM] = "quorum", [QUEUE_CLASSIC] = "classic", NULL})

#endif
