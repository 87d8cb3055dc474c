/* Counting reads the whole table. So a survey takes at most a fiftieth of the time. */
#include "services/scheduler/archive_survey.h"
#include "proto/timestamp.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include "services/clients/postgres/dead_letter_archive.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SURVEY_EVERY_MS 10000
#define SURVEY_SHARE 50
#define FORGET_EVERY_MS 60000
#define FORGET_ON_MS 1000 /* there are more */
#define STATES 3
#define REASONS_MAX 16

struct archive_survey {
    struct archive_survey_options options;
    struct loop_timer *survey_timer, *forget_timer;
    int64_t began_ms;
    bool up, surveying, forgetting;
    struct metric_gauge *letters[STATES][REASONS_MAX], *oldest, *bytes;
};

static bool succeeded(const struct database_answer *answer)
{
    static struct log_limit limit;
    if (answer->status == DATABASE_FAILED)
        log_error_limited(&limit, "PostgreSQL refused a statement about dead letters",
                          log_text("sqlstate", answer->sqlstate),
                          log_text("reason", answer->message));
    return answer->status == DATABASE_OK;
}

static void set_letters(struct archive_survey *survey, double value)
{
    for (size_t state = 0; state < STATES; state++)
        for (size_t reason = 0; dead_letter_reasons[reason] != NULL; reason++)
            metric_set(survey->letters[state][reason], value);
}

static void end_survey(struct archive_survey *survey)
{
    int64_t pause_ms = SURVEY_SHARE * (clock_monotonic_ms() - survey->began_ms);
    survey->surveying = false;
    loop_timer_start(survey->survey_timer, pause_ms > SURVEY_EVERY_MS ? pause_ms : SURVEY_EVERY_MS);
}

static void on_counted(void *arg, const struct database_answer *answer)
{
    struct archive_survey *survey = arg;
    end_survey(survey);
    if (!succeeded(answer))
        return;
    struct dead_letter_count count;
    int64_t oldest_us = INT64_MAX;
    set_letters(survey, 0);
    for (int row = 0; dead_letters_counted(answer, row, &count); row++)
        for (size_t state = 0; state < STATES; state++) {
            if (count.state != dead_letter_states[state])
                continue;
            for (size_t reason = 0; dead_letter_reasons[reason] != NULL; reason++)
                if (count.reason == dead_letter_reasons[reason])
                    metric_set(survey->letters[state][reason], (double)count.letters);
            if (state == 0 && count.oldest_us < oldest_us)
                oldest_us = count.oldest_us;
        }
    double age_s = (double)(timestamp_now_us() - oldest_us) / 1e6;
    metric_set(survey->oldest, oldest_us == INT64_MAX || age_s < 0 ? 0 : age_s);
}

static void on_measured(void *arg, const struct database_answer *answer)
{
    struct archive_survey *survey = arg;
    if (!succeeded(answer)) {
        end_survey(survey);
        return;
    }
    int64_t bytes = database_number(answer);
    metric_set(survey->bytes, (double)bytes);
    if (dead_letters_count(survey->options.database, on_counted, survey) != 0)
        end_survey(survey);
    survey->options.on_measured(survey->options.arg, bytes);
}

static void on_survey_timer(void *arg)
{
    struct archive_survey *survey = arg;
    if (!survey->up || survey->surveying)
        return;
    survey->began_ms = clock_monotonic_ms();
    survey->surveying = true;
    if (dead_letters_measure(survey->options.database, survey->options.max_bytes, on_measured,
                             survey) != 0)
        end_survey(survey);
}

static void on_forgotten(void *arg, const struct database_answer *answer)
{
    struct archive_survey *survey = arg;
    survey->forgetting = false;
    int64_t forgotten = succeeded(answer) ? database_number(answer) : 0;
    if (forgotten > 0)
        log_info("dead letters that were settled long ago are deleted",
                 log_number("letters", forgotten));
    loop_timer_start(survey->forget_timer,
                     forgotten == DEAD_LETTERS_FORGET_MAX ? FORGET_ON_MS : FORGET_EVERY_MS);
}

static void on_forget_timer(void *arg)
{
    struct archive_survey *survey = arg;
    if (!survey->up || survey->forgetting)
        return;
    survey->forgetting = dead_letters_forget(survey->options.database, survey->options.retention_ms,
                                             on_forgotten, survey) == 0;
    if (!survey->forgetting)
        loop_timer_start(survey->forget_timer, FORGET_EVERY_MS);
}

void archive_survey_set_up(struct archive_survey *survey, bool up)
{
    survey->up = up;
    if (up) {
        loop_timer_start(survey->survey_timer, 0);
        loop_timer_start(survey->forget_timer, 0);
        return;
    }
    set_letters(survey, NAN);
    metric_set(survey->oldest, NAN);
    metric_set(survey->bytes, NAN);
}

struct archive_survey *archive_survey_new(struct event_loop *loop,
                                          const struct archive_survey_options *options)
{
    struct archive_survey *survey = memory_new(sizeof *survey);
    survey->options = *options;
    survey->survey_timer = event_loop_timer(loop, on_survey_timer, survey);
    survey->forget_timer = event_loop_timer(loop, on_forget_timer, survey);
    for (size_t state = 0; state < STATES; state++)
        for (size_t reason = 0; dead_letter_reasons[reason] != NULL; reason++) {
            char labels[64];
            snprintf(labels, sizeof labels, "state=\"%s\",reason=\"%s\"", dead_letter_states[state],
                     dead_letter_reasons[reason]);
            survey->letters[state][reason] =
                metric_gauge("dead_letters", labels, "Archived dead letters by state and reason");
        }
    survey->oldest = metric_gauge("dead_letters_oldest_seconds", NULL,
                                  "Since the oldest archived letter that is dead died, 0: none");
    survey->bytes = metric_gauge("dead_letter_archive_bytes", NULL,
                                 "What the archive of dead letters takes in PostgreSQL");
    archive_survey_set_up(survey, false);
    return survey;
}

void archive_survey_free(struct archive_survey *survey)
{
    if (survey == NULL)
        return;
    loop_timer_free(survey->survey_timer);
    loop_timer_free(survey->forget_timer);
    free(survey);
}
