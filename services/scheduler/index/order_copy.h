/* Copies the orders of PostgreSQL into an index, while orders come: by their ids first, and then,
 * in passes, what was committed meanwhile (order_scan.h). An engine of a job that runs, with a
 * checkpoint; it waits for servers that are away. */
#ifndef SCHEDULER_INDEX_ORDER_COPY_H
#define SCHEDULER_INDEX_ORDER_COPY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct index_context;
struct job_run;
struct order_copy;

struct order_copy_options {
    const char *index;      /* name or alias; copied */
    bool require_alias;     /* `index` is an alias: writes are refused when it is none any more */
    const char *checkpoint; /* that order_copy_checkpoint() gave before, or NULL. That of a copy
                               that is done: what was committed since is copied */
};

/* `context` and `run` outlive it. */
struct order_copy *order_copy_new(const struct index_context *context, struct job_run *run,
                                  const struct order_copy_options *options);
/* As soon as no statement of it is under way, as in a kind's end(). NULL is legal. */
void order_copy_free(struct order_copy *copy);

/* The index has become the one that search uses, and live orders go there from now on. Called right
 * after order_copy_new() with the checkpoint of the copy: it copies at once the orders with young
 * ids, and from 5 s later on, when no _bulk for the index before is under way any more, what was
 * committed since the last pass, until every transaction that was there at the swap has ended; for
 * 10 minutes at most. */
void order_copy_tail(struct order_copy *copy);

/* Do the next thing: the kind's step() as long as it runs. */
void order_copy_step(struct order_copy *copy);

enum order_copy_state { ORDER_COPY_RUNNING, ORDER_COPY_DONE, ORDER_COPY_FAILED };
/* `*ret_reason`: why it has failed, else untouched; it lives as long as the engine. */
enum order_copy_state order_copy_state(const struct order_copy *copy, const char **ret_reason);

/* Done: what was committed meanwhile could not be found by transaction (the orders are in a view or
 * in partitions, or the server is another one than at the beginning). Compare. */
bool order_copy_compare_needed(const struct order_copy *copy);

/* How far it is: rows, the total as an estimate at first; -1: unknown. */
int64_t order_copy_done(const struct order_copy *copy);
int64_t order_copy_total(const struct order_copy *copy);

/* Where a copy that is begun anew goes on, JSON. Lives until the next step. */
const char *order_copy_checkpoint(const struct order_copy *copy);

/* {"copied", "refused": {"count", "ids"}, "unreadable", "passes", "transactions_left"} so far, with
 * what the checkpoint knew; a new reference. */
json_t *order_copy_result(const struct order_copy *copy);

#endif
