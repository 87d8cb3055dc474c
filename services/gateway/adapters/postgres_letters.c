/* The ports on one pipelined connection. Each operation under way is a `struct call` in a list;
 * calls that are left are freed with the adapter.
 *
 * When the answer to the end of a letter is lost, the same is asked again until it is known, or
 * time is up: it happens once (letter_settling.h). */
#include "services/gateway/adapters/postgres_letters.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/clients/postgres/dead_letters.h"
#include "services/clients/postgres/job_records.h"
#include "services/clients/postgres/letter_jobs_request.h"
#include "services/clients/postgres/letter_settling.h"
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#define IN_FLIGHT 16 /* letters with their bodies among them */
#define LOCK_TIMEOUT_MS 4000
#define AGAIN_MS 100
#define BEGIN_ATTEMPTS 10

struct postgres_letters {
    struct dead_letters port;
    struct job_records jobs;
    struct event_loop *loop;
    struct database *database;
    struct call *calls;
    int outbox_wake_fd;
};

struct call {
    struct call *next, **link; /* in the adapter's list */
    struct postgres_letters *letters;
    void *arg;
    union {
        dead_letters_listed_fn *listed;
        dead_letters_found_fn *found;
        dead_letters_counted_fn *counted;
        dead_letters_settled_fn *settled;
        dead_letters_job_fn *job;
        job_records_listed_fn *jobs_listed;
        job_records_canceled_fn *canceled;
        job_records_begun_fn *begun;
    } on_done;

    /* Of a settling alone. */
    const struct letter_settling *settling;
    bool unknown; /* the answer to an earlier attempt was lost */
    int64_t deadline_ms;
    struct loop_timer *again;

    /* Of the beginning of a job alone. */
    const struct index_job_request *request;
    unsigned attempts;
};

static struct log_limit failure_limit;

static struct call *call_new(struct postgres_letters *letters, void *arg)
{
    struct call *call = memory_new(sizeof(*call));
    call->letters = letters;
    call->arg = arg;
    call->next = letters->calls;
    call->link = &letters->calls;
    if (call->next != NULL)
        call->next->link = &call->next;
    letters->calls = call;
    return call;
}

static void call_free(struct call *call)
{
    *call->link = call->next;
    if (call->next != NULL)
        call->next->link = call->link;
    loop_timer_free(call->again);
    free(call);
}

/* The call has its answer; returns it for the callback. */
static struct call call_end(struct call *call)
{
    struct call ended = *call;
    call_free(call);
    return ended;
}

/* `sent` as database_send() returns it. */
static int call_sent(struct call *call, int sent)
{
    if (sent != 0)
        call_free(call);
    return sent;
}

/* Of what changes nothing, or may be done again. A statement that the server has not done within
 * its limit has failed. */
static enum order_store_status status_of(const struct database_answer *answer)
{
    if (answer->status == DATABASE_OK)
        return ORDER_STORE_OK;
    if (answer->status == DATABASE_UNAVAILABLE)
        return ORDER_STORE_UNAVAILABLE;
    log_limited(
        &failure_limit, LOG_LEVEL_ERROR, "PostgreSQL refused a statement about dead letters",
        (const struct log_field[]){
            log_text("sqlstate", answer->sqlstate), log_text("reason", answer->message), {0}});
    bool timed_out = strcmp(answer->sqlstate, "57014") == 0;
    return database_failure_passes(answer) && !timed_out ? ORDER_STORE_UNAVAILABLE
                                                         : ORDER_STORE_FAILED;
}

/* Of what must be done once. */
static enum order_store_status change_status_of(const struct database_answer *answer)
{
    bool lost = answer->status == DATABASE_UNAVAILABLE && !answer->unexecuted;
    return lost ? ORDER_STORE_UNKNOWN : status_of(answer);
}

/* ---- reads ---- */

static void on_listed(void *arg, const struct letter *letters, size_t count,
                      const struct database_answer *answer)
{
    struct call call = call_end(arg);
    call.on_done.listed(call.arg, status_of(answer), letters, count);
}

