/* The index and its template are kept in place by rounds of requests: look for the index; where it
 * is missing, or this is the first look, PUT the template; where it is missing, list the numbered
 * indices, PUT the next one together with the alias, and look again. The server takes both or
 * neither, so that one of several indexers succeeds, and the others find its index when they look
 * again. A round follows each failure after a backoff, and each success after LOOK_MS, which
 * notices a server that is gone, or an index that was deleted, while no orders come. */
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
#define CREATIONS_MAX 16   /* in a round */

enum setup_step { STEP_LOOK, STEP_PUT_TEMPLATE, STEP_LIST, STEP_PUT_INDEX };

static const struct {
    const char *method, *path_format, *doing, *privilege;
} steps[] = {
    [STEP_LOOK] = {"GET", "/%s?" INDEX_LOOK_QUERY, "looking for the index", "view_index_metadata"},
    [STEP_PUT_TEMPLATE] = {"PUT", "/_index_template/%s", "installing the index template",
                           "manage_index_templates"},
    [STEP_LIST] = {"GET", "/%s-*?" INDEX_NAMES_QUERY, "listing the indices", "view_index_metadata"},
    [STEP_PUT_INDEX] = {"PUT", "/%s", "creating the index", "manage"},
};

struct index_setup {
    struct index_setup_options options;
    enum setup_step step;  /* what is being asked, unless the timer runs */
    enum index_form form;  /* at the last look that was answered */
    unsigned number;       /* of the index to create */
    int creations;         /* tried in this round */
    bool template_settled; /* put by this process, or refused, since the index went missing */
    bool usable;
    struct error reason;
    struct loop_timer *timer; /* of the next round */
    struct backoff backoff;
};

static void end_round(struct index_setup *setup, bool usable)
{
    if (usable) {
        backoff_reset(&setup->backoff);
        setup->number = 1;
    }
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

static void looked(struct index_setup *setup, long status, const char *body, size_t body_len,
                   const struct server_error *said)
{
    struct index_look look;
    enum index_form form_before = setup->form;
    if (index_look_is_absent(status, said->type)) {
        setup->form = INDEX_ABSENT;
        if (form_before != INDEX_ABSENT)
            setup->template_settled = false; /* it may have been deleted, too */
        ask(setup, setup->template_settled ? STEP_LIST : STEP_PUT_TEMPLATE);
        return;
    }
    if (status != 200) {
        fail_round(setup, status, said->words.message);
        return;
    }
    int rc = index_look_read(setup->options.index, body, body_len, &look, &setup->reason);
    if (look.form != INDEX_ABSENT) /* else the answer is nobody's */
        setup->form = look.form;
    if (rc != 0)
        end_round(setup, false);
    else if (!setup->template_settled)
        ask(setup, STEP_PUT_TEMPLATE);
    else
        end_round(setup, true);
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
    if (setup->form == INDEX_ABSENT)
        ask(setup, STEP_LIST);
    else
        end_round(setup, true);
}

/* A user who may not see the indices tries one number after the other. */
static void listed(struct index_setup *setup, long status, const char *body, size_t body_len,
                   const struct server_error *said)
{
    unsigned next = 1;
    if (status != 200 && status != 403) {
        fail_round(setup, status, said->words.message);
    } else if (status == 200 &&
               index_names_next(setup->options.index, body, body_len, &next, &setup->reason) != 0) {
        end_round(setup, false);
    } else {
        setup->number = next > setup->number ? next : setup->number;
        ask(setup, STEP_PUT_INDEX);
    }
}

/* The number, or the name of the alias, was free at the last look and is not any more. */
static bool is_taken(const struct server_error *said)
{
    static const char *const types[] = {
        "resource_already_exists_exception", /* another index has the number */
        "invalid_alias_name_exception",      /* a concrete index has the alias' name */
        "illegal_state_exception",           /* another index is the alias' write index */
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (server_error_is(said, types[i]))
            return true;
    return false;
}

static void put_index(struct index_setup *setup, long status, const struct server_error *said)
{
    if ((status != 200 && !is_taken(said)) || ++setup->creations == CREATIONS_MAX) {
        fail_round(setup, status, said->words.message);
        return;
    }
    if (server_error_is(said, "resource_already_exists_exception"))
        setup->number = setup->number < INDEX_NUMBER_MAX ? setup->number + 1 : 1;
    ask(setup, STEP_LOOK);
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
    case STEP_LIST:
        listed(setup, status, body, body_len, &said);
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
    case STEP_LIST:
        return NULL;
    case STEP_PUT_TEMPLATE:
        return index_definition_template(definition, setup->options.index);
    case STEP_PUT_INDEX:
        return index_definition_body(definition,
                                     &(struct index_purpose){.alias = setup->options.index});
    }
    return NULL;
}

static void ask(struct index_setup *setup, enum setup_step step)
{
    char path[PATH_MAX_BYTES], name[INDEX_NAME_SIZE], *body = body_of(setup, step);
    setup->step = step;
    index_names_write(setup->options.index, setup->number, name);
    (void)snprintf(path, sizeof path, steps[step].path_format, /* it fits */
                   step == STEP_PUT_INDEX ? name : setup->options.index);
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
    setup->creations = 0;
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
    setup->number = 1;
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

bool index_setup_requires_alias(const struct index_setup *setup)
{
    return setup->form != INDEX_CONCRETE;
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
        if (index_look_is_absent(status, said.type))
            rc = 0; /* the indexer will create it */
        else
            describe(STEP_LOOK, status, said.words.message, err);
    }
    answer_body_free(body);
    return rc;
}
