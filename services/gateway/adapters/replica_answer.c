/* Reads /readyz by jansson, and of /metrics (Prometheus' text format 0.0.4) the few series that the
 * status needs. */
#include "services/gateway/adapters/replica_answer.h"
#include <ctype.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_SIZE 768 /* of a metric; a longer one is none of ours */

static const char *const names[] = {
    [REPLICA_READY] = "ready",
    [REPLICA_DEGRADED] = "degraded",
    [REPLICA_NOT_READY] = "not ready",
    [REPLICA_STOPPING] = "stopping",
    [REPLICA_UNREACHABLE] = "unreachable",
};

const char *replica_status_name(enum replica_status status)
{
    return names[status];
}

/* ---- readiness ---- */

void replica_reasons_add(struct replica_reasons *reasons, const char *text, size_t len)
{
    if (reasons->count == REPLICA_REASONS_MAX)
        return;
    char *reason = reasons->texts[reasons->count++];
    if (len >= REPLICA_REASON_SIZE) {
        len = REPLICA_REASON_SIZE - 1;
        while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
            len--; /* the beginning of a character that is cut */
    }
    for (size_t i = 0; i < len; i++)
        reason[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? ' ' : text[i];
    reason[len] = '\0';
}

static void add_dependency(struct replica_reasons *reasons, const json_t *dependency)
{
    const char *name = json_string_value(json_object_get(dependency, "name"));
    const char *reason = json_string_value(json_object_get(dependency, "reason"));
    const char *status = json_string_value(json_object_get(dependency, "status"));
    if (name == NULL || status == NULL || strcmp(status, "down") != 0)
        return;
    char *text;
    int len = asprintf(&text, "%s: %s", name, reason != NULL ? reason : "down");
    if (len < 0)
        abort(); /* out of memory */
    replica_reasons_add(reasons, text, (size_t)len);
    free(text);
}

int replica_read_readiness(const char *body, size_t len, enum replica_status *ret_status,
                           struct replica_reasons *ret_reasons)
{
    json_t *report = json_loadb(body, len, 0, NULL);
    const char *status = json_string_value(json_object_get(report, "status"));
    size_t known = REPLICA_UNREACHABLE;
    for (size_t i = 0; status != NULL && i < REPLICA_UNREACHABLE; i++)
        if (strcmp(status, names[i]) == 0)
            known = i;
    if (known != REPLICA_UNREACHABLE) {
        *ret_status = (enum replica_status)known;
        *ret_reasons = (struct replica_reasons){0};
        size_t index;
        const json_t *dependency;
        json_array_foreach(json_object_get(report, "dependencies"), index, dependency)
            add_dependency(ret_reasons, dependency);
    }
    json_decref(report);
    return known != REPLICA_UNREACHABLE ? 0 : -1;
}

/* ---- metrics ---- */

static const struct {
    const char *name;
    const char *labels[2]; /* that the series must have, or NULL */
} series[REPLICA_METRICS] = {
    [METRIC_ACCEPTED] = {"orders_accepted_total", {NULL}},
    [METRIC_STORED] = {"bridge_outcomes_total", {"stage=\"persist\"", "outcome=\"done\""}},
    [METRIC_SEARCHABLE] = {"bridge_outcomes_total", {"stage=\"index\"", "outcome=\"done\""}},
    [METRIC_EXECUTED] = {"worker_orders_total", {"outcome=\"done\"", NULL}},
    [METRIC_IN_FLIGHT] = {"bridge_in_flight", {NULL}},
    [METRIC_QUEUE_MESSAGES] = {"order_queue_messages", {NULL}},
    [METRIC_QUEUE_CONSUMERS] = {"order_queue_consumers", {NULL}},
    [METRIC_DEAD_MESSAGES] = {"dead_letter_queue_messages", {NULL}},
    [METRIC_STARTED] = {"process_start_time_seconds", {NULL}},
};

static bool has_labels(const char *labels, const char *const wanted[2])
{
    return (wanted[0] == NULL || strstr(labels, wanted[0]) != NULL) &&
           (wanted[1] == NULL || strstr(labels, wanted[1]) != NULL);
}

static void add_value(double *sum, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || !isfinite(value) || value < 0)
        return;
    value += isnan(*sum) ? 0 : *sum;
    *sum = isfinite(value) ? value : NAN;
}

static void read_service(const char *labels, char service[REPLICA_SERVICE_SIZE])
{
    static const char label[] = "service=\"";
    const char *name = strstr(labels, label);
    if (name == NULL)
        return;
    name += sizeof(label) - 1;
    size_t len = 0;
    while (isalnum((unsigned char)name[len]) || name[len] == '_' || name[len] == '-')
        len++;
    if (name[len] == '"' && len > 0 && len < REPLICA_SERVICE_SIZE)
        (void)snprintf(service, REPLICA_SERVICE_SIZE, "%.*s", (int)len, name);
}

/* Any bytes may come; what is too long is unknown. */
static void read_queue(const char *labels, char queue[REPLICA_QUEUE_SIZE])
{
    static const char label[] = "queue=\"";
    if (strncmp(labels, label, sizeof(label) - 1) != 0)
        return;
    const char *at = labels + sizeof(label) - 1;
    size_t len = 0;
    for (; *at != '"' && *at != '\0' && len < REPLICA_QUEUE_SIZE; at++) {
        if (*at == '\\' && at[1] != '\0')
            at++;
        queue[len++] = *at;
    }
    queue[*at == '"' && len < REPLICA_QUEUE_SIZE ? len : 0] = '\0';
}

/* One line, which is changed: NAME{LABELS} VALUE */
static void read_line(char *line, struct replica_metrics *metrics)
{
    char *value = strrchr(line, ' '), *labels = strchr(line, '{');
    if (line[0] == '#' || value == NULL)
        return;
    *value++ = '\0';
    if (labels != NULL)
        *labels++ = '\0';
    else
        labels = value - 1; /* empty */
    if (strcmp(line, "order_pipeline_build_info") == 0)
        read_service(labels, metrics->service);
    if (strcmp(line, series[METRIC_QUEUE_MESSAGES].name) == 0)
        read_queue(labels, metrics->queue);
    for (size_t i = 0; i < REPLICA_METRICS; i++)
        if (strcmp(line, series[i].name) == 0 && has_labels(labels, series[i].labels))
            add_value(&metrics->values[i], value);
}

void replica_read_metrics(const char *body, size_t len, struct replica_metrics *ret)
{
    *ret = (struct replica_metrics){0};
    for (size_t i = 0; i < REPLICA_METRICS; i++)
        ret->values[i] = NAN;
    const char *end = body + len;
    while (body < end) {
        const char *line_end = memchr(body, '\n', (size_t)(end - body));
        if (line_end == NULL)
            return; /* cut: its number may be, too */
        char line[LINE_SIZE];
        size_t line_len = (size_t)(line_end - body);
        if (line_len < sizeof(line) && memchr(body, '\0', line_len) == NULL) {
            memcpy(line, body, line_len);
            line[line_len] = '\0';
            read_line(line, ret);
        }
        body = line_end + 1;
    }
}
