/* A batch of candidates at a time: their rows, then their documents. To judge, it is asked besides
 * whose letters have died. To mend, extra documents are deleted unless they have changed since the
 * first look, and orders are indexed as their rows are now. */
#include "services/scheduler/index/second_look.h"
#include "services/base/memory.h"
#include "services/clients/elasticsearch/index_names.h"
#include "services/scheduler/index/order_writer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH DOCUMENTS_MAX

enum look_phase {
    LOOK_NEXT, /* choose the next batch */
    LOOK_ROWS,
    LOOK_DOCUMENTS,
    LOOK_DEAD, /* judging: which of the missing ones have a dead letter */
    LOOK_MEND, /* delete the documents of the batch, index its orders */
};

struct second_look {
    struct compare_parts *parts;
    struct compare_candidates *candidates;
    struct compare_result *result;
    bool delete_extra;
    bool mending;
    enum look_phase phase;
    size_t next;                      /* the first candidate behind the batch */
    size_t batch[BATCH], batch_count; /* candidates */
    struct order_row_page page;
    struct compare_rows rows;
    struct order_writer *writer;
    struct compare_candidate *repaired[BATCH]; /* whose orders are written; NULL: was refused */
    struct order orders[BATCH];
    size_t order_count;
    size_t deleted[BATCH], delete_count; /* candidates whose documents are to be deleted */
    char deleted_from[BATCH][INDEX_NAME_SIZE];
};

/* Whether a candidate of the batch has the id of an order. */
static bool order_id_of(const struct second_look *look, size_t i, struct order_id *ret_id)
{
    const char *id = compare_candidates_id(look->candidates, look->batch[i]);
    return order_id_parse_lower(id, strlen(id), ret_id) == 0;
}

static const struct order_row *row_of(const struct second_look *look, const char *id)
{
    struct order_id order_id;
    bool is_order_id = order_id_parse_lower(id, strlen(id), &order_id) == 0;
    return is_order_id ? compare_rows_find(&look->rows, &order_id) : NULL;
}

static struct compare_tally *tally_of(struct second_look *look,
                                      const struct compare_candidate *candidate)
{
    switch (candidate->verdict) {
    case COMPARE_MISSING:
        return candidate->dead ? &look->result->dead_at_index : &look->result->missing;
    case COMPARE_EXTRA:
        return &look->result->extra;
    case COMPARE_DIFFERENT:
        return &look->result->different;
    case COMPARE_SAME:
        break;
    }
    return NULL;
}

/* ---- judging ---- */

static void tell_verdicts(struct second_look *look)
{
    for (size_t i = 0; i < look->batch_count; i++) {
        struct compare_tally *tally = tally_of(look, &look->candidates->list[look->batch[i]]);
        if (tally != NULL)
            compare_tally_add(tally, compare_candidates_id(look->candidates, look->batch[i]));
    }
    look->phase = LOOK_NEXT;
}

static int compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct order_id));
}

static void on_dead(void *arg, const struct database_answer *answer)
{
    struct second_look *look = arg;
    struct order_id dead[ORDER_ROWS_MAX], id;
    if (!job_run_answered(look->parts->run, answer, false))
        return;
    size_t count = order_rows_dead_read(answer, dead);
    qsort(dead, count, sizeof dead[0], compare_ids);
    for (size_t i = 0; i < look->batch_count; i++) {
        struct compare_candidate *candidate = &look->candidates->list[look->batch[i]];
        candidate->dead = candidate->verdict == COMPARE_MISSING && order_id_of(look, i, &id) &&
                          bsearch(&id, dead, count, sizeof dead[0], compare_ids) != NULL;
    }
    tell_verdicts(look);
}

