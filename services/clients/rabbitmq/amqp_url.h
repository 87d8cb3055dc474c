/* RABBITMQ_URL: the servers of RabbitMQ and how to log in to them. */
#ifndef CLIENTS_RABBITMQ_AMQP_URL_H
#define CLIENTS_RABBITMQ_AMQP_URL_H

#include "proto/error.h"
#include <stdbool.h>
#include <stdint.h>

/* amqp[s]://user:password@host:port/vhost (https://www.rabbitmq.com/uri-spec.html), decoded. */
struct amqp_url {
    bool tls;
    char host[256]; /* an IPv6 address without its brackets */
    uint16_t port;
    char user[128], password[256], vhost[256];
};

/* "host:port", an address with its brackets. */
#define AMQP_URL_SERVER_SIZE (256 + 8)
void amqp_url_server(const struct amqp_url *url, char server[AMQP_URL_SERVER_SIZE]);

/* Parse one URL. Returns 0 and *ret, or -1 with `err` set, which never quotes the text, and *ret
 * untouched. */
int amqp_url_parse(const char *text, struct amqp_url *ret, struct error *err)
    __attribute__((warn_unused_result));

struct amqp_url_list {
    unsigned count; /* at least 1 */
    struct amqp_url *urls;
};

/* Parse URLs with commas between them. A comma is legal in a password: a new URL begins only where
 * amqp:// or amqps:// follows the comma. Returns 0 and *ret, to be released with
 * amqp_url_list_release(), or -1 as above. */
int amqp_url_list_parse(const char *text, struct amqp_url_list *ret, struct error *err)
    __attribute__((warn_unused_result));
void amqp_url_list_release(struct amqp_url_list *list);

/* For config_option.validate. */
int amqp_url_list_validate(const char *text, struct error *err);

#endif
