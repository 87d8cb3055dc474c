/* Rows of the configuration table for Elasticsearch. Each takes the service's settings struct and
 * the member that holds the value. */
#ifndef CLIENTS_ELASTICSEARCH_OPTIONS_H
#define CLIENTS_ELASTICSEARCH_OPTIONS_H

#include "services/base/certificates.h"
#include "services/base/config.h"
#include "services/clients/elasticsearch/elasticsearch.h"
#include "services/clients/elasticsearch/index_definition.h"

/* char * */
#define CONFIG_OPTION_ELASTICSEARCH_URL(type, field)                                               \
    CONFIG_OPTION("ELASTICSEARCH_URL", CONFIG_SECRET, type, field,                                 \
                  .default_text = "http://elasticsearch:9200",                                     \
                  .help =                                                                          \
                      "Elasticsearch or OpenSearch: http[s]://[user:password@]host:port[/prefix]", \
                  .validate = elasticsearch_url_validate)

/* char *, NULL by default */
#define CONFIG_OPTION_ELASTICSEARCH_CA_FILE(type, field)                                           \
    CONFIG_OPTION(                                                                                 \
        "ELASTICSEARCH_CA_FILE", CONFIG_STRING, type, field,                                       \
        .help = "certificates (PEM) that an https:// server must be signed by; else the system's", \
        .validate = certificates_validate)

/* char *, NULL by default */
#define CONFIG_OPTION_ELASTICSEARCH_API_KEY(type, field)                                           \
    CONFIG_OPTION("ELASTICSEARCH_API_KEY", CONFIG_SECRET, type, field,                             \
                  .help = "API key (encoded), instead of a user and password in the URL",          \
                  .validate = elasticsearch_api_key_validate)

/* char * */
#define CONFIG_OPTION_ORDER_INDEX(type, field)                                                     \
    CONFIG_OPTION("ORDER_INDEX", CONFIG_STRING, type, field, .default_text = "orders",             \
                  .help = "the index of the orders, or its alias",                                 \
                  .validate = elasticsearch_index_validate)

/* char *, NULL by default */
#define CONFIG_OPTION_ORDER_INDEX_SETTINGS_FILE(type, field)                                       \
    CONFIG_OPTION("ORDER_INDEX_SETTINGS_FILE", CONFIG_STRING, type, field,                         \
                  .help = "JSON with settings and mappings of a new index, over the defaults",     \
                  .validate = index_definition_file_validate)

#endif
