/* The index and its template are kept in place by rounds of up to three requests: look for the
 * index; if it is missing, or this is the first look, PUT the template and PUT the index. A round
 * follows each failure after a backoff, and each success after LOOK_MS, which notices a server that
 * is gone, or an index that was deleted, while no orders come. */
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

/* No type or setting that only some servers have. A field that is not listed is kept in _source and
 * not indexed. `id` is `_id` once more, for a client that pages through the index: `_id` cannot be
 * sorted by. It costs Elasticsearch 13 of 56 us of CPU a document. refresh_interval is set because
 * without it an index that is not searched for a while is refreshed no more, and the first search
 * has to wait for it. */
static const char template_format[] =
    "{\"index_patterns\":[\"%s\"],\"priority\":500,\"template\":{"
    "\"settings\":{\"index\":{\"refresh_interval\":\"1s\",\"auto_expand_replicas\":\"0-1\"}},"
    "\"mappings\":{\"dynamic\":false,\"properties\":{"
    "\"id\":{\"type\":\"keyword\"},"
    "\"product_name\":{\"type\":\"text\"},"
    "\"amount\":{\"type\":\"double\"},"
    "\"created_at\":{\"type\":\"date\"}}}}}";

enum setup_step { STEP_LOOK, STEP_PUT_TEMPLATE, STEP_PUT_INDEX };

static const struct {
    const char *method, *path_format, *body_format, *doing;
} steps[] = {
    [STEP_LOOK] = {"GET", "/%s?filter_path=error,*.aliases", NULL, "looking for the index"},
    [STEP_PUT_TEMPLATE] = {"PUT", "/_index_template/%s", template_format,
                           "installing the index template"},
    [STEP_PUT_INDEX] = {"PUT", "/%s", NULL, "creating the index"},
};

struct index_setup {
    struct index_setup_options options;
    enum setup_step step; /* what is being asked, unless the timer runs */
    bool template_put;    /* by this process */
    bool usable;
    struct error reason;
    struct loop_timer *timer; /* of the next round */
    struct backoff backoff;
};

static void end_round(struct index_setup *setup, bool usable)
{
    if (usable)
        backoff_reset(&setup->backoff);
    loop_timer_start(setup->timer,
                     usable ? LOOK_MS : backoff_next_ms(&setup->backoff, arc4random()));
    bool still_usable = usable && setup->usable;
    setup->usable = usable;
    if (!still_usable)
        setup->options.on_state(setup->options.arg, usable, usable ? NULL : setup->reason.message);
}

static void fail_round(struct index_setup *setup, long status, const char *said)
{
    error_set(&setup->reason, "%s: HTTP status %ld: %.180s", steps[setup->step].doing, status,
              said);
    end_round(setup, false);
}

static bool step_succeeded(enum setup_step step, long status, const char *body, size_t body_len)
{
    static const char exists[] = "resource_already_exists_exception"; /* another was faster */
    switch (step) {
    case STEP_LOOK:
        return status == 200 || status == 404;
    case STEP_PUT_TEMPLATE:
        return status == 200;
    case STEP_PUT_INDEX:
        return status == 200 ||
               (status == 400 && memmem(body, body_len, exists, sizeof exists - 1) != NULL);
    }
    return false;
}

static void ask(struct index_setup *setup, enum setup_step step);

static void on_answer(void *arg, long status, enum elasticsearch_end end, const char *body,
                      size_t body_len, const struct error *err)
{
    (void)end;
    struct index_setup *setup = arg;
    enum setup_step step = setup->step;
    if (!step_succeeded(step, status, body, body_len)) {
        struct error said;
        if (status != 0)
            server_error_from_body(body, body_len, &said);
        fail_round(setup, status, status != 0 ? said.message : err->message);
        return;
    }
    setup->template_put = setup->template_put || step == STEP_PUT_TEMPLATE;
    if (step == STEP_PUT_INDEX || (step == STEP_LOOK && status == 200 && setup->template_put))
        end_round(setup, true);
    else
        ask(setup, step + 1);
}

static void ask(struct index_setup *setup, enum setup_step step)
{
    char path[320], body[sizeof template_format + 256]; /* an index name has up to 255 bytes */
    int body_len = 0;
    setup->step = step;
    (void)snprintf(path, sizeof path, steps[step].path_format, setup->options.index);
    if (steps[step].body_format != NULL)
        body_len = snprintf(body, sizeof body, steps[step].body_format, setup->options.index);
    if (elasticsearch_request(setup->options.client, steps[step].method, path,
                              body_len > 0 ? "application/json" : NULL, body_len > 0 ? body : NULL,
                              (size_t)body_len, false, REQUEST_TIMEOUT_MS, on_answer, setup) != 0)
        fail_round(setup, 0, "too many requests at once");
}

static void begin_round(void *arg)
{
    ask(arg, STEP_LOOK);
}

void index_setup_check(struct index_setup *setup)
{
    if (setup->usable && loop_timer_running(setup->timer))
        loop_timer_start(setup->timer, 0);
}

struct index_setup *index_setup_new(struct event_loop *loop,
                                    const struct index_setup_options *options)
{
    struct index_setup *setup = memory_new(sizeof *setup);
    setup->options = *options;
    setup->backoff = (struct backoff){.base_ms = BACKOFF_BASE_MS, .cap_ms = BACKOFF_CAP_MS};
    setup->timer = event_loop_timer(loop, begin_round, setup);
    loop_timer_start(setup->timer, 0);
    return setup;
}

void index_setup_free(struct index_setup *setup)
{
    if (setup == NULL)
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
