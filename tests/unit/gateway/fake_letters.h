/* Fakes of the ports of dead letters and jobs, in memory. They answer from the loop, as they are
 * told by the members that a test sets between requests. */
#ifndef TESTS_GATEWAY_FAKE_LETTERS_H
#define TESTS_GATEWAY_FAKE_LETTERS_H

#include "tests/unit/gateway/fakes.h"

#define FAKE_LETTERS_MAX 8

struct fake_letters {
    struct fakes *fakes; /* for its calls, its rows and its loop */
    struct dead_letters port;
    struct job_records jobs_port;

    bool refuses;                          /* -1 at once */
    enum order_store_status status;        /* of every answer but a settling's */
    enum order_store_status settle_status; /* of a settling, which does not happen unless it is OK
                                              or UNKNOWN */
    bool settle_refuses;                   /* -1 at once */
    void (*before_settling)(struct fake_letters *letters); /* what somebody else does meanwhile */

    struct letter letters[FAKE_LETTERS_MAX];
    struct letter_content contents[FAKE_LETTERS_MAX];
    size_t count;
    struct order outbox[FAKE_LETTERS_MAX]; /* what was replayed */
    size_t outbox_count;

    /* What was asked for last, in words. */
    char asked[512];

    struct letter_counts counts;
    int64_t job, total; /* of the next job */
    struct job_record jobs[FAKE_LETTERS_MAX];
    size_t job_count;
    bool begins, cancels;
};

void fake_letters_init(struct fake_letters *letters, struct fakes *fakes);
void fake_letters_reset(struct fake_letters *letters);

/* Add a dead letter of stage persist with this body; its id is its place, from 1 on. Its texts live
 * as long as the test. */
struct letter *fake_letters_add(struct fake_letters *letters, const char *reason, const char *body);

#endif
