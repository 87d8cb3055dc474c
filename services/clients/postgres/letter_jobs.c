/* A statement for each function. The row of an item is deleted in the statement that counts it. */
#include "services/clients/postgres/letter_jobs.h"
#include "proto/order_json.h"
#include "services/clients/postgres/job_sql.h"
#include "services/clients/postgres/letter_outbox.h"
#include "services/clients/postgres/order_rows.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* The counts in a job's result, each raised by what the rows (name, more) say. */
#define RESULT_RAISED                                                                              \
    "result = (SELECT jsonb_object_agg(name, coalesce((result->>name)::bigint, 0) + more)"

enum { COLUMN_ITEM, COLUMN_DEAD, COLUMN_BODY }; /* of letters_next() */

int letters_discard(struct database *database, const struct long_job *job,
                    database_done_fn *on_done, void *arg)
{
    static const char sql[] = JOB_HELD
        ", batch AS (SELECT item FROM job_items, held WHERE job = held.id ORDER BY item LIMIT 500),"
        " discarded AS (UPDATE dead_letters AS l SET state = 'discarded',"
        " ended_at = clock_timestamp(), ended_by = coalesce(requested_by, 'unknown'),"
        " ended_reason = parameters->>'reason', job = held.id"
        " FROM batch, held WHERE l.id = item AND l.state = 'dead' RETURNING 1),"
        " gone AS (DELETE FROM job_items AS i USING batch, held"
        " WHERE i.job = held.id AND i.item = batch.item RETURNING 1),"
        " counts AS (SELECT (SELECT count(*) FROM gone) AS gone,"
        " (SELECT count(*) FROM discarded) AS discarded),"
        " changed AS (UPDATE jobs SET done = done + gone, " RESULT_RAISED
        " FROM (VALUES ('discarded', discarded), ('skipped', gone - discarded))"
        " AS raised(name, more)) FROM held, counts WHERE jobs.id = held.id)"
        " SELECT cancel, gone FROM held, counts";
    _Static_assert(LETTERS_DISCARD_MAX == 500, "the LIMIT");
    return job_send(database, sql, job, NULL, 0, false, on_done, arg);
}

bool letters_discarded_all(const struct database_answer *answer)
{
    return PQntuples(answer->result) == 1 && PQgetvalue(answer->result, 0, 1)[0] == '0';
}

int letters_next(struct database *database, const struct long_job *job, bool sent, int64_t after,
                 database_done_fn *on_done, void *arg)
{
    /* Of a body that was cut only its size is true. */
    static const char sql[] =
        "SELECT item, coalesce(l.state = 'dead', false),"
        " CASE WHEN octet_length(body) = body_bytes THEN body END"
        " FROM job_items LEFT JOIN dead_letters AS l ON l.id = item"
        " WHERE job_items.job = $1::bigint AND $2::bigint IS NOT NULL AND job_items.state = $3"
        " AND item > $4::bigint ORDER BY item LIMIT 1";
    char after_text[24];
    snprintf(after_text, sizeof after_text, "%" PRId64, after);
    const char *const more[] = {sent ? "sent" : "waiting", after_text};
    return job_send(database, sql, job, more, 2, true, on_done, arg);
}

void letters_next_read(const struct database_answer *answer, struct job_letter *ret_letter)
{
    const PGresult *result = answer->result;
    *ret_letter = (struct job_letter){.id = 0};
    if (PQntuples(result) == 0)
        return;
    struct error why;
    ret_letter->id = binary_integer(PQgetvalue(result, 0, COLUMN_ITEM), sizeof(int64_t));
    ret_letter->dead = PQgetvalue(result, 0, COLUMN_DEAD)[0] != 0;
    ret_letter->is_order = !PQgetisnull(result, 0, COLUMN_BODY) &&
                           order_from_json(PQgetvalue(result, 0, COLUMN_BODY),
                                           (size_t)PQgetlength(result, 0, COLUMN_BODY),
                                           &ret_letter->order, &why) == DECODE_OK;
}

