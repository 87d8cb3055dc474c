/* Tells how the search index is: health's check "search_index", and the metrics. */
#ifndef SCHEDULER_INDEX_INDEX_HEALTH_H
#define SCHEDULER_INDEX_INDEX_HEALTH_H

#include "services/clients/postgres/search_index.h"

struct index_health;

/* Before threads start. The check and the metrics stay when it is freed. */
struct index_health *index_health_new(void);
void index_health_free(struct index_health *health); /* NULL is legal */

void index_health_wrong(struct index_health *health, const char *reason);

/* There is no connection to PostgreSQL, for this reason. What was known before still counts. */
void index_health_unknown(struct index_health *health, const char *reason);

/* What the row says, and `foreign`: why the index is none of this deployment, or NULL. */
void index_health_tell(struct index_health *health, const struct search_index *index,
                       const char *foreign);

#endif
