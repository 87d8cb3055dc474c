/* Rows of the configuration table for the links to bridges. Each takes the service's settings
 * struct and the member that holds the value. */
#ifndef WORKER_OPTIONS_H
#define WORKER_OPTIONS_H

#include "services/base/config.h"
#include "services/base/endpoint.h"
#include "services/worker/batch.h"

/* char *, for endpoint_list_parse() and then bridge_endpoints_parse() */
#define CONFIG_OPTION_BRIDGE_ENDPOINTS(type, field)                                                \
    CONFIG_OPTION("BRIDGE_ENDPOINTS", CONFIG_STRING, type, field,                                  \
                  .default_text = "tcp://127.0.0.1:7100",                                          \
                  .help = "the bridges to work for, a comma between them; each tcp://host:port "   \
                          "(also uses " STAGE_MORE_PORTS ") or ipc://path",                        \
                  .validate = bridge_endpoint_list_validate)

/* int64_t; `request` is what takes so many orders at once, for people; up to `most`, which is the
 * default, given as digits */
#define CONFIG_OPTION_WORKER_BATCH(type, field, variable, request, most)                           \
    CONFIG_OPTION(variable, CONFIG_INTEGER, type, field, .default_text = #most,                    \
                  .help = "the most orders in one " request ", fewer while it takes long; a "      \
                          "worker holds up to twice as many",                                      \
                  .minimum = 1, .maximum = most)

#endif
