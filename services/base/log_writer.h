/* Writes the log's lines to standard error on a thread of its own, so that a program whose
 * log nobody reads goes on. Any thread. */
#ifndef BASE_LOG_WRITER_H
#define BASE_LOG_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* PIPE_BUF: one write() of so much never mixes with others on a pipe. */
#define LOG_LINE_MAX_BYTES 4096

/* Hand over a line of at most LOG_LINE_MAX_BYTES, copied. Never blocks. Returns false when there is
 * no room for it: then it is dropped and counted. */
bool log_writer_put(const char *line, size_t len_bytes);

/* Lines that were dropped, or could not be written, since the start of the process. */
uint64_t log_writer_dropped(void);

/* Wait until all lines are written: for `patience_ms` at most while nobody reads standard error,
 * and for ten times that while the machine is too busy to write them. */
void log_writer_flush(int64_t patience_ms);

#endif
