/* The orders of a page that are left are sent in parts: as many as fit into a request, and fewer
 * when Elasticsearch, or a proxy before it, takes no request so large. After each answer the orders
 * that are settled leave the page. */
#include "services/scheduler/index/order_writer.h"
#include "services/base/backoff.h"
#include "services/base/clock.h"
#include "services/base/memory.h"
#include "services/clients/elasticsearch/bulk_items.h"
#include "services/clients/elasticsearch/bulk_request.h"
#include "services/scheduler/index/index_context.h"
#include "services/scheduler/index/index_requests.h"
#include "services/scheduler/index/live_pressure.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BULK_TIMEOUT_MS 30000
#define ANSWER_MAX_BYTES (4 * 1024 * 1024)
#define REFUSED_MAX_MS 5000 /* a block or a wrong setting that lasts so long is told */
#define BACKOFF_BASE_MS 200
#define BACKOFF_CAP_MS 2000

struct order_writer {
    struct order_writer_options options;
    struct live_pressure *pressure; /* or NULL */
    char *path;
    struct index_requests *requests;
    struct loop_timer *go_on;
    struct backoff backoff;
    bool busy;
    const struct order *left[ORDER_WRITER_MAX]; /* of the page */
    size_t count;                               /* of these */
    size_t sent;                                /* the first ones, under way */
    size_t part_max;
    int64_t sent_ms, refused_since_ms; /* 0: nothing is refused */
    struct bulk_request request;
};

static void end(struct order_writer *writer, const struct error *failure)
{
    writer->busy = false;
    writer->options.on_done(writer->options.arg, failure);
}

/* The first `kept` of those that were sent are still to be written. */
static void settle(struct order_writer *writer, size_t kept)
{
    memmove(&writer->left[kept], &writer->left[writer->sent],
            (writer->count - writer->sent) * sizeof writer->left[0]);
    writer->count -= writer->sent - kept;
}

static void rest(struct order_writer *writer)
{
    size_t rows = writer->sent;
    int64_t pause_ms = 0;
    writer->refused_since_ms = 0;
    backoff_reset(&writer->backoff);
    settle(writer, 0);
    if (writer->pressure != NULL) {
        struct queue_depth depth = live_pressure_depth(writer->pressure);
        pause_ms = live_pressure_pause_ms(&depth, rows, clock_monotonic_ms() - writer->sent_ms);
    }
    if (pause_ms == 0 && writer->count == 0)
        end(writer, NULL);
    else
        loop_timer_start(writer->go_on, pause_ms);
}

static void try_again(struct order_writer *writer)
{
    loop_timer_start(writer->go_on, backoff_next_ms(&writer->backoff, arc4random()));
}

/* Not for what a document is: somebody has to change something, unless it passes by itself. */
static void refused(struct order_writer *writer, const struct error *words)
{
    int64_t now_ms = clock_monotonic_ms();
    if (writer->refused_since_ms == 0)
        writer->refused_since_ms = now_ms;
    if (now_ms - writer->refused_since_ms < REFUSED_MAX_MS) {
        try_again(writer);
        return;
    }
    struct error failure;
    error_set(&failure, "Elasticsearch refuses to write to the index: %s", words->message);
    end(writer, &failure);
}

static void send_less(struct order_writer *writer, const struct error *words)
{
    if (writer->sent > 1) {
        writer->part_max = writer->sent / 2;
        loop_timer_start(writer->go_on, 0);
        return;
    }
    struct error failure;
    error_set(&failure, "a request with a single order is too large: %s", words->message);
    end(writer, &failure);
}

