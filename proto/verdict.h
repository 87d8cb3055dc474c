/* What became of one order in one stage, and why. */
#ifndef PROTO_VERDICT_H
#define PROTO_VERDICT_H

#include <stdint.h>

#define VERDICT_CODE_SIZE 40
#define VERDICT_DETAIL_SIZE 200

enum outcome {
    OUTCOME_DONE = 1,   /* durable */
    OUTCOME_RETRY = 2,  /* the store cannot take the order now, and may take it later */
    OUTCOME_REJECT = 3, /* the store can never take this order */
};

/* What a verdict that is done has stands in front, within a line of the processor's cache:
 * thousands are written, sent and read. */
struct verdict {
    enum outcome outcome;
    int64_t created_at_us;            /* of the stored row when a persist job is done; else 0 */
    char code[VERDICT_CODE_SIZE];     /* stable, for metrics and headers: "id_conflict",
                                         "sqlstate_22003", "bulk_429", "postgres_unavailable"; empty
                                         when done */
    char detail[VERDICT_DETAIL_SIZE]; /* for a person; empty when done */
};

/* Copy only the bytes in use. */
void verdict_copy(struct verdict *to, const struct verdict *from);

void verdict_done(struct verdict *verdict, int64_t created_at_us);

/* `code` and `detail` are copied, cut to fit; a detail that is cut ends in "...". What is not
 * printable ASCII in `detail` (which a server may have said) becomes '?'. */
void verdict_fail(struct verdict *verdict, enum outcome outcome, const char *code,
                  const char *detail);

/* "done", "retry", "reject": for logs and metrics. */
const char *outcome_name(enum outcome outcome);

#endif
