/* One round: does the index exist? If not, or if this is the first look: PUT the template, PUT the
 * index. A round follows each failure after a backoff, and else every LOOK_MS, which notices a
 * server that is gone, or an index that was deleted, while no orders come. */
#include "services/indexer/index_setup.h"
#include "services/base/backoff.h"
#include "services/base/memory.h"
#include "services/indexer/server_error.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_TIMEOUT_MS 4000
#define LOOK_MS 5000
#define BACKOFF_BASE_MS 100
#define BACKOFF_CAP_MS 1000
#define PATH_SIZE 320

/* No type or setting that only some servers have. A field that is not listed is kept in _source and
 * not indexed. `id` is `_id` once more, for whoever pages through the index: `_id` cannot be sorted
 * by. It costs Elasticsearch 13 of 56 us of CPU a document. refresh_interval is set because without
 * it an index that is not searched for a while is refreshed no more, and the first search has to
 * wait for it. */
static const char template_format[] =
    "{\"index_patterns\":[\"%s\"],\"priority\":500,\"template\":{"
    "\"settings\":{\"index\":{\"refresh_interval\":\"1s\",\"auto_expand_replicas\":\"0-1\"}},"
    "\"mappings\":{\"dynamic\":false,\"properties\":{"
    "\"id\":{\"type\":\"keyword\"},"
    "\"product_name\":{\"type\":\"text\"},"
    "\"amount\":{\"type\":\"double\"},"
    "\"created_at\":{\"type\":\"date\"}}}}}";

enum setup_step { STEP_IDLE, STEP_LOOK, STEP_PUT_TEMPLATE, STEP_PUT_INDEX };

struct index_setup {
    struct index_setup_options options;
    enum setup_step step; /* what is being asked */
    bool template_put;    /* by this process */
    bool usable;
    struct error reason;
    struct loop_timer *timer; /* of the next round */
    struct backoff backoff;
};

static void ask(struct index_setup *setup, enum setup_step step);

static void end_round(struct index_setup *setup, bool usable)
{
    setup->step = STEP_IDLE;
    if (usable)
        backoff_reset(&setup->backoff);
    loop_timer_start(setup->timer,
                     usable ? LOOK_MS : backoff_next_ms(&setup->backoff, arc4random()));
    bool still_usable = usable && setup->usable;
    setup->usable = usable;
    if (!still_usable)
        setup->options.on_state(setup->options.arg, usable, usable ? NULL : setup->reason.message);
}

static void fail_round(struct index_setup *setup, long status, const char *body, size_t body_len,
                       const struct error *err)
{
    static const char *const doing[] = {[STEP_IDLE] = "",
                                        [STEP_LOOK] = "looking for the index",
                                        [STEP_PUT_TEMPLATE] = "installing the index template",
                                        [STEP_PUT_INDEX] = "creating the index"};
    struct error said = {""};
    if (status == 0)
        said = *err;
    else
        server_error_from_body(body, body_len, &said);
    error_set(&setup->reason, "%s: HTTP status %ld: %.180s", doing[setup->step], status,
              said.message);
    end_round(setup, false);
}

/* Another indexer, or a producer of documents, was faster. */
static bool index_exists_already(const char *body, size_t body_len)
{
    static const char type[] = "resource_already_exists_exception";
    return body && memmem(body, body_len, type, sizeof(type) - 1) != NULL;
}

static void on_answer(void *arg, long status, bool timed_out, const char *body, size_t body_len,
                      const struct error *err)
{
    (void)timed_out;
    struct index_setup *setup = arg;
    switch (setup->step) {
    case STEP_IDLE:
        break;
    case STEP_LOOK:
        if (status == 200 && setup->template_put)
            end_round(setup, true);
        else if (status == 200 || status == 404)
            ask(setup, STEP_PUT_TEMPLATE);
        else
            fail_round(setup, status, body, body_len, err);
        break;
    case STEP_PUT_TEMPLATE:
        if (status == 200) {
            setup->template_put = true;
            ask(setup, STEP_PUT_INDEX);
        } else {
            fail_round(setup, status, body, body_len, err);
        }
        break;
    case STEP_PUT_INDEX:
        if (status == 200 || (status == 400 && index_exists_already(body, body_len)))
            end_round(setup, true);
        else
            fail_round(setup, status, body, body_len, err);
        break;
    }
}

static int send_request(struct index_setup *setup)
{
    const char *index = setup->options.index;
    const char *method = "PUT", *body = NULL;
    char path[PATH_SIZE], template[sizeof(template_format) + 256];
    switch (setup->step) {
    case STEP_IDLE:
        return 0;
    case STEP_LOOK:
        method = "GET";
        (void)snprintf(path, sizeof(path), "/%s?filter_path=error,*.aliases", index); /* it fits */
        break;
    case STEP_PUT_TEMPLATE:
        (void)snprintf(path, sizeof(path), "/_index_template/%s", index);
        (void)snprintf(template, sizeof(template), template_format, index);
        body = template;
        break;
    case STEP_PUT_INDEX:
        (void)snprintf(path, sizeof(path), "/%s", index);
        break;
    }
    return elasticsearch_request(setup->options.client, method, path,
                                 body ? "application/json" : NULL, body, body ? strlen(body) : 0,
                                 false, REQUEST_TIMEOUT_MS, on_answer, setup);
}

static void ask(struct index_setup *setup, enum setup_step step)
{
    setup->step = step;
    if (send_request(setup) != 0) {
        struct error busy;
        error_set(&busy, "too many requests at once");
        fail_round(setup, 0, NULL, 0, &busy);
    }
}

static void begin_round(void *arg)
{
    ask(arg, STEP_LOOK);
}

void index_setup_check(struct index_setup *setup)
{
    if (setup->step == STEP_IDLE && setup->usable)
        loop_timer_start(setup->timer, 0);
}

struct index_setup *index_setup_new(struct event_loop *loop,
                                    const struct index_setup_options *options)
{
    struct index_setup *setup = memory_new(sizeof(*setup));
    setup->options = *options;
    setup->backoff = (struct backoff){.base_ms = BACKOFF_BASE_MS, .cap_ms = BACKOFF_CAP_MS};
    setup->timer = event_loop_timer(loop, begin_round, setup);
    loop_timer_start(setup->timer, 0);
    return setup;
}

void index_setup_free(struct index_setup *setup)
{
    if (!setup)
        return;
    loop_timer_free(setup->timer);
    free(setup);
}

bool index_setup_usable(const struct index_setup *setup)
{
    return setup->usable;
}

const char *index_setup_reason(const struct index_setup *setup)
{
    return setup->reason.message;
}
