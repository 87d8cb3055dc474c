/* Readiness: a short list of checks that only grows, under one lock. */
#include "services/runtime/health.h"
#include "proto/timestamp.h"
#include "services/base/clock.h"
#include "services/base/json_text.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct health_check {
    struct health_check *next;
    char *dependency;
    enum health_weight weight;
    bool up;
    bool reported; /* at least once */
    int64_t registered_ms, since_us;
    char reason[HEALTH_REASON_SIZE]; /* while down */
    struct metric_gauge *up_metric;
    struct metric_counter *failures_metric;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct health_check *checks, **checks_end = &checks;
static bool stopping;

static void register_metrics(struct health_check *check)
{
    char labels[96];
    (void)snprintf(labels, sizeof(labels), "dependency=\"%s\"", check->dependency); /* our names */
    check->up_metric =
        metric_gauge("dependency_up", labels, "1 while the dependency is usable, 0 while not");
    check->failures_metric =
        metric_counter("dependency_failures_total", labels,
                       "Times that the dependency became unusable, or was so at the start");
}

struct health_check *health_check(const char *dependency, enum health_weight weight)
{
    struct health_check *check = memory_new(sizeof(*check));
    check->dependency = memory_copy_text(dependency);
    check->weight = weight;
    check->registered_ms = clock_monotonic_ms();
    check->since_us = timestamp_now_us();
    (void)snprintf(check->reason, sizeof(check->reason), "starting");
    register_metrics(check);
    (void)pthread_mutex_lock(&lock);
    *checks_end = check;
    checks_end = &check->next;
    (void)pthread_mutex_unlock(&lock);
    return check;
}

bool health_set(struct health_check *check, bool up, const char *reason)
{
    (void)pthread_mutex_lock(&lock);
    bool changed = !check->reported || check->up != up;
    if (check->up != up)
        check->since_us = timestamp_now_us();
    check->up = up;
    check->reported = true;
    (void)snprintf(check->reason, sizeof(check->reason), "%s", up || reason == NULL ? "" : reason);
    (void)pthread_mutex_unlock(&lock);
    metric_set(check->up_metric, up);
    if (changed && !up)
        metric_add(check->failures_metric, 1);
    return changed;
}

bool health_up(const struct health_check *check)
{
    (void)pthread_mutex_lock(&lock);
    bool up = check->up;
    (void)pthread_mutex_unlock(&lock);
    return up;
}

bool health_look(size_t index, struct health_state *ret)
{
    (void)pthread_mutex_lock(&lock);
    const struct health_check *check = checks;
    while (check != NULL && index-- > 0)
        check = check->next;
    if (check != NULL) {
        *ret = (struct health_state){
            .dependency = check->dependency,
            .weight = check->weight,
            .up = check->up,
            .since_us = check->since_us,
        };
        memcpy(ret->reason, check->reason, sizeof(ret->reason));
    }
    (void)pthread_mutex_unlock(&lock);
    return check != NULL;
}

/* With the lock held: is every check of this weight up? */
static bool all_up(enum health_weight weight)
{
    for (const struct health_check *check = checks; check != NULL; check = check->next) {
        if (check->weight == weight && !check->up)
            return false;
    }
    return true;
}

/* With the lock held: has every check been heard of, or been given the time for it? A service that
 * has just started is not ready before its first connections are made. */
static bool started(void)
{
    if (checks == NULL)
        return false; /* it has not even come to register them */
    int64_t limit_ms = clock_monotonic_ms() - HEALTH_STARTING_MS;
    for (const struct health_check *check = checks; check != NULL; check = check->next) {
        if (!check->reported && check->registered_ms > limit_ms)
            return false;
    }
    return true;
}

/* With the lock held. */
static bool ready(void)
{
    return !stopping && all_up(HEALTH_REQUIRED) && started();
}

/* With the lock held. */
static const char *status(void)
{
    if (stopping)
        return "stopping";
    if (!ready())
        return "not ready";
    return all_up(HEALTH_DEGRADED) ? "ready" : "degraded";
}

bool health_ready(void)
{
    (void)pthread_mutex_lock(&lock);
    bool is_ready = ready();
    (void)pthread_mutex_unlock(&lock);
    return is_ready;
}

void health_set_stopping(void)
{
    (void)pthread_mutex_lock(&lock);
    stopping = true;
    (void)pthread_mutex_unlock(&lock);
}

static void render_check(FILE *out, const struct health_check *check, enum health_detail detail)
{
    char name[JSON_TEXT_SIZE(64)], reason[JSON_TEXT_SIZE(HEALTH_REASON_SIZE)];
    (void)json_text_escape(check->dependency, strlen(check->dependency), name, sizeof(name));
    (void)json_text_escape(check->reason, strlen(check->reason), reason, sizeof(reason));
    fprintf(out, "{\"name\":\"%s\"", name);
    if (detail == HEALTH_REASONS)
        fprintf(out, ",\"required\":%s", check->weight == HEALTH_REQUIRED ? "true" : "false");
    fprintf(out, ",\"status\":\"%s\"", check->up ? "up" : "down");
    if (detail == HEALTH_REASONS && !check->up)
        fprintf(out, ",\"reason\":\"%s\"", reason);
    fprintf(out, "}");
}

char *health_render(enum health_detail detail, size_t *ret_len)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, ret_len);
    if (out == NULL)
        abort();
    (void)pthread_mutex_lock(&lock);
    fprintf(out, "{\"status\":\"%s\",\"dependencies\":[", status());
    for (const struct health_check *check = checks; check != NULL; check = check->next) {
        render_check(out, check, detail);
        if (check->next != NULL)
            fprintf(out, ",");
    }
    (void)pthread_mutex_unlock(&lock);
    fprintf(out, "]}\n");
    if (fclose(out) != 0)
        abort();
    return text;
}
