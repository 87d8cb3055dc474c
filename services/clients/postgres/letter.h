/* A dead letter as the table dead_letters has it, what letters may be chosen by, and how they end.
 * Plain values; without PostgreSQL. */
#ifndef CLIENTS_POSTGRES_LETTER_H
#define CLIENTS_POSTGRES_LETTER_H

#include "proto/order.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LETTER_STATE_DEAD "dead"
#define LETTER_STATE_REPLAYED "replayed"
#define LETTER_STATE_DISCARDED "discarded"
#define LETTER_REASON_CONFLICT "id_conflict" /* another order has its id */

/* Ids are 1 and more: 0 stands for none. Texts are UTF-8. */
struct letter {
    int64_t id;
    const char *state, *queue, *reason, *detail, *stage;
    int64_t attempts, body_bytes, copies;
    int64_t died_at_us, archived_at_us;
    bool has_order_id;
    struct order_id order_id;
    char trace_id[33]; /* "": none */
    int64_t replay_of;
    bool ended; /* replayed or discarded: */
    int64_t ended_at_us;
    const char *ended_by, *ended_reason; /* NULL: none */
    bool has_replayed_as;
    struct order_id replayed_as; /* the id of the order in the replay */
    int64_t job;                 /* that ended it */
};

struct letter_content {
    const char *body; /* the first 1 MiB */
    size_t body_len;
    const char *properties; /* as encoded in AMQP 0-9-1, 4.2.6.1 */
    size_t properties_len;
};

/* The letters that are all of this. */
struct letter_filter {
    const char *state, *reason, *stage; /* NULL: any */
    const char *detail;                 /* has this text in it, in whatever case; NULL: any */
    bool by_order_id, by_since, by_until;
    struct order_id order_id;
    int64_t since_us, until_us; /* died then or later; died before */
};

#define LETTER_REASONS_MAX 100

struct letter_counts {
    int64_t letters;
    size_t reason_count; /* at most LETTER_REASONS_MAX: the most frequent */
    struct {
        const char *reason;
        int64_t letters;
    } reasons[LETTER_REASONS_MAX];
};

/* ---- how one ends: it is replayed, or discarded ---- */

struct letter_settling {
    int64_t id;
    int64_t at_us;      /* now: also what this settling is known by, if its answer is lost */
    const char *by;     /* whom */
    const char *reason; /* why it is discarded; NULL: it is replayed */

    /* Of a replay alone. */
    struct order order; /* goes to the outbox */
    bool needs_free_id; /* only while no row of orders has this id: */
    struct order_id free_id;
};

enum letter_settled {
    LETTER_SETTLED,      /* by this settling, now or when its answer was lost */
    LETTER_ENDED,        /* before, by another */
    LETTER_ORDER_STORED, /* the id is not free; nothing was changed */
    LETTER_MISSING,      /* there is no such letter */
    LETTER_FAILED,       /* see answer; nothing was changed if DATABASE_FAILED or `unexecuted`, else
                            unknown */
};

/* ---- many at once ---- */

enum letter_job { LETTER_JOB_REPLAY, LETTER_JOB_DISCARD };

struct letter_job_request {
    enum letter_job kind;
    struct letter_filter filter; /* of dead letters */
    const char *parameters;      /* a JSON object, for the job's row */
    const char *by;              /* whom */
};

#endif
