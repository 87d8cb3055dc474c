/* Batches against a simulated orders table, on simulated time. */
#include "services/persister/insert_answer.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT 1000
#define STATEMENT_MS 3
#define CREATED_AT_US 1764000000000000 /* what the rows have */

/* What the server does with each row: "" stores it, "conflict" has another, else a SQLSTATE, and a
 * '+' behind it if the server names a constraint. A locked or slow row takes its timeout. */
struct table {
    const char *rows[BATCH_MAX];
    struct verdict verdicts[BATCH_MAX];
    unsigned inserted[BATCH_MAX];
    unsigned statements;
    int64_t elapsed_ms;
    bool ended, backend_down;
};

static struct table table;

static int reset(void **state)
{
    (void)state;
    memset(&table, 0, sizeof(table));
    for (size_t i = 0; i < BATCH_MAX; i++)
        table.rows[i] = "";
    return 0;
}

static int64_t cost_ms(const char *sqlstate)
{
    return strcmp(sqlstate, "55P03") == 0   ? INSERT_LOCK_TIMEOUT_MS
           : strcmp(sqlstate, "57014") == 0 ? INSERT_STATEMENT_TIMEOUT_MS
                                            : STATEMENT_MS;
}

static void insert(struct batch *batch)
{
    const struct part *part = &batch->part;
    struct insert_result results[BATCH_MAX];
    table.statements++;
    for (size_t i = 0; i < part->count; i++) {
        const char *row = table.rows[part->first + i];
        results[i].status = strcmp(row, "conflict") == 0 ? INSERT_CONFLICT : INSERT_STORED;
        results[i].created_at_us = CREATED_AT_US;
        if (row[0] == '\0' || results[i].status == INSERT_CONFLICT)
            continue;
        struct database_answer answer = {.status = DATABASE_FAILED};
        if (strcmp(row, "lost") == 0)
            answer.status = DATABASE_UNAVAILABLE;
        else
            snprintf(answer.sqlstate, sizeof(answer.sqlstate), "%.5s", row);
        answer.by_constraint = strchr(row, '+') != NULL;
        snprintf(answer.message, sizeof(answer.message), "message of %s", row);
        table.elapsed_ms += cost_ms(row);
        insert_answer_judge(batch, NULL, &answer);
        return;
    }
    table.elapsed_ms += STATEMENT_MS;
    for (size_t i = 0; i < part->count; i++)
        table.inserted[part->first + i]++;
    insert_answer_judge(batch, results, &(struct database_answer){.status = DATABASE_OK});
}

static void write_part(void *self, struct batch *batch)
{
    (void)self, (void)batch;
}

static int try_part(void *self, struct batch *batch, int64_t timeout_ms)
{
    (void)self;
    assert_in_range(timeout_ms, 1, INSERT_TRY_MS);
    assert_true(batch->part.count >= 1 && batch->part.first + batch->part.count <= batch->count);
    return 0;
}

static void on_done(void *arg, bool store_down)
{
    (void)arg;
    table.ended = true;
    table.backend_down = store_down;
}

static const struct batch_store store = {.write_part = write_part,
                                         .try_part = try_part,
                                         .limit_ms = INSERT_TRY_MS,
                                         .unavailable = "postgres_unavailable"};

static void run(size_t count)
{
    static struct batch batch;
    memset(table.verdicts, 0, sizeof(table.verdicts));
    table.ended = false;
    batch_write(&batch, 0, &store, NULL, count, table.verdicts);
    batch_begin(&batch, on_done, NULL, 1000);
    while (!table.ended) {
        insert(&batch);
        batch_go_on(&batch, 1000 + table.elapsed_ms);
    }
    for (size_t i = 0; i < count; i++)
        assert_in_range(table.verdicts[i].outcome, OUTCOME_DONE, OUTCOME_REJECT);
}

static size_t count_outcome(size_t count, enum outcome outcome)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += table.verdicts[i].outcome == outcome;
    return total;
}

