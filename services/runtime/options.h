/* Rows of the configuration table for the admin server of a service. Each takes the service's
 * settings struct and the member that holds the value. */
#ifndef RUNTIME_OPTIONS_H
#define RUNTIME_OPTIONS_H

#include "services/base/config.h"
#include "services/base/endpoint.h"

/* char * */
#define CONFIG_OPTION_ADMIN_ADDRESS(type, field)                                                   \
    CONFIG_OPTION("ADMIN_ADDRESS", CONFIG_STRING, type, field, .default_text = "127.0.0.1",        \
                  .help = "numeric address to serve /livez, /readyz and /metrics on",              \
                  .validate = listen_address_validate)

/* int64_t */
#define CONFIG_OPTION_ADMIN_PORT(type, field, default_port_text)                                   \
    CONFIG_OPTION("ADMIN_PORT", CONFIG_INTEGER, type, field, .default_text = default_port_text,    \
                  .help = "port of /livez, /readyz and /metrics", .minimum = 1, .maximum = 65535)

#endif
