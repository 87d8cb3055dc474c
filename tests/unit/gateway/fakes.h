/* Fakes of the gateway's ports, in memory. Each answers from the loop as the real ones do, and does
 * as it is told by the members that a test sets between requests. */
#ifndef TESTS_GATEWAY_FAKES_H
#define TESTS_GATEWAY_FAKES_H

#include "proto/order_json.h"
#include "services/gateway/api.h"
#include "services/loop/event_loop.h"
#include <stdbool.h>

#define FAKE_ORDERS_MAX 64
#define FAKE_CALLS_SIZE 1024
#define FAKE_STATUS "{\"well\":true}"

enum fake_mode {
    FAKE_WORKS,
    FAKE_REFUSES, /* -1 at once */
    FAKE_FAILS,   /* answers that it is unavailable */
    FAKE_SLOW,    /* answers that it is unavailable, but later than any deadline */
};

struct fake_entry {
    struct order_id id;
    bool provisional;
    size_t json_len;
    char json[ORDER_JSON_SIZE];
};

struct fake_trace {
    char traceparent[TRACEPARENT_LEN + 1], tracestate[TRACESTATE_MAX_BYTES + 1];
};

struct fakes {
    struct event_loop *loop;

    /* The calls so far: "publish put ". */
    char calls[FAKE_CALLS_SIZE];

    struct order_cache cache;
    enum fake_mode cache_mode;
    struct fake_entry entries[FAKE_ORDERS_MAX];
    size_t entry_count;

    struct order_queue queue;
    bool queue_accepts;
    enum fake_mode queue_mode; /* FAKE_FAILS: `queue_result` */
    enum publish_result queue_result;
    struct order published; /* the last one */
    struct fake_trace published_trace;
    _Atomic unsigned publishes; /* so far: for tests that do not wait for an answer */

    struct order_store store;
    struct order_reader reader;
    enum fake_mode store_mode;
    enum fake_mode find_mode;             /* of find alone, while the store works */
    enum order_store_status store_status; /* FAKE_FAILS */
    struct order rows[FAKE_ORDERS_MAX];
    size_t row_count;
    struct fake_trace stored_trace;      /* of the last bulk */
    bool archived;                       /* dead letters are */
    struct dead_letter_brief letters[8]; /* of every order that is asked for */
    size_t letter_count;
    bool letter_dated; /* their body has an instant */
    int64_t letter_created_at_us;
    enum fake_mode fate_mode; /* of fate alone, while the store works */
    bool stored_meanwhile;    /* a row is there once its fate was asked for */
    bool stored_unseen;       /* as its fate says, and reads began before */
    struct sales_day days[SALES_DAYS_MAX];
    size_t day_count;
    _Atomic unsigned sales_reads; /* so far: for tests that do not wait for an answer */
    bool sales_live;              /* as the last of them was asked for */
    _Atomic bool sales_held;      /* no read is answered */

    struct order_waits waits;
    enum fake_mode wait_mode; /* FAKE_SLOW: it ends too late */
    enum order_wait_result wait_result;
    const char *wait_reason;
    struct order waited;          /* for, the last time */
    int64_t wait_ms;              /* until its end, from the call */
    _Atomic unsigned waits_begun; /* so far: for tests that do not wait for an answer */

    struct order_search search;
    enum fake_mode search_mode;
    enum order_search_status search_status; /* FAKE_FAILS */
    char term[256];
    unsigned size, from;
    const char *search_body; /* what it finds */
    size_t search_body_len;
    _Atomic unsigned answers_released; /* of searches, so far */
    _Atomic unsigned searches;         /* so far: for tests that do not wait for an answer */

    enum fake_mode document_mode;
    enum order_document document;

    struct system_status status; /* FAKE_SLOW or works */
    enum fake_mode status_mode;
    _Atomic unsigned statuses; /* so far: for tests that do not wait for an answer */

    struct sales_refresh sales_refresh;
    enum fake_mode refresh_mode;
    enum sales_refresh_status refresh_status;
};

/* As they are when all works and nothing is stored; `loop` is kept. */
void fakes_reset(struct fakes *fakes);
void fakes_init(struct fakes *fakes, struct event_loop *loop);

/* NULL when there is none. */
struct fake_entry *fakes_entry(struct fakes *fakes, const struct order_id *id);
struct order *fakes_row(struct fakes *fakes, const struct order_id *id);
void fakes_put_entry(struct fakes *fakes, const struct order *order);

#endif
