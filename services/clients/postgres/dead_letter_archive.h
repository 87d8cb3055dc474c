/* The archive of dead letters, a scheduler's side: storing them in the table dead_letters, counting
 * them, and forgetting those that were settled long ago. Each function returns 0 or -1 as
 * database_send(). */
#ifndef CLIENTS_POSTGRES_DEAD_LETTER_ARCHIVE_H
#define CLIENTS_POSTGRES_DEAD_LETTER_ARCHIVE_H

#include "proto/order_id.h"
#include "services/clients/postgres/connection.h"

#define DEAD_LETTER_BODY_MAX (1u << 20) /* bytes of a body that are kept */
#define DEAD_LETTER_REASON_SIZE 101
#define DEAD_LETTER_DETAIL_SIZE 1001
#define DEAD_LETTER_STAGE_SIZE 21
#define DEAD_LETTER_TRACEPARENT_SIZE 56
#define DEAD_LETTER_TRACESTATE_SIZE 513
#define DEAD_LETTER_DIGEST_BYTES 32

/* The columns are told in schema.sql. Texts are UTF-8 without control characters. */
struct dead_letter_row {
    const char *queue;
    char reason[DEAD_LETTER_REASON_SIZE];
    char detail[DEAD_LETTER_DETAIL_SIZE];
    char stage[DEAD_LETTER_STAGE_SIZE];
    int64_t attempts;
    bool has_order_id;
    struct order_id order_id;
    const void *body, *properties;
    size_t body_len, properties_len;
    int64_t body_bytes;
    unsigned char digest[DEAD_LETTER_DIGEST_BYTES];
    bool may_be_copy;   /* counts up the `copies` of an equal one that is dead, if there is one */
    int64_t copies;     /* of it that are known now */
    int64_t died_at_us; /* since 1970 */
    char traceparent[DEAD_LETTER_TRACEPARENT_SIZE]; /* "": it has none */
    char tracestate[DEAD_LETTER_TRACESTATE_SIZE];
    int64_t replay_of; /* 0: none */
};

/* Store some letters (at least one), or none of them. Of equal ones at most one may be a copy. The
 * rows stay the caller's and may go when this returns. */
int dead_letters_store(struct database *database, const struct dead_letter_row *rows, size_t count,
                       database_done_fn *on_done, void *arg) __attribute__((warn_unused_result));
/* How many of them were counted as copies; the answer is DATABASE_OK. */
int64_t dead_letters_copies(const struct database_answer *stored);

/* How much the archive holds, in bytes on the disk; when that is over `max_bytes`, what its letters
 * take alone, about: the space of those that were deleted is used again. database_number() tells.
 */
int dead_letters_measure(struct database *database, int64_t max_bytes, database_done_fn *on_done,
                         void *arg) __attribute__((warn_unused_result));

/* Count the letters. Reads the whole table. */
int dead_letters_count(struct database *database, database_done_fn *on_done, void *arg)
    __attribute__((warn_unused_result));
/* Reasons that are told apart; any other one is "other". Ends with NULL, the other one before it.
 */
extern const char *const dead_letter_reasons[];
extern const char *const dead_letter_states[]; /* ends with NULL */
struct dead_letter_count {
    const char *state, *reason; /* of the lists above */
    int64_t letters;
    int64_t oldest_us; /* of them, since 1970 */
};
/* A row of the answer, which is DATABASE_OK. Returns false when there is none. A state that is not
 * of the list is NULL. */
bool dead_letters_counted(const struct database_answer *answer, int row,
                          struct dead_letter_count *ret);

/* Tell the gateways whether letters are archived ("on" or "off"), and why they stay in the queue
 * now (NULL: they do not). */
int dead_letters_tell(struct database *database, const char *state, const char *fault,
                      database_done_fn *on_done, void *arg) __attribute__((warn_unused_result));

#define DEAD_LETTERS_FORGET_MAX 500

/* Delete letters that were replayed or discarded longer ago than this, at most
 * DEAD_LETTERS_FORGET_MAX. database_number() tells how many. */
int dead_letters_forget(struct database *database, int64_t retention_ms, database_done_fn *on_done,
                        void *arg) __attribute__((warn_unused_result));

#endif