static int list(void *self, const struct letter_filter *filter, int64_t before_id, unsigned limit,
                dead_letters_listed_fn *on_done, void *arg)
{
    struct postgres_letters *letters = self;
    struct call *call = call_new(letters, arg);
    call->on_done.listed = on_done;
    return call_sent(call,
                     letters_list(letters->database, filter, before_id, limit, on_listed, call));
}

static void on_found(void *arg, const struct letter *letter, const struct letter_content *content,
                     const struct database_answer *answer)
{
    struct call call = call_end(arg);
    call.on_done.found(call.arg, status_of(answer), letter, content);
}

static int find(void *self, int64_t id, dead_letters_found_fn *on_done, void *arg)
{
    struct postgres_letters *letters = self;
    struct call *call = call_new(letters, arg);
    call->on_done.found = on_done;
    return call_sent(call, letters_find(letters->database, id, on_found, call));
}

static void on_counted(void *arg, const struct letter_counts *counts,
                       const struct database_answer *answer)
{
    struct call call = call_end(arg);
    call.on_done.counted(call.arg, status_of(answer), counts);
}

static int count(void *self, const struct letter_filter *filter, dead_letters_counted_fn *on_done,
                 void *arg)
{
    struct postgres_letters *letters = self;
    struct call *call = call_new(letters, arg);
    call->on_done.counted = on_done;
    return call_sent(call, letters_count(letters->database, filter, on_counted, call));
}

static void on_jobs_listed(void *arg, const struct job_record *jobs, size_t job_count,
                           const struct database_answer *answer)
{
    struct call call = call_end(arg);
    call.on_done.jobs_listed(call.arg, status_of(answer), jobs, job_count);
}

static int list_jobs(void *self, int64_t before_id, unsigned limit, job_records_listed_fn *on_done,
                     void *arg)
{
    struct postgres_letters *letters = self;
    struct call *call = call_new(letters, arg);
    call->on_done.jobs_listed = on_done;
    return call_sent(call,
                     job_records_list(letters->database, before_id, limit, on_jobs_listed, call));
}

static int find_job(void *self, int64_t id, job_records_listed_fn *on_done, void *arg)
{
    struct postgres_letters *letters = self;
    struct call *call = call_new(letters, arg);
    call->on_done.jobs_listed = on_done;
    return call_sent(call, job_records_find(letters->database, id, on_jobs_listed, call));
}

/* ---- changes ---- */

static void on_canceled(void *arg, const struct job_record *job, bool canceled,
                        const struct database_answer *answer)
{
    struct call call = call_end(arg);
    call.on_done.canceled(call.arg, status_of(answer), job, canceled);
}

static int cancel_job(void *self, int64_t id, job_records_canceled_fn *on_done, void *arg)
{
    struct postgres_letters *letters = self;
    struct call *call = call_new(letters, arg);
    call->on_done.canceled = on_done;
    return call_sent(call, job_records_cancel(letters->database, id, on_canceled, call));
}

static void on_begun(void *arg, const struct job_record *job, bool begun,
                     const struct database_answer *answer)
{
    struct call *call = arg;
    enum order_store_status status = change_status_of(answer);
    if (status == ORDER_STORE_OK && job == NULL) {
        status = ORDER_STORE_UNAVAILABLE; /* another one was quicker */
        if (++call->attempts < BEGIN_ATTEMPTS &&
            job_records_begin(call->letters->database, call->request, on_begun, call) == 0)
            return;
    }
    struct call ended = call_end(call);
    ended.on_done.begun(ended.arg, status, job, begun);
}

static int begin_index_job(void *self, const struct index_job_request *request,
                           job_records_begun_fn *on_done, void *arg)
{
    struct postgres_letters *letters = self;
    struct call *call = call_new(letters, arg);
    call->on_done.begun = on_done;
    call->request = request;
    return call_sent(call, job_records_begin(letters->database, request, on_begun, call));
}

static void on_job(void *arg, int64_t job, int64_t total, const struct database_answer *answer)
{
    struct call call = call_end(arg);
    call.on_done.job(call.arg, change_status_of(answer), job, total);
}

