/* The ports on three pipelined connections. Each operation under way is a `struct call` in a list;
 * calls that are left are freed with the store. */
#include "services/gateway/adapters/postgres_store.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include "services/clients/postgres/order_fate.h"
#include "services/clients/postgres/orders.h"
#include "services/clients/postgres/outbox.h"
#include "services/clients/postgres/sales_view.h"
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#define READ_CONNECTIONS 2
#define READS_IN_FLIGHT 256 /* on each */
#define BULKS_IN_FLIGHT 4   /* one after another on their connection, within the time limit */
#define LOCK_TIMEOUT_MS 4000
/* What ends a read that waits is the server's limit, before the request's own. */
#define READ_TIMEOUT_MS (ORDER_STORE_TIMEOUT_MS - 200)

struct postgres_store;

struct connection {
    struct postgres_store *store;
    struct database *database;
    bool up;
};

enum operation { FIND_ORDER, ORDER_FATE, READ_DASHBOARD, READ_DASHBOARD_LIVE, INSERT_BULK };
#define OPERATIONS (INSERT_BULK + 1)
static const char *const operation_names[] = {"find_order", "order_fate", "read_dashboard",
                                              "read_dashboard_live", "insert_bulk"};

struct operation_metrics {
    struct metric_histogram *seconds;
    struct metric_counter *failures;
};

/* An operation under way, and its callback. */
struct call {
    struct call *next, **link; /* in the store's list */
    const struct postgres_store *store;
    const struct operation_metrics *metrics;
    int64_t began_us;
    void *arg;
    union {
        order_store_found_fn *found;
        order_store_fate_fn *fate;
        order_store_sales_fn *sales;
        order_store_inserted_fn *inserted;
    } on_done;
};

struct postgres_store {
    struct order_store port;
    struct order_reader reader;
    struct operation_metrics metrics[OPERATIONS];
    struct call *calls;
    struct connection reads[READ_CONNECTIONS];
    unsigned next_read; /* in turn */
    struct connection bulks;
    int outbox_wake_fd;
    void (*on_state)(void *arg, bool up, const char *reason);
    void *arg;
};

static struct log_limit failure_limit;

/* What does not pass is for a person to look at. */
static enum order_store_status status_of(const struct database_answer *answer)
{
    switch (answer->status) {
    case DATABASE_OK:
        return ORDER_STORE_OK;
    case DATABASE_UNAVAILABLE:
        return ORDER_STORE_UNAVAILABLE;
    case DATABASE_FAILED:
        break;
    }
    log_limited(&failure_limit, LOG_LEVEL_ERROR, "PostgreSQL refused a statement",
                (const struct log_field[]){log_text("sqlstate", answer->sqlstate),
                                           log_text("reason", answer->message),
                                           {0}});
    return database_failure_passes(answer) ? ORDER_STORE_UNAVAILABLE : ORDER_STORE_FAILED;
}

/* A read that the server has not done within its limit has failed. */
static enum order_store_status read_status_of(const struct database_answer *answer)
{
    enum order_store_status status = status_of(answer);
    bool timed_out = answer->status == DATABASE_FAILED && strcmp(answer->sqlstate, "57014") == 0;
    return timed_out ? ORDER_STORE_FAILED : status;
}

/* The connection for the next read: in turn, unless one of them is down. */
static struct database *read_connection(struct postgres_store *store)
{
    unsigned i = store->next_read++ % READ_CONNECTIONS;
    if (!store->reads[i].up)
        i = (i + 1) % READ_CONNECTIONS;
    return store->reads[i].database;
}

static struct call *call_new(struct postgres_store *store, enum operation operation, void *arg)
{
    struct call *call = memory_new(sizeof(*call));
    call->store = store;
    call->metrics = &store->metrics[operation];
    call->began_us = clock_monotonic_us();
    call->arg = arg;
    call->next = store->calls;
    call->link = &store->calls;
    if (call->next != NULL)
        call->next->link = &call->next;
    store->calls = call;
    return call;
}

