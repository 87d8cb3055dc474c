/* The indexer: a worker whose store is the index of the orders. */
#include "services/indexer/indexer.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/clients/elasticsearch/bulk_items.h"
#include "services/clients/elasticsearch/bulk_request.h"
#include "services/indexer/bulk_answer.h"
#include "services/indexer/index_setup.h"
#include "services/indexer/settings.h"
#include "services/worker/width.h"
#include "services/worker/worker.h"
#include <stdio.h>
#include <stdlib.h>

/* An item of an answer says up to some hundred bytes. */
#define RESPONSE_MAX_BYTES (4 * 1024 * 1024)

/* A search finds an order up to a second after its document is there, so this is not seen. */
#define BULK_SPACING_MS 20

/* The part of a batch that is written or under way. */
struct part_request {
    struct indexer *indexer;
    struct batch *batch;
    struct bulk_request bulk;
};

struct indexer {
    struct worker *worker;
    struct elasticsearch *client;
    struct index_definition *definition;
    struct index_setup *setup;
    struct health_check *health;
    const char *index;
    struct part_request requests[BATCHES]; /* by the batch's number */
};

static const struct worker_code codes[] = {
    {OUTCOME_REJECT, "bulk_400"},       {OUTCOME_RETRY, "bulk_400"},
    {OUTCOME_RETRY, "bulk_403"},        {OUTCOME_RETRY, "bulk_404"},
    {OUTCOME_RETRY, "bulk_429"},        {OUTCOME_RETRY, "bulk_"},
    {OUTCOME_RETRY, "elasticsearch_4"}, {OUTCOME_RETRY, "elasticsearch_5"},
    {OUTCOME_RETRY, "elasticsearch_"},  {0},
};

static void on_bulk_answer(void *arg, long status, enum http_end end, const char *body,
                           size_t body_len, const struct error *err)
{
    (void)end; /* err says it */
    const struct part_request *request = arg;
    struct indexer *indexer = request->indexer;
    struct batch *batch = request->batch;
    bulk_answer_judge(batch, status, body, body_len, err);
    if (batch_store_down(batch)) /* the index may have been deleted */
        index_setup_check(indexer->setup);
    batch_go_on(batch, clock_monotonic_ms());
}

static void write_part(void *self, struct batch *batch)
{
    struct indexer *indexer = self;
    struct part_request *request = &indexer->requests[batch->number];
    request->indexer = indexer;
    request->batch = batch;
    batch_shorten(batch, bulk_request_write(&request->bulk, batch->orders + batch->part.first,
                                            batch->part.count));
}

static int send_part(void *self, struct batch *batch, int64_t timeout_ms)
{
    struct indexer *indexer = self;
    struct error err;
    char path[512];
    if (!index_setup_usable(indexer->setup)) {
        error_set(&err, "%s", index_setup_reason(indexer->setup));
    } else {
        struct part_request *request = &indexer->requests[batch->number];
        /* The server gives up a little before its client does. */
        (void)snprintf(path, sizeof path, "/%s/_bulk?timeout=3s%s&%s", indexer->index, /* it fits */
                       index_setup_requires_alias(indexer->setup) ? "&require_alias=true" : "",
                       BULK_ITEMS_FILTER);
        if (elasticsearch_request(indexer->client, "POST", path, "application/x-ndjson",
                                  request->bulk.body, request->bulk.len_bytes, true, timeout_ms,
                                  on_bulk_answer, request) == 0)
            return 0;
        error_set(&err, "too many requests at once");
    }
    bulk_answer_judge(batch, 0, NULL, 0, &err);
    return -1;
}

static bool looks_usable(void *self)
{
    const struct indexer *indexer = self;
    return index_setup_usable(indexer->setup);
}

static void on_index_state(void *arg, bool usable, const char *reason)
{
    struct indexer *indexer = arg;
    bool changed = health_set(indexer->health, usable, reason);
    if (usable) {
        log_info("the index is in place");
        worker_store_ready(indexer->worker);
    } else if (changed) {
        log_warn("the index cannot be used", log_text("reason", reason));
    }
}

static void on_index_warning(void *arg, const char *reason)
{
    (void)arg;
    log_warn("the index template is not installed", log_text("reason", reason));
}

int indexer_run(const void *arg, int stop_fd, struct error *err)
{
    const struct indexer_settings *settings = arg;
    struct link_key key;
    struct indexer *indexer = memory_new(sizeof *indexer);
    indexer->definition = index_definition_new(settings->index_settings_file, err);
    if (indexer->definition == NULL) {
        free(indexer);
        return -1;
    }
    indexer->health = health_check("elasticsearch", HEALTH_REQUIRED);
    indexer->worker = worker_new(
        &(struct worker_options){
            .bridge_endpoints = settings->bridge_endpoints,
            .key = link_settings_key(&settings->link, &key),
            .stage = STAGE_INDEX,
            .batch_max = (size_t)settings->batch,
            .width_max = WIDTH_MAX,
            .spacing_ms = BULK_SPACING_MS,
            .codes = codes,
            .store = {.self = indexer,
                      .write_part = write_part,
                      .try_part = send_part,
                      .looks_usable = looks_usable,
                      .limit_ms = BULK_TIMEOUT_MS,
                      .unavailable = "elasticsearch_unavailable"},
            .store_health = indexer->health,
        },
        err);
    if (indexer->worker == NULL) {
        index_definition_free(indexer->definition);
        free(indexer);
        return -1;
    }
    indexer->index = settings->index;
    struct event_loop *loop = worker_event_loop(indexer->worker);
    struct elasticsearch_options client = settings->elasticsearch;
    client.max_in_flight = WIDTH_MAX + 1; /* _bulk, and the setup */
    client.max_response_bytes = RESPONSE_MAX_BYTES;
    indexer->client = elasticsearch_new(loop, &client);
    indexer->setup = index_setup_new(loop, &(struct index_setup_options){
                                               .client = indexer->client,
                                               .index = settings->index,
                                               .definition = indexer->definition,
                                               .on_state = on_index_state,
                                               .on_warning = on_index_warning,
                                               .arg = indexer,
                                           });
    worker_run(indexer->worker, stop_fd);
    elasticsearch_free(indexer->client);
    index_setup_free(indexer->setup);
    index_definition_free(indexer->definition);
    worker_free(indexer->worker);
    free(indexer);
    return 0;
}
