/* A reindex under way. Inside the job kind "reindex": reindex.c says in which order things are
 * done, the other files do them. A function of a phase does the next thing, when neither a
 * statement nor a request is under way, and is called again after it. */
#ifndef SCHEDULER_INDEX_REINDEX_WORK_H
#define SCHEDULER_INDEX_REINDEX_WORK_H

#include "services/clients/postgres/search_index.h"
#include "services/scheduler/index/index_context.h"
#include "services/scheduler/index/index_listing.h"
#include "services/scheduler/index/index_requests.h"
#include "services/scheduler/index/reindex_checkpoint.h"
#include "services/scheduler/job_runner.h"

struct index_compare;
struct order_copy;

struct reindex {
    const struct index_context *context;
    struct job_run *run;
    bool keep_old;
    char own[INDEX_BUILT_ALIAS_SIZE];     /* the alias of this job until the swap, */
    char swapped[INDEX_BUILT_ALIAS_SIZE]; /* and after it */
    struct index_requests *requests;
    struct search_index row; /* row_read: of PostgreSQL */
    bool row_read;
    char last_name[INDEX_NAME_SIZE]; /* name_read: the highest one that another job has noted */
    bool name_read;

    struct reindex_checkpoint at;
    bool noted;            /* `at` is in PostgreSQL, but for counts */
    int64_t tell_at_ms;    /* the counts */
    unsigned step;         /* of the phase; 0 when it begins or goes on */
    unsigned attempts;     /* of what the phase has to try again */
    int64_t wait_until_ms; /* for an index to be there; 0: not waiting */
    int64_t end_tail_ms;   /* canceled: the tail may last so long */
    bool tail_cut;

    struct index_listing listing; /* while `listed` */
    bool listed;
    bool owned;         /* the new index is the one of the checkpoint */
    bool float_amounts; /* owned: its mapping has them, */
    bool counts_only;   /* or amounts that cannot be summed */
    struct order_copy *copy;
    struct index_compare *compare;
    char left[400]; /* what a canceled job leaves behind; empty: nothing */
};

/* Go on with this phase, or begin it anew. */
void reindex_enter(struct reindex *reindex, enum reindex_phase phase);

/* The job fails for this reason: after the new index is deleted, unless it is in use. */
void reindex_fail(struct reindex *reindex, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Likewise, because Elasticsearch has refused something; `said` NULL: without a word. */
void reindex_refused(struct reindex *reindex, const char *what, long status,
                     const struct server_error *said);

/* Send a request with a JSON body (NULL: none); the callback calls for the next step by
 * reindex_answered(). `privilege`: that it needs. */
void reindex_send(struct reindex *reindex, const char *method, const char *path, const char *body,
                  const char *privilege, index_answer_fn *on_answer);
/* To be called first in a callback. */
void reindex_answered(struct reindex *reindex);

/* List the indices anew; a step follows with `listed`, or the job fails. */
void reindex_list(struct reindex *reindex);
void reindex_forget_listing(struct reindex *reindex);

/* The index that is in use, for one that is to replace it; NULL, and a later step is set or the job
 * fails, when there is none or it cannot be replaced. */
const struct listed_index *reindex_used(struct reindex *reindex);

/* Delete a half-built index: `on_answer` has status 200, or 404 when it is not there. */
void reindex_delete(struct reindex *reindex, const char *name, index_answer_fn *on_answer);
/* Take the mark of being built from the index of this name. */
void reindex_unmark(struct reindex *reindex, const char *name, index_answer_fn *on_answer);
/* Is the new index the only one of the alias, by the listing? */
bool reindex_has_moved(const struct reindex *reindex);

/* ---- phases ---- */

/* reindex_make.c */
void reindex_make(struct reindex *reindex);
void reindex_look_at_own(struct reindex *reindex); /* until `owned` */
void reindex_give_settings(struct reindex *reindex);
void reindex_clean(struct reindex *reindex);

/* reindex_swap.c */
void reindex_swap(struct reindex *reindex);
void reindex_delete_old(struct reindex *reindex);
void reindex_end(struct reindex *reindex);

#endif
