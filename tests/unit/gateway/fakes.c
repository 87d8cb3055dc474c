#include "tests/unit/gateway/fakes.h"
#include "services/base/clock.h"
#include "services/base/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOW_MS 7000

/* ---- answers from the loop ---- */

struct later {
    struct loop_timer *timer;
    void (*call)(struct later *later);
    union {
        struct {
            order_cache_done_fn *done;
            enum order_cache_status status;
            size_t json_len;
            char json[ORDER_JSON_SIZE];
        } cache;
        struct {
            order_queue_done_fn *done;
            enum publish_result result;
        } queue;
        struct {
            order_store_found_fn *done;
            enum order_store_status status;
            bool found;
            struct order order;
        } found;
        struct {
            order_store_fate_fn *done;
            enum order_store_status status;
            struct fakes *fakes;
            struct order_id id;
        } fate;
        struct {
            order_store_sales_fn *done;
            enum order_store_status status;
            struct fakes *fakes;
        } sales;
        struct {
            order_store_inserted_fn *done;
            enum order_store_status status;
        } inserted;
        struct {
            order_search_done_fn *done;
            enum order_search_status status;
            struct fakes *fakes;
        } search;
        struct {
            order_wait_done_fn *done;
            struct fakes *fakes;
        } wait;
        struct {
            order_document_fn *done;
            enum order_document document;
        } document;
        struct {
            sales_refresh_done_fn *done;
            enum sales_refresh_status status;
        } refresh;
        struct {
            system_status_done_fn *done;
        } status;
    } as;
    void *arg;
};

static void on_later(void *arg)
{
    struct later *later = arg;
    loop_timer_free(later->timer);
    later->call(later);
    free(later);
}

static struct later *answer_later(struct fakes *fakes, enum fake_mode mode,
                                  void (*call)(struct later *), void *arg)
{
    struct later *later = memory_new(sizeof(*later));
    later->call = call;
    later->arg = arg;
    later->timer = event_loop_timer(fakes->loop, on_later, later);
    loop_timer_start(later->timer, mode == FAKE_SLOW ? SLOW_MS : 0);
    return later;
}

static bool fails(enum fake_mode mode)
{
    return mode == FAKE_FAILS || mode == FAKE_SLOW;
}

static void note(struct fakes *fakes, const char *call)
{
    size_t used = strlen(fakes->calls);
    snprintf(fakes->calls + used, sizeof(fakes->calls) - used, "%s ", call);
}

/* ---- cache ---- */

struct fake_entry *fakes_entry(struct fakes *fakes, const struct order_id *id)
{
    for (size_t i = 0; i < fakes->entry_count; i++)
        if (order_id_equal(&fakes->entries[i].id, id))
            return &fakes->entries[i];
    return NULL;
}

static struct fake_entry *put(struct fakes *fakes, const struct order_id *id, const char *json,
                              size_t json_len)
{
    if (fakes->entry_count == FAKE_ORDERS_MAX || json_len >= ORDER_JSON_SIZE)
        abort();
    struct fake_entry *entry = &fakes->entries[fakes->entry_count++];
    entry->id = *id;
    entry->provisional = false;
    entry->json_len = json_len;
    memcpy(entry->json, json, json_len);
    return entry;
}

void fakes_put_entry(struct fakes *fakes, const struct order *order)
{
    char json[ORDER_JSON_SIZE];
    size_t len = order_to_json(order, json);
    put(fakes, &order->id, json, len);
}

static void call_cache(struct later *later)
{
    bool found = later->as.cache.status == ORDER_CACHE_FOUND;
    later->as.cache.done(later->arg, later->as.cache.status, found ? later->as.cache.json : NULL,
                         found ? later->as.cache.json_len : 0);
}

/* Whether the cache answers with `status`; -1, 0 as the port. */
static int answer_cache(struct fakes *fakes, const char *call, enum order_cache_status status,
                        const struct fake_entry *entry, order_cache_done_fn *done, void *arg)
{
    note(fakes, call);
    if (fakes->cache_mode == FAKE_REFUSES)
        return -1;
    struct later *later = answer_later(fakes, fakes->cache_mode, call_cache, arg);
    later->as.cache.done = done;
    later->as.cache.status = fails(fakes->cache_mode) ? ORDER_CACHE_UNAVAILABLE : status;
    if (entry != NULL) {
        later->as.cache.json_len = entry->json_len;
        memcpy(later->as.cache.json, entry->json, entry->json_len);
    }
    return 0;
}

