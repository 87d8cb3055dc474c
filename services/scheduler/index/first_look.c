/* Orders first, each with its document by _id, which Elasticsearch knows before a search finds it.
 * Then documents, each with its row: what has none is extra. In a span whose hours agree and in
 * which no order lacks its document, no document can be extra, so that they are not read.
 *
 * Rows that are read by key belong to one long span. Documents are read by time in any case, hours
 * without a gap at once. */
#include "services/scheduler/index/first_look.h"
#include "services/base/memory.h"
#include <stdlib.h>
#include <string.h>

#define DOCUMENT_HOURS (7 * 24) /* that are walked over at once */

_Static_assert(ORDER_ROWS_MAX <= DOCUMENTS_MAX, "a page's documents are read at once");
_Static_assert(DOCUMENTS_MAX <= ORDER_ROWS_MAX, "a page's rows are found at once");

enum look_phase {
    LOOK_ORDERS,         /* read a page of rows */
    LOOK_THEIR_DOCUMENT, /* of the page's rows */
    LOOK_HOURS,          /* begin to walk over documents of the next hours */
    LOOK_DOCUMENTS,      /* read a page of documents */
    LOOK_THEIR_ORDERS,   /* of the page's documents */
    LOOK_DONE,
};

struct seen_document {
    char id[DOCUMENT_ID_SIZE];
    bool is_order_id;
    struct order_id order_id;
    int64_t seq_no, primary_term;
};

struct first_look {
    struct compare_parts *parts;
    const struct compare_range *range;
    const struct compare_hours *hours;
    struct compare_choice choice;
    struct compare_candidates *candidates;
    enum look_phase phase;
    struct compare_span span, walked; /* of documents, a part of the span */
    size_t next_hour;                 /* behind `walked` */
    enum document_range documents_range;
    bool walking, last_page; /* a walk over documents has begun; its last page is here */
    bool suspicious;         /* an order of the span has no document as it should be */
    bool nameless;           /* there are rows whose id is no order's */
    bool repeats;
    int64_t orders;
    struct order_walk walk;
    int64_t *walk_hours;
    struct order_row_page page;
    struct compare_rows rows;
    char ids[ORDER_ROWS_MAX][ORDER_ID_TEXT_LEN + 1]; /* of the page's orders: */
    size_t asked[ORDER_ROWS_MAX], asked_count;       /* their rows in the page */
    struct seen_document documents[DOCUMENTS_MAX];
    size_t document_count;
};

static void add(struct first_look *look, const char *id, const struct compare_candidate *candidate)
{
    compare_candidates_add(look->candidates, id, strlen(id), candidate);
}

/* ---- orders ---- */

static void on_rows(void *arg, const struct database_answer *answer)
{
    struct first_look *look = arg;
    order_hours_rows_read(&look->walk, answer, &look->page);
    if (!job_run_answered(look->parts->run, answer, false))
        return;
    look->nameless |= look->page.nameless > 0;
    look->orders += (int64_t)look->page.count;
    look->asked_count = 0;
    for (size_t i = 0; i < look->page.count; i++)
        if (look->page.rows[i].is_order) {
            order_id_format(&look->page.rows[i].order.id, look->ids[look->asked_count]);
            look->asked[look->asked_count++] = i;
        }
    if (look->asked_count > 0)
        look->phase = LOOK_THEIR_DOCUMENT;
}

static void read_rows(struct first_look *look)
{
    struct job_run *run = look->parts->run;
    job_run_sent(run, order_hours_rows_next(run->database, &look->walk, on_rows, look));
}

static void on_their_documents(void *arg, const struct document *documents,
                               const struct error *failure)
{
    struct first_look *look = arg;
    if (!compare_answered(look->parts, failure))
        return;
    for (size_t i = 0; i < look->asked_count; i++) {
        const struct order_row *row = &look->page.rows[look->asked[i]];
        if (compare_sides(row, &documents[i], look->page.digits) == COMPARE_SAME)
            continue;
        look->suspicious = true;
        add(look, look->ids[i], &(struct compare_candidate){.had_order = true});
    }
    look->phase = LOOK_ORDERS;
}

static void ask_their_documents(struct first_look *look)
{
    const char *ids[ORDER_ROWS_MAX];
    for (size_t i = 0; i < look->asked_count; i++)
        ids[i] = look->ids[i];
    look->parts->asking = true;
    document_reader_get(look->parts->reader, ids, look->asked_count, on_their_documents, look);
}

/* ---- documents ---- */

static void on_documents(void *arg, enum document_page page, const struct document_place *places,
                         size_t count, const struct error *failure)
{
    struct first_look *look = arg;
    if (!compare_answered(look->parts, failure))
        return;
    if (page == DOCUMENT_PAGE_LOST) {
        look->walking = false;
        look->repeats = true;
        return;
    }
    look->walking = true;
    look->last_page = page == DOCUMENT_PAGE_LAST;
    look->document_count = count;
    for (size_t i = 0; i < count; i++) {
        struct seen_document *document = &look->documents[i];
        size_t len = strnlen(places[i].id, DOCUMENT_ID_SIZE - 1);
        memcpy(document->id, places[i].id, len);
        document->id[len] = '\0';
        document->is_order_id = places[i].is_order_id;
        document->order_id = places[i].order_id;
        document->seq_no = places[i].seq_no;
        document->primary_term = places[i].primary_term;
    }
    look->phase = LOOK_THEIR_ORDERS;
}

