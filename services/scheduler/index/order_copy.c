/* Phases, of which each ends when all that it has read is written:
 *
 *   look ──▶ by id ──▶ look ──▶ changes ──▶ look ──▶ changes … ──▶ done
 *   after a swap: look ──▶ young ids ──▶ wait ──▶ look ──▶ changes ──▶ wait … ──▶ done
 *
 * A look is the beginning of a pass: the changes of a pass are those of the transactions that may
 * have ended since the look of the pass before, and it is the look of the pass by id that the first
 * changes go by. While a page is written, the next one is read. */
#include "services/scheduler/index/order_copy.h"
#include "proto/timestamp.h"
#include "services/base/clock.h"
#include "services/base/memory.h"
#include "services/clients/postgres/order_scan.h"
#include "services/scheduler/index/copy_progress.h"
#include "services/scheduler/index/index_context.h"
#include "services/scheduler/index/order_writer.h"
#include "services/scheduler/job_runner.h"
#include <stdlib.h>
#include <string.h>

#define PASSES_MAX 5
#define FEW_ROWS 2000   /* a pass that finds no more is the last */
#define REWRITES_MAX 10 /* of the table, while its changes are read */

#define TAIL_SETTLE_MS 5000 /* a _bulk of the indexers lasts 4 s at most */
#define TAIL_LOOK_MS 1000
#define TAIL_MAX_MS (10 * 60 * 1000)
#define YOUNG_BEFORE_MS (60 * 1000)     /* the clocks that ids are made by may be behind, */
#define YOUNG_AFTER_MS (10 * 60 * 1000) /* or ahead */

_Static_assert(ORDER_WRITER_MAX >= ORDER_PAGE_ROWS, "a page is written at once");

enum copy_phase { PHASE_LOOK, PHASE_IDS, PHASE_YOUNG_IDS, PHASE_CHANGES, PHASE_WAIT };

struct order_copy {
    struct job_run *run;
    struct order_writer *writer;
    enum order_copy_state state;
    struct error reason;
    bool compare_needed;
    enum copy_phase phase;
    struct copy_progress progress;
    char *checkpoint;

    struct order_page *written, *read; /* being written, and after it */
    bool read_filled;
    bool read_all;      /* of this phase */
    char *after;        /* PHASE_IDS, PHASE_YOUNG_IDS: the next page's, */
    char *until;        /* PHASE_YOUNG_IDS: likewise; the newest orders come first */
    int64_t place, end; /* PHASE_CHANGES: likewise */

    struct order_pass pass; /* by the last look, */
    int64_t looked_ms;      /* which was then, in milliseconds since 1970 */
    int64_t found, found_before;
    unsigned passes, rewrites; /* of this engine */
    bool rewritten;

    bool tail, young_copied;
    bool settled;      /* no _bulk of before the swap is under way any more: at the last look, */
    bool settled_pass; /* and when a pass has begun since */
    int64_t tail_ms, wait_until_ms; /* on clock_monotonic_ms() */
};

static void note(struct order_copy *copy)
{
    free(copy->checkpoint);
    copy->checkpoint = copy_progress_to_text(&copy->progress);
}

static void enter(struct order_copy *copy, enum copy_phase phase)
{
    copy->phase = phase;
    copy->read_all = copy->read_filled = false;
    note(copy);
    job_run_step_in(copy->run, 0);
}

static void set_text(char **text, const char *value)
{
    char *old = *text;
    *text = value != NULL ? memory_copy_text(value) : NULL;
    free(old);
}

static void finish(struct order_copy *copy, bool compare_needed)
{
    copy->state = ORDER_COPY_DONE;
    copy->compare_needed = compare_needed;
    note(copy);
    job_run_step_in(copy->run, 0);
}

/* ---- phases ---- */

static void begin_ids(struct order_copy *copy)
{
    set_text(&copy->after, copy->progress.after);
    enter(copy, PHASE_IDS);
}

static void begin_young_ids(struct order_copy *copy)
{
    char id[ORDER_ID_TEXT_LEN + 1];
    order_page_id_of(copy->progress.looked_ms - YOUNG_BEFORE_MS, id);
    set_text(&copy->after, id);
    order_page_id_of(copy->looked_ms + YOUNG_AFTER_MS, id);
    set_text(&copy->until, id);
    enter(copy, PHASE_YOUNG_IDS);
}

static void begin_changes(struct order_copy *copy)
{
    copy->place = 0;
    copy->end = ORDER_PLACE(copy->pass.blocks);
    copy->found_before = copy->found;
    copy->found = 0;
    copy->rewritten = false;
    enter(copy, PHASE_CHANGES);
    copy->read_all = copy->end == 0;
}

