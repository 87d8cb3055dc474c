/* Where the other services' admin ports are: SERVICE_ADMIN_URLS. */
#ifndef GATEWAY_ADAPTERS_SERVICE_URLS_H
#define GATEWAY_ADAPTERS_SERVICE_URLS_H

#include "proto/error.h"
#include "services/base/endpoint.h"
#include <stdbool.h>
#include <stddef.h>

#define SERVICE_URLS_MAX 64
#define SERVICE_URL_SIZE 300

struct service_url {
    char text[SERVICE_URL_SIZE]; /* http://HOST:PORT, without a slash at the end */
    struct host_port address;
};

struct service_urls {
    size_t count;
    struct service_url items[SERVICE_URLS_MAX];
};

/* Read the setting: a list of URLs http://HOST:PORT, or the absolute path of a file of them. A
 * comma, blanks or line ends stand between URLs; in a file, '#' begins a comment. Returns 0 and
 * *ret_urls, or -1 with `err` set and *ret_urls untouched. A file is read at once, which may block
 * as its file system does. */
int service_urls_read(const char *setting, struct service_urls *ret_urls, struct error *err)
    __attribute__((warn_unused_result));

bool service_urls_is_file(const char *setting);

/* For config_option.validate. */
int service_urls_validate(const char *setting, struct error *err);

#endif