static void judge_items(struct order_writer *writer, const char *body, size_t len)
{
    struct error words;
    struct bulk_items *items = bulk_items_new("index", body, len, writer->sent, &words);
    if (items == NULL || !bulk_items_are_of(items, writer->left)) {
        if (items != NULL)
            error_set(&words, "the answer to _bulk is about other orders");
        bulk_items_free(items);
        refused(writer, &words);
        return;
    }
    size_t kept = 0;
    bool passes = true; /* an overload is no refusal */
    for (size_t i = 0; i < writer->sent; i++) {
        struct bulk_item item;
        bulk_items_get(items, i, &item);
        if (item.stored)
            continue;
        if (item.about_the_document) {
            writer->options.on_refused(writer->options.arg, &writer->left[i]->id);
            continue;
        }
        bool blocked = index_requests_blocked(&item.error);
        passes = passes && (item.status == 429 || item.status == 503) && !blocked;
        words = item.error.words;
        writer->left[kept++] = writer->left[i];
    }
    bulk_items_free(items);
    if (kept == 0) {
        rest(writer);
        return;
    }
    settle(writer, kept);
    if (passes)
        try_again(writer);
    else
        refused(writer, &words);
}

static void on_answer(void *arg, long status, const char *body, size_t len,
                      const struct server_error *said)
{
    struct order_writer *writer = arg;
    if (said == NULL && bulk_items_all_stored(writer->left, writer->sent, body, len))
        rest(writer);
    else if (said == NULL)
        judge_items(writer, body, len);
    else if (status == 413 || status == 0)
        send_less(writer, &said->words);
    else
        refused(writer, &said->words);
}

static void go_on(void *arg)
{
    struct order_writer *writer = arg;
    if (writer->count == 0) {
        end(writer, NULL);
        return;
    }
    size_t most = writer->count < writer->part_max ? writer->count : writer->part_max;
    writer->sent = bulk_request_write(&writer->request, writer->left, most);
    writer->sent_ms = clock_monotonic_ms();
    index_requests_send(writer->requests,
                        &(struct index_request){.method = "POST",
                                                .path = writer->path,
                                                .body = writer->request.body,
                                                .body_len = writer->request.len_bytes,
                                                .body_kept = true,
                                                .ndjson = true,
                                                .timeout_ms = BULK_TIMEOUT_MS,
                                                .privilege = "write"},
                        on_answer, writer);
}

void order_writer_write(struct order_writer *writer, const struct order *orders, size_t count)
{
    assert(!writer->busy && count <= ORDER_WRITER_MAX);
    for (size_t i = 0; i < count; i++)
        writer->left[i] = &orders[i];
    writer->count = count;
    writer->busy = true;
    if (count == 0)
        loop_timer_start(writer->go_on, 0); /* the callback comes from the loop */
    else
        go_on(writer);
}

bool order_writer_busy(const struct order_writer *writer)
{
    return writer->busy;
}

struct order_writer *order_writer_new(const struct index_context *context,
                                      const struct order_writer_options *options)
{
    struct order_writer *writer = memory_new(sizeof *writer);
    writer->options = *options;
    writer->options.index = NULL; /* it is in the path */
    writer->pressure = context->pressure;
    /* The server gives up a little before its client does. */
    if (asprintf(&writer->path, "/%s/_bulk?timeout=25s%s&" BULK_ITEMS_FILTER, options->index,
                 options->require_alias ? "&require_alias=true" : "") < 0)
        abort();
    writer->requests = index_requests_new(context->loop, context->server, ANSWER_MAX_BYTES);
    writer->go_on = event_loop_timer(context->loop, go_on, writer);
    writer->backoff = (struct backoff){.base_ms = BACKOFF_BASE_MS, .cap_ms = BACKOFF_CAP_MS};
    writer->part_max = ORDER_WRITER_MAX;
    if (writer->pressure != NULL)
        live_pressure_begin(writer->pressure);
    return writer;
}

void order_writer_free(struct order_writer *writer)
{
    if (writer == NULL)
        return;
    if (writer->pressure != NULL)
        live_pressure_end(writer->pressure);
    index_requests_free(writer->requests);
    loop_timer_free(writer->go_on);
    free(writer->path);
    free(writer);
}
