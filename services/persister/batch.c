/* A statement inserts all or none, so one bad row fails its batch. The part that failed is cut into
 * eight, and each of these is tried alone, and so on down to single rows: one bad row among 500 is
 * found in 25 statements, of which three fail (after the first). Eight rather than two because a
 * locked row costs a lock timeout in each statement that fails, while the others take milliseconds.
 * All parts of a size are tried before smaller ones: neighbours first.
 *
 * When statements fail one after another because of others' locks, and nothing is stored, it is the
 * whole table that is locked. */
#include "services/persister/batch.h"
#include <stdio.h>
#include <string.h>

#define CUTS 8
#define FAILURES_BY_OTHERS_MAX 5
_Static_assert(BATCH_MAX <= ORDERS_BATCH_MAX, "orders_insert() takes a whole batch");

enum failure {
    FAILURE_OF_A_ROW,  /* will fail for ever */
    FAILURE_BY_OTHERS, /* a row is locked or slow at the moment, by somebody else's transaction */
    FAILURE_SYSTEMIC,
};

/* SQLSTATEs: PostgreSQL documentation, appendix A. */
static enum failure classify(const char sqlstate[6])
{
    static const struct {
        const char *prefix;
        enum failure failure;
    } table[] = {
        {"22", FAILURE_OF_A_ROW},     /* data exception */
        {"23", FAILURE_OF_A_ROW},     /* integrity constraint violation */
        {"54", FAILURE_OF_A_ROW},     /* program limit exceeded */
        {"P0001", FAILURE_OF_A_ROW},  /* raise_exception, as triggers do */
        {"55P03", FAILURE_BY_OTHERS}, /* lock not available: lock_timeout */
        {"57014", FAILURE_BY_OTHERS}, /* query canceled: statement_timeout */
        {"40", FAILURE_BY_OTHERS},    /* transaction rollback: deadlock, serialization */
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (strncmp(sqlstate, table[i].prefix, strlen(table[i].prefix)) == 0)
            return table[i].failure;
    return FAILURE_SYSTEMIC;
}

void batch_begin(struct batch *batch, size_t count, struct verdict verdicts[], int64_t now_ms)
{
    batch->verdicts = verdicts;
    batch->count = count;
    batch->begun_ms = now_ms;
    batch->any_decided = false;
    batch->systemic = false;
    batch->failures_by_others = 0;
    parts_begin(&batch->parts, count);
}

static void retry_later(struct batch *batch, const struct part *part)
{
    for (size_t i = 0; i < part->count; i++)
        batch->verdicts[part->first + i] = batch->last_retry;
}

bool batch_next(struct batch *batch, int64_t now_ms, struct part *ret_part)
{
    struct part part;
    bool give_up = batch->systemic || now_ms - batch->begun_ms >= BATCH_TRY_MS;
    while (parts_take(&batch->parts, &part)) {
        if (!give_up) {
            *ret_part = part;
            return true;
        }
        retry_later(batch, &part);
    }
    return false;
}

void batch_inserted(struct batch *batch, const struct part *part,
                    const struct insert_result results[])
{
    batch->any_decided = true;
    for (size_t i = 0; i < part->count; i++) {
        struct verdict *verdict = &batch->verdicts[part->first + i];
        switch (results[i].status) {
        case INSERT_STORED:
            verdict_done(verdict, results[i].created_at_us);
            break;
        case INSERT_CONFLICT:
            verdict_fail(verdict, OUTCOME_REJECT, "id_conflict",
                         "another order with this id is stored");
            break;
        }
    }
}

void batch_failed(struct batch *batch, const struct part *part,
                  const struct database_answer *answer)
{
    char code[REPLY_CODE_SIZE] = "postgres_unavailable";
    enum failure failure = FAILURE_SYSTEMIC;
    if (answer->status == DATABASE_FAILED) {
        (void)snprintf(code, sizeof(code), "sqlstate_%.5s", answer->sqlstate); /* it fits */
        failure = classify(answer->sqlstate);
    }
    verdict_fail(&batch->last_retry, OUTCOME_RETRY, code, answer->message);
    if (failure == FAILURE_BY_OTHERS && !batch->any_decided &&
        ++batch->failures_by_others == FAILURES_BY_OTHERS_MAX)
        failure = FAILURE_SYSTEMIC;

    if (failure == FAILURE_SYSTEMIC) {
        batch->systemic = true;
        retry_later(batch, part);
    } else if (part->count > 1) {
        parts_cut(&batch->parts, part, CUTS);
    } else if (failure == FAILURE_OF_A_ROW) {
        batch->any_decided = true;
        verdict_fail(&batch->verdicts[part->first], OUTCOME_REJECT, code, answer->message);
    } else {
        retry_later(batch, part);
    }
}

bool batch_backend_down(const struct batch *batch)
{
    return batch->systemic || (batch->count > 1 && !batch->any_decided);
}
