/* libpq has no limit of time for a statement, so this waits for the socket itself. */
#include "services/clients/postgres/ask.h"
#include "services/base/clock.h"
#include "services/clients/postgres/answer.h"
#include <poll.h>

PGresult *ask(PGconn *conn, const char *sql, int count, const char *const *values, int timeout_ms,
              struct error *err)
{
    int64_t ends_ms = clock_monotonic_ms() + timeout_ms;
    bool alive = PQsendQueryParams(conn, sql, count, NULL, values, NULL, NULL, 0) == 1;
    while (alive && PQisBusy(conn)) {
        int64_t left_ms = ends_ms - clock_monotonic_ms();
        struct pollfd socket = {.fd = PQsocket(conn), .events = POLLIN};
        if (left_ms <= 0) {
            error_set(err, "no answer in time");
            return NULL;
        }
        (void)poll(&socket, 1, (int)left_ms); /* libpq and the clock tell what has happened */
        alive = PQconsumeInput(conn) == 1;
    }
    PGresult *result = PQgetResult(conn), *next;
    while (result != NULL && (next = PQgetResult(conn)) != NULL) /* none comes */
        PQclear(next);
    return ask_judge(conn, result, err);
}

PGresult *ask_judge(PGconn *conn, PGresult *result, struct error *err)
{
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
        return result;
    struct database_answer answer;
    if (result == NULL)
        answer_set_unavailable(&answer, PQerrorMessage(conn));
    else
        (void)answer_set_error(&answer, result); /* the connection is given up, fatal or not */
    error_set(err, "%s", answer.message);
    PQclear(result);
    return NULL;
}
