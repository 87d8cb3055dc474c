/* Hands requests for a refresh to the schedulers, and tells the callers how it ended. Runs on its
 * loop, in turns: each answers whom it can, asks for a job for those who came since, and looks at
 * the jobs of the rest. */
#include "services/gateway/adapters/refresh_jobs.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/clients/postgres/jobs.h"
#include "services/clients/postgres/schema_watch.h"
#include "services/clients/postgres/search_index.h"
#include <stdlib.h>

#define BUSY_TURN_MS 150
#define IDLE_TURN_MS 1000
#define STATEMENT_TIMEOUT_MS 5000
#define STATEMENTS_MAX 4 /* a request, looks at the jobs, at the index and at the schema */

enum asker_state { ASKER_NEW, ASKER_REQUESTING, ASKER_WAITING, ASKER_ANSWERED };

struct asker {
    struct asker *next;
    enum asker_state state;
    int64_t job;                      /* ASKER_WAITING */
    enum sales_refresh_status status; /* ASKER_ANSWERED */
    int64_t ends_at_ms;
    sales_refresh_done_fn *on_done;
    void *arg;
};

struct refresh_jobs {
    struct sales_refresh port; /* the first member: free() gets it back */
    struct database *database;
    struct schema_watch *schema_watch;
    struct loop_timer *timer;
    struct refresh_jobs_options options;
    struct asker *askers;
    size_t asker_count;
    bool requesting, looking, reading_index; /* the statement is under way */
    bool index_known;
    int64_t index_at_ms; /* read then for the next time */
    bool up, state_told;
    int64_t seen_ms; /* when a scheduler was known to be there */
};

static struct log_limit failure_limit;

static void tell_state(struct refresh_jobs *jobs, bool up)
{
    if (jobs->state_told && up == jobs->up)
        return;
    jobs->up = up;
    jobs->state_told = true;
    jobs->options.on_state(jobs->options.arg, up, up ? NULL : "no scheduler was seen for 5 s");
}

static void set_answer(struct asker *asker, enum sales_refresh_status status)
{
    asker->state = ASKER_ANSWERED;
    asker->status = status;
}

/* Take those who have their answer off the list, and only then tell them: a callback may ask again.
 */
static void answer_all(struct refresh_jobs *jobs)
{
    struct asker *answered = NULL;
    for (struct asker **at = &jobs->askers; *at != NULL;) {
        struct asker *asker = *at;
        if (asker->state != ASKER_ANSWERED) {
            at = &asker->next;
            continue;
        }
        *at = asker->next;
        asker->next = answered;
        answered = asker;
        jobs->asker_count--;
    }
    while (answered != NULL) {
        struct asker *asker = answered;
        answered = asker->next;
        asker->on_done(asker->arg, asker->status);
        free(asker);
    }
}

static void log_refusal(const struct database_answer *answer)
{
    log_limited(&failure_limit, LOG_LEVEL_ERROR, "PostgreSQL refused a statement about jobs",
                (const struct log_field[]){log_text("sqlstate", answer->sqlstate),
                                           log_text("reason", answer->message),
                                           {0}});
}

static void on_requested(void *arg, const struct database_answer *answer)
{
    struct refresh_jobs *jobs = arg;
    jobs->requesting = false;
    int64_t job = database_number(answer);
    if (answer->status == DATABASE_FAILED)
        log_refusal(answer);
    for (struct asker *asker = jobs->askers; asker != NULL; asker = asker->next) {
        if (asker->state != ASKER_REQUESTING)
            continue;
        switch (answer->status) {
        case DATABASE_OK:
            asker->state = ASKER_WAITING;
            asker->job = job;
            if (job == 0)
                set_answer(asker, SALES_REFRESH_UNAVAILABLE);
            break;
        case DATABASE_UNAVAILABLE:
            asker->state = ASKER_NEW; /* ask again: at worst a refresh too many */
            break;
        case DATABASE_FAILED:
            if (database_failure_passes(answer))
                asker->state = ASKER_NEW;
            else
                set_answer(asker, SALES_REFRESH_FAILED);
            break;
        }
    }
    answer_all(jobs);
}

static void on_looked(void *arg, const struct database_answer *answer)
{
    struct refresh_jobs *jobs = arg;
    jobs->looking = false;
    if (answer->status == DATABASE_FAILED)
        log_refusal(answer);
    if (answer->status != DATABASE_OK)
        return;
    int64_t now_ms = clock_monotonic_ms();
    bool seen = jobs_scheduler_seen(answer);
    jobs->seen_ms = seen ? now_ms : now_ms - JOBS_SCHEDULER_GONE_MS;
    tell_state(jobs, seen);
    for (struct asker *asker = jobs->askers; asker != NULL; asker = asker->next) {
        enum job_state state =
            asker->state == ASKER_WAITING ? jobs_state(answer, asker->job) : JOB_UNFINISHED;
        if (state != JOB_UNFINISHED)
            set_answer(asker, state == JOB_DONE ? SALES_REFRESH_DONE : SALES_REFRESH_FAILED);
        else if (!seen)
            set_answer(asker, SALES_REFRESH_UNAVAILABLE);
    }
    answer_all(jobs);
}

