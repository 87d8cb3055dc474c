/* Jobs, for people: one line, all about one, and watching one. */
#include "services/orderctl/job.h"
#include "proto/timestamp.h"
#include "services/base/clock.h"
#include "services/orderctl/exit_code.h"
#include "services/orderctl/fields.h"
#include "services/orderctl/interrupt.h"
#include "services/orderctl/job_result.h"
#include "services/orderctl/output.h"
#include "services/orderctl/progress.h"
#include "services/orderctl/query.h"
#include "services/orderctl/request.h"
#include <stdlib.h>
#include <string.h>

#define LOOK_INTERVAL_MS 500
#define PROGRESS_SIZE 200
#define SILENCE_MS 60000 /* so long may the gateway be away while a job is watched */

void job_print_heading(void)
{
    output_tone(stdout, TONE_STRONG);
    printf("%-8s %-9s %-9s %-20s %-20s %s\n", "ID", "KIND", "STATE", "DONE", "ASKED FOR BY",
           "WHEN");
    output_tone(stdout, TONE_PLAIN);
}

static void print_column(const char *text, size_t width)
{
    output_column(stdout, text != NULL ? text : "-", width);
    fputc(' ', stdout);
}

static const char *asked_by(const json_t *job)
{
    return field_true(job, "automatic") ? "the scheduler" : field_text(job, "requested_by");
}

void job_print_row(const json_t *job)
{
    char done[48] = "-";
    if (json_is_integer(json_object_get(job, "total")))
        (void)snprintf(done, sizeof(done), "%lld of %lld", field_number(job, "done", 0),
                       field_number(job, "total", 0));
    printf("%-8lld ", field_number(job, "id", 0));
    print_column(field_text(job, "kind"), 9);
    print_column(field_text(job, "state"), 9);
    print_column(done, 20);
    print_column(asked_by(job), 20);
    output_time(stdout, field_text(job, "requested_at"));
    fputc('\n', stdout);
}

/* "job 7 (replay): done, 40 of 40: searchable 38, died_again 2" */
static void print_sentence(const json_t *job)
{
    const char *state = field_text(job, "state"), *kind = field_text(job, "kind"),
               *error = field_text(job, "error");
    bool good = state != NULL && strcmp(state, "failed") != 0;
    printf("Job %lld (", field_number(job, "id", 0));
    output_text(stdout, kind != NULL ? kind : "?");
    fputs("): ", stdout);
    output_tone(stdout, good ? TONE_GOOD : TONE_BAD);
    output_text(stdout, state != NULL ? state : "?");
    output_tone(stdout, TONE_PLAIN);
    if (json_is_integer(json_object_get(job, "total")))
        printf(", %lld of %lld", field_number(job, "done", 0), field_number(job, "total", 0));
    job_print_result(job);
    if (error != NULL) {
        fputs("  ", stdout);
        output_text(stdout, error);
        fputc('\n', stdout);
    }
}

void job_print(const json_t *job)
{
    const json_t *parameters = json_object_get(job, "parameters");
    print_sentence(job);
    output_time_field("asked for", field_text(job, "requested_at"));
    output_field("by", asked_by(job));
    output_time_field("started", field_text(job, "started_at"));
    output_time_field("finished", field_text(job, "finished_at"));
    if (json_object_size(parameters) > 0) {
        printf("  %-12s ", "parameters");
        output_json(stdout, parameters, 0);
    }
    if (field_true(job, "cancel_requested"))
        fputs("  It was asked to stop.\n", stdout);
}

/* "job 7 (reindex) running, copying: 3 of 10, 1/s" */
static void progress_text(const json_t *job, double rate, char *text, size_t size)
{
    const char *kind = field_text(job, "kind"), *state = field_text(job, "state"),
               *phase = field_text(json_object_get(job, "result"), "phase");
    (void)snprintf(text, size, "job %lld (%.20s) %.20s%s%.30s: %lld of %lld, %.0f/s",
                   field_number(job, "id", 0), kind != NULL ? kind : "?",
                   state != NULL ? state : "?", phase != NULL ? ", " : "",
                   phase != NULL ? phase : "", field_number(job, "done", 0),
                   field_number(job, "total", 0), rate);
}

static void show(struct progress *progress, const json_t *job, int64_t now_ms)
{
    char text[PROGRESS_SIZE];
    double done = (double)field_number(job, "done", 0);
    progress_text(job, progress_rate(progress, done, now_ms), text, sizeof(text));
    progress_show(progress, text, done, (double)field_number(job, "total", 0), now_ms);
}

void job_print_progress(const json_t *job, const char *now)
{
    const char *started = field_text(job, "started_at");
    int64_t started_us, now_us;
    double done = (double)field_number(job, "done", 0), rate = 0;
    char text[PROGRESS_SIZE], left[PROGRESS_LEFT_SIZE];
    if (started != NULL && timestamp_parse(started, strlen(started), &started_us) == 0 &&
        now != NULL && timestamp_parse(now, strlen(now), &now_us) == 0 && now_us > started_us)
        rate = done * 1e6 / (double)(now_us - started_us);
    progress_text(job, rate, text, sizeof(text));
    progress_left(done, (double)field_number(job, "total", 0), rate, left);
    output_text(stdout, text);
    printf("%s\n", left);
}

static int interrupted(struct progress *progress, long long id)
{
    progress_end(progress);
    fprintf(stderr,
            "Stopped watching; job %lld goes on.\n"
            "  Watch it again:  orderctl jobs watch %lld\n"
            "  End it:          orderctl jobs cancel %lld\n",
            id, id, id);
    return EXIT_INTERRUPTED;
}

static int finish(struct session *session, const json_t *job)
{
    if (session->json)
        output_json(stdout, job, JSON_COMPACT);
    else
        print_sentence(job);
    return job_is_good(job) ? EXIT_GOOD : EXIT_WRONG;
}

int job_watch(struct session *session, long long id)
{
    struct progress progress;
    struct query query = query_new("/api/admin/jobs/%lld", id);
    int64_t heard_ms = clock_monotonic_ms();
    bool begun = false;
    int code = -1;
    interrupt_watch();
    progress_begin(&progress, 0);
    while (code < 0) {
        struct answer answer = {0};
        struct error err = {.message = ""};
        bool answered =
            request_send(session, "GET", query.text, NULL, REQUEST_TIMEOUT_MS, &answer, &err) == 0;
        int64_t now_ms = clock_monotonic_ms();
        bool passing = !answered || request_exit_code(answer.status) == EXIT_UNAVAILABLE;
        if (interrupt_asked()) {
            code = interrupted(&progress, id);
        } else if (passing && now_ms - heard_ms < SILENCE_MS) {
            /* The job does not need the gateway. */
        } else if (!answered) {
            progress_end(&progress);
            request_complain_unreachable(session, &err);
            code = EXIT_UNAVAILABLE;
        } else if (answer.status != 200 || !json_is_object(answer.json)) {
            progress_end(&progress);
            request_complain(session, &answer);
            code = answer.status == 200 ? EXIT_NOT_UNDERSTOOD : request_exit_code(answer.status);
        } else if (field_text(answer.json, "finished_at") != NULL) {
            progress_end(&progress);
            code = finish(session, answer.json);
        } else {
            heard_ms = now_ms;
            if (!begun)
                progress_begin(&progress, (double)field_number(answer.json, "done", 0));
            begun = true;
            if (progress_due(&progress, now_ms))
                show(&progress, answer.json, now_ms);
        }
        answer_release(&answer);
        if (code < 0)
            (void)interrupt_sleep_ms(LOOK_INTERVAL_MS);
    }
    free(query.text);
    return code;
}
