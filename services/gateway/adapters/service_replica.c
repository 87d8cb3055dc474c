/* Asks one admin port, and compares what it says with what it said before. */
#include "services/gateway/adapters/service_replica.h"
#include "proto/timestamp.h"
#include "services/base/clock.h"
#include "services/runtime/admin_page.h"
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RATES_MAX_AGE_MS 60000 /* of the numbers that are compared with */

static void set_status(struct service_replica *replica, enum replica_status status)
{
    if (replica->since_us == 0 || replica->status != status)
        replica->since_us = timestamp_now_us();
    replica->status = status;
    replica->answered = true;
}

static void forget_metrics(struct service_replica *replica)
{
    replica_read_metrics("", 0, &replica->metrics);
    for (size_t i = 0; i < METRIC_COUNTERS; i++)
        replica->rates[i] = NAN;
}

void service_replica_set_unreachable(struct service_replica *replica, const char *reason)
{
    replica->reasons = (struct replica_reasons){0};
    replica_reasons_add(&replica->reasons, reason, strlen(reason));
    forget_metrics(replica);
    set_status(replica, REPLICA_UNREACHABLE);
}

bool service_replica_answered(const struct service_replica *replica)
{
    return replica->answered && !replica->asked;
}

static void compute_rates(struct service_replica *replica)
{
    const double *now = replica->metrics.values;
    int64_t now_ms = clock_monotonic_ms(), passed_ms = now_ms - replica->before_ms;
    bool same_process = replica->before_ms != 0 && passed_ms > 0 && passed_ms <= RATES_MAX_AGE_MS &&
                        now[METRIC_STARTED] <= replica->before[METRIC_STARTED];
    for (size_t i = 0; i < METRIC_COUNTERS; i++) {
        double grown = now[i] - replica->before[i]; /* NAN when one of them is unknown */
        replica->rates[i] = same_process && grown >= 0 ? grown * 1000 / (double)passed_ms : NAN;
    }
    memcpy(replica->before, now, sizeof(replica->before));
    replica->before_ms = now_ms;
}

static void take_metrics(struct service_replica *replica, const char *body, size_t len)
{
    replica_read_metrics(body, len, &replica->metrics);
    if (replica->metrics.service[0] != '\0')
        memcpy(replica->name, replica->metrics.service, sizeof(replica->name));
    compute_rates(replica);
}

static void on_metrics(void *arg, long status, enum http_end end, const char *body, size_t len,
                       const struct error *err)
{
    (void)end, (void)err;
    struct service_replica *replica = arg;
    replica->asked = false;
    if (status == 200)
        take_metrics(replica, body, len);
    else
        forget_metrics(replica);
    replica->on_answered(replica->arg);
}

static void ask_for(struct service_replica *replica, const char *page, bool last,
                    http_done_fn *on_done)
{
    char url[sizeof("http:///metrics") + SERVICE_REPLICA_ADDRESS_SIZE];
    (void)snprintf(url, sizeof(url), "http://%s/%s", replica->address, page); /* it fits */
    const struct http_request request = {
        .method = "GET",
        .url = url,
        .ends_connection = last,
        .timeout_ms = replica->deadline_ms - clock_monotonic_ms(),
    };
    replica->asked = http_client_send(replica->client, &request, on_done, replica) == 0;
}

static void on_readiness(void *arg, long http_status, enum http_end end, const char *body,
                         size_t len, const struct error *err)
{
    struct service_replica *replica = arg;
    replica->asked = false;
    enum replica_status status;
    if (end == HTTP_TIMED_OUT) {
        service_replica_set_unreachable(replica, "no answer within 1 s");
    } else if (http_status == 0) {
        service_replica_set_unreachable(replica, err->message);
    } else if (replica_read_readiness(body, len, &status, &replica->reasons) != 0) {
        service_replica_set_unreachable(replica, "what answers there is no service of this system");
    } else {
        set_status(replica, status);
        forget_metrics(replica);
        ask_for(replica, "metrics", true, on_metrics);
    }
    if (!replica->asked)
        replica->on_answered(replica->arg);
}

void service_replica_ask(struct service_replica *replica, int64_t timeout_ms)
{
    if (replica->asked)
        return; /* the end of the last question is at hand */
    replica->answered = false;
    replica->deadline_ms = clock_monotonic_ms() + timeout_ms;
    ask_for(replica, "readyz", false, on_readiness);
    if (!replica->asked)
        service_replica_set_unreachable(replica, "too many are asked at once");
}

void service_replica_ask_self(struct service_replica *replica)
{
    struct admin_page readyz, metrics;
    enum replica_status status;
    bool found = admin_page_render("/readyz", strlen("/readyz"), HEALTH_REASONS, &readyz) &&
                 admin_page_render("/metrics", strlen("/metrics"), HEALTH_REASONS, &metrics);
    assert(found);
    (void)found;
    if (replica_read_readiness(readyz.body, readyz.len, &status, &replica->reasons) == 0)
        set_status(replica, status);
    take_metrics(replica, metrics.body, metrics.len);
    free(readyz.body);
    free(metrics.body);
}

void service_replica_init(struct service_replica *replica, const char *name, const char *url,
                          const char *address, struct http_client *client,
                          void (*on_answered)(void *arg), void *arg)
{
    *replica = (struct service_replica){
        .url = url,
        .status = REPLICA_UNREACHABLE,
        .client = client,
        .on_answered = on_answered,
        .arg = arg,
    };
    (void)snprintf(replica->name, sizeof(replica->name), "%s", name);
    (void)snprintf(replica->address, sizeof(replica->address), "%s", address);
    forget_metrics(replica);
}
