/* Tells, each second, that this scheduler is there, renews the leases of its jobs, and looks each
 * BEAT_LOOK_MS for requests to refresh. On a connection of its own, because a refresh may take
 * minutes on its connection. It watches the schema, too. */
#ifndef SCHEDULER_BEAT_H
#define SCHEDULER_BEAT_H

#include "services/loop/event_loop.h"
#include <stdbool.h>

#define BEAT_LOOK_MS 200

struct archive;
struct job_runner;
struct refresh_task;

struct beat_options {
    const char *dsn; /* read only in beat_new() */
    struct refresh_task *refresh;
    const struct archive *archive;
    struct job_runner *letters, *index;
    void (*on_state)(void *arg, bool up, const char *reason); /* as database_options.on_state */
    void *arg;
};

struct beat;

struct beat *beat_new(struct event_loop *loop, const struct beat_options *options);
void beat_free(struct beat *beat); /* NULL is legal */

bool beat_up(const struct beat *beat);

/* Beat and look now. */
void beat_now(struct beat *beat);

#endif
