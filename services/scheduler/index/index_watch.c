/* Works in rounds, one thing after the other:
 *
 *   read the row ─▶ look at the index ─▶ claim it ─▶ its statistics ─▶ count it ─▶ write
 *
 * The row is read each turn, for health. The rest follows when a look is due, and ends as soon as
 * there is nothing new. To count documents is a search: the server refreshes an index that is
 * searched, and goes on refreshing it for a while. So the statistics are believed while they grow,
 * and the documents are counted of an index that is new, and when some may be lost. What is written
 * depends on what was read before the look, so a swap of the index that falls between them changes
 * nothing. While PostgreSQL is away, a look tells no more than how Elasticsearch is.
 *
 * That another index is there, or none, is believed when two looks have seen it. */
#include "services/scheduler/index/index_watch.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/clients/elasticsearch/index_look.h"
#include "services/clients/postgres/search_index_watch.h"
#include "services/runtime/health.h"
#include "services/scheduler/index/index_health.h"
#include "services/scheduler/index/verify_schedule.h"
#include "services/scheduler/index/watch_answers.h"
#include "services/scheduler/index/watch_requests.h"
#include <stdlib.h>
#include <string.h>

#define STATEMENT_TIMEOUT_MS 5000
#define STATEMENTS_MAX 2            /* of a round, and of the schedules */
#define REFUSED_MS (60 * 60 * 1000) /* until what Elasticsearch has refused is asked again */

enum watch_step { STEP_NONE, STEP_READ, STEP_ASK, STEP_WRITE };

struct index_watch {
    bool repair;
    char *index;
    struct loop_timer *timer;
    struct database *database;
    struct watch_requests *requests; /* to Elasticsearch */
    struct verify_schedule *schedule;
    struct index_health *health;
    struct health_check *elasticsearch_health;
    void (*on_state)(void *arg, bool up, const char *reason);
    void *arg;

