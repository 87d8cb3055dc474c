/* How far a reindex has come: what another scheduler needs to go on with it, and what people see
 * of it. Without input or output. */
#ifndef SCHEDULER_INDEX_REINDEX_CHECKPOINT_H
#define SCHEDULER_INDEX_REINDEX_CHECKPOINT_H

#include "services/clients/elasticsearch/index_look.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* In the order in which they come. */
enum reindex_phase {
    REINDEX_MAKE,     /* the new index, or find it */
    REINDEX_COPY,     /* all orders into it */
    REINDEX_REFRESH,  /* it, and give it the settings of an index in use */
    REINDEX_COMPARE,  /* it with PostgreSQL */
    REINDEX_CATCH_UP, /* copy what has come meanwhile */
    REINDEX_SWAP,     /* it for the old one; from here on it stays */
    REINDEX_TAIL,     /* copy what was written to the old one only */
    REINDEX_CHECK,    /* compare once more, where the tail cannot find what was committed */
    REINDEX_DELETE,   /* the old one */
    REINDEX_END,
    REINDEX_CLEAN, /* instead of the swap: delete the new one */
};
#define REINDEX_PHASES (REINDEX_CLEAN + 1)

#define REINDEX_OLD_MAX 32

/* An index that was in use before the swap. */
struct reindex_old {
    char name[INDEX_NAME_SIZE];
    bool ours; /* so it is deleted */
};

struct reindex_checkpoint {
    enum reindex_phase phase;
    char name[INDEX_NAME_SIZE]; /* of the new index; empty: there is none yet */
    char identity[INDEX_IDENTITY_SIZE];
    int64_t done, total; /* rows; total -1: unknown */
    char *copy;          /* the checkpoint of the engine that copies; or NULL */
    char *compare;       /* of the one that compares, in its phase; or NULL */
    json_t *copied;      /* what the copying has counted, for people: an object, or NULL */
    size_t old_count;    /* known from the swap on */
    struct reindex_old old[REINDEX_OLD_MAX]; /* the one that was written to comes first */
    bool old_kept;                           /* at least one of them */
    char *failure;                           /* why the job fails; or NULL */
};

/* `text` NULL, or of another version: the beginning. To be released. */
void reindex_checkpoint_read(const char *text, struct reindex_checkpoint *ret);
void reindex_checkpoint_release(struct reindex_checkpoint *checkpoint);

/* free() them. */
char *reindex_checkpoint_write(const struct reindex_checkpoint *checkpoint);
char *reindex_checkpoint_result(const struct reindex_checkpoint *checkpoint);

/* Own copies of these texts; NULL: none. */
void reindex_checkpoint_set(char **text, const char *value);

#endif