static void read_documents(struct first_look *look)
{
    look->parts->asking = true;
    if (look->walking)
        document_reader_next_page(look->parts->reader, on_documents, look);
    else
        document_reader_first_page(look->parts->reader, look->documents_range, look->walked.from_us,
                                   look->walked.to_us, on_documents, look);
}

static bool in_span(const struct first_look *look, int64_t created_at_us)
{
    return created_at_us >= look->span.from_us && created_at_us < look->span.to_us &&
           compare_range_has(look->range, created_at_us);
}

static void judge_documents(struct first_look *look)
{
    compare_rows_sort(&look->rows, &look->page);
    for (size_t i = 0; i < look->document_count; i++) {
        const struct seen_document *document = &look->documents[i];
        const struct order_row *row =
            document->is_order_id ? compare_rows_find(&look->rows, &document->order_id) : NULL;
        struct compare_candidate candidate = {.had_order = row != NULL,
                                              .seq_no = document->seq_no,
                                              .primary_term = document->primary_term};
        if (row == NULL && (document->is_order_id || !look->nameless))
            add(look, document->id, &candidate);
        /* The document has another created_at than its order, which is in another span. */
        if (row != NULL && row->is_order && look->documents_range == DOCUMENTS_DATED &&
            !in_span(look, row->order.created_at_us))
            add(look, document->id, &candidate);
    }
    look->phase = look->last_page ? LOOK_HOURS : LOOK_DOCUMENTS;
}

static void on_their_orders(void *arg, const struct database_answer *answer)
{
    struct first_look *look = arg;
    if (!job_run_answered(look->parts->run, answer, false))
        return;
    order_rows_found(answer, &look->page);
    judge_documents(look);
}

static void ask_their_orders(struct first_look *look)
{
    struct job_run *run = look->parts->run;
    struct order_id ids[DOCUMENTS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < look->document_count; i++)
        if (look->documents[i].is_order_id)
            ids[count++] = look->documents[i].order_id;
    if (count > 0) {
        job_run_sent(run, order_rows_find(run->database, ids, count, on_their_orders, look));
        return;
    }
    look->page.count = 0;
    judge_documents(look);
    job_run_step_in(run, 0);
}

/* The next hours of the span whose documents are to be walked over. */
static void choose_hours(struct first_look *look)
{
    struct compare_span next;
    look->phase = LOOK_DONE;
    if (look->documents_range != DOCUMENTS_DATED ||
        !compare_hours_next(look->hours, look->choice, look->next_hour, look->span.end,
                            DOCUMENT_HOURS, &next))
        return;
    look->next_hour = next.end;
    compare_range_clip(look->range, &next);
    look->walked = next;
    look->walking = false;
    look->phase = LOOK_DOCUMENTS;
}

/* ---- steps ---- */

enum first_look_state first_look_step(struct first_look *look)
{
    switch (look->phase) {
    case LOOK_ORDERS:
        if (look->walk.ended) {
            bool agrees =
                !look->suspicious && !compare_hours_differ(look->hours, look->choice, &look->span);
            look->phase = agrees ? LOOK_DONE : LOOK_HOURS;
            job_run_step_in(look->parts->run, 0);
        } else if (!compare_candidates_fit(look->candidates, ORDER_ROWS_MAX)) {
            return FIRST_LOOK_FULL;
        } else {
            read_rows(look);
        }
        break;
    case LOOK_THEIR_DOCUMENT:
        ask_their_documents(look);
        break;
    case LOOK_HOURS:
        choose_hours(look);
        job_run_step_in(look->parts->run, 0);
        break;
    case LOOK_DOCUMENTS:
        if (!compare_candidates_fit(look->candidates, DOCUMENTS_MAX))
            return FIRST_LOOK_FULL;
        read_documents(look);
        break;
    case LOOK_THEIR_ORDERS:
        ask_their_orders(look);
        break;
    case LOOK_DONE:
        return FIRST_LOOK_DONE;
    }
    return FIRST_LOOK_RUNS;
}

void first_look_span(struct first_look *look, const struct compare_span *span, bool by_key)
{
    look->span = *span;
    look->next_hour = span->first;
    look->documents_range = DOCUMENTS_DATED;
    look->suspicious = false;
    order_walk_release(&look->walk);
    free(look->walk_hours);
    look->walk_hours = memory_new_array(span->end - span->first, sizeof *look->walk_hours);
    size_t count = compare_hours_list(look->hours, look->choice, span, look->walk_hours);
    order_walk_init(&look->walk, by_key, span->from_us, span->to_us, look->walk_hours, count);
    if (span->to_us > look->range->later_us)
        order_walk_leave_out(&look->walk, look->range->to_us, look->range->later_us);
    look->phase = LOOK_ORDERS;
}

void first_look_undated(struct first_look *look)
{
    look->documents_range = DOCUMENTS_UNDATED;
    look->walking = false;
    look->phase = LOOK_DOCUMENTS;
}

int64_t first_look_orders(const struct first_look *look)
{
    return look->orders;
}

bool first_look_repeats(const struct first_look *look)
{
    return look->repeats;
}

struct first_look *first_look_new(struct compare_parts *parts, const struct compare_range *range,
                                  const struct compare_hours *hours, struct compare_choice choice,
                                  struct compare_candidates *candidates)
{
    struct first_look *look = memory_new(sizeof *look);
    look->parts = parts;
    look->range = range;
    look->hours = hours;
    look->choice = choice;
    look->candidates = candidates;
    look->phase = LOOK_DONE;
    return look;
}

void first_look_free(struct first_look *look)
{
    if (look == NULL)
        return;
    order_walk_release(&look->walk);
    free(look->walk_hours);
    free(look);
}
