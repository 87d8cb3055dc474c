/* When a statement's fate is unknown, its letters may be stored: they go again as possible copies,
 * as letters do that RabbitMQ delivers again. */
#include "services/scheduler/archive_batch.h"
#include "proto/timestamp.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include "services/scheduler/archive_letter.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 100
#define BYTES_MAX (1u << 20) /* then no further letter */
#define ROW_BYTES 512        /* of a row, beside its body and its properties */
#define RETRY_MS 1000
#define REFUSED_MS 10000

struct archive_batch {
    struct archive_batch_options options;
    struct archive_source *source; /* of the batch under way; else NULL */
    uint64_t epoch;
    size_t letters, rows_count; /* that were taken; the rows, which may be fewer */
    struct dead_letter_row rows[ROWS_MAX];
    size_t bytes;
    int64_t stored_bytes;
    int64_t next_ms; /* no batch begins before this */
    struct metric_counter *archived, *copies;
};

/* The earlier row that this one is a copy of, if it is one. */
static struct dead_letter_row *earlier_row(struct archive_batch *batch,
                                           const struct dead_letter_row *row)
{
    for (size_t i = 0; row->may_be_copy && i < batch->rows_count; i++)
        if (memcmp(batch->rows[i].digest, row->digest, sizeof row->digest) == 0)
            return &batch->rows[i];
    return NULL;
}

static void fill(struct archive_batch *batch, struct archive_source *source)
{
    struct archive_standing standing = {.queue = NULL};
    archive_source_look(source, &standing);
    const struct archive_refusal *refusal = archive_source_refusal(source);
    size_t held = archive_source_held(source), max = refusal->singly > 0 ? 1 : ROWS_MAX;
    batch->letters = batch->rows_count = batch->bytes = 0;
    while (batch->letters < held && batch->rows_count < max && batch->bytes < BYTES_MAX) {
        const struct archive_held *letter = archive_source_letter(source, batch->letters++);
        struct dead_letter_row *row = &batch->rows[batch->rows_count];
        archive_letter_read(letter->content, standing.queue, timestamp_now_us(), row);
        row->may_be_copy |= letter->may_be_stored;
        if (refusal->sqlstate[0] != '\0')
            archive_letter_make_plain(row, refusal->sqlstate);
        struct dead_letter_row *earlier = earlier_row(batch, row);
        if (earlier != NULL) {
            earlier->copies++;
            continue;
        }
        batch->rows_count++;
        batch->bytes += row->body_len + row->properties_len + ROW_BYTES;
    }
}

static void settle(struct archive_batch *batch, int64_t copies)
{
    static struct log_limit limit;
    struct archive_refusal *refusal = archive_source_refusal(batch->source);
    if (refusal->sqlstate[0] != '\0')
        log_warn_limited(&limit,
                         "PostgreSQL refused a dead letter, it is stored without its own words",
                         log_text("sqlstate", refusal->sqlstate));
    for (size_t i = 0; i < batch->rows_count; i++)
        copies += batch->rows[i].copies;
    metric_add(batch->archived, batch->letters - (size_t)copies);
    metric_add(batch->copies, (uint64_t)copies);
    batch->stored_bytes += (int64_t)batch->bytes;
    refusal->singly -= refusal->singly < batch->letters ? refusal->singly : batch->letters;
    refusal->sqlstate[0] = refusal->words[0] = '\0';
    archive_source_settle(batch->source, batch->letters);
}

static void take_refusal(struct archive_batch *batch, const struct database_answer *answer)
{
    struct archive_refusal *refusal = archive_source_refusal(batch->source);
    if (batch->letters > 1) {
        refusal->singly = batch->letters;
    } else if (refusal->sqlstate[0] == '\0') {
        strcpy(refusal->sqlstate, answer->sqlstate);
    } else { /* not the letter's fault */
        refusal->sqlstate[0] = '\0';
        snprintf(refusal->words, sizeof refusal->words, "%s", answer->message);
        refusal->next_ms = clock_monotonic_ms() + REFUSED_MS;
    }
}

static void take_answer(struct archive_batch *batch, const struct database_answer *answer)
{
    if (answer->status == DATABASE_OK) {
        settle(batch, dead_letters_copies(answer));
    } else if (answer->status == DATABASE_FAILED && !database_failure_passes(answer)) {
        take_refusal(batch, answer);
    } else {
        batch->next_ms = clock_monotonic_ms() + RETRY_MS;
        for (size_t i = 0;
             answer->status == DATABASE_UNAVAILABLE && !answer->unexecuted && i < batch->letters;
             i++)
            archive_source_letter(batch->source, i)->may_be_stored = true;
    }
}

static void on_stored(void *arg, const struct database_answer *answer)
{
    struct archive_batch *batch = arg;
    if (archive_source_epoch(batch->source) == batch->epoch) /* else the letters come again */
        take_answer(batch, answer);
    batch->source = NULL;
    batch->options.on_end(batch->options.arg);
}

void archive_batch_begin(struct archive_batch *batch, struct archive_source *source)
{
    int64_t now_ms = clock_monotonic_ms();
    if (batch->source != NULL || now_ms < batch->next_ms ||
        now_ms < archive_source_refusal(source)->next_ms || archive_source_held(source) == 0)
        return;
    fill(batch, source);
    if (dead_letters_store(batch->options.database, batch->rows, batch->rows_count, on_stored,
                           batch) != 0)
        return;
    batch->source = source;
    batch->epoch = archive_source_epoch(source);
}

bool archive_batch_running(const struct archive_batch *batch)
{
    return batch->source != NULL;
}

int64_t archive_batch_take_bytes(struct archive_batch *batch)
{
    int64_t bytes = batch->stored_bytes;
    batch->stored_bytes = 0;
    return bytes;
}

struct archive_batch *archive_batch_new(const struct archive_batch_options *options)
{
    struct archive_batch *batch = memory_new(sizeof *batch);
    batch->options = *options;
    batch->archived = metric_counter("dead_letters_archived_total", NULL,
                                     "Dead letters that this process has stored as rows.");
    batch->copies = metric_counter("dead_letter_copies_total", NULL,
                                   "Dead letters that were counted as copies of a stored one.");
    return batch;
}

void archive_batch_free(struct archive_batch *batch)
{
    free(batch);
}
