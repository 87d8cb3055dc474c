/* The life of one connection:
 *
 *   WAITING ──timer──▶ CONNECTING ──▶ UP ◀──────┐
 *      ▲                   │           │        │
 *      ├───── backoff ─────┴───────────┤ lose() │
 *      └───── backoff ───── REOPENING ◀┴────────┘
 *
 * BROKEN is between UP and lose(). CONNECTING is a session being opened in the background, one at a
 * time. REOPENING is the same when a connection was cut while it was idle: nobody is told, and
 * statements are held meanwhile; only when that fails, the connection is down. One timer serves all
 * states: the next attempt, the time of the attempt's step, or the deadline of the oldest
 * statement. A statement that passes its deadline, which is a little after the server's own limit,
 * means that the server or the network hangs: the connection is dropped. */
#include "services/clients/postgres/connection.h"
#include "services/base/backoff.h"
#include "services/base/clock.h"
#include "services/base/memory.h"
#include "services/clients/postgres/answer.h"
#include "services/clients/postgres/call.h"
#include "services/clients/postgres/pipeline.h"
#include "services/clients/postgres/session.h"
#include "services/loop/background.h"
#include <stdlib.h>

/* How much later than in the server a statement has timed out here: of 5 s, less than a tenth. */
#define DEADLINE_MARGIN_MS 400
#define BACKOFF_BASE_MS 250
#define BACKOFF_CAP_MS 1500 /* a server that is back, or elsewhere, is used within 2 s */
/* A connection that lasted less counts as one more failure. */
#define LASTED_MS 1000
/* Between attempts to open it, when what has been opened is cut again and again. */
#define REOPEN_INTERVAL_MS 200

enum state {
    STATE_WAITING,
    STATE_CONNECTING,
    STATE_REOPENING,
    STATE_UP,
    STATE_BROKEN, /* found while sending, or to be reopened; the timer is about to lose() it */
};

struct database {
    struct event_loop *loop;
    struct database_options options;
    char *dsn, *application_name; /* those of `options` */
    enum state state;
    struct loop_timer *timer;
    struct background *background; /* CONNECTING, REOPENING: it opens `session` */
    struct session *session;       /* the background's */
    PGconn *conn;                  /* UP */
    struct loop_watch *watch;      /* of its socket */
    struct pipeline pipeline;
    struct backoff backoff;
    int64_t attempt_ms, up_since_ms; /* when the last attempt began, and when it had succeeded */
    char last_words[200];            /* the server's, when it closes an idle connection */
    bool unfit;                      /* for its uses: that is told, and no statement is held */

    unsigned callers; /* functions of this file on the stack */
    bool freed;
};

static void destroy(struct database *database)
{
    loop_timer_free(database->timer);
    pipeline_release(&database->pipeline);
    free(database->dsn);
    free(database->application_name);
    free(database);
}

/* Around everything that the loop calls: a callback may free the database. */
static void enter(struct database *database)
{
    database->callers++;
}

static void leave(struct database *database)
{
    if (--database->callers == 0 && database->freed)
        destroy(database);
}

static void tell(struct database *database, bool up, const char *reason)
{
    if (!database->freed && database->options.on_state != NULL)
        database->options.on_state(database->options.arg, up, reason);
}

/* The end of the attempt or of the connection, if there is one. */
static void disconnect(struct database *database)
{
    if (database->session != NULL)
        session_cut(database->session);
    background_free(database->background);
    loop_watch_free(database->watch); /* before libpq closes its socket */
    PQfinish(database->conn);
    database->session = NULL;
    database->background = NULL;
    database->watch = NULL;
    database->conn = NULL;
}

/* Open a session, in this state: CONNECTING or REOPENING. */
static void attempt(struct database *database, enum state state);

/* Callbacks come last. */
static void tell_down(struct database *database, const char *reason)
{
    pipeline_abandon(&database->pipeline, reason);
    tell(database, false, reason);
}

