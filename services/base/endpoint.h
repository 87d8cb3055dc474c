/* Addresses as configured. */
#ifndef BASE_ENDPOINT_H
#define BASE_ENDPOINT_H

#include "proto/error.h"
#include "proto/stage.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* redis:6379, [::1]:6379, rediss://redis:6379, unix:/path */
struct host_port {
    bool tls;
    char host[256]; /* or the socket's path */
    uint16_t port;  /* 0 for a Unix socket */
};
int host_port_parse(const char *text, uint16_t default_port, struct host_port *ret,
                    struct error *err) __attribute__((warn_unused_result));

/* A bridge's sockets, from its one endpoint: tcp://H:P gives P, P+1, P+2; ipc://PATH gives
 * PATH.persist, PATH.index, PATH.reply. */
#define ENDPOINT_SIZE 256
struct bridge_endpoints {
    char jobs[STAGES][ENDPOINT_SIZE], reply[ENDPOINT_SIZE];
};
int bridge_endpoints_parse(const char *text, struct bridge_endpoints *ret, struct error *err)
    __attribute__((warn_unused_result));

/* Of a valid endpoint of a bridge. */
bool bridge_endpoint_is_tcp(const char *text);
/* tcp:// to an address in 127.0.0.0/8 or to ::1. A name is none: what it stands for is elsewhere.
 */
bool bridge_endpoint_is_loopback(const char *text);

/* Split a comma-separated list; blanks around items are dropped, an empty item is an error. */
#define ENDPOINT_LIST_MAX 16
struct endpoint_list {
    size_t count;
    char items[ENDPOINT_LIST_MAX][ENDPOINT_SIZE];
};
int endpoint_list_parse(const char *text, struct endpoint_list *ret, struct error *err)
    __attribute__((warn_unused_result));

/* Checks, for config_option.validate. */
int bridge_endpoint_validate(const char *value, struct error *err);
/* Endpoints to connect to, so without a wildcard. */
int bridge_endpoint_list_validate(const char *value, struct error *err);
int listen_address_validate(const char *value, struct error *err);

#endif
