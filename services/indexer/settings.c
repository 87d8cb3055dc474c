/* The table of the indexer's variables, and what --check tries. */
#include "services/indexer/settings.h"
#include "services/clients/elasticsearch/options.h"
#include "services/indexer/index_setup.h"
#include "services/indexer/indexer.h"
#include "services/runtime/options.h"
#include "services/worker/options.h"
#include "services/worker/worker_limits.h"

_Static_assert(BATCH_MAX == 2000, "the most of INDEXER_BATCH");

static const struct config_option options[] = {
    CONFIG_OPTION_ADMIN_ADDRESS(struct indexer_settings, admin_address),
    CONFIG_OPTION_ADMIN_PORT(struct indexer_settings, admin_port, "9103"),
    CONFIG_OPTION_BRIDGE_ENDPOINTS(struct indexer_settings, bridge_endpoints),
    CONFIG_OPTIONS_LINK(struct indexer_settings, link),
    CONFIG_OPTION_ELASTICSEARCH_URL(struct indexer_settings, elasticsearch.url),
    CONFIG_OPTION_ELASTICSEARCH_CA_FILE(struct indexer_settings, elasticsearch.ca_file),
    CONFIG_OPTION_ELASTICSEARCH_API_KEY(struct indexer_settings, elasticsearch.api_key),
    CONFIG_OPTION_ORDER_INDEX(struct indexer_settings, index),
    CONFIG_OPTION_ORDER_INDEX_SETTINGS_FILE(struct indexer_settings, index_settings_file),
    CONFIG_OPTION_WORKER_BATCH(struct indexer_settings, batch, "INDEXER_BATCH", "_bulk request",
                               2000),
};

static int reach_elasticsearch(const void *arg, struct error *err)
{
    const struct indexer_settings *settings = arg;
    return index_setup_reach(&settings->elasticsearch, settings->index, err);
}

static int validate(const void *arg, struct error *err)
{
    const struct indexer_settings *settings = arg;
    return link_settings_check(&settings->link, "BRIDGE_ENDPOINTS", settings->bridge_endpoints,
                               err);
}

static struct limits_wanted wanted(const void *arg)
{
    const struct indexer_settings *settings = arg;
    return worker_limits(settings->bridge_endpoints, settings->batch, "INDEXER_BATCH");
}

const struct service indexer_service = {
    .name = "indexer",
    .summary = "makes stored orders searchable in Elasticsearch",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .settings = &(struct indexer_settings){0},
    .admin_address = offsetof(struct indexer_settings, admin_address),
    .admin_port = offsetof(struct indexer_settings, admin_port),
    .probes = (const struct service_probe[]){{"elasticsearch", reach_elasticsearch}, {0}},
    .validate = validate,
    .wanted = wanted,
    .run = indexer_run,
};
