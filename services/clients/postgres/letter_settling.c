/* One statement changes the letter on the condition that it is dead. When it has changed nothing, a
 * second one looks why. Of several that settle a letter at once one wins: the others wait for its
 * row, and then find it changed. */
#include "services/clients/postgres/letter_settling.h"
#include "proto/timestamp.h"
#include "services/base/memory.h"
#include "services/clients/postgres/answer.h"
#include "services/clients/postgres/call.h"
#include "services/clients/postgres/letter_outbox.h"
#include "services/clients/postgres/row_value.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct settle {
    struct database *database;
    const struct letter_settling *settling;
    letter_settled_fn *on_done;
    void *arg;
};

static void end(struct settle *settle, enum letter_settled result, const struct letter *letter,
                const struct database_answer *answer)
{
    letter_settled_fn *on_done = settle->on_done;
    void *arg = settle->arg;
    free(settle);
    on_done(arg, result, letter, answer);
}

/* The letter, which was not changed. */
static void on_looked(void *arg, const struct database_answer *answer)
{
    enum { STATE, ENDED_AT, ENDED_BY, REPLAYED_AS };
    struct settle *settle = arg;
    const struct letter_settling *settling = settle->settling;
    const PGresult *result = answer->result;
    struct database_answer changed;
    answer_set_unavailable(&changed, "the letter changes at the moment");
    changed.unexecuted = true;

    if (answer->status != DATABASE_OK) {
        end(settle, LETTER_FAILED, NULL, answer);
        return;
    }
    if (PQntuples(result) == 0) {
        end(settle, LETTER_MISSING, NULL, answer);
        return;
    }
    struct letter letter = {.state = PQgetvalue(result, 0, STATE)};
    if (strcmp(letter.state, LETTER_STATE_DEAD) == 0) {
        if (settling->needs_free_id)
            end(settle, LETTER_ORDER_STORED, NULL, answer);
        else
            end(settle, LETTER_FAILED, NULL, &changed);
        return;
    }
    letter.ended = row_time(result, 0, ENDED_AT, &letter.ended_at_us);
    letter.ended_by = PQgetvalue(result, 0, ENDED_BY);
    letter.has_replayed_as = row_uuid(result, 0, REPLAYED_AS, &letter.replayed_as);
    bool replayed = settling->reason == NULL;
    bool own = letter.ended && letter.ended_at_us == settling->at_us &&
               strcmp(letter.ended_by, settling->by) == 0 && letter.has_replayed_as == replayed &&
               (!replayed || order_id_equal(&letter.replayed_as, &settling->order.id));
    end(settle, own ? LETTER_SETTLED : LETTER_ENDED, &letter, answer);
}

static void look(struct settle *settle)
{
    static const char sql[] = "SELECT state, coalesce(ended_at, '-infinity'), ended_by, replayed_as"
                              " FROM dead_letters WHERE id = $1::bigint";
    char id[24];
    snprintf(id, sizeof id, "%" PRId64, settle->settling->id);
    const char *const values[] = {id};
    const struct database_parameters parameters = {.count = 1, .values = values};
    struct database_answer unavailable; /* an earlier call may have happened */
    answer_set_unavailable(&unavailable, "too many statements under way");
    if (database_call(settle->database, sql, &parameters, true, on_looked, free, settle) != 0)
        end(settle, LETTER_FAILED, NULL, &unavailable);
}

static void on_settled(void *arg, const struct database_answer *answer)
{
    struct settle *settle = arg;
    if (answer->status != DATABASE_OK)
        end(settle, LETTER_FAILED, NULL, answer);
    else if (PQntuples(answer->result) == 1)
        end(settle, LETTER_SETTLED, NULL, answer);
    else
        look(settle);
}

static int send_discard(struct settle *settle, const char *id, const char *at)
{
    static const char sql[] =
        "UPDATE dead_letters SET state = 'discarded', ended_at = $2::timestamptz, ended_by = $3,"
        " ended_reason = $4 WHERE id = $1::bigint AND state = 'dead' RETURNING id";
    const char *const values[] = {id, at, settle->settling->by, settle->settling->reason};
    const struct database_parameters parameters = {.count = 4, .values = values};
    return database_call(settle->database, sql, &parameters, true, on_settled, free, settle);
}

static int send_replay(struct settle *settle, const char *id, const char *at)
{
    /* $9 has the type of orders.id. It is compared with no row when it is NULL. */
    static const char sql[] =
        "WITH ended AS (UPDATE dead_letters SET state = 'replayed', ended_at = $2::timestamptz,"
        " ended_by = $3, replayed_as = $4::uuid WHERE id = $1::bigint AND state = 'dead'"
        " AND NOT EXISTS (SELECT FROM orders WHERE orders.id = $9)"
        " RETURNING id, traceparent, tracestate)" LETTER_TO_OUTBOX " RETURNING seq";
    const struct letter_settling *settling = settle->settling;
    const char *values[4 + LETTER_ORDER_PARAMETERS] = {id, at, settling->by};
    struct letter_order_texts texts;
    char free_id[ORDER_ID_TEXT_LEN + 1];
    letter_order_values(&settling->order, &texts, values + 3);
    order_id_format(&settling->free_id, free_id);
    values[3 + LETTER_ORDER_PARAMETERS] = settling->needs_free_id ? free_id : NULL;
    const struct database_parameters parameters = {.count = 9, .values = values};
    return database_call(settle->database, sql, &parameters, true, on_settled, free, settle);
}

int letter_settle(struct database *database, const struct letter_settling *settling,
                  letter_settled_fn *on_done, void *arg)
{
    struct settle *settle = memory_new(sizeof *settle);
    *settle = (struct settle){database, settling, on_done, arg};
    char id[24], at[TIMESTAMP_TEXT_SIZE];
    snprintf(id, sizeof id, "%" PRId64, settling->id);
    (void)timestamp_format(settling->at_us, at);
    int status =
        settling->reason != NULL ? send_discard(settle, id, at) : send_replay(settle, id, at);
    if (status != 0)
        free(settle);
    return status;
}