static void all_stored_by_one_statement(void **state)
{
    (void)state;
    run(COUNT);
    assert_int_equal(table.statements, 1);
    assert_int_equal(count_outcome(COUNT, OUTCOME_DONE), COUNT);
    assert_false(table.backend_down);
}

static void a_conflict_is_rejected(void **state)
{
    (void)state;
    table.rows[7] = "conflict";
    run(COUNT);
    assert_int_equal(table.statements, 1);
    assert_int_equal(table.verdicts[7].outcome, OUTCOME_REJECT);
    assert_string_equal(table.verdicts[7].code, "id_conflict");
    assert_int_equal(count_outcome(COUNT, OUTCOME_DONE), COUNT - 1);
}

/* Wherever it is, and however large the batch. */
static void one_bad_row_is_found(void **state)
{
    (void)state;
    static const char *const sqlstates[] = {"22003", "23514+", "44000", "P0001"};
    static const size_t counts[] = {1, 2, 7, 8, 9, 64, 65, 500, 1000};
    for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++)
        for (size_t bad = 0; bad < counts[c]; bad++) {
            reset(state);
            const char *sqlstate = sqlstates[bad % 4];
            table.rows[bad] = sqlstate;
            run(counts[c]);
            char code[VERDICT_CODE_SIZE];
            snprintf(code, sizeof(code), "sqlstate_%.5s", sqlstate);
            assert_int_equal(table.verdicts[bad].outcome, OUTCOME_REJECT);
            assert_string_equal(table.verdicts[bad].code, code);
            assert_int_equal(count_outcome(counts[c], OUTCOME_DONE), counts[c] - 1);
            assert_false(table.backend_down);
            assert_in_range(table.statements, 1, 33);
            for (size_t i = 0; i < counts[c]; i++)
                assert_int_equal(table.inserted[i], i != bad);
        }
}

static void every_row_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < BATCH_MAX; i++)
        table.rows[i] = "23514+";
    run(BATCH_MAX / 2);
    assert_int_equal(count_outcome(BATCH_MAX / 2, OUTCOME_REJECT), BATCH_MAX / 2);
    assert_false(table.backend_down);
}

static void a_locked_row_delays_only_itself(void **state)
{
    (void)state;
    table.rows[321] = "55P03";
    run(COUNT);
    assert_int_equal(table.verdicts[321].outcome, OUTCOME_RETRY);
    assert_string_equal(table.verdicts[321].code, "sqlstate_55P03");
    assert_int_equal(count_outcome(COUNT, OUTCOME_DONE), COUNT - 1);
    assert_false(table.backend_down);
    assert_in_range(table.elapsed_ms, 1, 1100);
}

static void a_slow_row_delays_few(void **state)
{
    (void)state;
    table.rows[0] = "57014";
    run(COUNT);
    assert_int_equal(table.verdicts[0].outcome, OUTCOME_RETRY);
    assert_in_range(count_outcome(COUNT, OUTCOME_DONE), COUNT - 10, COUNT - 1);
    assert_in_range(table.elapsed_ms, 1, 5000);
    assert_false(table.backend_down);
    /* and alone it is not taken for a failing server */
    reset(state);
    table.rows[0] = "57014";
    run(1);
    assert_false(table.backend_down);
}

static void a_locked_table_is_given_up_in_time(void **state)
{
    (void)state;
    static const char *const sqlstates[] = {"55P03", "57014"};
    for (size_t s = 0; s < 2; s++) {
        reset(state);
        for (size_t i = 0; i < COUNT; i++)
            table.rows[i] = sqlstates[s];
        run(COUNT);
        assert_int_equal(count_outcome(COUNT, OUTCOME_RETRY), COUNT);
        assert_true(table.backend_down);
        assert_in_range(table.elapsed_ms, 1, 5 * cost_ms(sqlstates[s]));
        assert_in_range(table.elapsed_ms, 1, 5000);
    }
}

