/* The statements on an established connection: libpq's pipeline mode with one Sync per statement,
 * so that each is a transaction of its own and one that fails takes no other with it. Keeps the
 * order of what was sent, prepares each statement once, and hands out answers. Inside the database
 * module; connection.h is what others use. */
#ifndef CLIENTS_POSTGRES_PIPELINE_H
#define CLIENTS_POSTGRES_PIPELINE_H

#include "services/clients/postgres/connection.h"

#define PREPARED_MAX 16 /* more kinds of statements work, but are parsed each time */

struct statement {
    database_done_fn *on_done;
    void (*drop)(void *arg); /* instead of on_done, when the owner is freed; or NULL */
    void *arg;
    int64_t deadline_ms;
    size_t prepares; /* its Parse goes along: index in `prepared`, or PREPARED_MAX */
};

struct pipeline {
    PGconn *conn;
    struct statement *statements; /* a ring, the oldest at `head` */
    size_t capacity, head, count;
    struct {
        const char *sql;
        enum { PARSE_NEEDED, PARSE_SENT, PARSE_DONE } state;
    } prepared[PREPARED_MAX];
    size_t prepared_count;

    /* What has arrived of the oldest's answer. It counts only once its Sync is answered: that is
     * when the server has committed. */
    struct database_answer answer;
    PGresult *result;
    bool stopped; /* no more callbacks: the owner is being freed */
};

void pipeline_init(struct pipeline *pipeline, size_t capacity);
/* Drops the statements that are left. */
void pipeline_release(struct pipeline *pipeline);

/* Use `conn`, which stays the caller's. Returns 0, or -1 when libpq refuses. */
int pipeline_start(struct pipeline *pipeline, PGconn *conn) __attribute__((warn_unused_result));

enum pipeline_sent {
    PIPELINE_SENT,
    PIPELINE_FULL,
    PIPELINE_BROKEN, /* the connection is lost; the statement will not be answered */
};
/* `statement` is copied; `prepares` is set here. */
enum pipeline_sent pipeline_send(struct pipeline *pipeline, const char *sql,
                                 const struct database_parameters *parameters, bool binary_result,
                                 const struct statement *statement)
    __attribute__((warn_unused_result));

/* Take what has arrived and answer with it. Returns 0, or -1 with `err` set when the connection is
 * lost: then pipeline_abandon(). */
int pipeline_read(struct pipeline *pipeline, struct error *err) __attribute__((warn_unused_result));

/* When the oldest statement must have been answered; 0 when there is none. */
int64_t pipeline_deadline_ms(const struct pipeline *pipeline);

/* The connection is gone: answer DATABASE_UNAVAILABLE to all. */
void pipeline_abandon(struct pipeline *pipeline, const char *reason);

#endif
