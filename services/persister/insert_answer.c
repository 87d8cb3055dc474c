/* A statement inserts all or none, so one bad row fails its part. The part that failed is cut into
 * ten, and each of these is tried alone, and so on down to single rows: one bad row among 1,000 is
 * found in 31 statements, of which four fail. Ten rather than two because a
 * locked row costs a lock timeout in each statement that fails, while the others take milliseconds.
 *
 * When statements fail one after another, but not for a row, and nothing is stored, the whole table
 * is locked, or none of its rows is at fault. */
#include "services/persister/insert_answer.h"
#include <stdio.h>
#include <string.h>

#define CUTS 10
#define FAILURES_MAX 5
_Static_assert(CUTS *CUTS *CUTS >= ORDERS_BATCH_MAX, "four statements find one slow row");

enum failure {
    FAILURE_OF_A_ROW,  /* the order's own values are refused: will fail for ever */
    FAILURE_BY_OTHERS, /* a row is locked or slow at the moment, by another transaction */
    FAILURE_UNCLEAR,   /* the table or its triggers are at fault; other orders may yet be stored */
    FAILURE_SYSTEMIC,
};

/* SQLSTATEs: PostgreSQL documentation, appendix A. A refusal is a row's own only if it is known to
 * be. The rest of classes 22 and 23 is a column that orders do not fill (23502), a partition that
 * is missing (23514 without a constraint), a sequence at its end (2200H), a trigger that divides by
 * zero (22012), and the like. */
static enum failure classify(const struct database_answer *answer)
{
    static const struct {
        const char *prefix;
        enum failure failure;
    } table[] = {
        {"22001", FAILURE_OF_A_ROW},  /* string data, right truncation */
        {"22003", FAILURE_OF_A_ROW},  /* numeric value out of range */
        {"22008", FAILURE_OF_A_ROW},  /* datetime field overflow */
        {"22021", FAILURE_OF_A_ROW},  /* character not in repertoire */
        {"22P05", FAILURE_OF_A_ROW},  /* untranslatable character */
        {"P0001", FAILURE_OF_A_ROW},  /* raise_exception, as triggers do */
        {"44000", FAILURE_OF_A_ROW},  /* WITH CHECK OPTION of a view */
        {"55P03", FAILURE_BY_OTHERS}, /* lock not available: lock_timeout */
        {"57014", FAILURE_BY_OTHERS}, /* query canceled: statement_timeout */
        {"40", FAILURE_BY_OTHERS},    /* transaction rollback: deadlock, serialization */
        {"21", FAILURE_UNCLEAR},      /* cardinality violation, in a trigger */
        {"22", FAILURE_UNCLEAR},      /* data exception */
        {"23", FAILURE_UNCLEAR},      /* integrity constraint violation */
        {"P0", FAILURE_UNCLEAR},      /* PL/pgSQL */
    };
    if (strncmp(answer->sqlstate, "23", 2) == 0 && answer->by_constraint)
        return FAILURE_OF_A_ROW;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strncmp(answer->sqlstate, table[i].prefix, strlen(table[i].prefix)) == 0)
            return table[i].failure;
    return FAILURE_SYSTEMIC;
}

static void judge_rows(struct batch *batch, const struct insert_result results[])
{
    batch->store_works = true;
    for (size_t i = 0; i < batch->part.count; i++) {
        struct verdict *verdict = &batch->verdicts[batch->part.first + i];
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

static void judge_failure(struct batch *batch, enum failure failure, const char *code,
                          const char *message)
{
    batch_failed(batch, code, message);
    if (failure != FAILURE_OF_A_ROW && !batch->store_works && ++batch->failures == FAILURES_MAX)
        failure = FAILURE_SYSTEMIC;

    if (failure == FAILURE_SYSTEMIC) {
        batch_give_up(batch);
    } else if (batch->part.count > 1) {
        batch_cut(batch, CUTS);
    } else if (failure == FAILURE_OF_A_ROW) {
        batch->store_works = true;
        verdict_fail(&batch->verdicts[batch->part.first], OUTCOME_REJECT, code, message);
    } else {
        /* A batch of one locked row says nothing about the table. */
        batch->store_works |= failure == FAILURE_BY_OTHERS && batch->count == 1;
        batch_retry_later(batch);
    }
}

void insert_answer_judge(struct batch *batch, const struct insert_result results[],
                         const struct database_answer *answer)
{
    if (answer->status == DATABASE_OK) {
        judge_rows(batch, results);
    } else if (answer->status == DATABASE_FAILED) {
        char code[VERDICT_CODE_SIZE];
        (void)snprintf(code, sizeof code, "sqlstate_%.5s", answer->sqlstate); /* it fits */
        judge_failure(batch, classify(answer), code, answer->message);
    } else {
        judge_failure(batch, FAILURE_SYSTEMIC, "postgres_unavailable", answer->message);
    }
}