    enum watch_step step;
    int64_t look_at_ms;
    bool has_looked; /* once, and knows whose index it is */
    bool has_read;   /* in this round: */
    struct search_index read;
    struct index_look look;            /* of this round; or of none: INDEX_ABSENT */
    struct watch_statistics now, then; /* of this round, and of the one before */
    char counted[INDEX_IDENTITY_SIZE]; /* the index that `then` is of, whose documents were counted
                                        */
    bool suspects;                     /* the last look saw another index than the row tells: */
    char suspect[INDEX_IDENTITY_SIZE]; /* this one */
    bool is_foreign, claim_refused, statistics_refused;
    int64_t refused_ms; /* when Elasticsearch last refused one of these */
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

static void ask(struct index_watch *watch, enum watch_request request, const char *index,
                const char *body)
{
    watch->step = STEP_ASK;
    watch_requests_send(watch->requests, request, index, body);
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

/* The statistics of a shard that is not refreshed may be behind what another copy of it was counted
 * to have: only a count says that there are fewer. */
static void believe_statistics(struct index_watch *watch)
{
    watch->then = watch->now;
    if (watch->now.documents <= watch->read.documents) {
        end_unchanged(watch);
        return;
    }
    report(watch, true, NULL);
    write_step(watch, search_index_counted(watch->database, &watch->read, watch->now.documents,
                                           watch->repair, on_counted, watch));
}

static void count_if_needed(struct index_watch *watch)
{
    bool is_new = !same_identity(watch) || watch->read.documents < 0 ||
                  strcmp(watch->counted, watch->look.identity) != 0;
    bool may_be_fewer =
        watch->now.documents < watch->then.documents || watch->now.deleted > watch->then.deleted;
    if (is_new || may_be_fewer || watch->statistics_refused)
        ask(watch, WATCH_COUNT, watch->index, NULL);
    else
        believe_statistics(watch);
}

static void ask_statistics(struct index_watch *watch)
{
    if (watch->statistics_refused)
        count_if_needed(watch);
    else
        ask(watch, WATCH_STATISTICS, watch->index, NULL);
}

/* The index says of no deployment that it belongs to it: write this one's id there. */
static void claim(struct index_watch *watch, const char *body, size_t body_len)
{
    char *text = watch_answers_claim(body, body_len, watch->look.name, watch->read.deployment);
    ask(watch, WATCH_CLAIM, watch->look.name, text);
    free(text);
}

/* Returns whether the index is this deployment's, or nobody's. */
static bool judge_owner(struct index_watch *watch)
{
    const struct index_look *look = &watch->look;
    watch->is_foreign = index_is_foreign(look->deployment, watch->read.deployment);
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
    watch->is_foreign = false;
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
    if (clock_monotonic_ms() - watch->refused_ms >= REFUSED_MS) /* it may be allowed by now */
        watch->claim_refused = watch->statistics_refused = false;
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

static void looked(struct index_watch *watch, bool absent, const char *body, size_t body_len)
{
    if (!watch->has_read) { /* PostgreSQL may have come meanwhile */
        report(watch, true, NULL);
        end_round(watch, database_up(watch->database) ? INDEX_WATCH_TURN_MS : INDEX_WATCH_LOOK_MS);
    } else if (absent) {
        report(watch, true, NULL);
        saw_none(watch);
    } else {
        saw_one(watch, body, body_len);
    }
}

static bool is_refused(struct index_watch *watch, const char *refusal)
{
    if (refusal != NULL)
        watch->refused_ms = clock_monotonic_ms();
    return refusal != NULL;
}

static void claimed(struct index_watch *watch, const char *refusal)
{
    watch->claim_refused = is_refused(watch, refusal);
    if (refusal != NULL)
        log_warn("cannot write into the index which deployment it belongs to",
                 log_text("reason", refusal));
    ask_statistics(watch);
}

static void read_statistics(struct index_watch *watch, const char *body, size_t body_len,
                            const char *refusal)
{
    watch->statistics_refused = is_refused(watch, refusal);
    if (refusal != NULL)
        log_warn("cannot read the statistics of the index, and counts its documents instead",
                 log_text("reason", refusal));
    else
        watch->now = watch_answers_statistics(body, body_len);
    count_if_needed(watch);
}

static void on_answer(void *arg, enum watch_request request, enum watch_verdict verdict,
                      const char *body, size_t body_len, const char *reason)
{
    struct index_watch *watch = arg;
    bool refused = verdict == WATCH_REFUSED;
    if (request == WATCH_LOOK && (verdict == WATCH_ANSWERED || verdict == WATCH_ABSENT))
        looked(watch, verdict == WATCH_ABSENT, body, body_len);
    else if (request == WATCH_CLAIM && (verdict == WATCH_ANSWERED || refused))
        claimed(watch, reason);
    else if (request == WATCH_STATISTICS && (verdict == WATCH_ANSWERED || refused))
        read_statistics(watch, body, body_len, reason);
    else if (request == WATCH_COUNT && verdict == WATCH_ANSWERED)
        counted(watch, body, body_len);
    else
        fail(watch, reason);
}

/* ---- turns ---- */

static void look_if_due(struct index_watch *watch)
{
    if (clock_monotonic_ms() >= watch->look_at_ms)
        ask(watch, WATCH_LOOK, watch->index, NULL);
}

static void on_read(void *arg, const struct database_answer *answer)
{
    struct index_watch *watch = arg;
    watch->step = STEP_NONE;
    watch->has_read =
        search_index_row(answer, &watch->read) == 0; /* else PostgreSQL's health tells why */
    if (watch->has_read) {
        index_health_tell(watch->health, &watch->read,
                          watch->is_foreign ? watch->foreign.message : NULL);
        if (watch->has_looked && !watch->is_foreign)
            verify_schedule_turn(watch->schedule, watch->database);
    } else if (answer->status == DATABASE_OK) {
        index_health_wrong(watch->health, "the table search_index is empty: INSERT INTO "
                                          "search_index DEFAULT VALUES");
    }
    look_if_due(watch);
}

static void on_turn(void *arg)
{
    struct index_watch *watch = arg;
    loop_timer_start(watch->timer, INDEX_WATCH_TURN_MS);
    if (watch->step != STEP_NONE)
        return;
    watch->has_read = false;
    if (search_index_read(watch->database, on_read, watch) == 0)
        watch->step = STEP_READ;
    else
        look_if_due(watch);
}

static void on_database_state(void *arg, bool up, const char *reason)
{
    struct index_watch *watch = arg;
    if (up) {
        watch->look_at_ms = 0;
        loop_timer_start(watch->timer, 0);
    } else {
        index_health_unknown(watch->health, reason);
    }
    watch->on_state(watch->arg, up, reason);
}

struct index_watch *index_watch_new(struct event_loop *loop,
                                    const struct index_watch_options *options)
{
    struct index_watch *watch = memory_new(sizeof *watch);
    *watch = (struct index_watch){
        .repair = options->repair,
        .index = memory_copy_text(options->index),
        .timer = event_loop_timer(loop, on_turn, watch),
        .requests = watch_requests_new(loop, options->server, on_answer, watch),
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
    watch_requests_free(watch->requests);
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
