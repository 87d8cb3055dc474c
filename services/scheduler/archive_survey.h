/* What the archive holds, as metrics, looked at now and then: letters by state and reason, the age
 * of the oldest dead one, the bytes. It forgets letters that were settled long ago, too. */
#ifndef SCHEDULER_ARCHIVE_SURVEY_H
#define SCHEDULER_ARCHIVE_SURVEY_H

#include "services/loop/event_loop.h"
#include <stdbool.h>
#include <stdint.h>

struct database;
struct archive_survey;

struct archive_survey_options {
    struct database *database; /* must outlive the survey, but for its last callbacks */
    int64_t max_bytes, retention_ms;
    void (*on_measured)(void *arg, int64_t bytes); /* as dead_letters_measure() */
    void *arg;
};

struct archive_survey *archive_survey_new(struct event_loop *loop,
                                          const struct archive_survey_options *options);
void archive_survey_free(struct archive_survey *survey); /* NULL is legal */

/* The database has come up: look at once. Or it has gone: nothing is known any more. */
void archive_survey_set_up(struct archive_survey *survey, bool up);

#endif
