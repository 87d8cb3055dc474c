/* Reads the documents of an index for a job, and deletes documents. One question is under way at a
 * time; each callback comes from the loop, never from inside the call, and `failure` is NULL unless
 * Elasticsearch refuses what is asked (a server that is away is waited for, index_requests.h).
 * Pointers given to a callback live during it. */
#ifndef SCHEDULER_INDEX_DOCUMENT_READER_H
#define SCHEDULER_INDEX_DOCUMENT_READER_H

#include "proto/error.h"
#include "proto/order.h"

struct document_reader;
struct index_requests;

/* How long an answer may be (index_requests_new()): DOCUMENT_HOURS_MAX hours fit with room to
 * spare. Documents whose answer is longer are asked for in parts. */
#define DOCUMENT_ANSWER_MAX_BYTES (4 * 1024 * 1024)

/* `index` is an index or an alias, copied. `requests` outlives the reader, and is used by it alone
 * while a question is under way. */
struct document_reader *document_reader_new(struct index_requests *requests, const char *index);
/* Not while a question is under way, unless `requests` is freed, too, so that no answer comes. NULL
 * is legal. */
void document_reader_free(struct document_reader *reader);

/* ---- refreshing ---- */

typedef void document_refreshed_fn(void *arg, const struct error *failure);

/* Let searches find what was written before; needs the privilege `maintenance`. */
void document_reader_refresh(struct document_reader *reader, document_refreshed_fn *on_done,
                             void *arg);

/* ---- hours ---- */

struct document_hour {
    int64_t start_us; /* of an hour of UTC */
    int64_t documents;
    double sum; /* of `amount`, in whole units; 0 unless sums were asked for */
};

/* The hours that have documents, in order; when `more`, go on from the last hour's end. Documents
 * dated before the year 1 or after 9999 belong to the first hour of all, or to the last one. */
typedef void document_hours_fn(void *arg, const struct document_hour *hours, size_t count,
                               bool more, const struct error *failure);

/* Count the documents by the hour of their created_at, which must be a date in the index's mapping,
 * from `from_us` to `to_us` (excluded; whole milliseconds, as a date has; TIMESTAMP_MIN_US,
 * TIMESTAMP_MAX_US: no bound), DOCUMENT_HOURS_MAX hours at most. `sums`: `amount` is a number in
 * the mapping. */
#define DOCUMENT_HOURS_MAX 10000
void document_reader_hours(struct document_reader *reader, int64_t from_us, int64_t to_us,
                           bool sums, document_hours_fn *on_done, void *arg);

/* All documents, and those of them that have no created_at that is indexed. */
typedef void document_count_fn(void *arg, int64_t documents, int64_t undated,
                               const struct error *failure);
void document_reader_count(struct document_reader *reader, document_count_fn *on_done, void *arg);

/* ---- documents by id ---- */

#define DOCUMENT_ID_SIZE 513 /* an _id has at most 512 bytes */

struct document {
    enum document_state {
        DOCUMENT_ABSENT,
        DOCUMENT_ORDER, /* _source is an order of this id */
        DOCUMENT_OTHER, /* it is something else */
    } state;
    struct order order;           /* DOCUMENT_ORDER */
    const char *index;            /* the index that it is in; not of DOCUMENT_ABSENT, as these: */
    int64_t seq_no, primary_term; /* of its last change */
};

/* One for each id, in order. */
typedef void documents_fn(void *arg, const struct document *documents, const struct error *failure);

/* Read 1..DOCUMENTS_MAX documents by their _id, which are different ones. Sees what was written
 * before, also when a search does not yet, but for an alias of several indexes. */
#define DOCUMENTS_MAX 1000
void document_reader_get(struct document_reader *reader, const char *const *ids, size_t count,
                         documents_fn *on_done, void *arg);

/* ---- all ids ---- */

struct document_place {
    const char *id, *index;
    bool is_order_id; /* `id` is an order's, order_id_parse_lower(): */
    struct order_id order_id;
    int64_t seq_no, primary_term;
};

enum document_page {
    DOCUMENT_PAGE,      /* document_reader_next_page() gives the next one */
    DOCUMENT_PAGE_LAST, /* that was all; it has no places */
    DOCUMENT_PAGE_LOST, /* a page was lost, or the walk, as after a restart: begin anew; or
                           `failure` */
};
typedef void document_places_fn(void *arg, enum document_page page,
                                const struct document_place *places, size_t count,
                                const struct error *failure);

enum document_range {
    DOCUMENTS_ALL,
    DOCUMENTS_DATED,   /* created_at in [from_us, to_us), a date in the mapping */
    DOCUMENTS_UNDATED, /* without a created_at that is indexed */
};

/* Walk over the documents as a search sees them now, in no order, in pages of DOCUMENTS_MAX at
 * most. From one page to the next at most DOCUMENT_WALK_MINUTES may pass. A walk that was begun
 * before is given up. */
#define DOCUMENT_WALK_MINUTES 5
void document_reader_first_page(struct document_reader *reader, enum document_range range,
                                int64_t from_us, int64_t to_us, document_places_fn *on_done,
                                void *arg);
void document_reader_next_page(struct document_reader *reader, document_places_fn *on_done,
                               void *arg);

/* ---- deleting ---- */

enum document_deletion {
    DOCUMENT_DELETED,
    DOCUMENT_GONE,    /* it was not there any more */
    DOCUMENT_CHANGED, /* it was changed, and stays */
    DOCUMENT_BUSY,    /* Elasticsearch cannot delete it now: try again */
};
/* One for each place, in order. */
typedef void document_deletions_fn(void *arg, const enum document_deletion *deletions,
                                   const struct error *failure);

/* Delete 1..DOCUMENTS_MAX documents unless they have changed. Of `places`, id, index, seq_no and
 * primary_term are used, during the call only. On a failure some may have been deleted. */
void document_reader_delete(struct document_reader *reader, const struct document_place *places,
                            size_t count, document_deletions_fn *on_done, void *arg);

#endif