static int cache_reserve(void *self, const struct order_id *id, const char *json, size_t json_len,
                         order_cache_done_fn *done, void *arg)
{
    struct fakes *fakes = self;
    struct fake_entry *entry = fakes_entry(fakes, id);
    if (entry != NULL)
        return answer_cache(fakes, "reserve", ORDER_CACHE_FOUND, entry, done, arg);
    if (fakes->cache_mode == FAKE_WORKS)
        put(fakes, id, json, json_len)->provisional = true;
    return answer_cache(fakes, "reserve", ORDER_CACHE_CREATED, NULL, done, arg);
}

static int cache_put(void *self, const struct order_id *id, const char *json, size_t json_len,
                     order_cache_done_fn *done, void *arg)
{
    struct fakes *fakes = self;
    if (fakes->cache_mode == FAKE_WORKS)
        put(fakes, id, json, json_len);
    return answer_cache(fakes, "put", ORDER_CACHE_OK, NULL, done, arg);
}

static int cache_confirm(void *self, const struct order_id *id, const char *json, size_t json_len,
                         order_cache_done_fn *done, void *arg)
{
    struct fakes *fakes = self;
    struct fake_entry *entry = fakes_entry(fakes, id);
    if (fakes->cache_mode == FAKE_WORKS && entry == NULL)
        entry = put(fakes, id, json, json_len);
    if (entry != NULL)
        entry->provisional = false;
    return answer_cache(fakes, "confirm", ORDER_CACHE_OK, NULL, done, arg);
}

static int cache_remove(void *self, const struct order_id *id, order_cache_done_fn *done, void *arg)
{
    struct fakes *fakes = self;
    struct fake_entry *entry = fakes_entry(fakes, id);
    if (fakes->cache_mode == FAKE_WORKS && entry != NULL && entry->provisional)
        *entry = fakes->entries[--fakes->entry_count];
    return answer_cache(fakes, "remove", ORDER_CACHE_OK, NULL, done, arg);
}

static int cache_replace(void *self, const struct order_id *id, const char *json, size_t json_len,
                         order_cache_done_fn *done, void *arg)
{
    struct fakes *fakes = self;
    struct fake_entry *entry = fakes_entry(fakes, id);
    if (fakes->cache_mode == FAKE_WORKS) {
        if (entry != NULL)
            *entry = fakes->entries[--fakes->entry_count];
        put(fakes, id, json, json_len)->provisional = true;
    }
    return answer_cache(fakes, "replace", ORDER_CACHE_OK, NULL, done, arg);
}

static int cache_keep(void *self, const struct order_id *id, const char *json, size_t json_len,
                      order_cache_done_fn *done, void *arg)
{
    struct fakes *fakes = self;
    struct fake_entry *entry = fakes_entry(fakes, id);
    if (fakes->cache_mode == FAKE_WORKS && entry != NULL && entry->json_len == json_len &&
        memcmp(entry->json, json, json_len) == 0)
        entry->provisional = false;
    return answer_cache(fakes, "keep", ORDER_CACHE_OK, NULL, done, arg);
}

static int cache_get(void *self, const struct order_id *id, order_cache_done_fn *done, void *arg)
{
    struct fakes *fakes = self;
    struct fake_entry *entry = fakes_entry(fakes, id);
    return answer_cache(fakes, "get", entry != NULL ? ORDER_CACHE_FOUND : ORDER_CACHE_ABSENT, entry,
                        done, arg);
}

static void cache_fill(void *self, const struct order_id *id, const char *json, size_t json_len)
{
    struct fakes *fakes = self;
    note(fakes, "fill");
    if (fakes->cache_mode == FAKE_WORKS && fakes_entry(fakes, id) == NULL)
        put(fakes, id, json, json_len);
}

