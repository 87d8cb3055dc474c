/* Writes the JSON, and what is wrong in sentences for a person, the worst first. */
#include "services/gateway/adapters/status_report.h"
#include "proto/timestamp.h"
#include "services/base/json_text.h"
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SENTENCE_SIZE 1024
#define OUTBOX_PATIENCE_SECONDS 60
#define COUNT_PATIENCE_US INT64_C(5000000) /* a busy Elasticsearch misses one, as in a reindex */
#define INSTANT_SIZE TIMESTAMP_TEXT_SIZE

/* ---- numbers ---- */

/* Of 2^53 and more, no number is exact. */
static json_t *number(double value)
{
    if (isnan(value) || value > 9e15)
        return json_null();
    return value == floor(value) ? json_integer((json_int_t)value) : json_real(value);
}

static json_t *rate(double per_second)
{
    return isnan(per_second) ? json_null() : json_real(round(per_second * 10) / 10);
}

static double sum(const struct status_facts *facts,
                  double (*of)(const struct service_replica *, enum replica_metric),
                  enum replica_metric metric)
{
    double all = NAN;
    for (size_t i = 0; i < facts->replica_count; i++) {
        double value = of(facts->replicas[i], metric);
        if (!isnan(value))
            all = value + (isnan(all) ? 0 : all);
    }
    return all;
}

static double value_of(const struct service_replica *replica, enum replica_metric metric)
{
    return replica->metrics.values[metric];
}

static double rate_of(const struct service_replica *replica, enum replica_metric metric)
{
    return replica->rates[metric];
}

/* ---- queues: groups of gateways and bridges have one each ---- */

static const char *queue_of(const struct service_replica *replica)
{
    return replica->metrics.queue;
}

/* Whether no replica before this one is about the same queue. */
static bool is_first_of_queue(const struct status_facts *facts, size_t number)
{
    for (size_t i = 0; i < number; i++)
        if (strcmp(queue_of(facts->replicas[i]), queue_of(facts->replicas[number])) == 0)
            return false;
    return true;
}

/* All bridges tell the same of their queue, each up to 2 s late. */
static double most(const struct status_facts *facts, const char *queue, enum replica_metric metric)
{
    double highest = NAN;
    for (size_t i = 0; i < facts->replica_count; i++)
        if (strcmp(queue_of(facts->replicas[i]), queue) == 0)
            highest = fmax(highest, value_of(facts->replicas[i], metric)); /* a number before NAN */
    return highest;
}

/* Of all queues together. */
static double in_queues(const struct status_facts *facts, enum replica_metric metric)
{
    double all = NAN;
    for (size_t i = 0; i < facts->replica_count; i++) {
        double value =
            is_first_of_queue(facts, i) ? most(facts, queue_of(facts->replicas[i]), metric) : NAN;
        if (!isnan(value))
            all = value + (isnan(all) ? 0 : all);
    }
    return all;
}

/* Of those that no bridge takes orders out of, the first; or NULL. */
static const char *unconsumed(const struct status_facts *facts)
{
    for (size_t i = 0; i < facts->replica_count; i++) {
        const char *queue = queue_of(facts->replicas[i]);
        if (most(facts, queue, METRIC_QUEUE_CONSUMERS) == 0)
            return queue[0] != '\0' ? queue : facts->queue;
    }
    return NULL;
}

static void write_instant(int64_t us, char text[INSTANT_SIZE])
{
    (void)timestamp_format(us - us % 1000000, text);
}

/* ---- the sentence ---- */