static void wait(struct order_copy *copy, int64_t until_ms)
{
    copy->wait_until_ms = until_ms;
    enter(copy, PHASE_WAIT);
}

static bool tail_is_late(const struct order_copy *copy)
{
    return clock_monotonic_ms() - copy->tail_ms >= TAIL_MAX_MS;
}

static void begin_pass(struct order_copy *copy)
{
    struct copy_progress *progress = &copy->progress;
    const struct order_pass *pass = &copy->pass;
    if (strcmp(pass->timeline, progress->timeline) != 0 ||
        !order_pass_reaches(pass, progress->since)) {
        finish(copy, true);
        return;
    }
    progress->transactions_left = copy->tail && pass->running_from < progress->swapped_at;
    if (progress->transactions_left && copy->settled_pass &&
        pass->running_from == progress->since && !tail_is_late(copy))
        wait(copy, clock_monotonic_ms() + TAIL_LOOK_MS); /* none of them has ended */
    else
        begin_changes(copy);
}

static void looked(struct order_copy *copy)
{
    struct copy_progress *progress = &copy->progress;
    copy->looked_ms = timestamp_now_us() / 1000;
    copy->settled = clock_monotonic_ms() - copy->tail_ms >= TAIL_SETTLE_MS;
    if (copy->tail && progress->swapped_at == 0)
        progress->swapped_at = copy->pass.next;
    if (!progress->begun) {
        copy_progress_begin(progress, &copy->pass, copy->looked_ms);
        begin_ids(copy);
    } else if (copy->tail && !copy->young_copied) {
        begin_young_ids(copy);
    } else {
        begin_pass(copy);
    }
}

static void changes_are_copied(struct order_copy *copy)
{
    struct copy_progress *progress = &copy->progress;
    if (copy->rewritten) { /* rows have other places now, and the same transactions */
        if (++copy->rewrites > REWRITES_MAX)
            finish(copy, true);
        else
            enter(copy, PHASE_LOOK);
        return;
    }
    copy->passes++;
    progress->passes++;
    progress->since = copy->pass.running_from;
    progress->looked_ms = copy->looked_ms;
    bool done = copy->found <= FEW_ROWS || copy->passes >= PASSES_MAX ||
                (copy->passes > 1 && copy->found > copy->found_before / 2);
    if (copy->tail)
        done = copy->settled && (!progress->transactions_left || tail_is_late(copy));
    copy->settled_pass = copy->settled;
    if (done)
        finish(copy, false);
    else if (copy->tail)
        wait(copy,
             copy->settled ? clock_monotonic_ms() + TAIL_LOOK_MS : copy->tail_ms + TAIL_SETTLE_MS);
    else
        enter(copy, PHASE_LOOK);
}

/* All that the phase has read is written. */
static void phase_is_through(struct order_copy *copy)
{
    switch (copy->phase) {
    case PHASE_IDS:
        copy->progress.ids_copied = true;
        copy->progress.total = copy->progress.done;
        enter(copy, PHASE_LOOK);
        return;
    case PHASE_YOUNG_IDS:
        copy->young_copied = true;
        enter(copy, PHASE_LOOK); /* and then at once those whose ids do not tell the time */
        return;
    case PHASE_CHANGES:
        changes_are_copied(copy);
        return;
    case PHASE_LOOK:
    case PHASE_WAIT:
        return; /* they read no page */
    }
}

/* ---- reading ---- */

static void on_looked(void *arg, const struct database_answer *answer)
{
    struct order_copy *copy = arg;
    if (!job_run_answered(copy->run, answer, false))
        return;
    order_pass_begun(answer, &copy->pass);
    looked(copy);
}

static void on_page(void *arg, const struct database_answer *answer)
{
    struct order_copy *copy = arg;
    if (!job_run_answered(copy->run, answer, false))
        return;
    order_page_read(answer, copy->read);
    copy->read_filled = copy->read->rows > 0;
    copy->read_all = copy->read->rows < ORDER_PAGE_ROWS;
    if (copy->read_filled)
        set_text(copy->phase == PHASE_YOUNG_IDS ? &copy->until : &copy->after, copy->read->last_id);
}

static void on_changes(void *arg, const struct database_answer *answer)
{
    struct order_copy *copy = arg;
    if (!job_run_answered(copy->run, answer, false))
        return;
    copy->place = order_changes_read(answer, copy->place, copy->end, copy->read);
    copy->rewritten = copy->read->filenode != copy->pass.filenode;
    copy->read_filled = copy->read->rows > 0;
    copy->read_all = copy->place == copy->end || copy->rewritten;
    copy->found += (int64_t)copy->read->rows;
}

