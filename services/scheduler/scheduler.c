/* Ties the parts together on one loop. Each part has connections of its own; this file tells them
 * when PostgreSQL can be reached, and stops the loop when all of them have ended their work. */
#include "services/scheduler/scheduler.h"
#include "services/base/log.h"
#include "services/clients/elasticsearch/index_definition.h"
#include "services/loop/event_loop.h"
#include "services/runtime/health.h"
#include "services/scheduler/archive.h"
#include "services/scheduler/beat.h"
#include "services/scheduler/index/index_context.h"
#include "services/scheduler/index/index_watch.h"
#include "services/scheduler/index/live_pressure.h"
#include "services/scheduler/index/refill.h"
#include "services/scheduler/index/reindex.h"
#include "services/scheduler/index/verify_jobs.h"
#include "services/scheduler/job_runner.h"
#include "services/scheduler/ledger_task.h"
#include "services/scheduler/letter_jobs.h"
#include "services/scheduler/order_documents.h"
#include "services/scheduler/refresh_task.h"
#include "services/scheduler/settings.h"

#define DRAIN_MS 8000 /* of the 10 s that service.h gives */

struct scheduler {
    struct event_loop *loop;
    struct loop_timer *drain_timer;
    struct loop_watch *stop_watch;
    struct health_check *health; /* PostgreSQL */
    struct ledger_task *ledger;
    struct refresh_task *refresh;
    struct order_documents *documents;
    struct job_runner *letters, *index; /* a refill need not wait behind a mass replay */
    struct index_definition *definition;
    struct live_pressure *pressure;
    struct index_context index_context;
    struct refill_options refill;
    struct job_kind index_kinds[LONG_JOB_KINDS_MAX];
    struct archive *archive;
    struct index_watch *watch;
    struct beat *beat;
    unsigned stopping; /* parts that have been told to stop and have not */
};

/* Of any connection. */
static void on_database_state(void *arg, bool up, const char *reason)
{
    struct scheduler *scheduler = arg;
    if (up && !(refresh_task_up(scheduler->refresh) && job_runner_up(scheduler->letters) &&
                job_runner_up(scheduler->index) && index_watch_up(scheduler->watch) &&
                beat_up(scheduler->beat)))
        return;
    if (health_set(scheduler->health, up, reason)) {
        if (up)
            log_info("connected to PostgreSQL");
        else
            log_warn("no connection to PostgreSQL", log_text("reason", reason));
    }
    refresh_task_wake(scheduler->refresh, up);
    beat_now(scheduler->beat);
}

static void on_stopped(void *arg)
{
    struct scheduler *scheduler = arg;
    if (--scheduler->stopping == 0)
        event_loop_stop(scheduler->loop);
}

static void on_drain_timeout(void *arg)
{
    struct scheduler *scheduler = arg;
    log_warn("stopped while work was under way; the servers take back what is not finished, and "
             "another scheduler goes on with it");
    event_loop_stop(scheduler->loop);
}

static void on_stop(void *arg, bool readable, bool writable)
{
    (void)readable, (void)writable;
    struct scheduler *scheduler = arg;
    loop_watch_want(scheduler->stop_watch, false, false);
    loop_timer_start(scheduler->drain_timer, DRAIN_MS);
    scheduler->stopping = 4; /* as many as are told here */
    refresh_task_stop(scheduler->refresh);
    job_runner_stop(scheduler->letters);
    job_runner_stop(scheduler->index);
    archive_stop(scheduler->archive);
}

static struct job_runner *new_runner(struct scheduler *scheduler,
                                     const struct scheduler_settings *settings, const char *name,
                                     const struct job_kind *kinds, size_t count)
{
    return job_runner_new(scheduler->loop, &(struct job_runner_options){
                                               .dsn = settings->postgres_dsn,
                                               .name = name,
                                               .kinds = kinds,
                                               .kind_count = count,
                                               .on_state = on_database_state,
                                               .on_stopped = on_stopped,
                                               .arg = scheduler,
                                           });
}

/* The schedules have been validated. */
static struct index_watch *new_watch(struct scheduler *scheduler,
                                     const struct scheduler_settings *settings)
{
    struct cron verify, verify_full;
    struct error err;
    bool verifies = scheduler_cron(settings->verify_schedule, &verify, &err) == 1;
    bool verifies_all = scheduler_cron(settings->verify_full_schedule, &verify_full, &err) == 1;
    return index_watch_new(scheduler->loop,
                           &(struct index_watch_options){
                               .dsn = settings->postgres_dsn,
                               .server = &settings->elasticsearch,
                               .index = settings->order_index,
                               .repair = settings->index_repair == INDEX_REPAIR_AUTO,
                               .verify = verifies ? &verify : NULL,
                               .verify_full = verifies_all ? &verify_full : NULL,
                               .on_state = on_database_state,
                               .arg = scheduler,
                           });
}