static void call_free(struct call *call)
{
    *call->link = call->next;
    if (call->next != NULL)
        call->next->link = call->link;
    free(call);
}

/* The call has its answer; returns it for the callback. */
static struct call call_end(struct call *call, enum order_store_status status)
{
    struct call ended = *call;
    call_free(call);
    metric_observe(ended.metrics->seconds, (double)(clock_monotonic_us() - ended.began_us) * 1e-6);
    if (status != ORDER_STORE_OK && status != ORDER_STORE_CONFLICT)
        metric_add(ended.metrics->failures, 1);
    return ended;
}

static void on_found(void *arg, enum order_lookup result, const struct order *order,
                     const struct database_answer *answer)
{
    (void)result; /* the answer tells a failure, `order` the rest */
    enum order_store_status status = read_status_of(answer);
    struct call call = call_end(arg, status);
    call.on_done.found(call.arg, status, order);
}

static int find(void *self, const struct order_id *id, order_store_found_fn *on_done, void *arg)
{
    struct call *call = call_new(self, FIND_ORDER, arg);
    call->on_done.found = on_done;
    if (orders_find(read_connection(self), id, on_found, call) == 0)
        return 0;
    call_free(call);
    return -1;
}

static void on_fate(void *arg, const struct order_fate *fate, const struct database_answer *answer)
{
    enum order_store_status status = read_status_of(answer);
    struct call call = call_end(arg, status);
    call.on_done.fate(call.arg, status, fate);
}

static int order_fate(void *self, const struct order_id *id, order_store_fate_fn *on_done,
                      void *arg)
{
    struct call *call = call_new(self, ORDER_FATE, arg);
    call->on_done.fate = on_done;
    if (order_fate_ask(read_connection(self), id, on_fate, call) == 0)
        return 0;
    call_free(call);
    return -1;
}

static void on_sales(void *arg, const struct sales_day *days, size_t count,
                     const struct database_answer *answer)
{
    enum order_store_status status = read_status_of(answer);
    struct call call = call_end(arg, status);
    call.on_done.sales(call.arg, status, days, count);
}

static void on_live_sales(void *arg, const struct sales_day *days, size_t count,
                          const struct database_answer *answer)
{
    enum order_store_status status;
    if (answer->status == DATABASE_FAILED && strcmp(answer->sqlstate, SALES_UNFINISHED) == 0)
        status = ORDER_STORE_UNFINISHED;
    else if (answer->status == DATABASE_FAILED && strcmp(answer->sqlstate, SALES_IMPOSSIBLE) == 0)
        status = ORDER_STORE_IMPOSSIBLE;
    else
        status = read_status_of(answer);
    struct call call = call_end(arg, status);
    call.on_done.sales(call.arg, status, days, count);
}

static int read_sales(void *self, bool live, order_store_sales_fn *on_done, void *arg)
{
    struct call *call = call_new(self, live ? READ_DASHBOARD_LIVE : READ_DASHBOARD, arg);
    call->on_done.sales = on_done;
    int rc = live ? sales_view_read_live(read_connection(self), on_live_sales, call)
                  : sales_view_read(read_connection(self), on_sales, call);
    if (rc == 0)
        return 0;
    call_free(call);
    return -1;
}

static void wake_outbox(const struct postgres_store *store)
{
    /* The write fails only when the counter is full: then the task is about to wake. */
    (void)!eventfd_write(store->outbox_wake_fd, 1);
}

static void on_stored(void *arg, enum bulk_result result, const struct database_answer *answer)
{
    enum order_store_status status = ORDER_STORE_OK;
    switch (result) {
    case BULK_STORED:
        wake_outbox(((struct call *)arg)->store);
        break;
    case BULK_CONFLICT:
        status = ORDER_STORE_CONFLICT;
        break;
    case BULK_FAILED:
        status = answer->status == DATABASE_UNAVAILABLE && !answer->unexecuted ? ORDER_STORE_UNKNOWN
                                                                               : status_of(answer);
        break;
    }
    struct call call = call_end(arg, status);
    call.on_done.inserted(call.arg, status);
}

