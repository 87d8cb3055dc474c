/* A job as people see it. Plain values; without PostgreSQL. */
#ifndef CLIENTS_POSTGRES_JOB_RECORD_H
#define CLIENTS_POSTGRES_JOB_RECORD_H

#include <stdbool.h>
#include <stdint.h>

struct job_record {
    int64_t id;
    const char *kind, *state;
    const char *parameters, *result;  /* JSON; NULL: none */
    const char *requested_by, *error; /* NULL: none */
    bool automatic;                   /* a scheduler began it by itself */
    int64_t requested_at_us;
    bool was_started, was_finished;
    int64_t started_at_us, finished_at_us;
    int64_t done;
    bool has_total;
    int64_t total;
    bool cancel_requested;
};

/* What is asked for about the search index. */
struct index_job_request {
    const char *kind;
    const char *parameters; /* a JSON object */
    const char *by;
};

#endif
