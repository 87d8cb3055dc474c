/* Rows of the configuration table for Elasticsearch. Each takes the service's settings struct and
 * the member that holds the value. */
#ifndef CLIENTS_ELASTICSEARCH_OPTIONS_H
#define CLIENTS_ELASTICSEARCH_OPTIONS_H

#include "services/base/config.h"
#include "services/clients/elasticsearch/elasticsearch.h"

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

#endif