/* ---- queue ---- */

static void call_queue(struct later *later)
{
    later->as.queue.done(later->arg, later->as.queue.result);
}

static void copy_trace(struct fake_trace *to, const struct trace_context *from)
{
    traceparent_format(from, to->traceparent);
    memcpy(to->tracestate, from->state, from->state_len);
    to->tracestate[from->state_len] = '\0';
}

static int queue_publish(void *self, const struct order_message *message, int64_t deadline_ms,
                         order_queue_done_fn *done, void *arg)
{
    (void)deadline_ms;
    struct fakes *fakes = self;
    note(fakes, "publish");
    if (fakes->queue_mode == FAKE_REFUSES)
        return -1;
    enum decode_result decoded =
        order_from_json(message->json, message->json_len, &fakes->published, NULL);
    if (decoded != DECODE_OK || !order_id_equal(&fakes->published.id, message->id))
        abort(); /* what is published must be the order's JSON */
    copy_trace(&fakes->published_trace, message->trace);
    struct later *later = answer_later(fakes, fakes->queue_mode, call_queue, arg);
    later->as.queue.done = done;
    later->as.queue.result = fails(fakes->queue_mode) ? fakes->queue_result : PUBLISH_CONFIRMED;
    fakes->publishes++;
    return 0;
}

static bool queue_accepts(void *self)
{
    return ((struct fakes *)self)->queue_accepts;
}

/* ---- store ---- */

struct order *fakes_row(struct fakes *fakes, const struct order_id *id)
{
    for (size_t i = 0; i < fakes->row_count; i++)
        if (order_id_equal(&fakes->rows[i].id, id))
            return &fakes->rows[i];
    return NULL;
}

static void call_found(struct later *later)
{
    later->as.found.done(later->arg, later->as.found.status,
                         later->as.found.found ? &later->as.found.order : NULL);
}

static int store_find(void *self, const struct order_id *id, order_store_found_fn *done, void *arg)
{
    struct fakes *fakes = self;
    note(fakes, "find");
    enum fake_mode mode = fakes->store_mode == FAKE_WORKS ? fakes->find_mode : fakes->store_mode;
    if (mode == FAKE_REFUSES)
        return -1;
    struct later *later = answer_later(fakes, mode, call_found, arg);
    later->as.found.done = done;
    later->as.found.status = fails(mode) ? fakes->store_status : ORDER_STORE_OK;
    const struct order *row = fakes_row(fakes, id);
    if (mode == FAKE_WORKS && row != NULL) {
        later->as.found.found = true;
        later->as.found.order = *row;
    }
    return 0;
}

static void call_fate(struct later *later)
{
    struct fakes *fakes = later->as.fate.fakes;
    if (later->as.fate.status != ORDER_STORE_OK) {
        later->as.fate.done(later->arg, later->as.fate.status, NULL);
        return;
    }
    if (fakes->stored_meanwhile) {
        fakes->rows[fakes->row_count].id = later->as.fate.id;
        order_set_name(&fakes->rows[fakes->row_count++], "late", 4);
    }
    const struct order *row = fakes_row(fakes, &later->as.fate.id);
    const struct order_fate fate = {
        .stored = row != NULL || fakes->stored_unseen,
        .archived = fakes->archived,
        .dated = row != NULL || fakes->letter_dated,
        .created_at_us = row != NULL ? row->created_at_us : fakes->letter_created_at_us,
        .letters = fakes->letters,
        .letter_count = fakes->letter_count,
    };
    later->as.fate.done(later->arg, ORDER_STORE_OK, &fate);
}

static int store_fate(void *self, const struct order_id *id, order_store_fate_fn *done, void *arg)
{
    struct fakes *fakes = self;
    note(fakes, "fate");
    enum fake_mode mode = fakes->store_mode == FAKE_WORKS ? fakes->fate_mode : fakes->store_mode;
    if (mode == FAKE_REFUSES)
        return -1;
    struct later *later = answer_later(fakes, mode, call_fate, arg);
    later->as.fate.done = done;
    later->as.fate.fakes = fakes;
    later->as.fate.id = *id;
    later->as.fate.status = fails(mode) ? fakes->store_status : ORDER_STORE_OK;
    return 0;
}