static void request(struct refresh_jobs *jobs)
{
    bool any_new = false;
    for (struct asker *asker = jobs->askers; asker != NULL; asker = asker->next)
        any_new |= asker->state == ASKER_NEW;
    if (!any_new || jobs->requesting ||
        jobs_request(jobs->database, JOB_KIND_REFRESH, on_requested, jobs) != 0)
        return;
    jobs->requesting = true;
    for (struct asker *asker = jobs->askers; asker != NULL; asker = asker->next)
        if (asker->state == ASKER_NEW)
            asker->state = ASKER_REQUESTING;
}

static void look(struct refresh_jobs *jobs)
{
    int64_t first = INT64_MAX;
    for (struct asker *asker = jobs->askers; asker != NULL; asker = asker->next)
        if (asker->state == ASKER_WAITING && asker->job < first)
            first = asker->job;
    if (!jobs->looking)
        jobs->looking = jobs_look(jobs->database, JOB_KIND_REFRESH, first, on_looked, jobs) == 0;
}

static void on_index(void *arg, const struct database_answer *answer)
{
    struct refresh_jobs *jobs = arg;
    struct search_index index;
    jobs->reading_index = false;
    if (answer->status == DATABASE_FAILED)
        log_refusal(answer);
    if (search_index_row(answer, &index) != 0)
        return;
    jobs->index_known = true;
    jobs->options.on_index(jobs->options.index_arg, &index);
}

static void read_index(struct refresh_jobs *jobs, int64_t now_ms)
{
    if (jobs->reading_index || now_ms < jobs->index_at_ms)
        return;
    jobs->index_at_ms = now_ms + IDLE_TURN_MS;
    jobs->reading_index = search_index_read(jobs->database, on_index, jobs) == 0;
}

static void on_turn(void *arg)
{
    struct refresh_jobs *jobs = arg;
    int64_t now_ms = clock_monotonic_ms();
    bool gone = now_ms - jobs->seen_ms >= JOBS_SCHEDULER_GONE_MS;
    if (gone)
        tell_state(jobs, false);
    for (struct asker *asker = jobs->askers; asker != NULL; asker = asker->next)
        if (gone || now_ms >= asker->ends_at_ms)
            set_answer(asker, gone ? SALES_REFRESH_UNAVAILABLE : SALES_REFRESH_TIMEOUT);
    answer_all(jobs);
    request(jobs);
    look(jobs);
    read_index(jobs, now_ms);
    loop_timer_start(jobs->timer, jobs->asker_count > 0 ? BUSY_TURN_MS : IDLE_TURN_MS);
}

static int refresh(void *self, sales_refresh_done_fn *on_done, void *arg)
{
    struct refresh_jobs *jobs = self;
    if (jobs->asker_count == REFRESH_JOBS_MAX_WAITING)
        return -1;
    struct asker *asker = memory_new(sizeof *asker);
    *asker = (struct asker){
        .next = jobs->askers,
        .ends_at_ms = clock_monotonic_ms() + SALES_REFRESH_TIMEOUT_MS,
        .on_done = on_done,
        .arg = arg,
    };
    jobs->askers = asker;
    if (jobs->asker_count++ == 0)
        loop_timer_start(jobs->timer, 0); /* and for the others the turn comes soon */
    return 0;
}

static void on_connection(void *arg, bool up, const char *reason)
{
    struct refresh_jobs *jobs = arg;
    jobs->options.on_connection(jobs->options.connection_arg, up, reason);
    if (up)
        loop_timer_start(jobs->timer, 0);
    else if (!jobs->index_known)
        jobs->options.on_index(jobs->options.index_arg, NULL);
}

struct sales_refresh *refresh_jobs_new(struct event_loop *loop,
                                       const struct refresh_jobs_options *options)
{
    struct refresh_jobs *jobs = memory_new(sizeof *jobs);
    jobs->port = (struct sales_refresh){.self = jobs, .refresh = refresh};
    jobs->options = *options;
    jobs->options.dsn = NULL;             /* the caller's string is not kept */
    jobs->seen_ms = clock_monotonic_ms(); /* the first look may take as long */
    jobs->timer = event_loop_timer(loop, on_turn, jobs);
    jobs->database = database_new(loop, &(struct database_options){
                                            .dsn = options->dsn,
                                            .application_name = "gateway jobs",
                                            .max_in_flight = STATEMENTS_MAX,
                                            .statement_timeout_ms = STATEMENT_TIMEOUT_MS,
                                            .uses = options->uses,
                                            .on_state = on_connection,
                                            .arg = jobs,
                                        });
    jobs->schema_watch = schema_watch_new(loop, jobs->database);
    loop_timer_start(jobs->timer, IDLE_TURN_MS);
    return &jobs->port;
}

void refresh_jobs_free(struct sales_refresh *port)
{
    if (port == NULL)
        return;
    struct refresh_jobs *jobs = port->self;
    database_free(jobs->database);
    schema_watch_free(jobs->schema_watch);
    loop_timer_free(jobs->timer);
    while (jobs->askers != NULL) {
        struct asker *asker = jobs->askers;
        jobs->askers = asker->next;
        free(asker);
    }
    free(jobs);
}
