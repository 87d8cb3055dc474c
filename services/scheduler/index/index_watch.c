/* Works in rounds, one thing after the other:
 *
 *   read the row ─▶ look at the index ─▶ claim it ─▶ its statistics ─▶ count it ─▶ write
 *
 * The row is read each turn, for health. The rest follows when a look is due, and ends as soon as
 * there is nothing new: an index that is idle must not be searched, because it would be refreshed
 * for that, so its documents are counted only after their statistics have changed. What is written
 * depends on what was read before the look, so a swap of the index that falls between them changes
 * nothing.
 *
 * That another index is there, or none, is believed when two looks have seen it. */
#include "services/scheduler/index/index_watch.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/clients/elasticsearch/index_look.h"
#include "services/clients/elasticsearch/server_error.h"
#include "services/clients/postgres/search_index_watch.h"
#include "services/runtime/health.h"
#include "services/scheduler/index/index_health.h"
#include "services/scheduler/index/verify_schedule.h"
#include "services/scheduler/index/watch_answers.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define REQUEST_TIMEOUT_MS 4000
#define STATEMENT_TIMEOUT_MS 5000
#define STATEMENTS_MAX 2                   /* of a round, and of the schedules */
#define ANSWER_MAX_BYTES (4 * 1024 * 1024) /* a mapping may have many fields */
#define PATH_SIZE (ELASTICSEARCH_PATH_SIZE + sizeof INDEX_LOOK_QUERY)

enum watch_step { STEP_NONE, STEP_READ, STEP_LOOK, STEP_CLAIM, STEP_STATS, STEP_COUNT, STEP_WRITE };

/* Of Elasticsearch's; what privilege each needs. */
static const struct {
    const char *method, *path_format, *privilege;
} requests[] = {
    [STEP_LOOK] = {"GET", "/%s?" INDEX_LOOK_QUERY, "view_index_metadata"},
    [STEP_CLAIM] = {"PUT", "/%s/_mapping", "manage"},
    [STEP_STATS] = {"GET", "/%s/_stats/docs?" WATCH_STATISTICS_QUERY, "monitor"},
    [STEP_COUNT] = {"GET", "/%s/_count", "read"},
};

struct index_watch {
    bool repair;
    char *index;
    struct loop_timer *timer;
    struct database *database;
    struct elasticsearch *client;
    struct verify_schedule *schedule;
    struct index_health *health;
    struct health_check *elasticsearch_health;
    void (*on_state)(void *arg, bool up, const char *reason);
    void *arg;

    enum watch_step step;
    int64_t look_at_ms;
    bool has_looked;                   /* once, and knows whose index it is */
    struct search_index read;          /* of this round */
    struct index_look look;            /* of this round; or of none: INDEX_ABSENT */
    struct watch_statistics now, then; /* of this round, and when the documents were last counted */
    char counted[INDEX_IDENTITY_SIZE]; /* the index that `then` is of */
    bool suspects;                     /* the last look saw another index than the row tells: */
    char suspect[INDEX_IDENTITY_SIZE]; /* this one */
    bool is_foreign, claim_refused, statistics_refused;
    struct error foreign;
};

static void end_round(struct index_watch *watch, int64_t look_in_ms)
{
    watch->step = STEP_NONE;
    watch->look_at_ms = clock_monotonic_ms() + look_in_ms;
}

/* ---- Elasticsearch, in general ---- */

static void report(struct index_watch *watch, bool up, const char *reason)
{
    if (!health_set(watch->elasticsearch_health, up, reason))
        return;
    if (up)
        log_info("connected to Elasticsearch");
    else
        log_warn("no use of Elasticsearch", log_text("reason", reason));
}

static http_done_fn on_answer;

static void ask(struct index_watch *watch, enum watch_step step, const char *index,
                const char *body)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, requests[step].path_format, index); /* fits */
    watch->step = step;
    if (elasticsearch_request(watch->client, requests[step].method, path,
                              body == NULL ? NULL : "application/json", body,
                              body == NULL ? 0 : strlen(body), false, REQUEST_TIMEOUT_MS, on_answer,
                              watch) != 0)
        end_round(watch, INDEX_WATCH_TURN_MS); /* none is under way, so there is room */
}

