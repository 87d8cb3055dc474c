/* Reads of dead_letters. Results are binary: a body and its properties are any bytes, and an
 * instant may be one that no text of ours can hold. */
#include "services/clients/postgres/dead_letters.h"
#include "services/base/memory.h"
#include "services/clients/postgres/call.h"
#include "services/clients/postgres/letter_filter.h"
#include "services/clients/postgres/row_value.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LETTER_COLUMNS                                                                             \
    "id, state, queue, reason, detail, stage, attempts, body_bytes, copies, died_at, archived_at," \
    " order_id, traceparent, replay_of, ended_at, ended_by, ended_reason, replayed_as, job"

enum letter_column {
    ID,
    STATE,
    QUEUE,
    REASON,
    DETAIL,
    STAGE,
    ATTEMPTS,
    BODY_BYTES,
    COPIES,
    DIED_AT,
    ARCHIVED_AT,
    ORDER_ID,
    TRACEPARENT,
    REPLAY_OF,
    ENDED_AT,
    ENDED_BY,
    ENDED_REASON,
    REPLAYED_AS,
    JOB,
    BODY, /* letters_find() alone, from here on */
    PROPERTIES
};

struct read {
    union {
        letters_listed_fn *listed;
        letter_found_fn *found;
        letters_counted_fn *counted;
    } on_done;
    void *arg;
};

static struct read *read_new(void *arg)
{
    struct read *read = memory_new(sizeof *read);
    read->arg = arg;
    return read;
}

static struct read read_end(void *arg)
{
    struct read read = *(struct read *)arg;
    free(arg);
    return read;
}

/* ---- rows ---- */

/* An instant beyond those that can be written is the nearest of these. */
static int64_t time_at(const PGresult *result, int row, int column)
{
    int64_t us = row_number(result, row, column) < 0 ? TIMESTAMP_MIN_US : TIMESTAMP_MAX_US;
    (void)row_time(result, row, column, &us);
    return us;
}

/* Of a traceparent (W3C Trace Context, 3.2: version, trace id, parent id, flags). */
static void read_trace_id(const char *traceparent, char trace_id[33])
{
    static const size_t before = sizeof "00-" - 1;
    if (traceparent != NULL && strlen(traceparent) >= before + 32) {
        memcpy(trace_id, traceparent + before, 32);
        trace_id[32] = '\0';
    }
}

static struct letter letter_at(const PGresult *result, int row)
{
    struct letter letter = {
        .id = row_number(result, row, ID),
        .state = row_text(result, row, STATE),
        .queue = row_text(result, row, QUEUE),
        .reason = row_text(result, row, REASON),
        .detail = row_text(result, row, DETAIL),
        .stage = row_text(result, row, STAGE),
        .attempts = row_number(result, row, ATTEMPTS),
        .body_bytes = row_number(result, row, BODY_BYTES),
        .copies = row_number(result, row, COPIES),
        .died_at_us = time_at(result, row, DIED_AT),
        .archived_at_us = time_at(result, row, ARCHIVED_AT),
        .replay_of = row_number(result, row, REPLAY_OF),
        .ended = !PQgetisnull(result, row, ENDED_AT),
        .ended_at_us = time_at(result, row, ENDED_AT),
        .ended_by = row_text(result, row, ENDED_BY),
        .ended_reason = row_text(result, row, ENDED_REASON),
        .job = row_number(result, row, JOB),
    };
    letter.has_order_id = row_uuid(result, row, ORDER_ID, &letter.order_id);
    letter.has_replayed_as = row_uuid(result, row, REPLAYED_AS, &letter.replayed_as);
    read_trace_id(row_text(result, row, TRACEPARENT), letter.trace_id);
    return letter;
}

/* ---- list ---- */

static void on_listed(void *arg, const struct database_answer *answer)
{
    struct read read = read_end(arg);
    if (answer->status != DATABASE_OK) {
        read.on_done.listed(read.arg, NULL, 0, answer);
        return;
    }
    size_t count = (size_t)PQntuples(answer->result);
    struct letter *letters = memory_new_array(count + 1, sizeof *letters);
    for (size_t i = 0; i < count; i++)
        letters[i] = letter_at(answer->result, (int)i);
    read.on_done.listed(read.arg, letters, count, answer);
    free(letters);
}