/* The attempt or the connection is over. */
static void lose(struct database *database, const char *reason)
{
    char line[200];
    answer_set_line(line, sizeof line, reason);
    bool was_up = database->state == STATE_UP || database->state == STATE_BROKEN;
    int64_t now_ms = clock_monotonic_ms();
    bool reopens = was_up && !database->unfit &&
                   now_ms - database->attempt_ms >= REOPEN_INTERVAL_MS &&
                   pipeline_hold(&database->pipeline);
    if (was_up && now_ms - database->up_since_ms >= LASTED_MS)
        backoff_reset(&database->backoff);
    database->unfit = false;
    disconnect(database);
    if (reopens) {
        attempt(database, STATE_REOPENING);
        return;
    }
    database->state = STATE_WAITING;
    loop_timer_start(database->timer, backoff_next_ms(&database->backoff, arc4random()));
    tell_down(database, line);
}

/* Send what libpq holds back, and be told when there is room for the rest. Returns false when the
 * connection is lost. */
static bool flush(struct database *database)
{
    int pending = PQflush(database->conn);
    if (pending < 0)
        return false;
    loop_watch_want(database->watch, true, pending == 1);
    return true;
}

/* Fatal messages that no statement asked for, such as an administrator's shutdown. */
static void on_notice(void *arg, const PGresult *notice)
{
    struct database *database = arg;
    const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *primary = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);
    if (severity == NULL || severity[0] != 'F' || primary == NULL)
        return;
    answer_set_line(database->last_words, sizeof database->last_words, primary);
    pipeline_note_end(&database->pipeline, notice);
}

static void serve(struct database *database)
{
    struct error err = {""};
    if (pipeline_read(&database->pipeline, &err) != 0)
        lose(database, database->last_words[0] != '\0' ? database->last_words : err.message);
    else if (database->state == STATE_UP && !flush(database))
        lose(database, PQerrorMessage(database->conn));
}

static void on_ready(void *arg, bool readable, bool writable)
{
    struct database *database = arg;
    (void)readable, (void)writable; /* libpq finds out by itself */
    enter(database);
    serve(database);
    leave(database);
}

static void come_up(struct database *database, PGconn *conn, bool pooled)
{
    bool reopened = database->state == STATE_REOPENING;
    disconnect(database); /* the attempt is over */
    database->conn = conn;
    database->last_words[0] = '\0';
    PQsetNoticeReceiver(conn, on_notice, database);
    if (pipeline_start(&database->pipeline, conn, pooled) != 0) {
        lose(database, PQerrorMessage(conn));
        return;
    }
    database->state = STATE_UP;
    database->up_since_ms = clock_monotonic_ms();
    loop_timer_stop(database->timer);
    if (pipeline_deadline_ms(&database->pipeline) != 0)
        loop_timer_start(database->timer, database->pipeline.timeout_ms);
    database->watch = event_loop_watch(database->loop, PQsocket(conn), on_ready, database);
    loop_watch_want(database->watch, true, PQflush(conn) == 1);
    if (!reopened)
        tell(database, true, NULL);
}

static void on_opened(void *arg, const struct error *failure)
{
    struct database *database = arg;
    struct error err = {""};
    PGconn *conn = NULL;
    bool pooled = false;
    if (failure != NULL)
        error_set(&err, "cannot connect: %s", failure->message);
    else
        conn = session_take(database->session, &pooled, &err);
    enter(database);
    if (conn != NULL)
        come_up(database, conn, pooled);
    else
        lose(database, err.message);
    leave(database);
}

static void attempt(struct database *database, enum state state)
{
    database->state = state;
    database->attempt_ms = clock_monotonic_ms();
    database->session = session_new(&database->options);
    database->background =
        background_new(database->loop, &(struct background_call){.work = database->session,
                                                                 .run = session_open,
                                                                 .release = session_release,
                                                                 .on_done = on_opened,
                                                                 .arg = database});
    loop_timer_start(database->timer, SESSION_STEP_TIMEOUT_MS);
}

