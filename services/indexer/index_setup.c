/* The index and its template are kept in place by rounds of up to four requests: look for the
 * index; where it is missing, or this is the first look, PUT the template; where it is missing, PUT
 * the index, and look again if another indexer was faster. A round follows each failure after a
 * backoff, and each success after LOOK_MS, which notices a server that is gone, or an index that
 * was deleted, while no orders come. */
#include "services/indexer/index_setup.h"
#include "services/base/backoff.h"
#include "services/base/memory.h"
#include "services/clients/elasticsearch/index_look.h"
#include "services/clients/elasticsearch/server_error.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_TIMEOUT_MS 4000
#define LOOK_MS 5000
#define BACKOFF_BASE_MS 100
#define BACKOFF_CAP_MS 1000
#define PATH_MAX_BYTES 512 /* an index name has up to 255 bytes */

enum setup_step { STEP_LOOK, STEP_PUT_TEMPLATE, STEP_PUT_INDEX };

static const struct {
    const char *method, *path_format, *doing, *privilege;
} steps[] = {
    [STEP_LOOK] = {"GET", "/%s?" INDEX_LOOK_QUERY, "looking for the index", "view_index_metadata"},
    [STEP_PUT_TEMPLATE] = {"PUT", "/_index_template/%s", "installing the index template",
                           "manage_index_templates"},
    [STEP_PUT_INDEX] = {"PUT", "/%s", "creating the index", "create_index"},
};

struct index_setup {
    struct index_setup_options options;
    enum setup_step step;   /* what is being asked, unless the timer runs */
    struct index_look look; /* the last one */
    bool missing;           /* the index, at the last look */
    bool created_elsewhere; /* in this round */
    bool template_settled;  /* put by this process, or refused, since the index went missing */
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

static void describe(enum setup_step step, long status, const char *said, struct error *ret)
{
    error_set(ret, "%s: HTTP status %ld: %s", steps[step].doing, status, said);
}

static void fail_round(struct index_setup *setup, long status, const char *said)
{
    describe(setup->step, status, said, &setup->reason);
    end_round(setup, false);
}

/* What was answered, in the order of the requests of a round. */

static void ask(struct index_setup *setup, enum setup_step step);

static bool is_missing(long status, const struct server_error *said)
{
    return status == 404 && server_error_is(said, "index_not_found_exception");
}

static void looked(struct index_setup *setup, long status, const char *body, size_t body_len,
                   const struct server_error *said)
{
    bool was_missing = setup->missing;
    setup->missing = is_missing(status, said);
    if (setup->missing) {
        if (!was_missing)
            setup->template_settled = false; /* it may have been deleted, too */
        ask(setup, setup->template_settled ? STEP_PUT_INDEX : STEP_PUT_TEMPLATE);
    } else if (status != 200) {
        fail_round(setup, status, said->words.message);
    } else if (index_look_read(setup->options.index, body, body_len, &setup->look,
                               &setup->reason) != 0) {
        end_round(setup, false);
    } else if (!setup->template_settled) {
        ask(setup, STEP_PUT_TEMPLATE);
    } else {
        end_round(setup, true);
    }
}

/* The index has its mapping without the template. A refusal, for want of a privilege or because
 * another template is in its place, is told once; any other failure is tried again. */
static void put_template(struct index_setup *setup, long status, const struct server_error *said)
{
    bool refused = status >= 400 && status <= 499 && status != 429;
    setup->template_settled = refused || status == 200;
    if (refused) {
        struct error warning;
        describe(STEP_PUT_TEMPLATE, status, said->words.message, &warning);
        setup->options.on_warning(setup->options.arg, warning.message);
    }
    if (setup->missing)
        ask(setup, STEP_PUT_INDEX);
    else
        end_round(setup, true);
}

static void put_index(struct index_setup *setup, long status, const struct server_error *said)
{
    if (status == 200) {
        setup->missing = false;
        end_round(setup, true);
    } else if (status == 400 && server_error_is(said, "resource_already_exists_exception") &&
               !setup->created_elsewhere) {
        setup->created_elsewhere = true;
        ask(setup, STEP_LOOK);
    } else {
        fail_round(setup, status, said->words.message);
    }
}

static void on_answer(void *arg, long status, enum http_end end, const char *body, size_t body_len,
                      const struct error *err)
{
    (void)end;
    struct index_setup *setup = arg;
    enum setup_step step = setup->step;
    struct server_error said = {.type = ""};
    if (status == 0)
        said.words = *err;
    else if (status != 200)
        server_error_parse(body, body_len, &said);
    server_error_name_privilege(&said, status, steps[step].privilege);
    switch (step) {
    case STEP_LOOK:
        looked(setup, status, body, body_len, &said);
        return;
    case STEP_PUT_TEMPLATE:
        put_template(setup, status, &said);
        return;
    case STEP_PUT_INDEX:
        put_index(setup, status, &said);
        return;
    }
}

static char *body_of(const struct index_setup *setup, enum setup_step step)
{
    const struct index_definition *definition = setup->options.definition;
    switch (step) {
    case STEP_LOOK:
        return NULL;
    case STEP_PUT_TEMPLATE:
        return index_definition_template(definition, setup->options.index);
    case STEP_PUT_INDEX:
        return index_definition_body(definition, &(struct index_purpose){.alias = NULL});
    }
    return NULL;
}

static void ask(struct index_setup *setup, enum setup_step step)
{
    char path[PATH_MAX_BYTES], *body = body_of(setup, step);
    setup->step = step;
    (void)snprintf(path, sizeof path, steps[step].path_format, setup->options.index); /* it fits */
    int rc = elasticsearch_request(setup->options.client, steps[step].method, path,
                                   body ? "application/json" : NULL, body, body ? strlen(body) : 0,
                                   false, REQUEST_TIMEOUT_MS, on_answer, setup);
    free(body);
    if (rc != 0)
        fail_round(setup, 0, "too many requests at once");
}

static void begin_round(void *arg)
{
    struct index_setup *setup = arg;
    setup->created_elsewhere = false;
    ask(setup, STEP_LOOK);
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

int index_setup_reach(const struct elasticsearch_options *server, const char *index,
                      struct error *err)
{
    char path[PATH_MAX_BYTES];
    (void)snprintf(path, sizeof path, steps[STEP_LOOK].path_format, index);
    struct answer_body *body = NULL;
    int rc = -1;
    long status = elasticsearch_get(server, path, &body, err);
    if (status == 200) {
        struct index_look look;
        rc = index_look_read(index, body->bytes, body->len, &look, err);
    } else if (status != 0) {
        struct server_error said;
        server_error_parse(body->bytes, body->len, &said);
        server_error_name_privilege(&said, status, steps[STEP_LOOK].privilege);
        if (is_missing(status, &said))
            rc = 0; /* the indexer will create it */
        else
            describe(STEP_LOOK, status, said.words.message, err);
    }
    answer_body_free(body);
    return rc;
}
