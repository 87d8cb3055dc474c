/* A round asks the services, PostgreSQL and Elasticsearch side by side, and ends after 1 s at the
 * latest. A request gets the last round's answer when that is fresh. Else it waits for the round.
 * Rates are differences between two rounds, so the first question after a while waits for a second
 * round, as long as its time allows. The connection to PostgreSQL is opened for the questions, and
 * closed with the last round. */
#include "services/gateway/adapters/status_collector.h"
#include "proto/timestamp.h"
#include "services/base/clock.h"
#include "services/base/memory.h"
#include "services/clients/postgres/job_records.h"
#include "services/gateway/adapters/service_replicas.h"
#include "services/gateway/adapters/status_report.h"
#include "services/gateway/job_json.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define ROUND_MS 1000 /* from one round to the next, and how long a round may take */
_Static_assert(SERVICE_REPLICAS_TIMEOUT_MS <= ROUND_MS, "the services are asked in a round");
#define FRESH_MS 2100    /* a round that was begun a second after the last one, and its time */
#define LINGER_MS 5000   /* rounds go on for so long after the last question */
#define PATIENCE_MS 1150 /* of a question */
#define RATES_MS 60000   /* rounds further apart give no rates */
#define COUNT_TIMEOUT_MS 950
#define COUNT_MAX_BYTES 65536
#define DEPENDENCIES_MAX 16
#define PATH_SIZE 300 /* an index name has up to 255 bytes */

struct waiter {
    struct waiter *next;
    system_status_done_fn *on_done;
    void *arg;
    int64_t ends_at_ms;
};

/* What PostgreSQL is asked: the parts of the overview, and the jobs. */
enum { PART_JOBS = OVERVIEW_PARTS, PARTS };
struct part {
    struct status_collector *home;
    bool asked; /* the statement is under way */
    json_t *json;
};

struct status_collector {
    struct event_loop *loop;
    struct status_collector_options options;
    struct service_replicas *replicas;
    struct elasticsearch *elasticsearch;
    char count_path[PATH_SIZE];
    struct database *database; /* NULL while nobody asks */
    bool database_down;        /* as it was last heard of */
    struct part parts[PARTS];
    double documents;
    struct loop_timer *next;    /* the next round */
    struct loop_timer *end;     /* of the round */
    struct loop_timer *give_up; /* the first waiter's */
    bool collecting;            /* a round is under way, and of it: */
    bool replicas_told, counting, overview_sent;
    int64_t begun_ms, asked_ms; /* the last round, the last question */
    unsigned rounds;            /* in a row */
    struct status_memory memory;
    char *json; /* of the last round, or NULL */
    size_t len;
    int64_t told_ms;
    struct waiter *waiters;
};

/* ---- answers ---- */

/* Of the gateway's checks those of others: its own are in its readiness. Returns how many. */
static size_t look_at_dependencies(struct health_state states[DEPENDENCIES_MAX])
{
    size_t count = 0;
    for (size_t i = 0; count < DEPENDENCIES_MAX && health_look(i, &states[count]); i++)
        count += states[count].weight == HEALTH_DEGRADED;
    return count;
}

static void render(struct status_collector *collector)
{
    struct status_facts facts = {
        .at_us = timestamp_now_us(),
        .urls_set = collector->options.service_urls != NULL,
        .urls_fault = service_replicas_fault(collector->replicas),
        .documents = collector->documents,
        .queue = collector->options.queue,
    };
    const struct service_replica *replicas[SERVICE_REPLICAS_MAX + 1];
    facts.replicas = replicas;
    const struct service_replica *replica;
    while ((replica = service_replicas_at(collector->replicas, facts.replica_count)) != NULL)
        replicas[facts.replica_count++] = replica;
    struct health_state dependencies[DEPENDENCIES_MAX];
    facts.dependencies = dependencies;
    facts.dependency_count = look_at_dependencies(dependencies);
    for (size_t i = 0; i < OVERVIEW_PARTS; i++)
        facts.overview[i] = collector->parts[i].json;
    facts.jobs = collector->parts[PART_JOBS].json;
    free(collector->json);
    collector->json = status_report_render(&facts, &collector->memory, &collector->len);
    collector->told_ms = clock_monotonic_ms();
}

static bool is_fresh(const struct status_collector *collector)
{
    return collector->json != NULL && collector->rounds >= 2 &&
           clock_monotonic_ms() - collector->told_ms <= FRESH_MS;
}

