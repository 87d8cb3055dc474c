/* A statement for each function. The rows of one INSERT come as an array for each column.
 *
 * PostgreSQL goes on with the statement of a scheduler that has just died, whose letters RabbitMQ
 * delivers to another one meanwhile. So all who store hold a lock together until they commit, and
 * who stores a possible copy waits before that until nobody holds it. The wait is a statement of
 * its own: a statement does not see what was committed since it began. */
#include "services/clients/postgres/dead_letter_archive.h"
#include "services/clients/postgres/advisory_locks.h"
#include "services/clients/postgres/binary_array.h"
#include "services/clients/postgres/order_rows.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of a row beside its body and its properties, with its places in the indexes. */
#define ROW_BYTES "512"

static void add_text(struct binary_array *array, const char *text)
{
    binary_array_add(array, text, strlen(text));
}

/* "" is NULL. */
static void add_optional(struct binary_array *array, const char *text)
{
    if (text[0] != '\0')
        add_text(array, text);
    else
        binary_array_add_null(array);
}

static void on_waited(void *arg, const struct database_answer *answer)
{
    (void)arg, (void)answer; /* when it failed, a copy may become a row of its own */
}

static int wait_for_others(struct database *database, const struct dead_letter_row *rows,
                           size_t count)
{
    static const char sql[] = "SELECT pg_advisory_xact_lock(" LOCK_OF_ARCHIVE ")";
    for (size_t i = 0; i < count; i++)
        if (rows[i].may_be_copy)
            return database_send(database, sql, NULL, false, on_waited, NULL);
    return 0;
}

