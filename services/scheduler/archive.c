/* Ties sources, batch and survey together. All events end in drive(), in a turn of its own: it says
 * which sources consume, begins the next batch, and tells what is wrong. */
#include "services/scheduler/archive.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include "services/clients/postgres/connection.h"
#include "services/runtime/health.h"
#include "services/scheduler/archive_batch.h"
#include "services/scheduler/archive_source.h"
#include "services/scheduler/archive_survey.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DRIVE_EVERY_MS 1000
#define STATEMENT_TIMEOUT_MS 30000
#define STATEMENTS_MAX 8

/* A letter is in memory whole (but for its body over 1 MiB) once its header has come. Of each queue
 * one large letter may have come so far; of all queues only one is read on. */
#define LARGE_BYTES (BROKER_LARGE_FRAME_BYTES + CONTENT_KEEP_BYTES)

struct archive {
    struct archive_options options;
    char *names[ARCHIVE_QUEUES_MAX];
    struct archive_source *sources[ARCHIVE_QUEUES_MAX];
    size_t source_count, next; /* whose turn it is */
    struct content_budget budget;
    struct loop_timer *timer;
    struct database *database;
    struct archive_batch *batch;
    struct archive_survey *survey;
    struct health_check *health;
    struct metric_gauge *faults[ARCHIVE_FAULTS];
    bool postgres_tried, postgres_up, measured, stopping, stopped;
    int64_t bytes;      /* as measured last, and what came after that */
    struct error fault; /* "": none */
};

static uint16_t prefetch_of(size_t sources)
{
    size_t room = ARCHIVE_BYTES - LARGE_BYTES - (sources - 1) * BROKER_LARGE_FRAME_BYTES;
    return (uint16_t)(room / sources / CONTENT_LARGE_BYTES);
}

static void tell(struct archive *archive, const struct error *fault)
{
    bool well = fault->message[0] == '\0';
    if (strcmp(archive->fault.message, fault->message) != 0) {
        if (!well)
            log_warn("dead letters stay in the queue", log_text("reason", fault->message));
        else
            log_info("dead letters are archived");
    }
    archive->fault = *fault;
    (void)health_set(archive->health, well, well ? NULL : fault->message); /* logged here */
}

/* Has each source consume or not, and says the first fault. */
static void judge(struct archive *archive)
{
    bool found[ARCHIVE_FAULTS] = {false};
    struct error first = {.message = ""};
    bool waiting = false;
    for (size_t i = 0; i < archive->source_count; i++) {
        struct archive_standing standing = {
            .postgres_up = archive->postgres_up,
            .unlimited = archive->options.mode == ARCHIVE_UNLIMITED,
            .bytes = archive->bytes,
            .max_bytes = archive->options.max_bytes,
        };
        archive_source_look(archive->sources[i], &standing);
        standing.counted &= archive->measured;
        enum archive_fault fault = archive_judge(&standing);
        found[fault] = true;
        waiting |= fault == ARCHIVE_UNCOUNTED;
        if (first.message[0] == '\0')
            archive_fault_tell(fault, &standing, &first);
        archive_source_consume(archive->sources[i], fault == ARCHIVE_WELL && !archive->stopping);
        archive_source_go_on(archive->sources[i]);
    }
    for (enum archive_fault fault = 0; fault < ARCHIVE_FAULTS; fault++)
        if (archive->faults[fault] != NULL)
            metric_set(archive->faults[fault], found[fault]);
    if (!waiting || first.message[0] != '\0')
        tell(archive, &first);
}

static void begin_batch(struct archive *archive)
{
    for (size_t i = 0; i < archive->source_count && archive->postgres_up; i++) {
        size_t place = archive->next++ % archive->source_count;
        archive_batch_begin(archive->batch, archive->sources[place]);
        if (archive_batch_running(archive->batch))
            return;
    }
}

static bool idle(const struct archive *archive)
{
    if (archive_batch_running(archive->batch))
        return false;
    if (!archive->postgres_up)
        return true;
    for (size_t i = 0; i < archive->source_count; i++)
        if (!archive_source_idle(archive->sources[i]) &&
            archive_source_refusal(archive->sources[i])->words[0] == '\0')
            return false;
    return true;
}

static void drive(void *arg)
{
    struct archive *archive = arg;
    loop_timer_start(archive->timer, DRIVE_EVERY_MS);
    archive->bytes += archive_batch_take_bytes(archive->batch);
    if (archive->source_count > 0 && archive->postgres_tried)
        judge(archive);
    begin_batch(archive);
    if (archive->stopping && !archive->stopped && idle(archive)) {
        archive->stopped = true;
        archive->options.on_stopped(archive->options.arg);
    }
}

static void drive_soon(void *arg)
{
    struct archive *archive = arg;
    loop_timer_start(archive->timer, 0);
}

static void on_database_state(void *arg, bool up, const char *reason)
{
    struct archive *archive = arg;
    (void)reason; /* the scheduler's other connections tell it */
    archive->postgres_tried = true;
    archive->postgres_up = up;
    archive_survey_set_up(archive->survey, up);
    drive_soon(archive);
}