/* Answer those whose time has come, or all. */
static void answer(struct status_collector *collector, bool all)
{
    struct waiter *answered = NULL;
    int64_t now_ms = clock_monotonic_ms();
    for (struct waiter **at = &collector->waiters; *at != NULL;) {
        struct waiter *waiter = *at;
        if (!all && waiter->ends_at_ms > now_ms) {
            at = &waiter->next;
            continue;
        }
        *at = waiter->next;
        waiter->next = answered;
        answered = waiter;
    }
    if (collector->waiters != NULL)
        loop_timer_start(collector->give_up, collector->waiters->ends_at_ms - now_ms);
    else
        loop_timer_stop(collector->give_up);
    for (struct waiter *next; answered != NULL; answered = next) {
        next = answered->next;
        answered->on_done(answered->arg, collector->json, collector->len);
        free(answered);
    }
}

static void on_give_up(void *arg)
{
    struct status_collector *collector = arg;
    if (collector->json == NULL || clock_monotonic_ms() - collector->told_ms > FRESH_MS)
        render(collector);
    answer(collector, false);
}

/* ---- a round ---- */

static void forget_part(struct part *part)
{
    json_decref(part->json);
    part->json = NULL;
}

static void close_database(struct status_collector *collector)
{
    database_free(collector->database);
    collector->database = NULL;
    collector->database_down = false;
    for (size_t i = 0; i < PARTS; i++)
        collector->parts[i].asked = false;
}

static void end_round(struct status_collector *collector)
{
    collector->collecting = false;
    loop_timer_stop(collector->end);
    collector->rounds++;
    render(collector);
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms - collector->asked_ms < LINGER_MS) {
        int64_t wait_ms = collector->begun_ms + ROUND_MS - now_ms;
        loop_timer_start(collector->next, wait_ms > 0 ? wait_ms : 0);
    } else {
        close_database(collector);
    }
    if (collector->rounds >= 2)
        answer(collector, true);
}

static void on_end(void *arg)
{
    struct status_collector *collector = arg;
    if (collector->replicas_told)
        end_round(collector);
    else
        loop_timer_start(collector->end, 1); /* theirs has expired, too */
}

static void end_if_told(struct status_collector *collector)
{
    if (!collector->collecting || !collector->replicas_told || collector->counting ||
        !collector->overview_sent)
        return;
    for (size_t i = 0; i < PARTS; i++)
        if (collector->parts[i].asked)
            return;
    loop_timer_start(collector->end, 0);
}

static void on_replicas_told(void *arg)
{
    struct status_collector *collector = arg;
    collector->replicas_told = true;
    end_if_told(collector);
}

static void part_told(struct part *part, json_t *json)
{
    part->asked = false;
    forget_part(part);
    part->json = json;
    end_if_told(part->home);
}

static void on_part(void *arg, const struct database_answer *answer)
{
    const char *text = overview_json(answer);
    part_told(arg, text != NULL ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL);
}

static void on_jobs(void *arg, const struct job_record *jobs, size_t count,
                    const struct database_answer *answer)
{
    json_t *json = answer->status == DATABASE_OK ? json_array() : NULL;
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(json, job_json(&jobs[i]));
    part_told(arg, json);
}

static void ask_postgres(struct status_collector *collector)
{
    if (!database_up(collector->database))
        return;
    for (size_t i = 0; i < PARTS; i++) {
        struct part *part = &collector->parts[i];
        if (part->asked)
            continue; /* the last round's answer will do */
        part->asked = (i == PART_JOBS ? job_records_overview(collector->database, on_jobs, part)
                                      : overview_read(collector->database, (enum overview_part)i,
                                                      on_part, part)) == 0;
    }
    collector->overview_sent = true;
}

static void on_database(void *arg, bool up, const char *reason)
{
    (void)reason; /* the gateway's own readiness tells it */
    struct status_collector *collector = arg;
    collector->database_down = !up;
    if (!collector->collecting || collector->overview_sent)
        return;
    if (up)
        ask_postgres(collector);
    collector->overview_sent = true;
    end_if_told(collector);
}

static void on_counted(void *arg, long status, enum http_end end, const char *body, size_t len,
                       const struct error *err)
{
    (void)end, (void)err;
    struct status_collector *collector = arg;
    collector->counting = false;
    collector->documents = status == 404 ? 0 : NAN; /* there is no index yet */
    json_t *json = status == 200 ? json_loadb(body, len, 0, NULL) : NULL;
    const json_t *count = json_object_get(json, "count");
    if (json_is_integer(count) && json_integer_value(count) >= 0)
        collector->documents = (double)json_integer_value(count);
    json_decref(json);
    end_if_told(collector);
}

