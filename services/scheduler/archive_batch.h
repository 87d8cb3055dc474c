/* Stores the letters of a source, some in a statement, and settles them when that is committed. One
 * batch is under way at a time. A batch that PostgreSQL refuses goes letter by letter; a letter
 * that it refuses goes in a plainer form. */
#ifndef SCHEDULER_ARCHIVE_BATCH_H
#define SCHEDULER_ARCHIVE_BATCH_H

#include "services/scheduler/archive_source.h"

struct database;
struct archive_batch;

struct archive_batch_options {
    struct database *database; /* must outlive the batch, but for its last callback */
    void (*on_end)(void *arg); /* a batch has ended, well or not */
    void *arg;
};

struct archive_batch *archive_batch_new(const struct archive_batch_options *options);
void archive_batch_free(struct archive_batch *batch); /* NULL is legal */

/* Begin with the oldest letters of a source that holds some. Does nothing while a batch is under
 * way, or soon after one failed. The source must live until the batch has ended. */
void archive_batch_begin(struct archive_batch *batch, struct archive_source *source);
bool archive_batch_running(const struct archive_batch *batch);

/* The bytes that were stored since the last call, about. */
int64_t archive_batch_take_bytes(struct archive_batch *batch);

#endif
