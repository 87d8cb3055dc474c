/* The server answers in order, and each statement gives: [the result of its Parse, or of its
 * settings, NULL,] its own result, NULL, PGRES_PIPELINE_SYNC. Only the last one tells that the
 * implicit transaction has been committed: with an extended-protocol statement the server commits
 * when it processes the Sync, and a deferred constraint or a failing commit is reported after the
 * statement's own result. So the result is kept until then.
 * (PostgreSQL documentation, "Pipeline Mode" and "Extended Query Pipelining".)
 *
 * Names of prepared statements belong to the server's session, which is another one after each
 * transaction when a pooler is between that was not noticed. A name is a digest, so it never names
 * another statement; but it may be there already, or no more. Then nothing was executed: the
 * statement goes again without a name, and the rest as behind a pooler. */
#include "services/clients/postgres/pipeline.h"
#include "services/base/clock.h"
#include "services/base/memory.h"
#include "services/clients/postgres/answer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pipeline_init(struct pipeline *pipeline, const struct database_options *options,
                   int64_t timeout_ms)
{
    *pipeline = (struct pipeline){
        .timeout_ms = timeout_ms,
        .capacity = options->max_in_flight,
        .statements = memory_new_array(options->max_in_flight, sizeof *pipeline->statements),
    };
    settings_init(&pipeline->settings, options);
}

/* ---- the ring ---- */

static struct statement *statement_at(struct pipeline *pipeline, size_t place)
{
    return &pipeline->statements[(pipeline->head + place) % pipeline->capacity];
}

static struct statement take_head(struct pipeline *pipeline)
{
    struct statement statement = *statement_at(pipeline, 0);
    pipeline->head = (pipeline->head + 1) % pipeline->capacity;
    pipeline->count--;
    pipeline->sent -= pipeline->sent > 0;
    return statement;
}

int pipeline_add(struct pipeline *pipeline, const struct statement *statement,
                 const struct database_parameters *parameters)
{
    if (pipeline->count == pipeline->capacity)
        return -1;
    struct statement *added = statement_at(pipeline, pipeline->count++);
    *added = *statement;
    statement_copy_parameters(added, parameters);
    added->deadline_ms = clock_monotonic_ms() + pipeline->timeout_ms;
    return 0;
}

void pipeline_release(struct pipeline *pipeline)
{
    while (pipeline->count > 0) {
        struct statement statement = take_head(pipeline);
        if (statement.drop != NULL)
            statement.drop(statement.arg);
        statement_release(&statement);
    }
    PQclear(pipeline->result);
    free(pipeline->statements);
}

static void forget_answer(struct pipeline *pipeline)
{
    PQclear(pipeline->result);
    pipeline->result = NULL;
    pipeline->results = 0;
    pipeline->answer = (struct database_answer){.status = DATABASE_OK};
}

static void end_statement(struct statement *statement, const struct database_answer *answer)
{
    statement_release(statement);
    statement->on_done(statement->arg, answer);
}

/* ---- sending ---- */

/* The place of the statement in `prepared`, or PREPARED_MAX when it is full. */
static size_t find_prepared(struct pipeline *pipeline, const struct statement *statement)
{
    size_t i = 0;
    while (i < pipeline->prepared_count && pipeline->prepared[i].sql != statement->sql)
        i++;
    if (i == pipeline->prepared_count && i < PREPARED_MAX) {
        pipeline->prepared[i].sql = statement->sql;
        pipeline->prepared[i].state = PARSE_NEEDED;
        statement_name(statement, pipeline->prepared[i].name);
        pipeline->prepared_count++;
    }
    return i;
}

static bool begins_with(const char *sql, const char *word)
{
    return strncmp(sql, word, strlen(word)) == 0;
}

static bool send_settings(struct pipeline *pipeline)
{
    const char *values[SETTINGS_PARAMETERS];
    settings_parameters(&pipeline->settings, SETTINGS_OF_TRANSACTION, values);
    return PQsendQueryParams(pipeline->conn, settings_sql, SETTINGS_PARAMETERS, NULL, values, NULL,
                             NULL, 0) == 1;
}

/* Send the Parse, unless it is sent already. Returns false when the connection is lost. */
static bool prepare(struct pipeline *pipeline, struct statement *statement)
{
    const struct database_parameters *p = &statement->parameters;
    size_t i = find_prepared(pipeline, statement);
    if (i < PREPARED_MAX && pipeline->prepared[i].state == PARSE_NEEDED) {
        if (PQsendPrepare(pipeline->conn, pipeline->prepared[i].name, statement->sql, p->count,
                          p->types) != 1)
            return false;
        pipeline->prepared[i].state = PARSE_SENT;
        statement->parses = true;
        statement->results++;
    }
    /* Not while an earlier Parse is unanswered: it may yet fail. */
    if (i < PREPARED_MAX && (statement->parses || pipeline->prepared[i].state == PARSE_DONE))
        statement->prepared = i;
    return true;
}

