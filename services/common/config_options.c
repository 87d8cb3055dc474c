/* Checks of option values that several services share. */
#include "services/common/config_options.h"
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

int file_validate(const char *value, struct error *err)
{
    if (access(value, R_OK) == 0)
        return 0;
    error_set(err, "cannot read the file: %s", strerror(errno));
    return -1;
}

/* AMQP 0-9-1 allows 255 bytes (short string), and ".dead" comes on top; names that begin with
 * "amq." are the broker's own. */
int queue_name_validate(const char *value, struct error *err)
{
    if (strlen(value) <= 255 - strlen(".dead") && strncmp(value, "amq.", 4) != 0)
        return 0;
    error_set(err, "a queue name has at most 250 bytes and does not begin with amq.");
    return -1;
}

/* Every item of a list. */
static int list_validate(const char *value,
                         int (*validate_item)(const char *item, struct error *err),
                         struct error *err)
{
    struct endpoint_list list;
    if (endpoint_list_parse(value, &list, err) != 0)
        return -1;
    for (size_t i = 0; i < list.count; i++) {
        if (validate_item(list.items[i], err) != 0)
            return -1;
    }
    return 0;
}

int bridge_endpoint_validate(const char *value, struct error *err)
{
    struct bridge_endpoints endpoints;
    return bridge_endpoints_parse(value, &endpoints, err);
}

int bridge_endpoint_list_validate(const char *value, struct error *err)
{
    return list_validate(value, bridge_endpoint_validate, err);
}

int zmq_endpoint_list_validate(const char *value, struct error *err)
{
    return list_validate(value, zmq_endpoint_validate, err);
}

int listen_address_validate(const char *value, struct error *err)
{
    unsigned char address[sizeof(struct in6_addr)];
    if (inet_pton(AF_INET, value, address) == 1 || inet_pton(AF_INET6, value, address) == 1)
        return 0;
    error_set(err, "must be a numeric IPv4 or IPv6 address");
    return -1;
}