static void fail(struct index_watch *watch, const char *reason)
{
    report(watch, false, reason);
    end_round(watch, INDEX_WATCH_TURN_MS);
}

/* ---- writing ---- */

static void on_written(void *arg, const struct database_answer *answer)
{
    static struct log_limit limit;
    struct index_watch *watch = arg;
    if (answer->status == DATABASE_FAILED)
        log_limited(&limit, LOG_LEVEL_ERROR, "PostgreSQL refused what is seen of the search index",
                    (const struct log_field[]){log_text("sqlstate", answer->sqlstate),
                                               log_text("reason", answer->message),
                                               {0}});
    loop_timer_start(watch->timer, 0); /* health knows at once */
    end_round(watch, answer->status == DATABASE_OK && watch->look.form != INDEX_ABSENT
                         ? INDEX_WATCH_LOOK_MS
                         : INDEX_WATCH_TURN_MS);
}

static void on_changed(void *arg, const struct database_answer *answer)
{
    struct index_watch *watch = arg;
    if (database_number(answer) == 1)
        log_warn(watch->look.form == INDEX_ABSENT ? "the search index is gone"
                                                  : "another search index is there",
                 log_text("index", watch->look.name), log_text("identity", watch->look.identity),
                 log_text("identity_before", watch->read.identity));
    watch->suspects = false;
    on_written(watch, answer);
}

static void on_counted(void *arg, const struct database_answer *answer)
{
    struct index_watch *watch = arg;
    if (database_number(answer) == 1)
        log_warn("the search index has lost documents",
                 log_number("documents_before", watch->read.documents));
    on_written(watch, answer);
}

static void write_step(struct index_watch *watch, int sent)
{
    if (sent == 0)
        watch->step = STEP_WRITE;
    else
        end_round(watch, INDEX_WATCH_TURN_MS);
}

static bool same_identity(const struct index_watch *watch)
{
    return watch->read.recorded && strcmp(watch->read.identity, watch->look.identity) == 0;
}

static void write_change(struct index_watch *watch, int64_t documents)
{
    struct error fault;
    if (watch->look.form == INDEX_ABSENT)
        error_set(&fault, "there is no index %.100s, and INDEX_REPAIR is off", watch->index);
    else
        error_set(&fault,
                  "the index %.100s is another one than before, and INDEX_REPAIR is off: orderctl "
                  "reindex fills it",
                  watch->look.name);
    write_step(watch, search_index_changed(
                          watch->database, &watch->read, watch->look.identity, documents,
                          watch->repair, watch->repair ? NULL : fault.message, on_changed, watch));
}

/* ---- what the answers say ---- */

static void counted(struct index_watch *watch, const char *body, size_t body_len)
{
    int64_t documents = watch_answers_count(body, body_len);
    if (documents < 0) {
        fail(watch, "it does not count all documents of the index");
        return;
    }
    report(watch, true, NULL);
    watch->then = watch->now;
    memcpy(watch->counted, watch->look.identity, sizeof watch->counted);
    if (same_identity(watch))
        write_step(watch, search_index_counted(watch->database, &watch->read, documents,
                                               watch->repair, on_counted, watch));
    else
        write_change(watch, documents);
}

/* A refill that has failed is asked for again. */
static void end_unchanged(struct index_watch *watch)
{
    report(watch, true, NULL);
    if (watch->read.incomplete && watch->read.fault[0] == '\0' && watch->repair)
        write_step(watch, search_index_refill(watch->database, &watch->read, on_written, watch));
    else
        end_round(watch, INDEX_WATCH_LOOK_MS);
}