int letters_list(struct database *database, const struct letter_filter *filter, int64_t before_id,
                 unsigned limit, letters_listed_fn *on_done, void *arg)
{
    static const char sql[] = "SELECT " LETTER_COLUMNS " FROM dead_letters WHERE " LETTER_FILTER
                              " AND id < $8::bigint ORDER BY id DESC LIMIT $9::integer";
    struct letter_filter_texts texts;
    char before[24], limit_text[12];
    const char *values[LETTER_FILTER_PARAMETERS + 2];
    letter_filter_values(filter, &texts, values);
    snprintf(before, sizeof before, "%" PRId64, before_id);
    snprintf(limit_text, sizeof limit_text, "%u", limit);
    values[LETTER_FILTER_PARAMETERS] = before;
    values[LETTER_FILTER_PARAMETERS + 1] = limit_text;
    const struct database_parameters parameters = {.count = LETTER_FILTER_PARAMETERS + 2,
                                                   .values = values};
    struct read *read = read_new(arg);
    read->on_done.listed = on_done;
    if (database_call(database, sql, &parameters, true, on_listed, free, read) == 0)
        return 0;
    free(read);
    return -1;
}

/* ---- find ---- */

static void on_found(void *arg, const struct database_answer *answer)
{
    struct read read = read_end(arg);
    if (answer->status != DATABASE_OK || PQntuples(answer->result) == 0) {
        read.on_done.found(read.arg, NULL, NULL, answer);
        return;
    }
    struct letter letter = letter_at(answer->result, 0);
    const struct letter_content content = {
        .body = PQgetvalue(answer->result, 0, BODY),
        .body_len = (size_t)PQgetlength(answer->result, 0, BODY),
        .properties = PQgetvalue(answer->result, 0, PROPERTIES),
        .properties_len = (size_t)PQgetlength(answer->result, 0, PROPERTIES),
    };
    read.on_done.found(read.arg, &letter, &content, answer);
}

int letters_find(struct database *database, int64_t id, letter_found_fn *on_done, void *arg)
{
    static const char sql[] =
        "SELECT " LETTER_COLUMNS ", body, properties FROM dead_letters WHERE id = $1::bigint";
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, id);
    const char *const values[] = {text};
    const struct database_parameters parameters = {.count = 1, .values = values};
    struct read *read = read_new(arg);
    read->on_done.found = on_done;
    if (database_call(database, sql, &parameters, true, on_found, free, read) == 0)
        return 0;
    free(read);
    return -1;
}

/* ---- count ---- */

static void on_counted(void *arg, const struct database_answer *answer)
{
    struct read read = read_end(arg);
    if (answer->status != DATABASE_OK) {
        read.on_done.counted(read.arg, NULL, answer);
        return;
    }
    struct letter_counts counts = {.reason_count = (size_t)PQntuples(answer->result)};
    for (int i = 0; i < PQntuples(answer->result); i++) {
        counts.reasons[i].reason = PQgetvalue(answer->result, i, 0);
        counts.reasons[i].letters = row_number(answer->result, i, 1);
        counts.letters = row_number(answer->result, i, 2); /* in each row the same */
    }
    read.on_done.counted(read.arg, &counts, answer);
}

int letters_count(struct database *database, const struct letter_filter *filter,
                  letters_counted_fn *on_done, void *arg)
{
    static const char sql[] =
        "SELECT reason, count(*), (sum(count(*)) OVER ())::bigint FROM dead_letters"
        " WHERE " LETTER_FILTER " GROUP BY reason ORDER BY 2 DESC, 1 LIMIT 100";
    _Static_assert(LETTER_REASONS_MAX == 100, "the LIMIT");
    struct letter_filter_texts texts;
    const char *values[LETTER_FILTER_PARAMETERS];
    letter_filter_values(filter, &texts, values);
    const struct database_parameters parameters = {.count = LETTER_FILTER_PARAMETERS,
                                                   .values = values};
    struct read *read = read_new(arg);
    read->on_done.counted = on_done;
    if (database_call(database, sql, &parameters, true, on_counted, free, read) == 0)
        return 0;
    free(read);
    return -1;
}