/* `problems` are the sentences of what is wrong, without their ends. */
static void wrong(json_t *problems, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void wrong(json_t *problems, const char *format, ...)
{
    char text[SENTENCE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    json_t *problem = json_string(text);
    if (problem == NULL) /* a reason that was cut within a character */
        problem = json_string("something is wrong: see the services");
    (void)json_array_append_new(problems, problem);
}

/* Until it has answered once, it is called by the host of its URL, which may be in the address. */
static bool has_name(const struct service_replica *replica)
{
    return strstr(replica->address, replica->name) == NULL;
}

static void judge_services(const struct status_facts *facts, enum replica_status status,
                           json_t *problems)
{
    for (size_t i = 0; i < facts->replica_count; i++) {
        const struct service_replica *replica = facts->replicas[i];
        if (replica->status != status)
            continue;
        char since[INSTANT_SIZE];
        write_instant(replica->since_us, since);
        wrong(problems, "%s %s has been %s since %s%s%s",
              has_name(replica) ? replica->name : "a service at",
              i == 0                        ? "(this one)"
              : replica->address[0] != '\0' ? replica->address
                                            : replica->url,
              replica_status_name(status), since, replica->reasons.count > 0 ? ": " : "",
              replica->reasons.count > 0 ? replica->reasons.texts[0] : "");
    }
}

/* Remember since when; `since` is written when the trouble is there. Returns `is_there`. */
static bool troubled(const struct status_facts *facts, struct status_memory *memory,
                     enum status_trouble trouble, bool is_there, char since[INSTANT_SIZE])
{
    int64_t *since_us = &memory->since_us[trouble];
    if (!is_there)
        *since_us = 0;
    else if (*since_us == 0)
        *since_us = facts->at_us;
    if (is_there)
        write_instant(*since_us, since);
    return is_there;
}

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static bool any_unanswered(const struct status_facts *facts)
{
    for (size_t i = 0; i < OVERVIEW_PARTS; i++)
        if (facts->overview[i] == NULL)
            return true;
    return facts->jobs == NULL;
}

/* What the gateway's own readiness tells is not told again. */
static void judge_stores(const struct status_facts *facts, struct status_memory *memory,
                         json_t *problems)
{
    bool ready = facts->replicas[0]->status == REPLICA_READY;
    char since[INSTANT_SIZE];
    const char *queue = unconsumed(facts);
    if (troubled(facts, memory, TROUBLE_NO_CONSUMER, queue != NULL, since))
        wrong(problems, "no bridge has taken orders out of %s since %s", queue, since);
    if (troubled(facts, memory, TROUBLE_POSTGRES, ready && any_unanswered(facts), since))
        wrong(problems, "PostgreSQL has left questions unanswered since %s", since);
    if (troubled(facts, memory, TROUBLE_ELASTICSEARCH, ready && isnan(facts->documents), since) &&
        facts->at_us - memory->since_us[TROUBLE_ELASTICSEARCH] >= COUNT_PATIENCE_US)
        wrong(problems, "Elasticsearch has not counted its documents since %s", since);
    const char *fault = text_of(facts->overview[OVERVIEW_ARCHIVE], "fault");
    if (troubled(facts, memory, TROUBLE_ARCHIVE, fault != NULL, since))
        wrong(problems, "dead letters have not been archived since %s: %.300s", since, fault);
    double waits =
        json_number_value(json_object_get(facts->overview[OVERVIEW_OUTBOX], "oldest_seconds"));
    if (waits > OUTBOX_PATIENCE_SECONDS) {
        write_instant(facts->at_us - (int64_t)(waits * 1e6), since);
        wrong(problems, "stored orders have waited for RabbitMQ since %s", since);
    }
}

static void judge_dead_letters(const struct status_facts *facts, json_t *problems)
{
    const json_t *letters = facts->overview[OVERVIEW_DEAD_LETTERS];
    json_int_t dead = json_integer_value(json_object_get(letters, "dead"));
    const char *oldest = text_of(letters, "oldest_died_at");
    if (dead > 0 && oldest != NULL)
        wrong(problems, "%" JSON_INTEGER_FORMAT " dead letter%s, the oldest died at %s", dead,
              dead == 1 ? " waits for a decision" : "s wait for a decision", oldest);
    /* With the archive on, they are on their way into it. */
    const char *archive = text_of(facts->overview[OVERVIEW_ARCHIVE], "state");
    double in_queue = in_queues(facts, METRIC_DEAD_MESSAGES);
    if (in_queue > 0 && (archive == NULL || strcmp(archive, "on") != 0))
        wrong(problems, "%.0f dead letter%s in RabbitMQ", in_queue,
              in_queue == 1 ? " is" : "s are");
}

/* What keeps orders from going on comes first, and a service that says why before one that is
 * silent. */
static json_t *judge(const struct status_facts *facts, struct status_memory *memory)
{
    json_t *problems = json_array();
    char since[INSTANT_SIZE];
    judge_services(facts, REPLICA_NOT_READY, problems);
    judge_services(facts, REPLICA_UNREACHABLE, problems);
    judge_stores(facts, memory, problems);
    judge_services(facts, REPLICA_DEGRADED, problems);
    judge_services(facts, REPLICA_STOPPING, problems);
    judge_dead_letters(facts, problems);
    if (troubled(facts, memory, TROUBLE_URLS, facts->urls_fault != NULL, since))
        wrong(problems, "SERVICE_ADMIN_URLS has been at fault since %s: %s", since,
              facts->urls_fault);
    return problems;
}

static json_t *summary(const struct status_facts *facts, const json_t *problems)
{
    size_t count = json_array_size(problems);
    if (count == 0)
        return json_string(facts->urls_set ? "All is well."
                                           : "All that this gateway can see is well; "
                                             "SERVICE_ADMIN_URLS names no other service.");
    char more[64] = "";
    if (count > 1)
        (void)snprintf(more, sizeof(more), "; %zu more %s wrong", count - 1,
                       count == 2 ? "thing is" : "things are");
    return json_sprintf("%s%s.", json_string_value(json_array_get(problems, 0)), more);
}

/* ---- the rest ---- */

static json_t *rates_of(const struct service_replica *replica)
{
    static const char *const names[METRIC_COUNTERS] = {
        [METRIC_ACCEPTED] = "accepted_per_second",
        [METRIC_STORED] = "stored_per_second",
        [METRIC_SEARCHABLE] = "searchable_per_second",
        [METRIC_EXECUTED] = "orders_per_second",
    };
    json_t *rates = json_object();
    for (size_t i = 0; i < METRIC_COUNTERS; i++)
        if (!isnan(replica->metrics.values[i]))
            (void)json_object_set_new(rates, names[i], rate(replica->rates[i]));
    return rates;
}

static json_t *services(const struct status_facts *facts)
{
    json_t *all = json_array();
    for (size_t i = 0; i < facts->replica_count; i++) {
        const struct service_replica *replica = facts->replicas[i];
        char since[INSTANT_SIZE];
        (void)timestamp_format(replica->since_us, since);
        json_t *reasons = json_array();
        for (size_t j = 0; j < replica->reasons.count; j++)
            (void)json_array_append_new(reasons, json_string(replica->reasons.texts[j]));
        (void)json_array_append_new(
            all, json_pack("{s:s, s:s?, s:s?, s:s, s:s, s:o, s:o}", "name", replica->name, "url",
                           replica->url, "replica",
                           replica->address[0] != '\0' ? replica->address : NULL, "status",
                           replica_status_name(replica->status), "since", since, "reasons", reasons,
                           "rates", rates_of(replica)));
    }
    return all;
}

/* The words of a server or a library, which may be any bytes. */
static json_t *words(const char *text)
{
    char json[JSON_TEXT_SIZE(HEALTH_REASON_SIZE) + 2];
    json[0] = '"';
    size_t len = 1 + json_text_escape(text, strlen(text), json + 1, sizeof(json) - 2);
    json[len++] = '"';
    return json_loadb(json, len, JSON_DECODE_ANY, NULL);
}

static json_t *dependencies(const struct status_facts *facts)
{
    json_t *all = json_array();
    for (size_t i = 0; i < facts->dependency_count; i++) {
        const struct health_state *state = &facts->dependencies[i];
        char since[INSTANT_SIZE];
        (void)timestamp_format(state->since_us, since);
        (void)json_array_append_new(
            all, json_pack("{s:s, s:s, s:s, s:o}", "name", state->dependency, "status",
                           state->up ? "up" : "down", "since", since, "reason",
                           state->up ? json_null() : words(state->reason)));
    }
    return all;
}

/* With ", " between; this gateway's own one while no bridge tells. */
static json_t *queue_names(const struct status_facts *facts)
{
    char names[SENTENCE_SIZE] = "";
    size_t len = 0;
    for (size_t i = 0; i < facts->replica_count; i++) {
        const char *queue = queue_of(facts->replicas[i]);
        if (queue[0] == '\0' || !is_first_of_queue(facts, i) ||
            len + strlen(queue) + sizeof(", ") > sizeof(names))
            continue;
        len +=
            (size_t)snprintf(names + len, sizeof(names) - len, "%s%s", len > 0 ? ", " : "", queue);
    }
    json_t *told = json_string(len > 0 ? names : facts->queue);
    return told != NULL ? told : json_string("?"); /* a service told bytes that are no text */
}

static json_t *queue(const struct status_facts *facts)
{
    double messages = in_queues(facts, METRIC_QUEUE_MESSAGES);
    double consumers = in_queues(facts, METRIC_QUEUE_CONSUMERS);
    double dead = in_queues(facts, METRIC_DEAD_MESSAGES);
    if (isnan(messages) && isnan(consumers) && isnan(dead))
        return json_null();
    return json_pack("{s:o, s:o, s:o, s:o}", "name", queue_names(facts), "messages",
                     number(messages), "consumers", number(consumers), "dead_messages",
                     number(dead));
}

static json_t *told(json_t *json)
{
    return json != NULL ? json_incref(json) : json_null();
}

static json_t *part(const struct status_facts *facts, enum overview_part index)
{
    return told(facts->overview[index]);
}

char *status_report_render(const struct status_facts *facts, struct status_memory *memory,
                           size_t *ret_len)
{
    json_t *problems = judge(facts, memory);
    char at[INSTANT_SIZE];
    (void)timestamp_format(facts->at_us, at);
    json_t *rates = json_pack("{s:o, s:o, s:o}", "accepted_per_second",
                              rate(sum(facts, rate_of, METRIC_ACCEPTED)), "stored_per_second",
                              rate(sum(facts, rate_of, METRIC_STORED)), "searchable_per_second",
                              rate(sum(facts, rate_of, METRIC_SEARCHABLE)));
    json_t *report = json_pack(
        "{s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
        "at", at, "well", json_array_size(problems) == 0, "summary", summary(facts, problems),
        "problems", problems, "services", services(facts), "dependencies", dependencies(facts),
        "queue", queue(facts), "in_flight", number(sum(facts, value_of, METRIC_IN_FLIGHT)), "rates",
        rates, "rows_estimated", part(facts, OVERVIEW_ROWS), "documents", number(facts->documents),
        "index", part(facts, OVERVIEW_INDEX), "dead_letters", part(facts, OVERVIEW_DEAD_LETTERS),
        "archive", part(facts, OVERVIEW_ARCHIVE), "outbox", part(facts, OVERVIEW_OUTBOX),
        "last_refresh_at", part(facts, OVERVIEW_LAST_REFRESH), "jobs", told(facts->jobs));
    char *text = json_dumps(report, JSON_COMPACT | JSON_REAL_PRECISION(12));
    if (text == NULL)
        abort(); /* out of memory */
    json_decref(report);
    *ret_len = strlen(text);
    return text;
}
