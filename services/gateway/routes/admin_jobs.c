/* GET /api/admin/jobs and /api/admin/jobs/{id}, POST /api/admin/jobs/{id}/cancel: the work that the
 * schedulers were asked for. */
#include "services/base/log.h"
#include "services/gateway/admin_auth.h"
#include "services/gateway/api.h"
#include "services/gateway/job_json.h"
#include "services/gateway/json_answer.h"
#include "services/gateway/routes/admin_request.h"
#include "services/gateway/routes/routes.h"
#include <stdio.h>

struct list {
    struct request_guard guard;
    unsigned limit;
};

struct cancel {
    struct request_guard guard;
    int64_t id;
    char by[OPERATOR_MAX_LEN + 1];
};

static job_records_listed_fn on_listed, on_found;
static job_records_canceled_fn on_canceled;

void list_jobs(struct request *request, h2o_iovec_t rest)
{
    (void)rest;
    struct admin_page page;
    if (!admin_read_query(request, &page, NULL))
        return;
    struct list *list = request_guard_new(request, sizeof(*list), ORDER_STORE_TIMEOUT_MS,
                                          PROBLEM_DEADLINE_EXCEEDED);
    struct job_records *jobs = request->api->job_records;
    list->limit = page.limit;
    if (jobs->list(jobs->self, page.before_id, page.limit + 1, on_listed, list) != 0)
        request_guard_fail(&list->guard, PROBLEM_STORE_UNAVAILABLE);
}

static void on_listed(void *arg, enum order_store_status status, const struct job_record *jobs,
                      size_t count)
{
    struct list *list = arg;
    if (status != ORDER_STORE_OK) {
        request_guard_fail(&list->guard, order_store_problem(status));
        return;
    }
    json_t *items = json_array();
    size_t shown = count < list->limit ? count : list->limit;
    for (size_t i = 0; i < shown; i++)
        (void)json_array_append_new(items, job_json(&jobs[i]));
    admin_reply_page(list->guard.request, "jobs", items, count > shown ? jobs[shown - 1].id : 0);
    request_guard_end(&list->guard);
}

void show_job(struct request *request, h2o_iovec_t rest)
{
    int64_t id;
    if (!admin_number(rest.base, rest.len, &id)) {
        reply_problem(request, PROBLEM_JOB_NOT_FOUND, NULL);
        return;
    }
    struct request_guard *guard = request_guard_new(request, sizeof(*guard), ORDER_STORE_TIMEOUT_MS,
                                                    PROBLEM_DEADLINE_EXCEEDED);
    struct job_records *jobs = request->api->job_records;
    if (jobs->find(jobs->self, id, on_found, guard) != 0)
        request_guard_fail(guard, PROBLEM_STORE_UNAVAILABLE);
}

static void on_found(void *arg, enum order_store_status status, const struct job_record *jobs,
                     size_t count)
{
    struct request_guard *guard = arg;
    if (status != ORDER_STORE_OK) {
        request_guard_fail(guard, order_store_problem(status));
    } else if (count == 0) {
        request_guard_fail(guard, PROBLEM_JOB_NOT_FOUND);
    } else {
        reply_json(guard->request, 200, job_json(&jobs[0]));
        request_guard_end(guard);
    }
}

void cancel_job(struct request *request, h2o_iovec_t rest)
{
    static const char *const members[] = {NULL};
    int64_t id;
    if (!admin_number(rest.base, rest.len, &id)) {
        reply_problem(request, PROBLEM_JOB_NOT_FOUND, NULL);
        return;
    }
    json_t *body = admin_read_body(request, members);
    if (body == NULL)
        return;
    json_decref(body);
    struct cancel *cancel = request_guard_new(request, sizeof(*cancel), ORDER_STORE_TIMEOUT_MS,
                                              PROBLEM_DEADLINE_EXCEEDED);
    struct job_records *jobs = request->api->job_records;
    cancel->id = id;
    snprintf(cancel->by, sizeof(cancel->by), "%s", request->operator_name);
    if (jobs->cancel(jobs->self, id, on_canceled, cancel) != 0)
        request_guard_fail(&cancel->guard, PROBLEM_STORE_UNAVAILABLE);
}

static void on_canceled(void *arg, enum order_store_status status, const struct job_record *job,
                        bool canceled)
{
    struct cancel *cancel = arg;
    struct request_guard *guard = &cancel->guard;
    if (status != ORDER_STORE_OK) {
        request_guard_fail(guard, order_store_problem(status));
    } else if (job == NULL) {
        request_guard_fail(guard, PROBLEM_JOB_NOT_FOUND);
    } else if (!canceled) {
        reply_problem(guard->request, PROBLEM_JOB_FINISHED,
                      job->was_finished ? NULL : "it ends by itself, and nobody cancels it");
        request_guard_end(guard);
    } else {
        log_info("a job is canceled", log_text("operator", cancel->by),
                 log_number("job", cancel->id));
        reply_json(guard->request, 202, job_json(job));
        request_guard_end(guard);
    }
}