static bool send_statement(struct pipeline *pipeline, struct statement *statement)
{
    const struct database_parameters *p = &statement->parameters;
    bool begins = begins_with(statement->sql, "BEGIN");
    bool ends = begins_with(statement->sql, "COMMIT") || begins_with(statement->sql, "ROLLBACK");
    bool alone = !begins && !pipeline->in_transaction;
    bool bare = strstr(statement->sql, " INDEX CONCURRENTLY ") != NULL; /* pipeline.h */
    statement->deadline_ms = clock_monotonic_ms() + pipeline->timeout_ms;
    statement->prepared = PREPARED_MAX;
    statement->parses = false;
    statement->results = 1;
    if (pipeline->pooled && (alone || begins) && !bare) { /* they hold until the transaction ends */
        statement->results++;
        if (!send_settings(pipeline))
            return false;
    } else if (alone && !statement->again && !prepare(pipeline, statement)) {
        return false;
    }
    int sent = statement->prepared < PREPARED_MAX
                   ? PQsendQueryPrepared(
                         pipeline->conn, pipeline->prepared[statement->prepared].name, p->count,
                         p->values, p->lengths, p->formats, statement->binary_result)
                   : PQsendQueryParams(pipeline->conn, statement->sql, p->count, p->types,
                                       p->values, p->lengths, p->formats, statement->binary_result);
    pipeline->in_transaction = (pipeline->in_transaction || begins) && !ends;
    return sent == 1 && PQpipelineSync(pipeline->conn) == 1;
}

int pipeline_send(struct pipeline *pipeline)
{
    while (pipeline->sent < pipeline->count && !(pipeline->pooled && pipeline->sent > 0)) {
        if (!send_statement(pipeline, statement_at(pipeline, pipeline->sent)))
            return -1;
        pipeline->sent++;
    }
    return 0;
}

int pipeline_start(struct pipeline *pipeline, PGconn *conn, bool pooled)
{
    forget_answer(pipeline);
    pipeline->prepared_count = 0;
    pipeline->in_transaction = false;
    pipeline->end[0] = '\0';
    pipeline->conn = conn;
    pipeline->pooled = pooled;
    return PQenterPipelineMode(conn) == 1 ? pipeline_send(pipeline) : -1;
}

/* ---- receiving ---- */

/* Did the name that the statement was sent by not serve? */
static bool name_failed(struct pipeline *pipeline, const struct statement *statement)
{
    if (statement->prepared == PREPARED_MAX)
        return false;
    if (answer_has_sqlstate(&pipeline->answer, "0A000")) /* the result's columns have changed */
        pipeline->prepared[statement->prepared].state = PARSE_STALE;
    else if (answer_has_sqlstate(&pipeline->answer, "26000") || /* no such statement */
             answer_has_sqlstate(&pipeline->answer, "42P05"))   /* it exists already */
        pipeline->pooled = true;
    else
        return false;
    return true;
}

/* The oldest statement's Sync is answered. */
static void answer_head(struct pipeline *pipeline)
{
    struct statement statement = take_head(pipeline);
    struct database_answer answer = pipeline->answer;
    PGresult *result = pipeline->result;
    statement.again = name_failed(pipeline, &statement);
    if (answer.status == DATABASE_OK)
        answer.result = result;
    pipeline->result = NULL;
    forget_answer(pipeline);
    if (statement.again)
        *statement_at(pipeline, pipeline->count++) = statement; /* where it was, there is room */
    else
        end_statement(&statement, &answer);
    PQclear(result);
}

/* Statements that were held, not sent, until their time was over: their callers wait no more. */
static void drop_late(struct pipeline *pipeline)
{
    struct database_answer late;
    answer_set_unavailable(&late, "no answer in time");
    late.unexecuted = true;
    while (!pipeline->stopped && pipeline->sent == 0 && pipeline->count > 0 &&
           statement_at(pipeline, 0)->deadline_ms <= clock_monotonic_ms()) {
        struct statement statement = take_head(pipeline);
        end_statement(&statement, &late);
    }
}

/* If this is the answer to the oldest statement's Parse, note it. A prepared statement outlives its
 * transaction, so what becomes of the statement itself does not matter. */
static void note_parse(struct pipeline *pipeline, bool parsed)
{
    const struct statement *statement = statement_at(pipeline, 0);
    if (statement->parses && pipeline->prepared[statement->prepared].state == PARSE_SENT)
        pipeline->prepared[statement->prepared].state = parsed ? PARSE_DONE : PARSE_NEEDED;
}

/* The oldest statement is answered: go on with the next. Returns false when the connection is lost.
 */