static void call_sales(struct later *later)
{
    struct fakes *fakes = later->as.sales.fakes;
    if (fakes->sales_held) {
        struct later *again = answer_later(fakes, FAKE_WORKS, call_sales, later->arg);
        again->as = later->as;
        return;
    }
    bool ok = later->as.sales.status == ORDER_STORE_OK;
    later->as.sales.done(later->arg, later->as.sales.status, ok ? fakes->days : NULL,
                         ok ? fakes->day_count : 0);
}

static int store_read_sales(void *self, bool live, order_store_sales_fn *done, void *arg)
{
    struct fakes *fakes = self;
    if (fakes->store_mode == FAKE_REFUSES)
        return -1;
    struct later *later = answer_later(fakes, fakes->store_mode, call_sales, arg);
    later->as.sales.done = done;
    later->as.sales.fakes = fakes;
    later->as.sales.status = fails(fakes->store_mode) ? fakes->store_status : ORDER_STORE_OK;
    fakes->sales_reads++;
    fakes->sales_live = live;
    return 0;
}

static void call_inserted(struct later *later)
{
    later->as.inserted.done(later->arg, later->as.inserted.status);
}

static enum order_store_status insert_all(struct fakes *fakes, const struct order *orders,
                                          size_t count)
{
    size_t known = 0;
    for (size_t i = 0; i < count; i++) {
        const struct order *row = fakes_row(fakes, &orders[i].id);
        if (row == NULL)
            continue;
        if (!order_same_payload(row, &orders[i]))
            return ORDER_STORE_CONFLICT;
        known++;
    }
    if (known > 0)
        return known == count ? ORDER_STORE_OK : ORDER_STORE_CONFLICT;
    for (size_t i = 0; i < count && fakes->row_count < FAKE_ORDERS_MAX; i++)
        fakes->rows[fakes->row_count++] = orders[i];
    return ORDER_STORE_OK;
}

static int store_insert_bulk(void *self, const struct order *orders, size_t count,
                             const struct trace_context *trace, order_store_inserted_fn *done,
                             void *arg)
{
    struct fakes *fakes = self;
    copy_trace(&fakes->stored_trace, trace);
    note(fakes, "insert");
    if (fakes->store_mode == FAKE_REFUSES)
        return -1;
    struct later *later = answer_later(fakes, fakes->store_mode, call_inserted, arg);
    later->as.inserted.done = done;
    later->as.inserted.status =
        fails(fakes->store_mode) ? fakes->store_status : insert_all(fakes, orders, count);
    return 0;
}

/* ---- waits ---- */

static void call_wait(struct later *later)
{
    struct fakes *fakes = later->as.wait.fakes;
    later->as.wait.done(later->arg, fakes->wait_result,
                        fakes->wait_result == ORDER_WAIT_DIED ? fakes->wait_reason : NULL);
}

static int waits_wait(void *self, const struct order *order, int64_t began_ms, int64_t ends_ms,
                      order_wait_done_fn *done, void *arg)
{
    struct fakes *fakes = self;
    note(fakes, "wait");
    if (fakes->wait_mode == FAKE_REFUSES)
        return -1;
    order_copy(&fakes->waited, order);
    fakes->wait_ms = ends_ms - clock_monotonic_ms();
    if (began_ms > clock_monotonic_ms())
        abort();
    struct later *later = answer_later(fakes, fakes->wait_mode, call_wait, arg);
    later->as.wait.done = done;
    later->as.wait.fakes = fakes;
    fakes->waits_begun++;
    return 0;
}

/* ---- search ---- */

static void release_answer(void *owner)
{
    struct fakes *fakes = owner;
    fakes->answers_released++;
}

static void call_search(struct later *later)
{
    struct fakes *fakes = later->as.search.fakes;
    const struct order_search_answer answer = {fakes->search_body, fakes->search_body_len, fakes,
                                               release_answer};
    bool ok = later->as.search.status == ORDER_SEARCH_OK;
    later->as.search.done(later->arg, later->as.search.status, ok ? &answer : NULL);
}

