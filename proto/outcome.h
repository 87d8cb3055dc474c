/* What became of one order in one stage. */
#ifndef PROTO_OUTCOME_H
#define PROTO_OUTCOME_H

enum outcome {
    OUTCOME_DONE = 1,   /* durable */
    OUTCOME_RETRY = 2,  /* the backend cannot now; the same order may succeed later */
    OUTCOME_REJECT = 3, /* this order can never succeed */
};

/* "done", "retry", "reject": for logs and metrics. */
const char *outcome_name(enum outcome outcome);

#endif