static void check_deadline(struct database *database)
{
    serve(database); /* the answer may have come while this process was held up */
    if (database->state != STATE_UP)
        return;
    int64_t deadline_ms = pipeline_deadline_ms(&database->pipeline);
    int64_t left_ms = deadline_ms - clock_monotonic_ms();
    if (deadline_ms != 0 && left_ms <= 0)
        lose(database, "no answer in time");
    else if (deadline_ms != 0)
        loop_timer_start(database->timer, left_ms);
}

static void on_timer(void *arg)
{
    struct database *database = arg;
    enter(database);
    switch (database->state) {
    case STATE_WAITING:
        attempt(database, STATE_CONNECTING);
        break;
    case STATE_CONNECTING:
    case STATE_REOPENING: {
        int64_t next_ms;
        bool in_time = session_keep_time(database->session, &next_ms);
        loop_timer_start(database->timer, next_ms);
        if (!in_time) {
            database->state = STATE_CONNECTING;
            tell_down(database, "no connection in time");
        }
        break;
    }
    case STATE_UP:
        check_deadline(database);
        break;
    case STATE_BROKEN:
        lose(database, database->unfit ? database->last_words : PQerrorMessage(database->conn));
        break;
    }
    leave(database);
}

struct database *database_new(struct event_loop *loop, const struct database_options *options)
{
    struct database *database = memory_new(sizeof *database);
    database->loop = loop;
    database->options = *options;
    database->options.dsn = database->dsn = memory_copy_text(options->dsn);
    database->options.application_name = database->application_name =
        memory_copy_text(options->application_name);
    database->backoff = (struct backoff){.base_ms = BACKOFF_BASE_MS, .cap_ms = BACKOFF_CAP_MS};
    pipeline_init(&database->pipeline, options, options->statement_timeout_ms + DEADLINE_MARGIN_MS);
    database->timer = event_loop_timer(loop, on_timer, database);
    loop_timer_start(database->timer, 0);
    return database;
}

void database_free(struct database *database)
{
    if (database == NULL)
        return;
    database->freed = true;
    database->pipeline.stopped = true;
    enter(database);
    disconnect(database);
    database->state = STATE_WAITING;
    loop_timer_stop(database->timer);
    leave(database);
}

bool database_up(const struct database *database)
{
    return database->state == STATE_UP || database->state == STATE_REOPENING;
}

static void become_broken(struct database *database)
{
    database->state = STATE_BROKEN;
    loop_timer_start(database->timer, 0);
}

unsigned database_uses(const struct database *database)
{
    return database->options.uses;
}

void database_reopen(struct database *database, const char *reason)
{
    if (database->state != STATE_UP)
        return;
    answer_set_line(database->last_words, sizeof database->last_words, reason);
    database->unfit = true;
    become_broken(database); /* an answer may be under way to the caller */
}

int database_call(struct database *database, const char *sql,
                  const struct database_parameters *parameters, bool binary_result,
                  database_done_fn *on_done, void (*drop)(void *arg), void *arg)
{
    if (!database_up(database))
        return -1;
    const struct statement statement = {
        .sql = sql, .binary_result = binary_result, .on_done = on_done, .drop = drop, .arg = arg};
    if (pipeline_add(&database->pipeline, &statement, parameters) != 0)
        return -1;
    if (database->state != STATE_UP)
        return 0; /* it is held */
    if (pipeline_send(&database->pipeline) != 0) {
        become_broken(database); /* all are answered from the loop, not from here */
        return 0;
    }
    /* A flush that fails shows when the socket is read. */
    loop_watch_want(database->watch, true, PQflush(database->conn) == 1);
    if (!loop_timer_running(database->timer))
        loop_timer_start(database->timer, database->pipeline.timeout_ms);
    return 0;
}

int database_send(struct database *database, const char *sql,
                  const struct database_parameters *parameters, bool binary_result,
                  database_done_fn *on_done, void *arg)
{
    return database_call(database, sql, parameters, binary_result, on_done, NULL, arg);
}

int64_t database_number(const struct database_answer *answer)
{
    if (answer->status != DATABASE_OK || PQntuples(answer->result) == 0)
        return 0;
    return strtoll(PQgetvalue(answer->result, 0, 0), NULL, 10);
}
