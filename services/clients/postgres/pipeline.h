/* The statements of a connection: libpq's pipeline mode with one Sync per statement, so that each
 * is a transaction of its own and one that fails takes no other with it. Prepares each statement
 * once, and hands out answers. Inside the database module; connection.h is what others use.
 *
 * Behind a pooler a session's memory is anybody's. Then one statement is sent at a time, so that
 * the pooler can give its server to another session after each, without a name, and with the
 * settings that it runs under (settings.h). The others are held. Only CREATE and DROP INDEX
 * CONCURRENTLY, which no transaction may contain, go without settings. */
#ifndef CLIENTS_POSTGRES_PIPELINE_H
#define CLIENTS_POSTGRES_PIPELINE_H

#include "services/clients/postgres/settings.h"
#include "services/clients/postgres/statement.h"

/* Of a connection. More kinds of statements work, but are parsed each time. */
#define PREPARED_MAX 64

struct pipeline {
    PGconn *conn; /* NULL: none, and all statements are held */
    bool pooled;
    struct settings settings;
    int64_t timeout_ms; /* of a statement, from when it is given and again when it is sent */
    struct statement *statements; /* a ring: the oldest at `head`, those that are sent come first */
    size_t capacity, head, count, sent;
    bool in_transaction; /* BEGIN is sent, and neither COMMIT nor ROLLBACK yet */
    struct {
        const char *sql;
        char name[STATEMENT_NAME_SIZE];
        enum {
            PARSE_NEEDED,
            PARSE_SENT,
            PARSE_DONE,
            PARSE_STALE, /* the server refuses to go on with it: no name in this session */
        } state;
    } prepared[PREPARED_MAX];
    size_t prepared_count;

    /* What has arrived of the oldest's answer. It counts only once its Sync is answered: that is
     * when the server has committed. */
    struct database_answer answer;
    PGresult *result;
    unsigned results; /* how many have arrived */
    char end[6];      /* SQLSTATE of the server's last word, when it ended the session */
    bool stopped;     /* no more callbacks: the owner is being freed */
};

/* `timeout_ms`: a statement's, which is longer than the server's own limit. */
void pipeline_init(struct pipeline *pipeline, const struct database_options *options,
                   int64_t timeout_ms);
/* Drops the statements that are left. */
void pipeline_release(struct pipeline *pipeline);

/* Use `conn`, which stays the caller's, and send what is held. Returns 0, or -1 when libpq refuses.
 */
int pipeline_start(struct pipeline *pipeline, PGconn *conn, bool pooled)
    __attribute__((warn_unused_result));

/* Take a statement, copied with these parameters (NULL: none). Returns 0, or -1 when it is full. */
int pipeline_add(struct pipeline *pipeline, const struct statement *statement,
                 const struct database_parameters *parameters) __attribute__((warn_unused_result));

/* Send what is held, as far as that goes. Returns 0, or -1 when the connection is lost. */
int pipeline_send(struct pipeline *pipeline) __attribute__((warn_unused_result));

/* Take what has arrived, answer with it and send more. Returns 0, or -1 with `err` set when the
 * connection is lost: then pipeline_hold() or pipeline_abandon(). */
int pipeline_read(struct pipeline *pipeline, struct error *err) __attribute__((warn_unused_result));

/* The server ends the session, and says why. */
void pipeline_note_end(struct pipeline *pipeline, const PGresult *last_word);

/* When the oldest statement must have been answered; 0 when none is sent. */
int64_t pipeline_deadline_ms(const struct pipeline *pipeline);

/* The connection is gone. If that is certainly nobody's loss, because nothing was under way or the
 * server cut it for having been idle, hold all statements for the next connection, and return true.
 */
bool pipeline_hold(struct pipeline *pipeline);

/* There is no connection: answer DATABASE_UNAVAILABLE to all. */
void pipeline_abandon(struct pipeline *pipeline, const char *reason);

#endif
