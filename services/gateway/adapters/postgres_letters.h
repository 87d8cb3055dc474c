/* dead_letters and job_records on PostgreSQL: what operators ask and change, on a connection of its
 * own, so that orders do not wait for it. */
#ifndef GATEWAY_ADAPTERS_POSTGRES_LETTERS_H
#define GATEWAY_ADAPTERS_POSTGRES_LETTERS_H

#include "services/gateway/ports/dead_letters.h"
#include "services/gateway/ports/job_records.h"
#include "services/loop/event_loop.h"
#include <stdbool.h>

struct postgres_letters_options {
    const char *dsn;    /* copied */
    int outbox_wake_fd; /* written to after a letter was replayed (outbox_task.h) */
    /* As database_options.on_state. */
    void (*on_state)(void *arg, bool up, const char *reason);
    void *arg;
};

struct dead_letters *postgres_letters_new(struct event_loop *loop,
                                          const struct postgres_letters_options *options);

/* The jobs on the same connection; it lives as long as the letters. */
struct job_records *postgres_letters_jobs(struct dead_letters *port);

/* What is under way is dropped without an answer. NULL is legal. */
void postgres_letters_free(struct dead_letters *port);

#endif