int dead_letters_store(struct database *database, const struct dead_letter_row *rows, size_t count,
                       database_done_fn *on_done, void *arg)
{
    /* A letter that was replayed or discarded while this waited for its row is no longer dead, and
     * is not updated: then the copy becomes a row of its own. */
    static const char sql[] =
        "WITH letter AS MATERIALIZED (SELECT letter.* FROM"
        " (SELECT pg_advisory_xact_lock_shared(" LOCK_OF_ARCHIVE ")) AS stores,"
        " unnest($1::text[], $2::text[], $3::text[],"
        " $4::text[], $5::int8[], $6::uuid[], $7::bytea[], $8::int8[], $9::bytea[], $10::bytea[],"
        " $11::int8[], $12::timestamptz[], $13::text[], $14::text[], $15::int8[], $16::bool[])"
        " WITH ORDINALITY AS letter(queue, reason, detail, stage, attempts, order_id, body,"
        " body_bytes, properties, digest, copies, died_at, traceparent, tracestate, replay_of,"
        " may_be_copy, place)),"
        " counted AS (UPDATE dead_letters AS dead SET copies = dead.copies + 1 + same.copies"
        " FROM (SELECT place, copies, (SELECT id FROM dead_letters AS equal"
        " WHERE equal.digest = letter.digest AND equal.queue = letter.queue"
        " AND equal.state = 'dead' ORDER BY id LIMIT 1) AS id FROM letter WHERE may_be_copy)"
        " AS same WHERE dead.id = same.id AND dead.state = 'dead' RETURNING same.place),"
        " added AS (INSERT INTO dead_letters (queue, reason, detail, stage, attempts, order_id,"
        " body, body_bytes, properties, digest, copies, died_at, traceparent, tracestate,"
        " replay_of) SELECT queue, reason, detail, stage, attempts, order_id, body, body_bytes,"
        " properties, digest, copies, died_at, traceparent, tracestate, replay_of FROM letter"
        " WHERE place NOT IN (SELECT place FROM counted) ORDER BY place)"
        " SELECT count(*) FROM counted";
    if (wait_for_others(database, rows, count) != 0)
        return -1;
    size_t bodies = 0, properties = 0, queues = 0;
    for (size_t i = 0; i < count; i++) {
        bodies += rows[i].body_len;
        properties += rows[i].properties_len;
        queues += strlen(rows[i].queue);
    }
    enum {
        QUEUE,
        REASON,
        DETAIL,
        STAGE,
        ATTEMPTS,
        ORDER_ID,
        BODY,
        BODY_BYTES,
        PROPERTIES,
        DIGEST,
        COPIES,
        DIED_AT,
        TRACEPARENT,
        TRACESTATE,
        REPLAY_OF,
        MAY_BE_COPY,
        COLUMNS
    };
    struct binary_array array[COLUMNS] = {
        [QUEUE] = binary_array_new(OID_TEXT, count, queues),
        [REASON] = binary_array_new(OID_TEXT, count, count * DEAD_LETTER_REASON_SIZE),
        [DETAIL] = binary_array_new(OID_TEXT, count, count * DEAD_LETTER_DETAIL_SIZE),
        [STAGE] = binary_array_new(OID_TEXT, count, count * DEAD_LETTER_STAGE_SIZE),
        [ATTEMPTS] = binary_array_new(OID_INT8, count, count * sizeof(int64_t)),
        [ORDER_ID] = binary_array_new(OID_UUID, count, count * sizeof(struct order_id)),
        [BODY] = binary_array_new(OID_BYTEA, count, bodies),
        [BODY_BYTES] = binary_array_new(OID_INT8, count, count * sizeof(int64_t)),
        [PROPERTIES] = binary_array_new(OID_BYTEA, count, properties),
        [DIGEST] = binary_array_new(OID_BYTEA, count, count * DEAD_LETTER_DIGEST_BYTES),
        [COPIES] = binary_array_new(OID_INT8, count, count * sizeof(int64_t)),
        [DIED_AT] = binary_array_new(OID_TIMESTAMPTZ, count, count * sizeof(int64_t)),
        [TRACEPARENT] = binary_array_new(OID_TEXT, count, count * DEAD_LETTER_TRACEPARENT_SIZE),
        [TRACESTATE] = binary_array_new(OID_TEXT, count, count * DEAD_LETTER_TRACESTATE_SIZE),
        [REPLAY_OF] = binary_array_new(OID_INT8, count, count * sizeof(int64_t)),
        [MAY_BE_COPY] = binary_array_new(OID_BOOL, count, count),
    };
    for (size_t i = 0; i < count; i++) {
        const struct dead_letter_row *row = &rows[i];
        add_text(&array[QUEUE], row->queue);
        add_text(&array[REASON], row->reason);
        add_text(&array[DETAIL], row->detail);
        add_text(&array[STAGE], row->stage);
        binary_array_add_integer(&array[ATTEMPTS], row->attempts, 8);
        if (row->has_order_id)
            binary_array_add(&array[ORDER_ID], row->order_id.bytes, sizeof row->order_id.bytes);
        else
            binary_array_add_null(&array[ORDER_ID]);
        binary_array_add(&array[BODY], row->body, row->body_len);
        binary_array_add_integer(&array[BODY_BYTES], row->body_bytes, 8);
        binary_array_add(&array[PROPERTIES], row->properties, row->properties_len);
        binary_array_add(&array[DIGEST], row->digest, sizeof row->digest);
        binary_array_add_integer(&array[COPIES], row->copies, 8);
        binary_array_add_integer(&array[DIED_AT], row->died_at_us - POSTGRES_EPOCH_US, 8);
        add_optional(&array[TRACEPARENT], row->traceparent);
        add_optional(&array[TRACESTATE], row->tracestate);
        if (row->replay_of != 0)
            binary_array_add_integer(&array[REPLAY_OF], row->replay_of, 8);
        else
            binary_array_add_null(&array[REPLAY_OF]);
        binary_array_add_integer(&array[MAY_BE_COPY], row->may_be_copy, 1);
    }
    const char *values[COLUMNS];
    int lengths[COLUMNS], formats[COLUMNS];
    binary_arrays_bind(array, COLUMNS, values, lengths, formats);
    const struct database_parameters parameters = {
        .count = COLUMNS, .values = values, .lengths = lengths, .formats = formats};
    int status = database_send(database, sql, &parameters, true, on_done, arg);
    binary_arrays_release(array, COLUMNS);
    return status;
}

int64_t dead_letters_copies(const struct database_answer *stored)
{
    return binary_integer(PQgetvalue(stored->result, 0, 0), sizeof(int64_t));
}