/* The jobs about the index, and all that they share. */
static void begin_index_jobs(struct scheduler *scheduler, const struct scheduler_settings *settings)
{
    scheduler->pressure = live_pressure_new(
        scheduler->loop,
        &(struct live_pressure_options){.broker = {.url = settings->rabbitmq_url,
                                                   .ca_file = settings->rabbitmq_ca_file,
                                                   .name = "scheduler pressure"},
                                        .queues = scheduler_queues(settings),
                                        .queue_type = (enum queue_type)settings->order_queue_type});
    scheduler->index_context = (struct index_context){.loop = scheduler->loop,
                                                      .server = &settings->elasticsearch,
                                                      .index = settings->order_index,
                                                      .dsn = settings->postgres_dsn,
                                                      .definition = scheduler->definition,
                                                      .pressure = scheduler->pressure,
                                                      .ledger = scheduler->ledger};
    /* A kind of job about the index is added here. */
    size_t count = 0;
    scheduler->index_kinds[count++] = reindex_kind(&scheduler->index_context);
    scheduler->index_kinds[count++] = verify_kind(&scheduler->index_context);
    scheduler->refill = (struct refill_options){.context = &scheduler->index_context,
                                                .repair = repair_kind(&scheduler->index_context)};
    scheduler->index_kinds[count++] = refill_kind(&scheduler->refill);
    scheduler->index =
        new_runner(scheduler, settings, "scheduler index jobs", scheduler->index_kinds, count);
}

static void end_index_jobs(struct scheduler *scheduler)
{
    job_runner_free(scheduler->index);
    live_pressure_free(scheduler->pressure);
    index_definition_free(scheduler->definition);
}

int scheduler_run(const void *arg, int stop_fd, struct error *err)
{
    const struct scheduler_settings *settings = arg;
    struct scheduler scheduler = {.loop = NULL};
    struct cron cron;
    if (cron_parse(settings->schedule, &cron, err) != 0)
        return -1;
    scheduler.definition = index_definition_new(settings->index_settings_file, err);
    if (scheduler.definition == NULL)
        return -1;
    scheduler.health = health_check("postgres", HEALTH_REQUIRED);
    scheduler.loop = event_loop_new();
    scheduler.drain_timer = event_loop_timer(scheduler.loop, on_drain_timeout, &scheduler);
    scheduler.ledger = ledger_task_new(scheduler.loop, settings->postgres_dsn);
    scheduler.refresh = refresh_task_new(scheduler.loop, &(struct refresh_task_options){
                                                             .dsn = settings->postgres_dsn,
                                                             .cron = &cron,
                                                             .ledger = scheduler.ledger,
                                                             .on_state = on_database_state,
                                                             .on_stopped = on_stopped,
                                                             .arg = &scheduler,
                                                         });
    scheduler.documents =
        order_documents_new(scheduler.loop, &settings->elasticsearch, settings->order_index);
    /* A kind of job that takes long is added here, unless it is about the index. */
    const struct job_kind letter_kinds[] = {discard_kind(), replay_kind(scheduler.documents)};
    scheduler.letters = new_runner(&scheduler, settings, "scheduler jobs", letter_kinds,
                                   sizeof letter_kinds / sizeof *letter_kinds);
    begin_index_jobs(&scheduler, settings);
    scheduler.archive =
        archive_new(scheduler.loop, &(struct archive_options){
                                        .dsn = settings->postgres_dsn,
                                        .broker = {.url = settings->rabbitmq_url,
                                                   .ca_file = settings->rabbitmq_ca_file,
                                                   .name = "scheduler"},
                                        .queues = scheduler_queues(settings),
                                        .queue_type = (enum queue_type)settings->order_queue_type,
                                        .mode = (enum archive_mode)settings->archive,
                                        .max_bytes = settings->archive_max_bytes,
                                        .retention_ms = settings->retention_ms,
                                        .on_stopped = on_stopped,
                                        .arg = &scheduler,
                                    });
    scheduler.watch = new_watch(&scheduler, settings);
    scheduler.beat = beat_new(scheduler.loop, &(struct beat_options){
                                                  .dsn = settings->postgres_dsn,
                                                  .refresh = scheduler.refresh,
                                                  .letters = scheduler.letters,
                                                  .index = scheduler.index,
                                                  .archive = scheduler.archive,
                                                  .on_state = on_database_state,
                                                  .arg = &scheduler,
                                              });
    scheduler.stop_watch = event_loop_watch(scheduler.loop, stop_fd, on_stop, &scheduler);
    loop_watch_want(scheduler.stop_watch, true, false);
    event_loop_run(scheduler.loop);

    loop_watch_free(scheduler.stop_watch);
    beat_free(scheduler.beat);
    index_watch_free(scheduler.watch);
    archive_free(scheduler.archive);
    end_index_jobs(&scheduler);
    job_runner_free(scheduler.letters);
    order_documents_free(scheduler.documents);
    refresh_task_free(scheduler.refresh);
    ledger_task_free(scheduler.ledger);
    loop_timer_free(scheduler.drain_timer);
    event_loop_free(scheduler.loop);
    return 0;
}
