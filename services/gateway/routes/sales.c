/* GET /api/dashboard/sales[?live=true]: revenue by day from the materialized view, or live from the
 * ledger that it reads.
 *
 * Of each loop and of either sort one query is under way at a time. Requests that come meanwhile
 * share the next one: never the one under way, which may have begun before a refresh whose answer
 * the client has seen. So a crowd of readers costs two queries at a time, and each answer is
 * rendered once. */
#include "proto/timestamp.h"
#include "services/gateway/api.h"
#include "services/gateway/routes/query_string.h"
#include "services/gateway/routes/routes.h"
#include <stdio.h>

#define DAY_TEXT_SIZE 160 /* of one day in JSON */
#define SALES_JSON_SIZE (2 + SALES_DAYS_MAX * DAY_TEXT_SIZE + 1)

struct sales_reader {
    struct request_guard guard;
    struct sales_reader *next;
};

/* The steps, in the order of the flow. */
static bool read_live(const h2o_req_t *req, bool *ret_live);
static void query(struct sales_readers *readers);
static order_store_sales_fn on_sales;
static size_t render(const struct sales_day *days, size_t count, char json[SALES_JSON_SIZE]);
static void answer_all(struct sales_reader *readers, enum order_store_status status,
                       const char *json, size_t json_len);

void read_sales(struct request *request, h2o_iovec_t rest)
{
    (void)rest;
    bool live;
    if (!read_live(request->req, &live)) {
        reply_problem(request, PROBLEM_INVALID_PARAMETER, "live must be true or false");
        return;
    }
    struct api *api = request->api;
    struct sales_readers *readers = live ? &api->live_sales : &api->sales;
    readers->api = api;
    readers->live = live;
    struct sales_reader *reader = request_guard_new(
        request, sizeof(*reader), ORDER_STORE_TIMEOUT_MS, PROBLEM_DEADLINE_EXCEEDED);
    reader->next = readers->waiting;
    readers->waiting = reader;
    if (readers->asked == NULL)
        query(readers);
}

/* Returns false when the parameter says neither. */
static bool read_live(const h2o_req_t *req, bool *ret_live)
{
    char text[sizeof "false"];
    size_t len = 0, at = req->query_at != SIZE_MAX ? req->query_at + 1 : req->path.len;
    enum query_result result =
        query_text(req->path.base + at, req->path.len - at, "live", text, sizeof text, &len);
    *ret_live = result == QUERY_FOUND && h2o_memis(text, len, H2O_STRLIT("true"));
    return *ret_live || result == QUERY_ABSENT ||
           (result == QUERY_FOUND && h2o_memis(text, len, H2O_STRLIT("false")));
}

/* Ask for all who wait. */
static void query(struct sales_readers *readers)
{
    struct order_store *store = readers->api->store;
    struct sales_reader *waiting = readers->waiting;
    if (waiting == NULL)
        return;
    readers->asked = waiting;
    readers->waiting = NULL;
    if (store->read_sales(store->self, readers->live, on_sales, readers) != 0) {
        readers->asked = NULL;
        answer_all(waiting, ORDER_STORE_UNAVAILABLE, NULL, 0);
    }
}

static void on_sales(void *arg, enum order_store_status status, const struct sales_day *days,
                     size_t count)
{
    struct sales_readers *readers = arg;
    struct sales_reader *asked = readers->asked;
    char json[SALES_JSON_SIZE];
    size_t len = status == ORDER_STORE_OK ? render(days, count, json) : 0;
    readers->asked = NULL;
    query(readers); /* the server works while these are answered */
    answer_all(asked, status, json, len);
}

static size_t render(const struct sales_day *days, size_t count, char json[SALES_JSON_SIZE])
{
    size_t len = 0;
    json[len++] = '[';
    for (size_t i = 0; i < count && i < SALES_DAYS_MAX; i++) {
        char date[TIMESTAMP_TEXT_SIZE];
        timestamp_format(days[i].date_us, date);
        len +=
            (size_t)snprintf(json + len, DAY_TEXT_SIZE, "%s{\"date\":\"%s\",\"total_revenue\":%s}",
                             i > 0 ? "," : "", date, days[i].total_revenue);
    }
    json[len++] = ']';
    return len;
}

static void answer_all(struct sales_reader *readers, enum order_store_status status,
                       const char *json, size_t json_len)
{
    struct sales_reader *next;
    for (struct sales_reader *reader = readers; reader != NULL; reader = next) {
        next = reader->next;
        if (status != ORDER_STORE_OK) {
            request_guard_fail(&reader->guard, order_store_problem(status));
            continue;
        }
        reply_header(reader->guard.request, "cache-control", "no-store");
        reply_send(reader->guard.request, 200, "application/json", json, json_len);
        request_guard_end(&reader->guard);
    }
}