/* With one number as the parameter. */
static int send_number(struct database *database, const char *sql, int64_t number,
                       database_done_fn *on_done, void *arg)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, number);
    const char *const values[] = {text};
    const struct database_parameters parameters = {.count = 1, .values = values};
    return database_send(database, sql, &parameters, false, on_done, arg);
}

int dead_letters_measure(struct database *database, int64_t max_bytes, database_done_fn *on_done,
                         void *arg)
{
    /* The length of a value that was moved out of its row is known without reading it. */
    static const char sql[] =
        "SELECT CASE WHEN pg_total_relation_size('dead_letters') < $1::bigint"
        " THEN pg_total_relation_size('dead_letters') ELSE (SELECT"
        " coalesce(sum(octet_length(body) + octet_length(properties) + " ROW_BYTES "), 0)"
        " FROM dead_letters) END";
    return send_number(database, sql, max_bytes, on_done, arg);
}

#define REASON_COUNT 13
const char *const dead_letter_reasons[REASON_COUNT + 1] = {"malformed",
                                                           "unacceptable",
                                                           "too_large",
                                                           "message_id_mismatch",
                                                           "retries_exhausted",
                                                           "id_conflict",
                                                           "bulk_400",
                                                           "rejected",
                                                           "expired",
                                                           "maxlen",
                                                           "delivery_limit",
                                                           "unknown",
                                                           "other"};
const char *const dead_letter_states[] = {"dead", "replayed", "discarded", NULL};

int dead_letters_count(struct database *database, database_done_fn *on_done, void *arg)
{
    static const char sql[] =
        "SELECT state, known, count(*), (extract(epoch FROM min(died_at)) * 1000000)::bigint"
        " FROM dead_letters, LATERAL (SELECT CASE WHEN reason = ANY ($1::text[]) THEN reason"
        " ELSE 'other' END AS known) AS reasons GROUP BY 1, 2";
    char list[256] = "{";
    size_t len = 1;
    for (int i = 0; i < REASON_COUNT; i++)
        len += (size_t)snprintf(list + len, sizeof list - len, "%s%s", i > 0 ? "," : "",
                                dead_letter_reasons[i]);
    snprintf(list + len, sizeof list - len, "}");
    const char *const values[] = {list};
    const struct database_parameters parameters = {.count = 1, .values = values};
    return database_send(database, sql, &parameters, false, on_done, arg);
}

/* The text of the list that is equal. NULL: there is none. */
static const char *known(const char *const *list, const char *text)
{
    for (; *list != NULL; list++)
        if (strcmp(*list, text) == 0)
            return *list;
    return NULL;
}

bool dead_letters_counted(const struct database_answer *answer, int row,
                          struct dead_letter_count *ret)
{
    if (row >= PQntuples(answer->result))
        return false;
    *ret = (struct dead_letter_count){
        .state = known(dead_letter_states, PQgetvalue(answer->result, row, 0)),
        .reason = known(dead_letter_reasons, PQgetvalue(answer->result, row, 1)),
        .letters = strtoll(PQgetvalue(answer->result, row, 2), NULL, 10),
        .oldest_us = strtoll(PQgetvalue(answer->result, row, 3), NULL, 10),
    };
    return true;
}

int dead_letters_tell(struct database *database, const char *state, const char *fault,
                      database_done_fn *on_done, void *arg)
{
    static const char sql[] =
        "UPDATE scheduler_seen SET archive = $1, archive_fault = $2"
        " WHERE (archive, archive_fault) IS DISTINCT FROM ($1::text, $2::text)";
    const char *const values[] = {state, fault};
    const struct database_parameters parameters = {.count = 2, .values = values};
    return database_send(database, sql, &parameters, false, on_done, arg);
}

int dead_letters_forget(struct database *database, int64_t retention_ms, database_done_fn *on_done,
                        void *arg)
{
    static const char sql[] =
        "WITH gone AS (DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters"
        " WHERE ended_at < now() - $1::bigint * interval '1 ms' AND state <> 'dead'"
        " ORDER BY ended_at LIMIT 500 FOR UPDATE SKIP LOCKED) RETURNING 1)"
        " SELECT count(*) FROM gone";
    _Static_assert(DEAD_LETTERS_FORGET_MAX == 500, "the LIMIT");
    return send_number(database, sql, retention_ms, on_done, arg);
}
