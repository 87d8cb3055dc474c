/* POST /api/admin/dead-letters/replay and /discard: many dead letters, chosen by a filter. A dry
 * run tells how many there are. Else they become a job of the schedulers. */
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/gateway/admin_auth.h"
#include "services/gateway/api.h"
#include "services/gateway/json_answer.h"
#include "services/gateway/routes/admin_request.h"
#include "services/gateway/routes/routes.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PER_SECOND_DEFAULT 50
#define PER_SECOND_MAX 1000

static const char *const kind_names[] = {
    [LETTER_JOB_REPLAY] = "replay", [LETTER_JOB_DISCARD] = "discard"};

struct letter_job_ask {
    struct request_guard guard;
    enum letter_job kind;
    char by[OPERATOR_MAX_LEN + 1];
    char *parameters;
};

static dead_letters_counted_fn on_counted;
static dead_letters_job_fn on_job;

/* ---- a dry run ---- */

static void count(struct request *request, const struct letter_filter *filter)
{
    struct request_guard *guard = request_guard_new(request, sizeof(*guard), ORDER_STORE_TIMEOUT_MS,
                                                    PROBLEM_DEADLINE_EXCEEDED);
    struct dead_letters *letters = request->api->dead_letters;
    if (letters->count(letters->self, filter, on_counted, guard) != 0)
        request_guard_fail(guard, PROBLEM_STORE_UNAVAILABLE);
}

static void on_counted(void *arg, enum order_store_status status,
                       const struct letter_counts *counts)
{
    struct request_guard *guard = arg;
    if (status != ORDER_STORE_OK) {
        request_guard_fail(guard, order_store_problem(status));
        return;
    }
    json_t *json = json_object(), *by_reason = json_object();
    for (size_t i = 0; i < counts->reason_count; i++)
        if (json_object_set_new(by_reason, counts->reasons[i].reason,
                                json_integer(counts->reasons[i].letters)) != 0)
            continue; /* a reason that is no UTF-8 cannot be told */
    json_add_number(json, "matches", counts->letters);
    json_add(json, "by_reason", by_reason);
    reply_json(guard->request, 200, json);
    request_guard_end(guard);
}

/* ---- a job ---- */

static bool read_per_second(struct request *request, const json_t *body, json_int_t *ret)
{
    const json_t *value = json_object_get(body, "per_second");
    double number = value != NULL ? json_number_value(value) : PER_SECOND_DEFAULT; /* 0: none */
    *ret = number >= 1 && number <= PER_SECOND_MAX ? (json_int_t)number : 0;
    if (*ret != 0 && (double)*ret == number) /* 50.0 is a whole number, too */
        return true;
    reply_problem(request, PROBLEM_MALFORMED_REQUEST, "per_second must be 1 to 1000");
    return false;
}

/* A dry run needs no reason, but it must not have a wrong one. */
static bool read_reason(struct request *request, const json_t *body, bool dry_run, const char **ret)
{
    *ret = "";
    if (!dry_run || json_object_get(body, "reason") != NULL)
        *ret = admin_read_reason(request, body);
    return *ret != NULL;
}

/* What the scheduler has to know; NULL when the request is at fault. free() it. */
static char *parameters_of(struct request *request, enum letter_job kind, const json_t *body,
                           bool dry_run)
{
    json_int_t per_second = 0;
    const char *reason = NULL;
    if (kind == LETTER_JOB_REPLAY ? !read_per_second(request, body, &per_second)
                                  : !read_reason(request, body, dry_run, &reason))
        return NULL;
    json_t *parameters = json_object();
    json_add(parameters, "filter", json_incref(json_object_get(body, "filter")));
    if (kind == LETTER_JOB_REPLAY)
        json_add_number(parameters, "per_second", per_second);
    else
        json_add_text(parameters, "reason", reason);
    char *text = json_dumps(parameters, JSON_COMPACT);
    json_decref(parameters);
    if (text == NULL)
        abort(); /* out of memory */
    return text;
}

static void begin_job(struct request *request, enum letter_job kind,
                      const struct letter_filter *filter, char *parameters)
{
    struct letter_job_ask *ask =
        request_guard_new(request, sizeof(*ask), ORDER_STORE_TIMEOUT_MS, PROBLEM_OUTCOME_UNKNOWN);
    ask->kind = kind;
    ask->parameters = parameters;
    snprintf(ask->by, sizeof(ask->by), "%s", request->operator_name);
    const struct letter_job_request job = {
        .kind = kind, .filter = *filter, .parameters = parameters, .by = ask->by};
    struct dead_letters *letters = request->api->dead_letters;
    if (letters->begin_job(letters->self, &job, on_job, ask) != 0)
        on_job(ask, ORDER_STORE_UNAVAILABLE, 0, 0);
}

static void on_job(void *arg, enum order_store_status status, int64_t job, int64_t total)
{
    struct letter_job_ask *ask = arg;
    struct request *request = ask->guard.request;
    if (status == ORDER_STORE_UNKNOWN) {
        reply_problem(request, PROBLEM_OUTCOME_UNKNOWN,
                      "the list of jobs tells whether it is there");
    } else if (status != ORDER_STORE_OK) {
        reply_problem(request, order_store_problem(status), NULL);
    } else if (job == 0) {
        reply_problem(request, PROBLEM_ARCHIVE_OFF, NULL);
    } else {
        log_info("a job about dead letters is asked for", log_text("operator", ask->by),
                 log_text("kind", kind_names[ask->kind]), log_number("job", job),
                 log_number("letters", total), log_text("parameters", ask->parameters));
        char location[64];
        snprintf(location, sizeof(location), "/api/admin/jobs/%" PRId64, job);
        json_t *json = json_object();
        json_add_number(json, "job", job);
        json_add_number(json, "total", total);
        reply_header(request, "location", location);
        reply_json(request, 202, json);
    }
    free(ask->parameters);
    request_guard_end(&ask->guard);
}

/* ---- both ---- */

static void many(struct request *request, enum letter_job kind, const char *const *members)
{
    struct letter_filter filter;
    bool dry_run;
    char *parameters = NULL;
    json_t *body = admin_read_body(request, members);
    if (body == NULL)
        return;
    if (admin_read_filter(request, body, &filter) &&
        admin_read_switch(request, body, "dry_run", &dry_run)) {
        parameters = parameters_of(request, kind, body, dry_run);
        if (parameters != NULL && !dry_run) {
            begin_job(request, kind, &filter, parameters);
        } else if (parameters != NULL) {
            free(parameters);
            count(request, &filter);
        }
    }
    json_decref(body);
}

void replay_dead_letters(struct request *request, h2o_iovec_t rest)
{
    static const char *const members[] = {"filter", "per_second", "dry_run", NULL};
    (void)rest;
    many(request, LETTER_JOB_REPLAY, members);
}

void discard_dead_letters(struct request *request, h2o_iovec_t rest)
{
    static const char *const members[] = {"filter", "reason", "dry_run", NULL};
    (void)rest;
    many(request, LETTER_JOB_DISCARD, members);
}