int letters_replay(struct database *database, const struct long_job *job, int64_t letter,
                   const struct order *order, database_done_fn *on_done, void *arg)
{
    static const char sql[] =
        JOB_HELD ", ended AS (UPDATE dead_letters AS l SET state = 'replayed',"
                 " ended_at = clock_timestamp(), ended_by = $3, replayed_as = $4::uuid,"
                 " job = held.id FROM held WHERE l.id = $9::bigint AND l.state = 'dead'"
                 " RETURNING l.id, traceparent, tracestate),"
                 " outbox AS (" LETTER_TO_OUTBOX "),"
                 " sent AS (UPDATE job_items SET state = 'sent' FROM ended"
                 " WHERE job_items.job = $1::bigint AND item = ended.id)"
                 " SELECT cancel, (SELECT count(*) FROM ended) FROM held";
    const char *more[2 + LETTER_ORDER_PARAMETERS] = {job->requested_by};
    struct letter_order_texts texts;
    char letter_text[24];
    snprintf(letter_text, sizeof letter_text, "%" PRId64, letter);
    letter_order_values(order, &texts, more + 1);
    more[1 + LETTER_ORDER_PARAMETERS] = letter_text;
    return job_send(database, sql, job, more, 2 + LETTER_ORDER_PARAMETERS, false, on_done, arg);
}

bool letters_replayed(const struct database_answer *answer)
{
    return PQntuples(answer->result) == 1 && PQgetvalue(answer->result, 0, 1)[0] == '1';
}

int letters_died_again(struct database *database, const int64_t *letters, size_t count,
                       database_done_fn *on_done, void *arg)
{
    static const char sql[] =
        "SELECT (SELECT archive = 'off' FROM scheduler_seen), replay_of"
        " FROM (VALUES (1)) AS one LEFT JOIN (SELECT DISTINCT replay_of FROM dead_letters"
        " WHERE replay_of = ANY ($1::bigint[])) AS again ON true";
    char text[LETTERS_SENT_MAX * 22 + 3];
    assert(count <= LETTERS_SENT_MAX);
    job_numbers_text(letters, count, text);
    const char *const values[] = {text};
    const struct database_parameters parameters = {.count = 1, .values = values};
    return database_send(database, sql, &parameters, false, on_done, arg);
}

bool letters_archive_off(const struct database_answer *answer)
{
    return PQgetvalue(answer->result, 0, 0)[0] == 't';
}

bool letters_has_died_again(const struct database_answer *answer, int64_t letter)
{
    for (int i = 0; i < PQntuples(answer->result); i++)
        if (!PQgetisnull(answer->result, i, 1) &&
            strtoll(PQgetvalue(answer->result, i, 1), NULL, 10) == letter)
            return true;
    return false;
}

int letters_settle(struct database *database, const struct long_job *job,
                   const struct letter_fates *fates, database_done_fn *on_done, void *arg)
{
    static const char sql[] =
        JOB_HELD ", gone AS (DELETE FROM job_items USING held WHERE job = held.id"
                 " AND item = ANY ($3::bigint[]) RETURNING 1),"
                 " changed AS (UPDATE jobs SET done = done + (SELECT count(*) FROM gone),"
                 " checkpoint = $4, " RESULT_RAISED
                 " FROM (VALUES ('searchable', $5::bigint), ('died_again', $6::bigint),"
                 " ('skipped', $7::bigint)) AS raised(name, more))"
                 " FROM held WHERE jobs.id = held.id)" JOB_HOLD;
    char letters[LETTERS_SENT_MAX * 22 + 3], numbers[4][12];
    const unsigned values[] = {fates->in_a_row, fates->searchable, fates->died_again,
                               fates->skipped};
    job_numbers_text(fates->letters, fates->count, letters);
    for (size_t i = 0; i < 4; i++)
        snprintf(numbers[i], sizeof numbers[i], "%u", values[i]);
    const char *const more[] = {letters, numbers[0], numbers[1], numbers[2], numbers[3]};
    return job_send(database, sql, job, more, 5, false, on_done, arg);
}