static void on_next(void *arg)
{
    struct status_collector *collector = arg;
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms - collector->begun_ms > RATES_MS)
        collector->rounds = 0;
    collector->begun_ms = now_ms;
    collector->collecting = true;
    collector->replicas_told = false;
    collector->overview_sent = collector->database_down; /* it is not waited for */
    collector->documents = NAN;
    for (size_t i = 0; i < PARTS; i++)
        forget_part(&collector->parts[i]);
    loop_timer_start(collector->end, ROUND_MS);
    if (collector->database == NULL)
        collector->database =
            database_new(collector->loop, &(struct database_options){
                                              .dsn = collector->options.dsn,
                                              .application_name = "gateway status",
                                              .max_in_flight = PARTS,
                                              .statement_timeout_ms = ROUND_MS,
                                              .reads_only = true,
                                              .on_state = on_database,
                                              .arg = collector,
                                          });
    else
        ask_postgres(collector);
    if (!collector->counting)
        collector->counting =
            elasticsearch_request(collector->elasticsearch, "GET", collector->count_path, NULL,
                                  NULL, 0, false, COUNT_TIMEOUT_MS, on_counted, collector) == 0;
    service_replicas_ask(collector->replicas);
}

/* ---- interface ---- */

void status_collector_ask(struct status_collector *collector, system_status_done_fn *on_done,
                          void *arg)
{
    collector->asked_ms = clock_monotonic_ms();
    bool fresh = is_fresh(collector);
    if (!fresh) {
        struct waiter *waiter = memory_new(sizeof(*waiter));
        *waiter = (struct waiter){
            .on_done = on_done, .arg = arg, .ends_at_ms = collector->asked_ms + PATIENCE_MS};
        struct waiter **end = &collector->waiters;
        while (*end != NULL)
            end = &(*end)->next;
        *end = waiter;
        if (collector->waiters == waiter)
            loop_timer_start(collector->give_up, PATIENCE_MS);
    }
    if (!collector->collecting && !loop_timer_running(collector->next))
        loop_timer_start(collector->next, 0);
    if (fresh)
        on_done(arg, collector->json, collector->len); /* last */
}

struct status_collector *status_collector_new(struct event_loop *loop,
                                              const struct status_collector_options *options)
{
    struct status_collector *collector = memory_new(sizeof(*collector));
    collector->loop = loop;
    collector->options = *options;
    collector->documents = NAN;
    collector->begun_ms = clock_monotonic_ms() - RATES_MS - 1;
    for (size_t i = 0; i < PARTS; i++)
        collector->parts[i].home = collector;
    collector->replicas = service_replicas_new(
        loop, &(struct service_replicas_options){.urls = options->service_urls,
                                                 .own_address = options->admin_address,
                                                 .own_port = options->admin_port,
                                                 .on_told = on_replicas_told,
                                                 .arg = collector});
    struct elasticsearch_options elasticsearch = *options->elasticsearch;
    elasticsearch.max_in_flight = 1;
    elasticsearch.max_response_bytes = COUNT_MAX_BYTES;
    elasticsearch.answers = NULL;
    collector->elasticsearch = elasticsearch_new(loop, &elasticsearch);
    (void)snprintf(collector->count_path, sizeof(collector->count_path), "/%s/_count",
                   options->index); /* it fits */
    collector->next = event_loop_timer(loop, on_next, collector);
    collector->end = event_loop_timer(loop, on_end, collector);
    collector->give_up = event_loop_timer(loop, on_give_up, collector);
    return collector;
}

void status_collector_free(struct status_collector *collector)
{
    if (collector == NULL)
        return;
    loop_timer_free(collector->next);
    loop_timer_free(collector->end);
    loop_timer_free(collector->give_up);
    service_replicas_free(collector->replicas);
    elasticsearch_free(collector->elasticsearch);
    close_database(collector);
    for (size_t i = 0; i < PARTS; i++)
        forget_part(&collector->parts[i]);
    for (struct waiter *next, *waiter = collector->waiters; waiter != NULL; waiter = next) {
        next = waiter->next;
        free(waiter);
    }
    free(collector->json);
    free(collector);
}
