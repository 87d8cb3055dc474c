/* Orders from a file, one after the other: NDJSON (a JSON object a line) or CSV (RFC 4180, with the
 * columns product_name and amount). A record is at most 64 KiB, as much as the gateway takes. */
#ifndef ORDERCTL_ORDER_FILE_H
#define ORDERCTL_ORDER_FILE_H

#include "proto/error.h"
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define ORDER_FILE_RECORD_MAX 65536
/* Lines that begin with this are left out: submit writes them into the file of refused orders,
 * which is corrected and submitted as it is. */
#define ORDER_FILE_REMARK "# refused, line "

enum order_file_format { ORDER_FILE_NDJSON, ORDER_FILE_CSV };

/* One record. */
struct order_line {
    uint64_t number; /* of its first line in the file, from 1 */
    char *raw;       /* as it stands there, without the last line end; what is too long is cut */
    size_t raw_len;
    char *body; /* the request, with a NUL after it; NULL: it is no order, as `reason` says */
    size_t body_len;
    struct error reason;
};
void order_line_release(struct order_line *line);

struct order_file;

/* Read from `stream`, which stays the caller's. Never fails: what is wrong is told by
 * order_file_begin(). */
struct order_file *order_file_new(FILE *stream, enum order_file_format format);
void order_file_free(struct order_file *file);

/* Read the header of CSV. Returns 0, or -1 with `err` set. To be called once, first. */
int order_file_begin(struct order_file *file, struct error *err)
    __attribute__((warn_unused_result));

/* The next record: 1 and *ret_line, to be released; 0 at the end; -1 with `err` set when the file
 * cannot be read. Blocks as the file does. */
int order_file_next(struct order_file *file, struct order_line *ret_line, struct error *err)
    __attribute__((warn_unused_result));

/* The header of CSV as it stands in the file, without its line end; empty for NDJSON. */
const char *order_file_header(const struct order_file *file, size_t *ret_len);
/* How many bytes have been read. */
uint64_t order_file_bytes(const struct order_file *file);

/* The Idempotency-Key of a record: of its batch, its place and its content. The same file of the
 * same batch has the same keys whenever it is read; equal lines have different ones. */
#define ORDER_LINE_KEY_SIZE 80
void order_line_key(const struct order_line *line, const char *batch,
                    char key[ORDER_LINE_KEY_SIZE]);

#endif