static int begin_job(void *self, const struct letter_job_request *request,
                     dead_letters_job_fn *on_done, void *arg)
{
    struct postgres_letters *letters = self;
    struct call *call = call_new(letters, arg);
    call->on_done.job = on_done;
    return call_sent(call, letter_job_request(letters->database, request, on_job, call));
}

static void settle_end(struct call *call, enum order_store_status status,
                       enum letter_settled result, const struct letter *letter)
{
    if (status == ORDER_STORE_OK && result == LETTER_SETTLED && call->settling->reason == NULL)
        /* The write fails only when the counter is full: then the task is about to wake. */
        (void)!eventfd_write(call->letters->outbox_wake_fd, 1);
    struct call ended = call_end(call);
    ended.on_done.settled(ended.arg, status, result, letter);
}

static void settle_later(struct call *call)
{
    call->unknown = true;
    if (clock_monotonic_ms() + AGAIN_MS >= call->deadline_ms)
        settle_end(call, ORDER_STORE_UNKNOWN, LETTER_FAILED, NULL);
    else
        loop_timer_start(call->again, AGAIN_MS);
}

static void on_settled(void *arg, enum letter_settled result, const struct letter *letter,
                       const struct database_answer *answer)
{
    struct call *call = arg;
    enum order_store_status status =
        result == LETTER_FAILED ? change_status_of(answer) : ORDER_STORE_OK;
    if (status == ORDER_STORE_OK || (status != ORDER_STORE_UNKNOWN && !call->unknown))
        settle_end(call, status, result, letter);
    else
        settle_later(call);
}

static void on_again(void *arg)
{
    struct call *call = arg;
    if (letter_settle(call->letters->database, call->settling, on_settled, call) != 0)
        settle_later(call);
}

static int settle(void *self, const struct letter_settling *settling,
                  dead_letters_settled_fn *on_done, void *arg)
{
    struct postgres_letters *letters = self;
    struct call *call = call_new(letters, arg);
    call->on_done.settled = on_done;
    call->settling = settling;
    call->deadline_ms = clock_monotonic_ms() + ORDER_STORE_TIMEOUT_MS;
    call->again = event_loop_timer(letters->loop, on_again, call);
    return call_sent(call, letter_settle(letters->database, settling, on_settled, call));
}

/* ---- life ---- */

struct dead_letters *postgres_letters_new(struct event_loop *loop,
                                          const struct postgres_letters_options *options)
{
    struct postgres_letters *letters = memory_new(sizeof(*letters));
    letters->port = (struct dead_letters){
        .self = letters,
        .list = list,
        .find = find,
        .count = count,
        .settle = settle,
        .begin_job = begin_job,
    };
    letters->jobs = (struct job_records){.self = letters,
                                         .list = list_jobs,
                                         .find = find_job,
                                         .begin = begin_index_job,
                                         .cancel = cancel_job};
    letters->loop = loop;
    letters->outbox_wake_fd = options->outbox_wake_fd;
    letters->database = database_new(
        loop, &(struct database_options){
                  .dsn = options->dsn,
                  .application_name = "gateway letters",
                  .max_in_flight = IN_FLIGHT,
                  .statement_timeout_ms = ORDER_STORE_TIMEOUT_MS,
                  .lock_timeout_ms = LOCK_TIMEOUT_MS,
                  .uses = DATABASE_LETTERS | DATABASE_JOBS | DATABASE_OUTBOX | DATABASE_FINDS,
                  .on_state = options->on_state,
                  .arg = options->arg,
              });
    return &letters->port;
}

struct job_records *postgres_letters_jobs(struct dead_letters *port)
{
    struct postgres_letters *letters = port->self;
    return &letters->jobs;
}

void postgres_letters_free(struct dead_letters *port)
{
    if (port == NULL)
        return;
    struct postgres_letters *letters = port->self;
    database_free(letters->database);
    while (letters->calls != NULL)
        call_free(letters->calls);
    free(letters);
}
