/* Looks what there is, does the next thing, and looks again, until there is an index. */
#include "services/scheduler/index/created_at_index.h"
#include "services/base/memory.h"
#include "services/clients/postgres/created_at.h"
#include <stdlib.h>

#define STATEMENT_TIMEOUT_MS (INT64_C(24) * 3600 * 1000)
#define WAIT_MS 2000  /* between two looks at what another session makes */
#define MAKINGS_MAX 3 /* that end well and leave no index: somebody drops it */

struct created_at_index {
    struct database *database;
    struct loop_timer *timer; /* the next look */
    created_at_index_fn *on_done;
    void *arg;
    unsigned makings;
    bool busy; /* a statement is under way, or all is done */
};

static void end(struct created_at_index *index, bool usable, const char *reason)
{
    index->busy = true;
    index->on_done(index->arg, usable, reason);
}

/* What is left is work for a moment; without it the index is usable, and reads more. */
static void on_summarized(void *arg, const struct database_answer *answer)
{
    (void)answer;
    end(arg, true, NULL);
}

static void on_changed(void *arg, const struct database_answer *answer)
{
    struct created_at_index *index = arg;
    index->busy = false;
    if (answer->status == DATABASE_FAILED)
        end(index, false, answer->message);
    else
        loop_timer_start(index->timer, 0); /* once more, also when the connection is lost */
}

typedef int statement_fn(struct database *database, database_done_fn *on_done, void *arg);

static void ask(struct created_at_index *index, statement_fn *statement, database_done_fn *on_done)
{
    index->busy = statement(index->database, on_done, index) == 0;
    if (!index->busy)
        loop_timer_start(index->timer, WAIT_MS);
}

static void on_looked(void *arg, const struct database_answer *answer)
{
    struct created_at_index *index = arg;
    const char *reason = "the index orders_created_at_brin is gone as soon as it is made";
    if (answer->status != DATABASE_OK) {
        on_changed(index, answer);
        return;
    }
    index->busy = false;
    switch (created_at_looked(answer, &reason)) {
    case CREATED_AT_USE:
        ask(index, created_at_summarize, on_summarized);
        return;
    case CREATED_AT_MAKE:
        if (index->makings++ == MAKINGS_MAX)
            break;
        ask(index, created_at_make, on_changed);
        return;
    case CREATED_AT_DROP:
        ask(index, created_at_drop, on_changed);
        return;
    case CREATED_AT_WAIT:
        loop_timer_start(index->timer, WAIT_MS);
        return;
    case CREATED_AT_CANNOT:
        break;
    }
    end(index, false, reason);
}

static void look(void *arg)
{
    struct created_at_index *index = arg;
    if (!index->busy) /* the connection may be up again while the timer runs */
        ask(index, created_at_look, on_looked);
}

static void on_state(void *arg, bool up, const char *reason)
{
    struct created_at_index *index = arg;
    (void)reason; /* the job has a connection of its own, which tells */
    if (up)
        loop_timer_start(index->timer, 0);
}

struct created_at_index *created_at_index_new(struct event_loop *loop, const char *dsn,
                                              created_at_index_fn *on_done, void *arg)
{
    struct created_at_index *index = memory_new(sizeof *index);
    index->on_done = on_done;
    index->arg = arg;
    index->timer = event_loop_timer(loop, look, index);
    index->database = database_new(loop, &(struct database_options){
                                             .dsn = dsn,
                                             .application_name = "scheduler created_at",
                                             .max_in_flight = 1,
                                             .statement_timeout_ms = STATEMENT_TIMEOUT_MS,
                                             .on_state = on_state,
                                             .arg = index,
                                         });
    return index;
}

void created_at_index_free(struct created_at_index *index)
{
    if (index == NULL)
        return;
    database_free(index->database);
    loop_timer_free(index->timer);
    free(index);
}
