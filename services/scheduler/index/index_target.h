/* Which index a job reads or writes: the one that has the name ORDER_INDEX, or that the alias of
 * this name writes to, as long as it belongs to this deployment. A job looks before all else: a
 * wrong address must not let it judge, or write, the index of another system. */
#ifndef SCHEDULER_INDEX_INDEX_TARGET_H
#define SCHEDULER_INDEX_INDEX_TARGET_H

#include "services/clients/elasticsearch/index_look.h"
#include <stdint.h>

struct index_context;
struct index_target;
struct job_run;

/* An index that is not there is waited for so long; 0: it is not. */
struct index_target *index_target_new(const struct index_context *context, struct job_run *run,
                                      int64_t absent_max_ms);
void index_target_free(struct index_target *target); /* NULL is legal */

/* To be called in a step of the job. Returns the index once it is known, which lives as long as
 * the target. Until then NULL: the next step comes when there is more to do, unless the job fails,
 * because there is no index, or it is another deployment's. */
const struct index_look *index_target_step(struct index_target *target);

#endif