static bool take_sync(struct pipeline *pipeline, struct error *err)
{
    bool read_only = answer_has_sqlstate(&pipeline->answer, "25006"); /* made a standby, perhaps */
    if (read_only)
        error_set(err, "the session cannot go on: %s", pipeline->answer.message);
    answer_head(pipeline);
    if (read_only || pipeline->stopped)
        return !read_only;
    drop_late(pipeline);
    if (pipeline->stopped || pipeline_send(pipeline) == 0)
        return true;
    error_set(err, "%s", PQerrorMessage(pipeline->conn));
    return false;
}

/* Take one result. Returns false when the connection is lost. */
static bool take_result(struct pipeline *pipeline, PGresult *result, struct error *err)
{
    bool alive = true;
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_PIPELINE_SYNC)
        note_parse(pipeline, status == PGRES_COMMAND_OK);
    switch (status) {
    case PGRES_PIPELINE_SYNC:
        PQclear(result);
        return take_sync(pipeline, err);
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
        pipeline->results++;
        if (pipeline->answer.status == DATABASE_OK) {
            PQclear(pipeline->result);
            pipeline->result = result;
            return true;
        }
        break;
    case PGRES_PIPELINE_ABORTED: /* what stood before it failed, and that told why */
        if (pipeline->answer.status == DATABASE_OK)
            answer_set_failed(&pipeline->answer, "25P02", "skipped after an error");
        break;
    default: /* an error, or something that no statement of ours asks for */
        if (pipeline->answer.status == DATABASE_OK)
            alive = answer_set_error(&pipeline->answer, result);
        if (!alive) {
            error_set(err, "%s", pipeline->answer.message);
            pipeline_note_end(pipeline, result);
        }
        break;
    }
    PQclear(result);
    return alive;
}

int pipeline_read(struct pipeline *pipeline, struct error *err)
{
    bool open = PQconsumeInput(pipeline->conn) == 1;
    bool ended = false; /* a NULL was the last that came: two in a row mean nothing more comes */
    /* PQisBusy() parses what has come, also what no statement asked for (see on_notice()). */
    while (!PQisBusy(pipeline->conn) && pipeline->sent > 0) {
        PGresult *result = PQgetResult(pipeline->conn);
        if (result == NULL && ended)
            break;
        ended = result == NULL;
        bool alive = result == NULL || take_result(pipeline, result, err);
        if (pipeline->stopped)
            return 0;
        if (!alive)
            return -1;
    }
    if (open && PQstatus(pipeline->conn) == CONNECTION_OK)
        return 0;
    error_set(err, "%s", PQerrorMessage(pipeline->conn));
    return -1;
}

/* ---- the end of a connection ---- */

void pipeline_note_end(struct pipeline *pipeline, const PGresult *last_word)
{
    const char *sqlstate = PQresultErrorField(last_word, PG_DIAG_SQLSTATE);
    if (sqlstate != NULL) /* else libpq's own: that there is no connection any more */
        (void)snprintf(pipeline->end, sizeof pipeline->end, "%s", sqlstate);
}

static bool ended_by(const struct pipeline *pipeline, const char *sqlstate)
{
    return strcmp(pipeline->end, sqlstate) == 0;
}

int64_t pipeline_deadline_ms(const struct pipeline *pipeline)
{
    return pipeline->sent > 0 ? pipeline->statements[pipeline->head].deadline_ms : 0;
}

bool pipeline_hold(struct pipeline *pipeline)
{
    bool was_idle = pipeline->sent == 0 || (ended_by(pipeline, "57P05") && pipeline->results == 0);
    bool is_shutdown = begins_with(pipeline->end, "57P0") && !ended_by(pipeline, "57P05");
    if (!was_idle || is_shutdown || pipeline->in_transaction)
        return false;
    forget_answer(pipeline);
    pipeline->conn = NULL;
    pipeline->sent = 0;
    return true;
}

void pipeline_abandon(struct pipeline *pipeline, const char *reason)
{
    /* The server ends a session for these reasons between statements, or with the transaction that
     * it is in. So only a statement whose results have come may be committed. */
    bool ended_cleanly = ended_by(pipeline, "57P01") || ended_by(pipeline, "57P05");
    bool head_unknown = !ended_cleanly || (pipeline->sent > 0 &&
                                           pipeline->results == statement_at(pipeline, 0)->results);
    pipeline->conn = NULL;
    forget_answer(pipeline);
    struct database_answer answer;
    answer_set_unavailable(&answer, reason);
    for (bool is_head = true; !pipeline->stopped && pipeline->count > 0; is_head = false) {
        answer.unexecuted = pipeline->sent == 0 || (is_head ? !head_unknown : ended_cleanly);
        struct statement statement = take_head(pipeline);
        end_statement(&statement, &answer);
    }
}