static void count_if_new(struct index_watch *watch)
{
    bool is_new = !same_identity(watch) || watch->read.documents < 0 ||
                  strcmp(watch->counted, watch->look.identity) != 0 ||
                  watch->now.documents != watch->then.documents ||
                  watch->now.deleted != watch->then.deleted;
    if (is_new || watch->statistics_refused)
        ask(watch, STEP_COUNT, watch->index, NULL);
    else
        end_unchanged(watch);
}

static void ask_statistics(struct index_watch *watch)
{
    if (watch->statistics_refused)
        count_if_new(watch);
    else
        ask(watch, STEP_STATS, watch->index, NULL);
}

/* The index says of no deployment that it belongs to it: write this one's id there. */
static void claim(struct index_watch *watch, const char *body, size_t body_len)
{
    char *text = watch_answers_claim(body, body_len, watch->look.name, watch->read.deployment);
    ask(watch, STEP_CLAIM, watch->look.name, text);
    free(text);
}

/* Returns whether the index is this deployment's, or nobody's. */
static bool judge_owner(struct index_watch *watch)
{
    const struct index_look *look = &watch->look;
    watch->is_foreign =
        look->deployment[0] != '\0' && strcasecmp(look->deployment, watch->read.deployment) != 0;
    watch->has_looked = true;
    if (watch->is_foreign)
        error_set(&watch->foreign,
                  "the index %.80s belongs to the deployment %s, and POSTGRES_DSN names that of "
                  "%s: nothing is written to it",
                  look->name, look->deployment, watch->read.deployment);
    return !watch->is_foreign;
}

/* Returns whether the look is to be believed. */
static bool confirm(struct index_watch *watch)
{
    const char *identity = watch->look.identity;
    if (same_identity(watch) || (!watch->read.recorded && watch->look.form != INDEX_ABSENT)) {
        watch->suspects = false;
        return true;
    }
    bool again = watch->suspects && strcmp(watch->suspect, identity) == 0;
    watch->suspects = true;
    memcpy(watch->suspect, identity, sizeof watch->suspect);
    return again;
}

static void saw_none(struct index_watch *watch)
{
    watch->look = (struct index_look){.form = INDEX_ABSENT};
    if (!confirm(watch))
        end_round(watch, INDEX_WATCH_TURN_MS);
    else if (watch->read.recorded && !same_identity(watch))
        write_change(watch, 0);
    else
        end_round(watch, INDEX_WATCH_TURN_MS); /* an indexer makes it */
}

static void saw_one(struct index_watch *watch, const char *body, size_t body_len)
{
    struct error reason;
    if (index_look_read(watch->index, body, body_len, &watch->look, &reason) != 0) {
        fail(watch, reason.message);
    } else if (!judge_owner(watch)) {
        report(watch, true, NULL);
        end_round(watch, INDEX_WATCH_LOOK_MS);
    } else if (!confirm(watch)) {
        end_round(watch, INDEX_WATCH_TURN_MS);
    } else if (watch->look.deployment[0] == '\0' && !watch->claim_refused) {
        claim(watch, body, body_len);
    } else {
        ask_statistics(watch);
    }
}

static void looked(struct index_watch *watch, long status, const char *body, size_t body_len)
{
    if (status == 200) {
        saw_one(watch, body, body_len);
    } else {
        report(watch, true, NULL);
        saw_none(watch);
    }
}

static void claimed(struct index_watch *watch, const char *refusal)
{
    watch->claim_refused = refusal != NULL;
    if (refusal != NULL)
        log_warn("cannot write into the index which deployment it belongs to",
                 log_text("reason", refusal));
    ask_statistics(watch);
}

static void read_statistics(struct index_watch *watch, const char *body, size_t body_len,
                            const char *refusal)
{
    watch->statistics_refused = refusal != NULL;
    if (refusal != NULL)
        log_warn("cannot read the statistics of the index, and counts its documents instead",
                 log_text("reason", refusal));
    else
        watch->now = watch_answers_statistics(body, body_len);
    count_if_new(watch);
}

