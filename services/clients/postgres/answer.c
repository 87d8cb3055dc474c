/* Errors of the server as answers. The primary message of class 22 (data exceptions) may quote the
 * offending value, and the detail of class 23 the row: both are left out, since logs and replies
 * carry these lines. */
#include "services/clients/postgres/answer.h"
#include <stdio.h>
#include <string.h>

/* Of class 22, though no value is at fault: the message names the sequence. */
#define SQLSTATE_SEQUENCE_EXHAUSTED "2200H"

void answer_set_line(char *line, size_t size, const char *text)
{
    size_t len = 0;
    bool blank = false; /* a run of blanks and control characters becomes one blank */
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte <= ' ' || byte == 0x7f) {
            blank = len > 0;
            continue;
        }
        if (len + blank + 1 >= size)
            break;
        if (blank)
            line[len++] = ' ';
        blank = false;
        line[len++] = (char)byte;
    }
    if (((unsigned char)*text & 0xC0) == 0x80) { /* cut inside a character: drop its beginning */
        while (len > 0 && ((unsigned char)line[len - 1] & 0xC0) == 0x80)
            len--;
        len -= len > 0;
    }
    line[len] = '\0';
}

void answer_set_unavailable(struct database_answer *answer, const char *reason)
{
    *answer = (struct database_answer){.status = DATABASE_UNAVAILABLE};
    answer_set_line(answer->message, sizeof answer->message, reason);
}

void answer_set_failed(struct database_answer *answer, const char *sqlstate, const char *message)
{
    *answer = (struct database_answer){.status = DATABASE_FAILED};
    snprintf(answer->sqlstate, sizeof answer->sqlstate, "%s", sqlstate);
    answer_set_line(answer->message, sizeof answer->message, message);
}

bool answer_set_error(struct database_answer *answer, const PGresult *result)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (sqlstate == NULL || (severity != NULL && strcmp(severity, "ERROR") != 0)) {
        answer_set_unavailable(answer, primary != NULL ? primary : PQresultErrorMessage(result));
        return false;
    }
    char message[sizeof answer->message];
    answer_set_line(message, sizeof message, primary != NULL ? primary : "no message");
    if (strncmp(sqlstate, "22", 2) == 0 && strcmp(sqlstate, SQLSTATE_SEQUENCE_EXHAUSTED) != 0)
        message[strcspn(message, ":\"")] = '\0';
    answer_set_failed(answer, sqlstate, message);
    answer->by_constraint = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME) != NULL;
    return true;
}

bool database_failure_passes(const struct database_answer *answer)
{
    /* SQLSTATEs and their classes: PostgreSQL documentation, appendix A. */
    static const char *const passing[] = {"08", "25006", "40", "53", "55", "57"};
    for (size_t i = 0; i < sizeof passing / sizeof passing[0]; i++)
        if (answer->status == DATABASE_FAILED &&
            strncmp(answer->sqlstate, passing[i], strlen(passing[i])) == 0)
            return true;
    return false;
}

bool answer_has_sqlstate(const struct database_answer *answer, const char *sqlstate)
{
    return answer->status == DATABASE_FAILED && strcmp(answer->sqlstate, sqlstate) == 0;
}
