/* A timer, and two statements. */
#include "services/scheduler/beat.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/clients/postgres/dead_letter_archive.h"
#include "services/clients/postgres/jobs.h"
#include "services/clients/postgres/schema_watch.h"
#include "services/scheduler/archive.h"
#include "services/scheduler/job_runner.h"
#include "services/scheduler/refresh_task.h"
#include <stdlib.h>

#define LOOKS_PER_BEAT 5
#define STATEMENT_TIMEOUT_MS 5000
#define STATEMENTS_MAX 8

struct beat {
    struct beat_options options;
    struct loop_timer *timer;
    struct database *database;
    struct schema_watch *schema_watch;
    unsigned looks;
    bool looking; /* a look is not answered yet */
};

static bool succeeded(const struct database_answer *answer)
{
    static struct log_limit limit;
    if (answer->status == DATABASE_FAILED)
        log_limited(&limit, LOG_LEVEL_ERROR, "PostgreSQL refused a statement about jobs",
                    (const struct log_field[]){log_text("sqlstate", answer->sqlstate),
                                               log_text("reason", answer->message),
                                               {0}});
    return answer->status == DATABASE_OK;
}

static void on_beaten(void *arg, const struct database_answer *answer)
{
    (void)arg;
    (void)succeeded(answer); /* the gateways notice its absence */
}

static void on_looked(void *arg, const struct database_answer *answer)
{
    struct beat *beat = arg;
    beat->looking = false;
    refresh_task_see_waiting(beat->options.refresh,
                             succeeded(answer) ? database_number(answer) : 0);
}

static void send_beat(struct beat *beat)
{
    const int64_t tokens[] = {refresh_task_token(beat->options.refresh),
                              job_runner_token(beat->options.letters),
                              job_runner_token(beat->options.index)};
    const struct archive *archive = beat->options.archive;
    (void)!jobs_beat(beat->database, tokens, sizeof tokens / sizeof *tokens, on_beaten, beat);
    (void)!dead_letters_tell(beat->database, archive_state(archive), archive_fault(archive),
                             on_beaten, beat);
}

static void on_timer(void *arg)
{
    struct beat *beat = arg;
    loop_timer_start(beat->timer, BEAT_LOOK_MS);
    if (beat->looks++ % LOOKS_PER_BEAT == 0)
        send_beat(beat);
    if (!beat->looking)
        beat->looking = jobs_claimable(beat->database, JOB_KIND_REFRESH, on_looked, beat) == 0;
}

static void on_state(void *arg, bool up, const char *reason)
{
    struct beat *beat = arg;
    beat->options.on_state(beat->options.arg, up, reason);
}

struct beat *beat_new(struct event_loop *loop, const struct beat_options *options)
{
    struct beat *beat = memory_new(sizeof *beat);
    *beat = (struct beat){
        .options = *options,
        .timer = event_loop_timer(loop, on_timer, beat),
        .database = database_new(loop,
                                 &(struct database_options){
                                     .dsn = options->dsn,
                                     .application_name = "scheduler",
                                     .max_in_flight = STATEMENTS_MAX,
                                     .statement_timeout_ms = STATEMENT_TIMEOUT_MS,
                                     .uses = DATABASE_SCHEDULES,
                                     .on_state = on_state,
                                     .arg = beat,
                                 }),
    };
    beat->options.dsn = NULL; /* the caller's string is not kept */
    beat->schema_watch = schema_watch_new(loop, beat->database);
    return beat;
}

void beat_free(struct beat *beat)
{
    if (beat == NULL)
        return;
    database_free(beat->database);
    schema_watch_free(beat->schema_watch);
    loop_timer_free(beat->timer);
    free(beat);
}

bool beat_up(const struct beat *beat)
{
    return database_up(beat->database);
}

void beat_now(struct beat *beat)
{
    beat->looks = 0;
    loop_timer_start(beat->timer, 0);
}
