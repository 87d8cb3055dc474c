/* What PostgreSQL answered, put into a struct database_answer. Inside the database module. */
#ifndef CLIENTS_POSTGRES_ANSWER_H
#define CLIENTS_POSTGRES_ANSWER_H

#include "services/clients/postgres/connection.h"

/* Copy `text` as one printable line, cut to fit at a whole UTF-8 character. */
void answer_set_line(char *line, size_t size, const char *text);

/* The statement was not answered, for this reason. */
void answer_set_unavailable(struct database_answer *answer, const char *reason);

/* Refused, by the server or by what this module found in its rows. `message` holds no values. */
void answer_set_failed(struct database_answer *answer, const char *sqlstate, const char *message);

/* From an error result. Returns false when the connection is lost with it: the error was fatal, or
 * libpq's own (then the answer is DATABASE_UNAVAILABLE). */
bool answer_set_error(struct database_answer *answer, const PGresult *result);

/* Was the statement refused with this SQLSTATE? */
bool answer_has_sqlstate(const struct database_answer *answer, const char *sqlstate);

#endif