static void read_next(struct order_copy *copy)
{
    struct job_run *run = copy->run;
    if (copy->phase == PHASE_CHANGES)
        job_run_sent(run, order_changes_ask(run->database, copy->place, copy->end,
                                            copy->progress.since, on_changes, copy));
    else
        job_run_sent(run, order_page_ask(run->database, copy->after,
                                         copy->phase == PHASE_YOUNG_IDS ? copy->until : NULL,
                                         on_page, copy));
}

/* ---- writing ---- */

static void on_refused(void *arg, const struct order_id *id)
{
    struct order_copy *copy = arg;
    copy_progress_refused(&copy->progress, id);
}

static void on_written(void *arg, const struct error *failure)
{
    struct order_copy *copy = arg;
    const struct order_page *page = copy->written;
    if (failure != NULL) {
        copy->state = ORDER_COPY_FAILED;
        copy->reason = *failure;
    } else {
        copy->progress.copied += (int64_t)page->count;
        if (copy->phase == PHASE_IDS)
            copy_progress_page(&copy->progress, page);
        note(copy);
    }
    job_run_step_in(copy->run, 0);
}

static void write_next(struct order_copy *copy)
{
    struct order_page *page = copy->read;
    copy->read = copy->written;
    copy->written = page;
    copy->read_filled = false;
    order_writer_write(copy->writer, page->orders, page->count);
}

/* ---- the engine ---- */

void order_copy_step(struct order_copy *copy)
{
    if (copy->state != ORDER_COPY_RUNNING)
        return;
    if (copy->phase == PHASE_WAIT) {
        int64_t left_ms = copy->wait_until_ms - clock_monotonic_ms();
        if (left_ms > 0) {
            job_run_step_in(copy->run, left_ms);
            return;
        }
        copy->phase = PHASE_LOOK;
    }
    if (copy->phase == PHASE_LOOK) {
        job_run_sent(copy->run, order_pass_begin(copy->run->database, on_looked, copy));
        return;
    }
    bool writing = order_writer_busy(copy->writer);
    if (copy->read_filled && !writing) {
        write_next(copy);
        writing = true;
    }
    if (!copy->read_filled && !copy->read_all)
        read_next(copy);
    else if (!copy->read_filled && !writing)
        phase_is_through(copy);
}

void order_copy_tail(struct order_copy *copy)
{
    copy->tail = true;
    copy->tail_ms = clock_monotonic_ms();
}

enum order_copy_state order_copy_state(const struct order_copy *copy, const char **ret_reason)
{
    if (copy->state == ORDER_COPY_FAILED)
        *ret_reason = copy->reason.message;
    return copy->state;
}

bool order_copy_compare_needed(const struct order_copy *copy)
{
    return copy->compare_needed;
}

int64_t order_copy_done(const struct order_copy *copy)
{
    return copy->progress.done;
}

int64_t order_copy_total(const struct order_copy *copy)
{
    const struct copy_progress *progress = &copy->progress;
    bool outgrown = progress->total >= 0 && progress->total < progress->done;
    return outgrown ? progress->done : progress->total;
}

const char *order_copy_checkpoint(const struct order_copy *copy)
{
    return copy->checkpoint;
}

json_t *order_copy_result(const struct order_copy *copy)
{
    return copy_progress_result(&copy->progress);
}

struct order_copy *order_copy_new(const struct index_context *context, struct job_run *run,
                                  const struct order_copy_options *options)
{
    struct order_copy *copy = memory_new(sizeof *copy);
    copy->run = run;
    copy->written = memory_new(sizeof *copy->written);
    copy->read = memory_new(sizeof *copy->read);
    copy->writer = order_writer_new(
        context, &(struct order_writer_options){.index = options->index,
                                                .require_alias = options->require_alias,
                                                .on_done = on_written,
                                                .on_refused = on_refused,
                                                .arg = copy});
    copy_progress_init(&copy->progress, options->checkpoint);
    if (copy->progress.begun && !copy->progress.ids_copied)
        begin_ids(copy);
    else
        enter(copy, PHASE_LOOK);
    return copy;
}

void order_copy_free(struct order_copy *copy)
{
    if (copy == NULL)
        return;
    order_writer_free(copy->writer);
    order_page_release(copy->written);
    order_page_release(copy->read);
    free(copy->written);
    free(copy->read);
    free(copy->after);
    free(copy->until);
    free(copy->checkpoint);
    copy_progress_release(&copy->progress);
    free(copy);
}
