/* order_search by _search. The dependency's state follows the answers, and a probe asks for the
 * cluster's health, so that the state is known without searches too. */
#include "services/gateway/adapters/elasticsearch_search.h"
#include "services/base/json_text.h"
#include "services/base/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROBE_INTERVAL_MS 5000
#define PROBE_TIMEOUT_MS 3000

struct elasticsearch_search {
    struct order_search port;
    struct elasticsearch_search_options options;
    struct elasticsearch *client;
    struct loop_timer *probe;
    bool reported, reported_up;
    char path[300];
};

struct operation {
    struct elasticsearch_search *search;
    order_search_done_fn *on_done;
    void *arg;
    char query[];
};

static void report(struct elasticsearch_search *search, bool up, const char *reason)
{
    if (search->reported && search->reported_up == up)
        return;
    search->reported = true;
    search->reported_up = up;
    search->options.on_state(search->options.arg, up, up ? NULL : reason);
}

/* 400 and 429 refuse the one request, for its content or for its rate, and an answer that there was
 * no room for says nothing: the state stays as it was. Any other error is the server's, or one of
 * the configuration, and concerns all searches. */
static void report_answer(struct elasticsearch_search *search, long status,
                          enum elasticsearch_end end, const struct error *err)
{
    if (status == 400 || status == 429 || end == ELASTICSEARCH_OVER_BUDGET)
        return;
    char reason[64];
    snprintf(reason, sizeof(reason), "it answers with status %ld", status);
    report(search, status >= 200 && status < 300, status == 0 ? err->message : reason);
}

static enum order_search_status status_of(enum elasticsearch_end end)
{
    switch (end) {
    case ELASTICSEARCH_ANSWERED: /* an error */
    case ELASTICSEARCH_FAILED:
        return ORDER_SEARCH_FAILED;
    case ELASTICSEARCH_TIMED_OUT:
        return ORDER_SEARCH_TIMEOUT;
    case ELASTICSEARCH_OVER_BUDGET:
        return ORDER_SEARCH_NO_ROOM;
    }
    return ORDER_SEARCH_FAILED;
}

static void release_answer(void *owner)
{
    answer_body_free(owner);
}

static void on_found(void *arg, long status, enum elasticsearch_end end, const char *body,
                     size_t body_len, const struct error *err)
{
    struct operation *operation = arg;
    struct elasticsearch_search *search = operation->search;
    order_search_done_fn *on_done = operation->on_done;
    void *done_arg = operation->arg;
    free(operation);
    report_answer(search, status, end, err);
    if (status != 200) {
        on_done(done_arg, status_of(end), NULL);
        return;
    }
    const struct order_search_answer answer = {
        body, body_len, elasticsearch_take_body(search->client), release_answer};
    on_done(done_arg, ORDER_SEARCH_OK, &answer);
}

static int search_orders(void *self, const char *term, size_t term_len, unsigned size,
                         unsigned from, order_search_done_fn *on_done, void *arg)
{
    static const char before[] = "{\"query\":{\"match\":{\"product_name\":\"",
                      after[] = "\"}},\"size\":%u,\"from\":%u,\"track_total_hits\":true}";
    struct elasticsearch_search *search = self;
    size_t query_size = sizeof(before) + JSON_TEXT_SIZE(term_len) + sizeof(after) + 2 * 10;
    struct operation *operation = memory_take(sizeof(*operation) + query_size);
    *operation = (struct operation){search, on_done, arg};
    char *end = operation->query;
    end += snprintf(end, query_size, before);
    end += json_text_escape(term, term_len, end, JSON_TEXT_SIZE(term_len));
    end += sprintf(end, after, size, from);

    int rc = elasticsearch_request(search->client, "POST", search->path, "application/json",
                                   operation->query, (size_t)(end - operation->query), true,
                                   ORDER_SEARCH_TIMEOUT_MS, on_found, operation);
    if (rc != 0)
        free(operation);
    return rc;
}

static void on_probed(void *arg, long status, enum elasticsearch_end end, const char *body,
                      size_t body_len, const struct error *err)
{
    (void)body, (void)body_len;
    struct elasticsearch_search *search = arg;
    report_answer(search, status, end, err);
    loop_timer_start(search->probe, PROBE_INTERVAL_MS);
}

static void on_probe(void *arg)
{
    struct elasticsearch_search *search = arg;
    if (elasticsearch_request(search->client, "GET", "/_cluster/health?filter_path=status", NULL,
                              NULL, 0, false, PROBE_TIMEOUT_MS, on_probed, search) != 0)
        loop_timer_start(search->probe, PROBE_INTERVAL_MS);
}

struct order_search *elasticsearch_search_new(struct event_loop *loop,
                                              const struct elasticsearch_search_options *options)
{
    struct elasticsearch_search *search = memory_new(sizeof(*search));
    search->port = (struct order_search){.self = search, .search = search_orders};
    search->options = *options;
    /* An index that does not exist yet has no orders. */
    snprintf(search->path, sizeof(search->path), "/%s/_search?ignore_unavailable=true",
             options->index);
    search->client = elasticsearch_new(loop, &options->client);
    search->probe = event_loop_timer(loop, on_probe, search);
    loop_timer_start(search->probe, 0);
    return &search->port;
}

void elasticsearch_search_free(struct order_search *port)
{
    if (port == NULL)
        return;
    struct elasticsearch_search *search = port->self;
    loop_timer_free(search->probe);
    elasticsearch_free(search->client);
    free(search);
}