static void on_measured(void *arg, int64_t bytes)
{
    struct archive *archive = arg;
    archive->bytes = bytes;
    archive->measured = true;
    drive_soon(archive);
}

void archive_stop(struct archive *archive)
{
    archive->stopping = true;
    drive_soon(archive);
}

const char *archive_state(const struct archive *archive)
{
    return archive->options.mode == ARCHIVE_OFF ? "off" : "on";
}

const char *archive_fault(const struct archive *archive)
{
    return archive->fault.message[0] != '\0' ? archive->fault.message : NULL;
}

/* Life */

/* Split the list: the names go to `ret_names`, each to be freed. Returns how many there are, which
 * may be more than have room. */
static size_t split(const char *list, char *ret_names[ARCHIVE_QUEUES_MAX])
{
    size_t count = 0;
    for (const char *at = list;; at++) {
        size_t len = strcspn(at, ",");
        char *name = count < ARCHIVE_QUEUES_MAX ? memory_new(len + 1) : NULL;
        if (name != NULL)
            ret_names[count] = memcpy(name, at, len);
        count++;
        at += len;
        if (*at == '\0')
            return count;
    }
}

int archive_queues_validate(const char *value, struct error *err)
{
    char *names[ARCHIVE_QUEUES_MAX] = {NULL}, longest[QUEUE_NAME_SIZE];
    size_t count = split(value, names);
    int status = count <= ARCHIVE_QUEUES_MAX ? 0 : -1;
    if (status != 0)
        error_set(err, "%zu queues, and at most %d are archived", count, ARCHIVE_QUEUES_MAX);
    for (size_t i = 0; i < ARCHIVE_QUEUES_MAX && names[i] != NULL; i++) {
        archive_queue_name(names[i], longest);
        if (status == 0)
            status = queue_name_validate(names[i], err);
        if (status == 0 &&
            (names[i][0] == '\0' || strncmp(longest, names[i], strlen(names[i])) != 0)) {
            error_set(err, "a queue's name is empty, or has more than 242 bytes");
            status = -1;
        }
        for (size_t k = 0; k < i && status == 0; k++)
            if (strcmp(names[i], names[k]) == 0) {
                error_set(err, "a queue is named twice");
                status = -1;
            }
    }
    for (size_t i = 0; i < ARCHIVE_QUEUES_MAX; i++)
        free(names[i]);
    return status;
}

static void add_sources(struct archive *archive, struct event_loop *loop)
{
    archive->source_count = split(archive->options.queues, archive->names);
    for (size_t i = 0; i < archive->source_count; i++)
        archive->sources[i] =
            archive_source_new(loop, &(struct archive_source_options){
                                         .broker = archive->options.broker,
                                         .queue = archive->names[i],
                                         .queue_type = archive->options.queue_type,
                                         .prefetch = prefetch_of(archive->source_count),
                                         .budget = &archive->budget,
                                         .on_change = drive_soon,
                                         .arg = archive,
                                     });
    for (enum archive_fault fault = 0; fault < ARCHIVE_FAULTS; fault++) {
        char labels[64];
        const char *name = archive_fault_name(fault);
        if (name == NULL)
            continue;
        snprintf(labels, sizeof labels, "fault=\"%s\"", name);
        archive->faults[fault] =
            metric_gauge("dead_letter_archive_fault", labels,
                         "1 while dead letters stay in the queue for this reason");
    }
    archive->health = health_check("dead_letter_archive", HEALTH_DEGRADED);
}

struct archive *archive_new(struct event_loop *loop, const struct archive_options *options)
{
    struct archive *archive = memory_new(sizeof *archive);
    archive->options = *options;
    archive->timer = event_loop_timer(loop, drive, archive);
    archive->database = database_new(loop, &(struct database_options){
                                               .dsn = options->dsn,
                                               .application_name = "scheduler archive",
                                               .max_in_flight = STATEMENTS_MAX,
                                               .statement_timeout_ms = STATEMENT_TIMEOUT_MS,
                                               .uses = DATABASE_ARCHIVES,
                                               .on_state = on_database_state,
                                               .arg = archive,
                                           });
    archive->options.dsn = NULL; /* the caller's string is not kept */
    archive->batch = archive_batch_new(&(struct archive_batch_options){
        .database = archive->database, .on_end = drive_soon, .arg = archive});
    archive->survey = archive_survey_new(loop, &(struct archive_survey_options){
                                                   .database = archive->database,
                                                   .max_bytes = options->max_bytes,
                                                   .retention_ms = options->retention_ms,
                                                   .on_measured = on_measured,
                                                   .arg = archive,
                                               });
    if (options->mode != ARCHIVE_OFF)
        add_sources(archive, loop);
    loop_timer_start(archive->timer, 0);
    return archive;
}

void archive_free(struct archive *archive)
{
    if (archive == NULL)
        return;
    database_free(archive->database); /* no answer comes any more */
    for (size_t i = 0; i < archive->source_count; i++) {
        archive_source_free(archive->sources[i]);
        free(archive->names[i]);
    }
    archive_survey_free(archive->survey);
    archive_batch_free(archive->batch);
    loop_timer_free(archive->timer);
    free(archive);
}
