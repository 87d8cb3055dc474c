/* Port: the jobs of the schedulers, for people (PostgreSQL in production). The rules of all ports:
 * order_cache.h; the statuses: order_store.h. */
#ifndef GATEWAY_PORTS_JOB_RECORDS_H
#define GATEWAY_PORTS_JOB_RECORDS_H

#include "services/clients/postgres/job_record.h"
#include "services/gateway/ports/order_store.h"

typedef void job_records_listed_fn(void *arg, enum order_store_status status,
                                   const struct job_record *jobs, size_t count);

/* `job` as it is now; NULL when there is none of this id, or the status is not OK. `canceled` is
 * false when it had finished, or is one that nobody cancels. */
typedef void job_records_canceled_fn(void *arg, enum order_store_status status,
                                     const struct job_record *job, bool canceled);

/* `job` is the new one (`begun`), or the one about the index that has not ended and stands in the
 * way; NULL unless the status is OK. ORDER_STORE_UNKNOWN: there may be a new one. */
typedef void job_records_begun_fn(void *arg, enum order_store_status status,
                                  const struct job_record *job, bool begun);

/* All return -1 at once without a connection or when too much is under way. */
struct job_records {
    void *self;

    /* The jobs of ids below `before_id`, the highest first, at most `limit`. */
    int (*list)(void *self, int64_t before_id, unsigned limit, job_records_listed_fn *on_done,
                void *arg);

    /* The job of this id, or none. */
    int (*find)(void *self, int64_t id, job_records_listed_fn *on_done, void *arg);

    /* Begin a job about the search index. `request` must live, unchanged, until the answer. */
    int (*begin)(void *self, const struct index_job_request *request, job_records_begun_fn *on_done,
                 void *arg);

    /* Safe to repeat, so it is never ORDER_STORE_UNKNOWN. */
    int (*cancel)(void *self, int64_t id, job_records_canceled_fn *on_done, void *arg);
};

#endif