static void a_systemic_failure_stops_the_batch(void **state)
{
    (void)state;
    static const char *const failures[] = {"42P01", "42501", "53100", "57P03", "08006",
                                           "XX000", "54000", "25006", "lost"};
    for (size_t f = 0; f < sizeof(failures) / sizeof(failures[0]); f++) {
        reset(state);
        table.rows[250] = failures[f];
        run(COUNT);
        assert_int_equal(table.statements, 1);
        assert_int_equal(count_outcome(COUNT, OUTCOME_RETRY), COUNT);
        assert_true(table.backend_down);
        assert_string_not_equal(table.verdicts[COUNT - 1].code, "");
        assert_string_not_equal(table.verdicts[COUNT - 1].detail, "");
    }
}

/* A column that orders do not fill, a partition that is missing, a sequence at its end, a faulty
 * trigger: no order is rejected for it. */
static void what_is_not_known_to_be_a_rows_fault_is_retried(void **state)
{
    static const char *const sqlstates[] = {"23502", "23514", "2200H", "22012", "21000", "P0002"};
    for (size_t s = 0; s < sizeof(sqlstates) / sizeof(sqlstates[0]); s++) {
        reset(state);
        for (size_t i = 0; i < COUNT; i++)
            table.rows[i] = sqlstates[s];
        run(COUNT);
        assert_int_equal(count_outcome(COUNT, OUTCOME_RETRY), COUNT);
        assert_true(table.backend_down);
        assert_in_range(table.statements, 1, 5);
        run(1);
        assert_true(table.backend_down);
        /* Where it is the fault of one row all the same, the others are stored. */
        reset(state);
        table.rows[123] = sqlstates[s];
        run(COUNT);
        assert_int_equal(table.verdicts[123].outcome, OUTCOME_RETRY);
        assert_int_equal(count_outcome(COUNT, OUTCOME_DONE), COUNT - 1);
        assert_false(table.backend_down);
    }
}

/* A connection lost while a bad row is being looked for: what is stored stays done. */
static void a_loss_in_between_keeps_what_was_decided(void **state)
{
    (void)state;
    table.rows[100] = "23514+";
    table.rows[400] = "lost";
    run(COUNT);
    assert_true(table.backend_down);
    assert_int_equal(count_outcome(COUNT, OUTCOME_REJECT), 0);
    reset(state);
    static struct batch batch;
    batch_write(&batch, 0, &store, NULL, 16, table.verdicts);
    batch_begin(&batch, on_done, NULL, 0);
    insert_answer_judge(&batch, NULL,
                        &(struct database_answer){.status = DATABASE_FAILED, .sqlstate = "22003"});
    batch_go_on(&batch, 0);
    insert(&batch);
    batch_go_on(&batch, 0);
    insert_answer_judge(&batch, NULL, &(struct database_answer){.status = DATABASE_UNAVAILABLE});
    assert_false(table.ended);
    batch_go_on(&batch, 0);
    assert_true(table.ended);
    assert_int_equal(count_outcome(16, OUTCOME_DONE), 2);
    assert_int_equal(count_outcome(16, OUTCOME_RETRY), 14);
    assert_string_equal(table.verdicts[15].code, "postgres_unavailable");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(all_stored_by_one_statement, reset),
        cmocka_unit_test_setup(a_conflict_is_rejected, reset),
        cmocka_unit_test_setup(one_bad_row_is_found, reset),
        cmocka_unit_test_setup(every_row_bad, reset),
        cmocka_unit_test_setup(a_locked_row_delays_only_itself, reset),
        cmocka_unit_test_setup(a_slow_row_delays_few, reset),
        cmocka_unit_test_setup(a_locked_table_is_given_up_in_time, reset),
        cmocka_unit_test_setup(a_systemic_failure_stops_the_batch, reset),
        cmocka_unit_test_setup(what_is_not_known_to_be_a_rows_fault_is_retried, reset),
        cmocka_unit_test_setup(a_loss_in_between_keeps_what_was_decided, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
