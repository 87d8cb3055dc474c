/* The row about the search index, in the table search_index: what index is there, and what is known
 * to be wrong with it. Here: reading it, and what the jobs about the index write. What a scheduler
 * writes that watches the index is in search_index_watch.h. Each function returns 0 or -1 as
 * database_send(). */
#ifndef CLIENTS_POSTGRES_SEARCH_INDEX_H
#define CLIENTS_POSTGRES_SEARCH_INDEX_H

#include "services/clients/postgres/long_jobs.h"

/* Of a text that tells one index from another, also from an index of the same name: with its NUL.
 */
#define SEARCH_INDEX_IDENTITY_SIZE 128
#define SEARCH_INDEX_DEPLOYMENT_SIZE 40
#define SEARCH_INDEX_FAULT_SIZE 500
#define SEARCH_INDEX_GONE "" /* the identity while there is no index */

struct search_index {
    char deployment[SEARCH_INDEX_DEPLOYMENT_SIZE]; /* a UUID, of this database */
    bool recorded;                                 /* an identity is */
    char identity[SEARCH_INDEX_IDENTITY_SIZE];
    char building[SEARCH_INDEX_IDENTITY_SIZE]; /* what a reindex is about to swap in; or "" */
    int64_t documents;                         /* when last counted; -1: never */
    bool incomplete;
    double missing;                      /* incomplete: the share of the orders, 0 to 1, so far */
    char fault[SEARCH_INDEX_FAULT_SIZE]; /* what waits for a person; or "" */
    /* Microseconds since 1970; 0: never */
    int64_t verified_at_us, verified_full_at_us;
    /* Documents, by the last verification; -1: there was none */
    int64_t verified_missing, verified_extra, verified_different;
};

int search_index_read(struct database *database, database_done_fn *on_done, void *arg)
    __attribute__((warn_unused_result));

/* What the answer to it tells. Returns 0, or -1 when there is none: `ret_index` is untouched. */
int search_index_row(const struct database_answer *answer, struct search_index *ret_index)
    __attribute__((warn_unused_result));

/* Is something wrong with the index, as far as is known? `ret_reason` says what, else it is
 * untouched. */
bool search_index_wrong(const struct search_index *index, struct error *ret_reason);

/* ---- what a job writes: only while it is held; the answer is for long_job_hold() ---- */

/* The job is about to swap in the index of this identity (NULL: not any more), so that nobody takes
 * it for a new one that has to be filled. */
int search_index_building(struct database *database, const struct long_job *job,
                          const char *identity, database_done_fn *on_done, void *arg)
    __attribute__((warn_unused_result));

/* The index of this identity was swapped in. `documents` below 0: not counted. */
int search_index_swapped(struct database *database, const struct long_job *job,
                         const char *identity, int64_t documents, database_done_fn *on_done,
                         void *arg) __attribute__((warn_unused_result));

/* The share of the orders that search lacks, 0 to 1; below 0: it is complete, and nothing waits for
 * a person. Writes nothing once the job is to be canceled: another index may be there. */
int search_index_missing(struct database *database, const struct long_job *job, double share,
                         database_done_fn *on_done, void *arg) __attribute__((warn_unused_result));

/* The index of this identity was made again from all orders: it is complete, nothing waits for a
 * person, and automatic refills that wait are canceled. Nothing when another index is there. */
int search_index_rebuilt(struct database *database, const struct long_job *job,
                         const char *identity, database_done_fn *on_done, void *arg)
    __attribute__((warn_unused_result));

/* A verification has ended. Writes nothing once the job is to be canceled. Only one of all orders
 * takes back what waited for a person, and says whether search is complete. */
struct search_index_verified {
    bool full;                         /* of all orders */
    int64_t missing, extra, different; /* that are left */
    double missing_share;              /* full: of the orders, 0 to 1; below 0: none is missing */
    const char *fault;                 /* what waits for a person, or NULL: nothing was found */
};
int search_index_verified(struct database *database, const struct long_job *job,
                          const struct search_index_verified *verified, database_done_fn *on_done,
                          void *arg) __attribute__((warn_unused_result));

/* What waits for a person; NULL: nothing. Writes nothing once the job is to be canceled, either. */
int search_index_fault(struct database *database, const struct long_job *job, const char *fault,
                       database_done_fn *on_done, void *arg) __attribute__((warn_unused_result));

#endif