static void ask_dead(struct second_look *look)
{
    struct job_run *run = look->parts->run;
    struct order_id ids[BATCH];
    size_t count = 0;
    for (size_t i = 0; i < look->batch_count; i++)
        if (look->candidates->list[look->batch[i]].verdict == COMPARE_MISSING &&
            order_id_of(look, i, &ids[count]))
            count++;
    if (count > 0) {
        job_run_sent(run, order_rows_dead(run->database, ids, count, on_dead, look));
        return;
    }
    tell_verdicts(look);
    job_run_step_in(run, 0);
}

/* ---- mending ---- */

#define BUSY_MS 1000 /* until Elasticsearch is asked again for what it could not delete */

static void on_deleted(void *arg, const enum document_deletion *deletions,
                       const struct error *failure)
{
    struct second_look *look = arg;
    if (!compare_answered(look->parts, failure))
        return;
    size_t left = 0;
    for (size_t i = 0; i < look->delete_count; i++) {
        look->result->extra.mended +=
            deletions[i] == DOCUMENT_DELETED || deletions[i] == DOCUMENT_GONE;
        if (deletions[i] != DOCUMENT_BUSY)
            continue;
        look->deleted[left] = look->deleted[i];
        memmove(look->deleted_from[left++], look->deleted_from[i], INDEX_NAME_SIZE);
    }
    look->delete_count = left;
    if (left > 0)
        job_run_step_in(look->parts->run, BUSY_MS);
}

static void delete_documents(struct second_look *look)
{
    struct document_place places[BATCH];
    for (size_t i = 0; i < look->delete_count; i++) {
        const struct compare_candidate *candidate = &look->candidates->list[look->deleted[i]];
        places[i] = (struct document_place){
            .id = compare_candidates_id(look->candidates, look->deleted[i]),
            .index = look->deleted_from[i],
            .seq_no = candidate->seq_no,
            .primary_term = candidate->primary_term,
        };
    }
    look->parts->asking = true;
    document_reader_delete(look->parts->reader, places, look->delete_count, on_deleted, look);
}

/* A document that Elasticsearch refuses for what it is stays as it is, and unmended. */
static void on_refused(void *arg, const struct order_id *id)
{
    struct second_look *look = arg;
    char text[ORDER_ID_TEXT_LEN + 1];
    for (size_t i = 0; i < look->order_count; i++)
        if (order_id_equal(id, &look->orders[i].id))
            look->repaired[i] = NULL;
    order_id_format(id, text);
    compare_tally_add(&look->result->refused, text);
}

static void on_written(void *arg, const struct error *failure)
{
    struct second_look *look = arg;
    if (!compare_answered(look->parts, failure))
        return;
    for (size_t i = 0; i < look->order_count; i++)
        if (look->repaired[i] != NULL)
            tally_of(look, look->repaired[i])->mended++;
    look->order_count = 0;
}

static void write_orders(struct second_look *look)
{
    look->parts->asking = true;
    order_writer_write(look->writer, look->orders, look->order_count);
}

static void plan_mending(struct second_look *look, size_t candidate, const struct order_row *row,
                         const struct document *document)
{
    switch (look->candidates->list[candidate].verdict) {
    case COMPARE_MISSING:
    case COMPARE_DIFFERENT:
        look->repaired[look->order_count] = &look->candidates->list[candidate];
        order_copy(&look->orders[look->order_count++], &row->order);
        break;
    case COMPARE_EXTRA:
        if (!look->delete_extra)
            break;
        snprintf(look->deleted_from[look->delete_count], INDEX_NAME_SIZE, "%s", document->index);
        look->deleted[look->delete_count++] = candidate;
        break;
    case COMPARE_SAME:
        break;
    }
}

/* ---- both ---- */

static void on_documents(void *arg, const struct document *documents, const struct error *failure)
{
    struct second_look *look = arg;
    if (!compare_answered(look->parts, failure))
        return;
    look->order_count = look->delete_count = 0;
    for (size_t i = 0; i < look->batch_count; i++) {
        struct compare_candidate *candidate = &look->candidates->list[look->batch[i]];
        const char *id = compare_candidates_id(look->candidates, look->batch[i]);
        const struct order_row *row = row_of(look, id);
        enum compare_verdict verdict =
            compare_again(candidate, row, &documents[i], look->page.digits);
        if (!look->mending)
            candidate->verdict = verdict;
        else if (verdict == candidate->verdict) /* else it is being written by somebody else */
            plan_mending(look, look->batch[i], row, &documents[i]);
    }
    look->phase = look->mending ? LOOK_MEND : LOOK_DEAD;
}

