/* Jobs about many dead letters: the kinds JOB_KIND_REPLAY and JOB_KIND_DISCARD, a scheduler's side.
 * The ids of their letters are the job's items. All that these functions write depends on the job
 * being held; long_job_hold() reads their answers. Each returns 0 or -1 as database_send(). */
#ifndef CLIENTS_POSTGRES_LETTER_JOBS_H
#define CLIENTS_POSTGRES_LETTER_JOBS_H

#include "proto/order.h"
#include "services/clients/postgres/connection.h"
#include "services/clients/postgres/long_jobs.h"

#define JOB_KIND_REPLAY "replay"
#define JOB_KIND_DISCARD "discard"

/* Discard the next letters of the job, at most LETTERS_DISCARD_MAX; those that are not dead any
 * more are skipped. */
#define LETTERS_DISCARD_MAX 500
int letters_discard(struct database *database, const struct long_job *job,
                    database_done_fn *on_done, void *arg) __attribute__((warn_unused_result));

/* Whether the answer to it (which is DATABASE_OK) says that there were none any more. */
bool letters_discarded_all(const struct database_answer *answer);

/* A letter of a job. */
struct job_letter {
    int64_t id; /* 0: there was no such */
    bool dead;
    bool is_order; /* its body is */
    struct order order;
};

/* The job's first letter behind `after`: whose fate is unknown when `sent`, else that waits. Only
 * looks. */
int letters_next(struct database *database, const struct long_job *job, bool sent, int64_t after,
                 database_done_fn *on_done, void *arg) __attribute__((warn_unused_result));

/* Decode the answer to it (which is DATABASE_OK). */
void letters_next_read(const struct database_answer *answer, struct job_letter *ret_letter);

/* Replay a letter of the job that is dead, in one transaction: mark it, put this order of its body
 * into the outbox with its trace, and make its item 'sent'. */
int letters_replay(struct database *database, const struct long_job *job, int64_t letter,
                   const struct order *order, database_done_fn *on_done, void *arg)
    __attribute__((warn_unused_result));

/* Whether the answer to it (which is DATABASE_OK) says that the letter was dead, and is replayed.
 */
bool letters_replayed(const struct database_answer *answer);

/* Of these letters, which were replayed: which died again? Only looks. */
#define LETTERS_SENT_MAX 10
int letters_died_again(struct database *database, const int64_t *letters, size_t count,
                       database_done_fn *on_done, void *arg) __attribute__((warn_unused_result));

/* What the answer to it (which is DATABASE_OK) says. */
bool letters_archive_off(
    const struct database_answer *answer); /* no letter will be seen any more */
bool letters_has_died_again(const struct database_answer *answer, int64_t letter);

/* The fates of these letters are known: they count in the job's `done` and `result`, and the
 * checkpoint is `in_a_row`, how many in a row died again. */
struct letter_fates {
    int64_t letters[LETTERS_SENT_MAX];
    size_t count;
    unsigned searchable, died_again, skipped;
    unsigned in_a_row;
};
int letters_settle(struct database *database, const struct long_job *job,
                   const struct letter_fates *fates, database_done_fn *on_done, void *arg)
    __attribute__((warn_unused_result));

#endif