static int search_search(void *self, const char *term, size_t term_len, unsigned size,
                         unsigned from, order_search_done_fn *done, void *arg)
{
    struct fakes *fakes = self;
    if (fakes->search_mode == FAKE_REFUSES)
        return -1;
    snprintf(fakes->term, sizeof(fakes->term), "%.*s", (int)term_len, term);
    fakes->size = size;
    fakes->from = from;
    struct later *later = answer_later(fakes, fakes->search_mode, call_search, arg);
    later->as.search.done = done;
    later->as.search.fakes = fakes;
    later->as.search.status = fails(fakes->search_mode) ? fakes->search_status : ORDER_SEARCH_OK;
    fakes->searches++; /* the last look at the fakes */
    return 0;
}

static void call_document(struct later *later)
{
    later->as.document.done(later->arg, later->as.document.document);
}

static int search_has_document(void *self, const struct order_id *id, order_document_fn *done,
                               void *arg)
{
    (void)id;
    struct fakes *fakes = self;
    note(fakes, "document");
    if (fakes->document_mode == FAKE_REFUSES)
        return -1;
    struct later *later = answer_later(fakes, fakes->document_mode, call_document, arg);
    later->as.document.done = done;
    later->as.document.document =
        fails(fakes->document_mode) ? ORDER_DOCUMENT_UNKNOWN : fakes->document;
    return 0;
}

/* ---- status ---- */

static void call_status(struct later *later)
{
    later->as.status.done(later->arg, FAKE_STATUS, strlen(FAKE_STATUS));
}

static void status_ask(void *self, system_status_done_fn *done, void *arg)
{
    struct fakes *fakes = self;
    note(fakes, "status");
    answer_later(fakes, fakes->status_mode, call_status, arg)->as.status.done = done;
    fakes->statuses++; /* the last look at the fakes */
}

/* ---- refresh ---- */

static void call_refresh(struct later *later)
{
    later->as.refresh.done(later->arg, later->as.refresh.status);
}

static int refresh_refresh(void *self, sales_refresh_done_fn *done, void *arg)
{
    struct fakes *fakes = self;
    note(fakes, "refresh");
    if (fakes->refresh_mode == FAKE_REFUSES)
        return -1;
    struct later *later = answer_later(fakes, fakes->refresh_mode, call_refresh, arg);
    later->as.refresh.done = done;
    later->as.refresh.status = fakes->refresh_status;
    return 0;
}

/* ---- all ---- */

void fakes_reset(struct fakes *fakes)
{
    struct event_loop *loop = fakes->loop;
    memset(fakes, 0, sizeof(*fakes));
    fakes->loop = loop;
    fakes->queue_accepts = true;
    fakes->cache = (struct order_cache){
        .self = fakes,
        .reserve = cache_reserve,
        .put = cache_put,
        .confirm = cache_confirm,
        .remove = cache_remove,
        .replace = cache_replace,
        .keep = cache_keep,
        .get = cache_get,
        .fill = cache_fill,
    };
    fakes->queue = (struct order_queue){
        .self = fakes,
        .publish = queue_publish,
        .accepts = queue_accepts,
    };
    fakes->store = (struct order_store){
        .self = fakes,
        .read_sales = store_read_sales,
        .fate = store_fate,
        .insert_bulk = store_insert_bulk,
    };
    fakes->waits = (struct order_waits){.self = fakes, .wait = waits_wait};
    fakes->reader = (struct order_reader){.self = fakes, .find = store_find};
    fakes->search_body = "{\"took\":1,\"hits\":{}}";
    fakes->search_body_len = strlen(fakes->search_body);
    fakes->search = (struct order_search){
        .self = fakes, .search = search_search, .has_document = search_has_document};
    fakes->document = ORDER_DOCUMENT_ABSENT;
    fakes->status = (struct system_status){.self = fakes, .ask = status_ask};
    fakes->sales_refresh = (struct sales_refresh){.self = fakes, .refresh = refresh_refresh};
}

void fakes_init(struct fakes *fakes, struct event_loop *loop)
{
    fakes->loop = loop;
    fakes_reset(fakes);
}
