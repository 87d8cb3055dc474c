/* An order's id is given twice to each statement: as text of no type for orders.id, which may be
 * uuid or text, and as uuid for dead_letters. */
#include "services/clients/postgres/order_fate.h"
#include "proto/order_json.h"
#include "services/base/memory.h"
#include "services/clients/postgres/answer.h"
#include "services/clients/postgres/order_rows.h"
#include "services/clients/postgres/row_value.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct question {
    struct order_id id;
    order_fate_fn *on_done;
    void *arg;
};

/* Of order_fate_ask(). */
enum {
    COLUMN_ASKED,
    COLUMN_ROW,
    COLUMN_CREATED_AT,
    COLUMN_ARCHIVE,
    COLUMN_LETTER,
    COLUMN_REASON,
    COLUMN_STAGE,
    COLUMN_STATE,
    COLUMN_DIED_AT,
    COLUMN_REPLAYED_AS,
    COLUMN_BODY,
};

static void read_letter(const PGresult *result, int row, struct dead_letter_brief *ret_letter)
{
    *ret_letter = (struct dead_letter_brief){
        .id = row_number(result, row, COLUMN_LETTER),
        .reason = PQgetvalue(result, row, COLUMN_REASON),
        .stage = PQgetvalue(result, row, COLUMN_STAGE),
        .state = PQgetvalue(result, row, COLUMN_STATE),
    };
    (void)row_time(result, row, COLUMN_DIED_AT, &ret_letter->died_at_us);
    ret_letter->replayed = row_uuid(result, row, COLUMN_REPLAYED_AS, &ret_letter->replayed_as);
}

/* The instant that the order has in a letter's body. */
static bool body_created_at(const PGresult *result, const struct order_id *id, int64_t *ret_us)
{
    struct order order;
    if (PQgetisnull(result, 0, COLUMN_BODY) ||
        order_from_json(PQgetvalue(result, 0, COLUMN_BODY),
                        (size_t)PQgetlength(result, 0, COLUMN_BODY), &order, NULL) != DECODE_OK ||
        !order_id_equal(&order.id, id))
        return false;
    *ret_us = order.created_at_us;
    return true;
}

static void on_fate(void *arg, const struct database_answer *answer)
{
    struct question question = *(struct question *)arg;
    free(arg);
    if (answer->status != DATABASE_OK) {
        question.on_done(question.arg, NULL, answer);
        return;
    }
    const PGresult *result = answer->result;
    struct order_id asked, row;
    bool stored = false;
    if (PQntuples(result) == 0 || !row_uuid(result, 0, COLUMN_ASKED, &asked) ||
        !order_id_equal(&asked, &question.id) ||
        ((stored = row_uuid(result, 0, COLUMN_ROW, &row)) && !order_id_equal(&row, &asked))) {
        struct database_answer failed;
        answer_set_failed(&failed, SQLSTATE_WRONG_ROW, WRONG_ROW);
        question.on_done(question.arg, NULL, &failed);
        return;
    }
    struct dead_letter_brief letters[FATE_LETTERS_MAX];
    struct order_fate fate = {
        .stored = stored,
        .archived = !PQgetisnull(result, 0, COLUMN_ARCHIVE) &&
                    PQgetvalue(result, 0, COLUMN_ARCHIVE)[0] != 0,
        .letters = letters,
    };
    for (int i = 0; i < PQntuples(result) && fate.letter_count < FATE_LETTERS_MAX; i++)
        if (!PQgetisnull(result, i, COLUMN_LETTER))
            read_letter(result, i, &letters[fate.letter_count++]);
    fate.dated = stored ? row_time(result, 0, COLUMN_CREATED_AT, &fate.created_at_us)
                        : body_created_at(result, &question.id, &fate.created_at_us);
    question.on_done(question.arg, &fate, answer);
}

int order_fate_ask(struct database *database, const struct order_id *id, order_fate_fn *on_done,
                   void *arg)
{
    /* A body is read only where it is the last witness of the order's instant. */
    static const char sql[] =
        "SELECT $2::uuid, orders.id::uuid, orders.created_at, archive = 'on',"
        " letter.id, reason, stage, state, died_at, replayed_as, body"
        " FROM (VALUES (1)) AS one LEFT JOIN orders ON orders.id = $1"
        " LEFT JOIN scheduler_seen ON true LEFT JOIN LATERAL"
        " (SELECT id, reason, stage, state, died_at, replayed_as, CASE WHEN orders.id IS NULL"
        " AND body_bytes <= 65536 AND row_number() OVER (ORDER BY id DESC) = 1 THEN body END AS "
        "body"
        " FROM dead_letters WHERE order_id = $2::uuid ORDER BY id DESC LIMIT 100)"
        " AS letter ON true ORDER BY letter.id DESC";
    _Static_assert(FATE_LETTERS_MAX == 100, "the LIMIT");
    char text[ORDER_ID_TEXT_LEN + 1];
    order_id_format(id, text);
    const char *const values[] = {text, text};
    const struct database_parameters parameters = {.count = 2, .values = values};
    struct question *question = memory_new(sizeof *question);
    *question = (struct question){*id, on_done, arg};
    if (database_call(database, sql, &parameters, true, on_fate, free, question) == 0)
        return 0;
    free(question);
    return -1;
}

/* ---- news of many ---- */

enum { COLUMN_NEWS_REASON = 4, COLUMN_NEWS_AGE }; /* behind those of order_row_decode() */

int order_news_look(struct database *database, const struct order_id *ids, size_t count,
                    database_done_fn *on_done, void *arg)
{
    /* Behind a pooler a statement may run some time after it was given. A letter's age is by the
     * instant at which it runs. That it must be young comes first: a plan that was made while the
     * table was small reads all of it, and would compare each letter with each id. */
    static const char sql[] =
        "SELECT id::uuid, product_name::text, amount::text, created_at, NULL::text, NULL::bigint"
        " FROM orders WHERE id = ANY ($1) UNION ALL"
        " (SELECT DISTINCT ON (order_id) order_id, NULL, NULL, NULL, reason,"
        " (extract(epoch FROM statement_timestamp() - archived_at) * 1000)::bigint"
        " FROM dead_letters WHERE archived_at > statement_timestamp() - interval '30 s'"
        " AND order_id = ANY ($2::uuid[]) AND stage IN ('persist', 'index')"
        " ORDER BY order_id, id DESC)";
    _Static_assert(ORDER_NEWS_S == 30, "the interval");
    char *text = order_ids_text(ids, count);
    const char *const values[] = {text, text};
    const struct database_parameters parameters = {.count = 2, .values = values};
    int status = database_send(database, sql, &parameters, true, on_done, arg);
    free(text);
    return status;
}

int order_news_count(const struct database_answer *answer)
{
    return PQntuples(answer->result);
}

enum order_news order_news_read(const struct database_answer *answer, int i,
                                struct order *ret_order, const char **ret_reason,
                                int64_t *ret_age_ms)
{
    const PGresult *result = answer->result;
    if (PQgetisnull(result, i, COLUMN_NEWS_REASON))
        return order_row_decode(result, i, ret_order) == NULL ? ORDER_NEWS_STORED : ORDER_NEWS_NONE;
    if (!row_uuid(result, i, 0, &ret_order->id))
        return ORDER_NEWS_NONE;
    *ret_reason = PQgetvalue(result, i, COLUMN_NEWS_REASON);
    *ret_age_ms = row_number(result, i, COLUMN_NEWS_AGE);
    return ORDER_NEWS_DIED;
}
