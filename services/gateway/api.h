/* What the routes of one loop work with: the ports, the settings that concern HTTP, and the
 * requests under way. */
#ifndef GATEWAY_API_H
#define GATEWAY_API_H

#include "proto/order_json.h"
#include "services/base/metrics.h"
#include "services/gateway/cors.h"
#include "services/gateway/ports/dead_letters.h"
#include "services/gateway/ports/job_records.h"
#include "services/gateway/ports/order_cache.h"
#include "services/gateway/ports/order_queue.h"
#include "services/gateway/ports/order_reader.h"
#include "services/gateway/ports/order_search.h"
#include "services/gateway/ports/order_store.h"
#include "services/gateway/ports/order_waits.h"
#include "services/gateway/ports/sales_refresh.h"
#include "services/gateway/ports/system_status.h"
#include "services/gateway/request.h"
#include <stdbool.h>

struct api_settings {
    const char *admin_token;      /* NULL: none is configured */
    const char *admin_read_token; /* may look and change nothing; NULL: none is configured */
    bool admin_auth;              /* false: a refresh needs no token */
    bool public_admin;            /* /api/admin is on the API port too */
    bool public_metrics;          /* /metrics is, too */
    bool public_console;          /* the console is, too */
    const struct cors *cors;      /* on the API port; NULL: no other origin may */
    struct order_id idempotency_namespace;
};

struct api_metrics {
    struct metric_counter *orders_accepted, *bulk_orders_accepted;
    struct metric_counter *cache_hits, *cache_misses, *cache_failures;
    struct metric_counter *outcomes_unknown;
    struct metric_counter *waits_stored, *waits_dead, *waits_over, *waits_refused;
};

/* The requests that read the daily sales (routes/sales.c). */
struct sales_reader;
struct sales_readers {
    struct api *api;
    bool live;
    struct sales_reader *asked;   /* share the query under way */
    struct sales_reader *waiting; /* share the next one */
};

struct api {
    struct order_cache *cache;
    struct order_queue *queue;
    struct order_search *search;
    struct order_store *store;
    struct order_reader *reader;
    struct order_waits *waits;
    struct sales_refresh *sales_refresh;
    struct dead_letters *dead_letters;
    struct job_records *job_records;
    struct system_status *status;
    const struct api_settings *settings;
    const struct api_metrics *metrics;
    bool search_incomplete; /* so large a share of the orders is missing, 0 to 1: */
    double search_missing;
    struct requests requests;
    struct sales_readers sales, live_sales;
};

/* Register the metrics; before threads start. */
const struct api_metrics *api_metrics(void);

/* The problem of a body that could not be decoded; not for DECODE_OK. */
enum problem decode_problem(enum decode_result result);

/* The problem that tells a client why the store did not do it; not for ORDER_STORE_OK. */
enum problem order_store_problem(enum order_store_status status);

#endif
