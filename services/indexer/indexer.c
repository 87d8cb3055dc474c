#include "services/indexer/indexer.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/clients/elasticsearch/options.h"
#include "services/indexer/bulk.h"
#include "services/indexer/bulk_request.h"
#include "services/indexer/bulk_response.h"
#include "services/indexer/index_setup.h"
#include "services/runtime/options.h"
#include "services/worker/options.h"
#include "services/worker/worker.h"
#include <stdio.h>
#include <stdlib.h>

/* An item of an answer says up to some hundred bytes. */
#define RESPONSE_MAX_BYTES (4 * 1024 * 1024)

struct indexer_settings {
    char *admin_address;
    int64_t admin_port;
    char *bridge_endpoints;
    char *elasticsearch_url;
    char *elasticsearch_ca_file;
    char *elasticsearch_api_key;
    char *index;
    int64_t batch;
};

struct indexer {
    struct worker *worker;
    struct elasticsearch *client;
    struct index_setup *setup;
    struct health_check *health;
    char bulk_path[512];
    /* the batch in flight */
    struct bulk bulk;
    struct part part;
    struct bulk_request request;
    const struct order *const *orders;
    worker_executed_fn *on_executed;
    void *on_executed_arg;
};

static const struct worker_code codes[] = {
    {OUTCOME_REJECT, "bulk_400"},       {OUTCOME_REJECT, "elasticsearch_413"},
    {OUTCOME_RETRY, "bulk_403"},        {OUTCOME_RETRY, "bulk_404"},
    {OUTCOME_RETRY, "bulk_429"},        {OUTCOME_RETRY, "bulk_"},
    {OUTCOME_RETRY, "elasticsearch_4"}, {OUTCOME_RETRY, "elasticsearch_5"},
    {OUTCOME_RETRY, "elasticsearch_"},  {0},
};

static void send_next_part(struct indexer *indexer);

static void on_bulk_answer(void *arg, long status, bool timed_out, const char *body,
                           size_t body_len, const struct error *err)
{
    (void)timed_out; /* err says it */
    struct indexer *indexer = arg;
    bulk_answered(&indexer->bulk, &indexer->part, status, body, body_len, err);
    send_next_part(indexer);
}

static int send_part(struct indexer *indexer, int64_t timeout_ms)
{
    size_t written = bulk_request_write(&indexer->request, indexer->orders + indexer->part.first,
                                        indexer->part.count);
    bulk_shorten(&indexer->bulk, &indexer->part, written);
    return elasticsearch_request(
        indexer->client, "POST", indexer->bulk_path, "application/x-ndjson", indexer->request.body,
        indexer->request.len_bytes, true, timeout_ms, on_bulk_answer, indexer);
}

static void send_next_part(struct indexer *indexer)
{
    struct error err;
    int64_t timeout_ms;
    while (bulk_next(&indexer->bulk, clock_monotonic_ms(), &indexer->part, &timeout_ms)) {
        if (!index_setup_usable(indexer->setup))
            error_set(&err, "%s", index_setup_reason(indexer->setup));
        else if (send_part(indexer, timeout_ms) == 0)
            return;
        else
            error_set(&err, "too many requests at once");
        bulk_answered(&indexer->bulk, &indexer->part, 0, NULL, 0, &err);
    }
    bool down = bulk_backend_down(&indexer->bulk);
    if (down) /* the index may have been deleted */
        index_setup_check(indexer->setup);
    indexer->on_executed(indexer->on_executed_arg, down);
}

static void execute(void *self, const struct order *const orders[], size_t count,
                    struct verdict verdicts[], worker_executed_fn *on_executed, void *arg)
{
    struct indexer *indexer = self;
    indexer->orders = orders;
    indexer->on_executed = on_executed;
    indexer->on_executed_arg = arg;
    bulk_begin(&indexer->bulk, count, verdicts, clock_monotonic_ms());
    send_next_part(indexer);
}

