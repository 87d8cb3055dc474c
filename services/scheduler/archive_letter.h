/* What a dead letter says, as a row of the archive. Nothing in a letter is trusted: what cannot be
 * read is left out, and its bytes are kept as they are. */
#ifndef SCHEDULER_ARCHIVE_LETTER_H
#define SCHEDULER_ARCHIVE_LETTER_H

#include "services/clients/postgres/dead_letter_archive.h"
#include "services/clients/rabbitmq/content.h"

/* Read a content that is complete, from the dead-letter queue of `queue`. The row points into the
 * content, and to `queue`. `now_us` (since 1970) is when it died, if nothing tells that. */
void archive_letter_read(const struct content *content, const char *queue, int64_t now_us,
                         struct dead_letter_row *ret_row);

/* The server refuses the row with this SQLSTATE: only what it can hardly refuse stays, which are
 * ASCII and the bytes. */
void archive_letter_make_plain(struct dead_letter_row *row, const char *sqlstate);

#endif
