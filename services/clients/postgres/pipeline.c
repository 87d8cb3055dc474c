/* The server answers in order, and each statement gives: [the result of its Parse, NULL,] its own
 * result, NULL, PGRES_PIPELINE_SYNC. Only the last one tells that the implicit transaction has been
 * committed: with an extended-protocol statement the server commits when it processes the Sync, and
 * a deferred constraint or a failing commit is reported after the statement's own result. So the
 * result is kept until then.
 * (PostgreSQL documentation, "Pipeline Mode" and "Extended Query Pipelining".) */
#include "services/clients/postgres/pipeline.h"
#include "services/base/memory.h"
#include "services/clients/postgres/answer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pipeline_init(struct pipeline *pipeline, size_t capacity)
{
    *pipeline = (struct pipeline){
        .capacity = capacity,
        .statements = memory_new_array(capacity, sizeof *pipeline->statements),
    };
}

static struct statement take_head(struct pipeline *pipeline)
{
    struct statement statement = pipeline->statements[pipeline->head];
    pipeline->head = (pipeline->head + 1) % pipeline->capacity;
    pipeline->count--;
    return statement;
}

void pipeline_release(struct pipeline *pipeline)
{
    while (pipeline->count > 0) {
        struct statement statement = take_head(pipeline);
        if (statement.drop != NULL)
            statement.drop(statement.arg);
    }
    PQclear(pipeline->result);
    free(pipeline->statements);
}

static void forget_answer(struct pipeline *pipeline)
{
    PQclear(pipeline->result);
    pipeline->result = NULL;
    pipeline->answer = (struct database_answer){.status = DATABASE_OK};
}

int pipeline_start(struct pipeline *pipeline, PGconn *conn)
{
    forget_answer(pipeline);
    pipeline->prepared_count = 0;
    pipeline->conn = conn;
    return PQenterPipelineMode(conn) == 1 ? 0 : -1;
}

/* The place of `sql` in `prepared`, or PREPARED_MAX when it is full. */
static size_t find_prepared(struct pipeline *pipeline, const char *sql)
{
    size_t i = 0;
    while (i < pipeline->prepared_count && pipeline->prepared[i].sql != sql)
        i++;
    if (i == pipeline->prepared_count && i < PREPARED_MAX) {
        pipeline->prepared[i].sql = sql;
        pipeline->prepared[i].state = PARSE_NEEDED;
        pipeline->prepared_count++;
    }
    return i;
}

enum pipeline_sent pipeline_send(struct pipeline *pipeline, const char *sql,
                                 const struct database_parameters *parameters, bool binary_result,
                                 const struct statement *statement)
{
    static const struct database_parameters none = {.count = 0};
    const struct database_parameters *p = parameters != NULL ? parameters : &none;
    if (pipeline->count == pipeline->capacity)
        return PIPELINE_FULL;

    PGconn *conn = pipeline->conn;
    size_t i = find_prepared(pipeline, sql);
    char name[16];
    snprintf(name, sizeof name, "s%zu", i);
    size_t prepares = PREPARED_MAX;
    if (i < PREPARED_MAX && pipeline->prepared[i].state == PARSE_NEEDED) {
        if (PQsendPrepare(conn, name, sql, p->count, p->types) != 1)
            return PIPELINE_BROKEN;
        pipeline->prepared[i].state = PARSE_SENT;
        prepares = i;
    }
    int sent;
    if (i < PREPARED_MAX && (prepares == i || pipeline->prepared[i].state == PARSE_DONE))
        sent = PQsendQueryPrepared(conn, name, p->count, p->values, p->lengths, p->formats,
                                   binary_result);
    else /* nor while an earlier Parse is unanswered: it may yet fail */
        sent = PQsendQueryParams(conn, sql, p->count, p->types, p->values, p->lengths, p->formats,
                                 binary_result);
    if (sent != 1 || PQpipelineSync(conn) != 1)
        return PIPELINE_BROKEN;
    size_t tail = (pipeline->head + pipeline->count++) % pipeline->capacity;
    pipeline->statements[tail] = *statement;
    pipeline->statements[tail].prepares = prepares;
    return PIPELINE_SENT;
}

/* The oldest statement's Sync is answered. */
static void answer_head(struct pipeline *pipeline)
{
    struct statement statement = take_head(pipeline);
    struct database_answer answer = pipeline->answer;
    PGresult *result = pipeline->result;
    if (answer.status == DATABASE_OK)
        answer.result = result;
    pipeline->result = NULL;
    forget_answer(pipeline);
    statement.on_done(statement.arg, &answer);
    PQclear(result);
}

/* Sessions that cannot serve any more although they live: a server that was made a standby, and
 * prepared statements that no longer fit or were discarded. */
static bool needs_new_session(const struct database_answer *answer)
{
    return answer_has_sqlstate(answer, "25006") || answer_has_sqlstate(answer, "0A000") ||
           answer_has_sqlstate(answer, "26000");
}

/* If this is the answer to the oldest statement's Parse, note it. A prepared statement outlives its
 * transaction, so what becomes of the statement itself does not matter. */
static void note_parse(struct pipeline *pipeline, bool parsed)
{
    size_t i = pipeline->statements[pipeline->head].prepares;
    if (i < PREPARED_MAX && pipeline->prepared[i].state == PARSE_SENT)
        pipeline->prepared[i].state = parsed ? PARSE_DONE : PARSE_NEEDED;
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
        if (needs_new_session(&pipeline->answer)) {
            error_set(err, "the session cannot go on: %s", pipeline->answer.message);
            alive = false;
        }
        answer_head(pipeline);
        return alive;
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
        if (pipeline->answer.status == DATABASE_OK) {
            PQclear(pipeline->result);
            pipeline->result = result;
            return true;
        }
        break;
    case PGRES_PIPELINE_ABORTED: /* its Parse failed, and that told why */
        if (pipeline->answer.status == DATABASE_OK)
            answer_set_failed(&pipeline->answer, "25P02", "skipped after an error");
        break;
    default: /* an error, or something that no statement of ours asks for */
        if (pipeline->answer.status == DATABASE_OK)
            alive = answer_set_error(&pipeline->answer, result);
        if (!alive)
            error_set(err, "%s", pipeline->answer.message);
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
    while (!PQisBusy(pipeline->conn) && pipeline->count > 0) {
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

int64_t pipeline_deadline_ms(const struct pipeline *pipeline)
{
    return pipeline->count > 0 ? pipeline->statements[pipeline->head].deadline_ms : 0;
}

void pipeline_abandon(struct pipeline *pipeline, const char *reason)
{
    pipeline->conn = NULL;
    forget_answer(pipeline);
    struct database_answer answer;
    answer_set_unavailable(&answer, reason);
    while (!pipeline->stopped && pipeline->count > 0) {
        struct statement statement = take_head(pipeline);
        statement.on_done(statement.arg, &answer);
    }
}
