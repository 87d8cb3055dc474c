/* The indexer's configuration, and the service that it describes. */
#ifndef INDEXER_SETTINGS_H
#define INDEXER_SETTINGS_H

#include "services/clients/elasticsearch/elasticsearch.h"
#include "services/runtime/service.h"
#include "services/worker/link_settings.h"

struct indexer_settings {
    char *admin_address;
    int64_t admin_port;
    char *bridge_endpoints;
    struct link_settings link;
    struct elasticsearch_options elasticsearch; /* url, api_key and ca_file */
    char *index;
    char *index_settings_file; /* or NULL */
    int64_t batch;
};

extern const struct service indexer_service;

#endif
