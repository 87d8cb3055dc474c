/* Rows of the configuration table for the links to bridges. Each takes the service's settings
 * struct and the member that holds the value. */
#ifndef WORKER_OPTIONS_H
#define WORKER_OPTIONS_H

#include "services/base/config.h"
#include "services/base/endpoint.h"

/* char *, for endpoint_list_parse() and then bridge_endpoints_parse() */
#define CONFIG_OPTION_BRIDGE_ENDPOINTS(type, field)                                                \
    CONFIG_OPTION("BRIDGE_ENDPOINTS", CONFIG_STRING, type, field,                                  \
                  .default_text = "tcp://bridge:7100",                                             \
                  .help = "the bridges to work for, a comma between them; each tcp://host:port "   \
                          "(also uses " STAGE_MORE_PORTS ") or ipc://path",                        \
                  .validate = bridge_endpoint_list_validate)

#endif