static int insert_bulk(void *self, const struct order *orders, size_t count,
                       const struct trace_context *trace, order_store_inserted_fn *on_done,
                       void *arg)
{
    struct postgres_store *store = self;
    struct call *call = call_new(store, INSERT_BULK, arg);
    call->on_done.inserted = on_done;
    if (orders_insert_bulk(store->bulks.database, orders, count, trace, on_stored, call) == 0)
        return 0;
    call_free(call);
    return -1;
}

static void on_connection_state(void *arg, bool up, const char *reason)
{
    struct connection *connection = arg;
    struct postgres_store *store = connection->store;
    connection->up = up;
    if (!up)
        store->on_state(store->arg, false, reason);
    else if (store->reads[0].up && store->reads[1].up && store->bulks.up)
        store->on_state(store->arg, true, NULL);
}

static void open_connection(struct postgres_store *store, struct connection *connection,
                            struct event_loop *loop, const char *dsn, unsigned uses,
                            unsigned max_in_flight)
{
    bool reads = connection != &store->bulks;
    connection->store = store;
    const struct database_options options = {
        .dsn = dsn,
        .application_name = "gateway",
        .max_in_flight = max_in_flight,
        .statement_timeout_ms = reads ? READ_TIMEOUT_MS : ORDER_STORE_TIMEOUT_MS,
        .lock_timeout_ms = reads ? 0 : LOCK_TIMEOUT_MS,
        .uses = uses,
        .reads_only = reads,
        .on_state = on_connection_state,
        .arg = connection,
    };
    connection->database = database_new(loop, &options);
}

static void register_metrics(struct postgres_store *store)
{
    for (int i = 0; i < OPERATIONS; i++) {
        char labels[64];
        (void)snprintf(labels, sizeof labels, "operation=\"%s\"", operation_names[i]); /* fits */
        store->metrics[i] = (struct operation_metrics){
            metric_histogram("db_query_duration_seconds", labels,
                             "Duration of database queries by operation", METRIC_SECONDS),
            metric_counter("db_query_failures_total", labels, "Database queries that failed"),
        };
    }
}

struct order_store *postgres_store_new(struct event_loop *loop,
                                       const struct postgres_store_options *options)
{
    struct postgres_store *store = memory_new(sizeof(*store));
    store->port = (struct order_store){
        .self = store,
        .read_sales = read_sales,
        .fate = order_fate,
        .insert_bulk = insert_bulk,
    };
    store->reader = (struct order_reader){.self = store, .find = find};
    register_metrics(store);
    store->outbox_wake_fd = options->outbox_wake_fd;
    store->on_state = options->on_state;
    store->arg = options->arg;
    /* Orders can be read while the sales view is missing. refresh_jobs.c watches for it. */
    for (unsigned i = 0; i < READ_CONNECTIONS; i++)
        open_connection(store, &store->reads[i], loop, options->dsn, DATABASE_FINDS,
                        READS_IN_FLIGHT);
    open_connection(store, &store->bulks, loop, options->dsn, DATABASE_INSERTS | DATABASE_OUTBOX,
                    BULKS_IN_FLIGHT);
    return &store->port;
}

struct order_reader *postgres_store_reader(struct order_store *port)
{
    struct postgres_store *store = port->self;
    return &store->reader;
}

void postgres_store_free(struct order_store *port)
{
    if (port == NULL)
        return;
    struct postgres_store *store = port->self;
    for (unsigned i = 0; i < READ_CONNECTIONS; i++)
        database_free(store->reads[i].database);
    database_free(store->bulks.database);
    while (store->calls != NULL)
        call_free(store->calls);
    free(store);
}