static void on_answer(void *arg, long status, enum http_end end, const char *body, size_t body_len,
                      const struct error *err)
{
    (void)end; /* `err` says it */
    struct index_watch *watch = arg;
    enum watch_step step = watch->step;
    struct server_error said = {.type = ""};
    struct error reason;
    bool refused = status == 401 || status == 403;
    if (status == 0)
        said.words = *err;
    else if (status != 200)
        server_error_parse(body, body_len, &said);
    server_error_name_privilege(&said, status, requests[step].privilege);
    error_set(&reason, "%s", said.words.message);
    if (status != 0)
        error_set(&reason, "it answers with status %ld: %s", status, said.words.message);

    if (step == STEP_LOOK && (status == 200 || index_look_is_absent(status, said.type)))
        looked(watch, status, body, body_len);
    else if (step == STEP_CLAIM && (status == 200 || refused))
        claimed(watch, refused ? reason.message : NULL);
    else if (step == STEP_STATS && (status == 200 || refused))
        read_statistics(watch, body, body_len, refused ? reason.message : NULL);
    else if (step == STEP_COUNT && status == 200)
        counted(watch, body, body_len);
    else
        fail(watch, reason.message);
}

/* ---- turns ---- */

static void on_read(void *arg, const struct database_answer *answer)
{
    struct index_watch *watch = arg;
    watch->step = STEP_NONE;
    if (search_index_row(answer, &watch->read) != 0)
        return; /* PostgreSQL's health tells why */
    index_health_tell(watch->health, &watch->read,
                      watch->is_foreign ? watch->foreign.message : NULL);
    if (watch->has_looked && !watch->is_foreign)
        verify_schedule_turn(watch->schedule, watch->database);
    if (clock_monotonic_ms() >= watch->look_at_ms)
        ask(watch, STEP_LOOK, watch->index, NULL);
}

static void on_turn(void *arg)
{
    struct index_watch *watch = arg;
    loop_timer_start(watch->timer, INDEX_WATCH_TURN_MS);
    if (watch->step == STEP_NONE && search_index_read(watch->database, on_read, watch) == 0)
        watch->step = STEP_READ;
}

static void on_database_state(void *arg, bool up, const char *reason)
{
    struct index_watch *watch = arg;
    if (up)
        loop_timer_start(watch->timer, 0);
    watch->on_state(watch->arg, up, reason);
}

struct index_watch *index_watch_new(struct event_loop *loop,
                                    const struct index_watch_options *options)
{
    struct index_watch *watch = memory_new(sizeof *watch);
    struct elasticsearch_options server = *options->server;
    server.max_in_flight = 1;
    server.max_response_bytes = ANSWER_MAX_BYTES;
    *watch = (struct index_watch){
        .repair = options->repair,
        .index = memory_copy_text(options->index),
        .timer = event_loop_timer(loop, on_turn, watch),
        .client = elasticsearch_new(loop, &server),
        .schedule = verify_schedule_new(options->verify, options->verify_full, options->repair),
        .health = index_health_new(),
        .elasticsearch_health = health_check("elasticsearch", HEALTH_DEGRADED),
        .on_state = options->on_state,
        .arg = options->arg,
        .database = database_new(loop,
                                 &(struct database_options){
                                     .dsn = options->dsn,
                                     .application_name = "scheduler index",
                                     .max_in_flight = STATEMENTS_MAX,
                                     .statement_timeout_ms = STATEMENT_TIMEOUT_MS,
                                     .uses = DATABASE_SCHEDULES | DATABASE_ARCHIVES,
                                     .on_state = on_database_state,
                                     .arg = watch,
                                 }),
    };
    loop_timer_start(watch->timer, 0);
    return watch;
}

void index_watch_free(struct index_watch *watch)
{
    if (watch == NULL)
        return;
    database_free(watch->database);
    elasticsearch_free(watch->client);
    verify_schedule_free(watch->schedule);
    index_health_free(watch->health);
    loop_timer_free(watch->timer);
    free(watch->index);
    free(watch);
}

bool index_watch_up(const struct index_watch *watch)
{
    return database_up(watch->database);
}
