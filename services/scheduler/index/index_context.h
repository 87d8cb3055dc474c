/* What the jobs about the index need, and their parts: the `arg` of their kinds. Outlives the
 * runner of these jobs. */
#ifndef SCHEDULER_INDEX_INDEX_CONTEXT_H
#define SCHEDULER_INDEX_INDEX_CONTEXT_H

/* What a job about the index holds at once: pages of orders, a request and its answer, and, of a
 * comparison, the ids that it looks up. */
#define INDEX_JOB_BYTES (32u << 20)

struct elasticsearch_options;
struct event_loop;
struct index_definition;
struct live_pressure;

struct ledger_task;

struct index_context {
    struct event_loop *loop;
    const struct elasticsearch_options *server; /* url, api_key and ca_file */
    const char *index;                          /* ORDER_INDEX: an index, or an alias */
    const char *dsn; /* of PostgreSQL, for what needs a connection of its own */
    const struct index_definition *definition; /* of a new index */
    struct live_pressure *pressure;            /* how much of the live traffic waits */
    struct ledger_task *ledger;                /* of the daily sales, or NULL */
};

#endif
