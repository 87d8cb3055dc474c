/* The archive of dead letters: takes them out of their queues and stores them in PostgreSQL. A
 * letter is acknowledged when it is committed; none is given back. Whatever keeps it from taking
 * letters is told: in its state, its metrics, the log, and as the check "dead_letter_archive" of
 * /readyz (degraded). */
#ifndef SCHEDULER_ARCHIVE_H
#define SCHEDULER_ARCHIVE_H

#include "services/clients/rabbitmq/queue_declaration.h"
#include "services/loop/event_loop.h"
#include <stdint.h>

#define ARCHIVE_QUEUES_MAX 4
#define ARCHIVE_BYTES (8u << 20) /* of letters in memory, of all queues */

enum archive_mode {
    ARCHIVE_OFF, /* letters stay in the queue; those that are archived are kept and counted */
    ARCHIVE_ON,
    ARCHIVE_UNLIMITED, /* also from queues with RabbitMQ's delivery limit, which a policy lifts */
};

struct archive_options {
    const char *dsn;              /* read only in archive_new() */
    struct broker_options broker; /* these strings must outlive the archive */
    const char *queues;           /* names of order queues, with commas between; likewise */
    enum queue_type queue_type;
    enum archive_mode mode;
    int64_t max_bytes, retention_ms;
    void (*on_stopped)(void *arg);
    void *arg;
};

struct archive;

struct archive *archive_new(struct event_loop *loop, const struct archive_options *options);
void archive_free(struct archive *archive); /* NULL is legal */

/* Take no more letters. on_stopped() comes when those in hand are stored and acknowledged, or
 * cannot be for now; not before this returns. */
void archive_stop(struct archive *archive);

/* For the table scheduler_seen: "on" or "off"; and why letters stay in the queue now, or NULL. */
const char *archive_state(const struct archive *archive);
const char *archive_fault(const struct archive *archive);

/* For config_option.validate of the list of queues. */
int archive_queues_validate(const char *value, struct error *err);

#endif