static void on_index_state(void *arg, bool usable, const char *reason)
{
    struct indexer *indexer = arg;
    (void)health_set(indexer->health, usable, reason); /* logged anyway */
    if (usable) {
        log_info("index and its template are in place");
        worker_backend_ready(indexer->worker);
    } else {
        static struct log_limit limit;
        log_warn_limited(&limit, "the index cannot be used", log_text("reason", reason));
    }
}

static int run(const void *settings_of_service, int stop_fd, struct error *err)
{
    const struct indexer_settings *its = settings_of_service;
    struct indexer *indexer = memory_new(sizeof(*indexer));
    indexer->health = health_check("elasticsearch", HEALTH_REQUIRED);
    indexer->worker = worker_new(
        &(struct worker_options){
            .bridge_endpoints = its->bridge_endpoints,
            .stage = STAGE_INDEX,
            .batch_max = (size_t)its->batch,
            .codes = codes,
            .backend_health = indexer->health,
        },
        err);
    if (!indexer->worker) {
        free(indexer);
        return -1;
    }
    /* The server gives up a little before its client does. */
    (void)snprintf(indexer->bulk_path, sizeof(indexer->bulk_path), "/%s/_bulk?timeout=3s&%s",
                   its->index, BULK_RESPONSE_FILTER); /* it fits */
    struct event_loop *loop = worker_event_loop(indexer->worker);
    indexer->client = elasticsearch_new(loop, &(struct elasticsearch_options){
                                                  .url = its->elasticsearch_url,
                                                  .api_key = its->elasticsearch_api_key,
                                                  .ca_file = its->elasticsearch_ca_file,
                                                  .max_in_flight = 2, /* _bulk and the setup */
                                                  .max_response_bytes = RESPONSE_MAX_BYTES,
                                              });
    indexer->setup = index_setup_new(loop, &(struct index_setup_options){
                                               .client = indexer->client,
                                               .index = its->index,
                                               .on_state = on_index_state,
                                               .arg = indexer,
                                           });
    worker_run(indexer->worker, &(struct worker_backend){.self = indexer, .execute = execute},
               stop_fd);
    elasticsearch_free(indexer->client);
    index_setup_free(indexer->setup);
    worker_free(indexer->worker);
    free(indexer);
    return 0;
}

/* ---- description of the service ---- */

static struct indexer_settings settings;

static const struct config_option options[] = {
    CONFIG_OPTION_ADMIN_ADDRESS(struct indexer_settings, admin_address),
    CONFIG_OPTION_ADMIN_PORT(struct indexer_settings, admin_port, "9103"),
    CONFIG_OPTION_BRIDGE_ENDPOINTS(struct indexer_settings, bridge_endpoints),
    CONFIG_OPTION_ELASTICSEARCH_URL(struct indexer_settings, elasticsearch_url),
    CONFIG_OPTION_ELASTICSEARCH_CA_FILE(struct indexer_settings, elasticsearch_ca_file),
    CONFIG_OPTION_ELASTICSEARCH_API_KEY(struct indexer_settings, elasticsearch_api_key),
    CONFIG_OPTION_ORDER_INDEX(struct indexer_settings, index),
    {.name = "INDEXER_BATCH",
     .default_text = "500",
     .help = "the most orders in one _bulk request; a worker holds up to twice as many",
     .kind = CONFIG_INTEGER,
     .offset = offsetof(struct indexer_settings, batch),
     .minimum = 1,
     .maximum = BATCH_MAX},
};

static int reach_elasticsearch(const void *settings_of_service, struct error *err)
{
    const struct indexer_settings *its = settings_of_service;
    return elasticsearch_reach(
        &(struct elasticsearch_options){.url = its->elasticsearch_url,
                                        .api_key = its->elasticsearch_api_key,
                                        .ca_file = its->elasticsearch_ca_file},
        err);
}

const struct service indexer_service = {
    .name = "indexer",
    .summary = "makes stored orders searchable in Elasticsearch",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .settings = &settings,
    .probes = (const struct service_probe[]){{"elasticsearch", reach_elasticsearch}, {0}},
    .run = run,
    .admin_address = offsetof(struct indexer_settings, admin_address),
    .admin_port = offsetof(struct indexer_settings, admin_port),
};
