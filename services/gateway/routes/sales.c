/* GET /api/dashboard/sales: revenue by day from the materialized view. */
#include "proto/timestamp.h"
#include "services/gateway/api.h"
#include "services/gateway/problem.h"
#include "services/gateway/routes/routes.h"
#include <stdio.h>
#include <stdlib.h>

#define ANSWER_TIMEOUT_MS (ORDER_STORE_TIMEOUT_MS + 1000)
#define DAY_TEXT_SIZE 160 /* of one day in JSON */

struct read_sales {
    struct request_guard guard;
};

static void finish(struct read_sales *read)
{
    request_guard_close(&read->guard);
    free(read);
}

static void on_sales(void *arg, enum order_store_status status,
                     const struct order_store_sales_day *days, size_t count)
{
    struct read_sales *read = arg;
    if (status != ORDER_STORE_OK) {
        problem_send(read->guard.request,
                     status == ORDER_STORE_UNAVAILABLE ? PROBLEM_STORE_UNAVAILABLE
                                                       : PROBLEM_STORE_FAILED,
                     NULL);
        finish(read);
        return;
    }

    char json[2 + ORDER_STORE_SALES_DAYS_MAX * DAY_TEXT_SIZE + 1];
    size_t len = 0;
    json[len++] = '[';
    for (size_t i = 0; i < count && i < ORDER_STORE_SALES_DAYS_MAX; i++) {
        char date[TIMESTAMP_TEXT_SIZE];
        timestamp_format(days[i].date_us, date);
        len += (size_t)snprintf(json + len, DAY_TEXT_SIZE,
                                "%s{\"date\":\"%s\",\"total_revenue\":%.80s}", i > 0 ? "," : "",
                                date, days[i].total_revenue);
    }
    json[len++] = ']';
    reply_header(read->guard.request, "cache-control", "no-store");
    reply_send(read->guard.request, 200, "application/json", json, len);
    finish(read);
}

void read_sales(struct request *request, h2o_iovec_t rest)
{
    (void)rest;
    struct read_sales *read = h2o_mem_alloc(sizeof(*read));
    request_guard_open(&read->guard, request, ANSWER_TIMEOUT_MS);

    struct order_store *store = request->api->store;
    if (store->read_sales(store->self, on_sales, read) != 0) {
        problem_send(request, PROBLEM_STORE_UNAVAILABLE, NULL);
        finish(read);
    }
}