static void ask_documents(struct second_look *look)
{
    const char *ids[BATCH];
    for (size_t i = 0; i < look->batch_count; i++)
        ids[i] = compare_candidates_id(look->candidates, look->batch[i]);
    look->parts->asking = true;
    document_reader_get(look->parts->reader, ids, look->batch_count, on_documents, look);
}

static void on_rows(void *arg, const struct database_answer *answer)
{
    struct second_look *look = arg;
    if (!job_run_answered(look->parts->run, answer, false))
        return;
    order_rows_found(answer, &look->page);
    compare_rows_sort(&look->rows, &look->page);
    look->phase = LOOK_DOCUMENTS;
}

static void find_rows(struct second_look *look)
{
    struct job_run *run = look->parts->run;
    struct order_id ids[BATCH];
    size_t count = 0;
    for (size_t i = 0; i < look->batch_count; i++)
        if (order_id_of(look, i, &ids[count]))
            count++;
    if (count > 0) {
        job_run_sent(run, order_rows_find(run->database, ids, count, on_rows, look));
        return;
    }
    look->rows.count = 0;
    look->phase = LOOK_DOCUMENTS;
    job_run_step_in(run, 0);
}

/* The next candidates: all are judged, those that were found to differ are mended. */
static void choose_batch(struct second_look *look)
{
    look->batch_count = 0;
    for (; look->next < look->candidates->count && look->batch_count < BATCH; look->next++)
        if (!look->mending || look->candidates->list[look->next].verdict != COMPARE_SAME)
            look->batch[look->batch_count++] = look->next;
    look->phase = LOOK_ROWS;
}

bool second_look_step(struct second_look *look)
{
    switch (look->phase) {
    case LOOK_NEXT:
        choose_batch(look);
        if (look->batch_count == 0)
            return false;
        job_run_step_in(look->parts->run, 0);
        break;
    case LOOK_ROWS:
        find_rows(look);
        break;
    case LOOK_DOCUMENTS:
        ask_documents(look);
        break;
    case LOOK_DEAD:
        ask_dead(look);
        break;
    case LOOK_MEND:
        if (look->delete_count > 0) {
            delete_documents(look);
        } else if (look->order_count > 0) {
            write_orders(look);
        } else {
            look->phase = LOOK_NEXT;
            job_run_step_in(look->parts->run, 0);
        }
        break;
    }
    return true;
}

static void begin(struct second_look *look, bool mending)
{
    look->mending = mending;
    look->next = 0;
    look->phase = LOOK_NEXT;
}

void second_look_judge(struct second_look *look)
{
    begin(look, false);
}

void second_look_mend(struct second_look *look)
{
    begin(look, true);
}

struct second_look *second_look_new(const struct index_context *context,
                                    struct compare_parts *parts,
                                    struct compare_candidates *candidates,
                                    struct compare_result *result,
                                    const struct second_look_options *options)
{
    struct second_look *look = memory_new(sizeof *look);
    look->parts = parts;
    look->candidates = candidates;
    look->result = result;
    look->delete_extra = options->delete_extra;
    look->writer = order_writer_new(context, &(struct order_writer_options){
                                                 .index = options->index,
                                                 .require_alias = options->require_alias,
                                                 .on_done = on_written,
                                                 .on_refused = on_refused,
                                                 .arg = look,
                                             });
    look->phase = LOOK_NEXT;
    return look;
}

void second_look_free(struct second_look *look)
{
    if (look == NULL)
        return;
    order_writer_free(look->writer);
    free(look);
}
