#include "tests/unit/gateway/fake_letters.h"
#include "services/base/memory.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct later {
    struct loop_timer *timer;
    struct fake_letters *letters;
    void (*call)(struct later *later);
    union {
        dead_letters_listed_fn *listed;
        dead_letters_found_fn *found;
        dead_letters_counted_fn *counted;
        dead_letters_settled_fn *settled;
        dead_letters_job_fn *job;
        job_records_listed_fn *jobs_listed;
        job_records_canceled_fn *canceled;
        job_records_begun_fn *begun;
    } done;
    void *arg;
    int64_t id;
    unsigned limit;
    const struct letter_settling *settling;
};

static void on_later(void *arg)
{
    struct later *later = arg;
    loop_timer_free(later->timer);
    later->call(later);
    free(later);
}

static struct later *answer_later(struct fake_letters *letters, const char *name,
                                  void (*call)(struct later *), void *arg)
{
    struct fakes *fakes = letters->fakes;
    size_t used = strlen(fakes->calls);
    snprintf(fakes->calls + used, sizeof(fakes->calls) - used, "%s ", name);
    struct later *later = memory_new(sizeof(*later));
    later->letters = letters;
    later->call = call;
    later->arg = arg;
    later->timer = event_loop_timer(fakes->loop, on_later, later);
    loop_timer_start(later->timer, 0);
    return later;
}

static void ask(struct fake_letters *letters, const char *what, const struct letter_filter *filter)
{
    char id[ORDER_ID_TEXT_LEN + 1] = "";
    if (filter->by_order_id)
        order_id_format(&filter->order_id, id);
    snprintf(
        letters->asked, sizeof(letters->asked),
        "%s state=%s reason=%s stage=%s detail=%s order_id=%s since=%" PRId64 " until=%" PRId64,
        what, filter->state != NULL ? filter->state : "",
        filter->reason != NULL ? filter->reason : "", filter->stage != NULL ? filter->stage : "",
        filter->detail != NULL ? filter->detail : "", id, filter->by_since ? filter->since_us : 0,
        filter->by_until ? filter->until_us : 0);
}

/* ---- reads ---- */

static void call_listed(struct later *later)
{
    struct fake_letters *letters = later->letters;
    bool ok = letters->status == ORDER_STORE_OK;
    size_t count = letters->count < later->limit ? letters->count : later->limit;
    later->done.listed(later->arg, letters->status, ok ? letters->letters : NULL, ok ? count : 0);
}

static int list(void *self, const struct letter_filter *filter, int64_t before_id, unsigned limit,
                dead_letters_listed_fn *done, void *arg)
{
    struct fake_letters *letters = self;
    if (letters->refuses)
        return -1;
    ask(letters, "list", filter);
    size_t used = strlen(letters->asked);
    snprintf(letters->asked + used, sizeof(letters->asked) - used, " before=%" PRId64 " limit=%u",
             before_id, limit);
    struct later *later = answer_later(letters, "list", call_listed, arg);
    later->done.listed = done;
    later->limit = limit;
    return 0;
}

static struct letter *letter_of(struct fake_letters *letters, int64_t id)
{
    return id >= 1 && (size_t)id <= letters->count ? &letters->letters[id - 1] : NULL;
}

static void call_found(struct later *later)
{
    struct fake_letters *letters = later->letters;
    const struct letter *letter =
        letters->status == ORDER_STORE_OK ? letter_of(letters, later->id) : NULL;
    later->done.found(later->arg, letters->status, letter,
                      letter != NULL ? &letters->contents[later->id - 1] : NULL);
}

static int find(void *self, int64_t id, dead_letters_found_fn *done, void *arg)
{
    struct fake_letters *letters = self;
    if (letters->refuses)
        return -1;
    struct later *later = answer_later(letters, "letter", call_found, arg);
    later->done.found = done;
    later->id = id;
    return 0;
}

static void call_counted(struct later *later)
{
    struct fake_letters *letters = later->letters;
    later->done.counted(later->arg, letters->status,
                        letters->status == ORDER_STORE_OK ? &letters->counts : NULL);
}

static int count(void *self, const struct letter_filter *filter, dead_letters_counted_fn *done,
                 void *arg)
{
    struct fake_letters *letters = self;
    if (letters->refuses)
        return -1;
    ask(letters, "count", filter);
    answer_later(letters, "count", call_counted, arg)->done.counted = done;
    return 0;
}

/* ---- changes ---- */

static enum letter_settled settle_now(struct fake_letters *letters,
                                      const struct letter_settling *settling)
{
    struct letter *letter = letter_of(letters, settling->id);
    if (letter == NULL)
        return LETTER_MISSING;
    if (letter->ended)
        return LETTER_ENDED;
    if (settling->needs_free_id && fakes_row(letters->fakes, &settling->free_id) != NULL)
        return LETTER_ORDER_STORED;
    letter->ended = true;
    letter->ended_at_us = settling->at_us;
    letter->ended_by = "somebody";
    snprintf(letters->asked, sizeof(letters->asked), "settle by=%s reason=%s", settling->by,
             settling->reason != NULL ? settling->reason : "");
    letter->state = settling->reason != NULL ? LETTER_STATE_DISCARDED : LETTER_STATE_REPLAYED;
    if (settling->reason == NULL)
        letters->outbox[letters->outbox_count++] = settling->order;
    return LETTER_SETTLED;
}

static void call_settled(struct later *later)
{
    struct fake_letters *letters = later->letters;
    enum order_store_status status = letters->settle_status;
    enum letter_settled result = LETTER_FAILED;
    if (letters->before_settling != NULL)
        letters->before_settling(letters);
    if (status == ORDER_STORE_OK || status == ORDER_STORE_UNKNOWN)
        result = settle_now(letters, later->settling);
    bool ended = status == ORDER_STORE_OK && result == LETTER_ENDED;
    later->done.settled(later->arg, status, status == ORDER_STORE_OK ? result : LETTER_FAILED,
                        ended ? letter_of(letters, later->settling->id) : NULL);
}

static int settle(void *self, const struct letter_settling *settling, dead_letters_settled_fn *done,
                  void *arg)
{
    struct fake_letters *letters = self;
    if (letters->refuses || letters->settle_refuses)
        return -1;
    struct later *later = answer_later(letters, "settle", call_settled, arg);
    later->done.settled = done;
    later->settling = settling;
    return 0;
}

static void call_job(struct later *later)
{
    struct fake_letters *letters = later->letters;
    bool ok = letters->status == ORDER_STORE_OK;
    later->done.job(later->arg, letters->status, ok ? letters->job : 0, ok ? letters->total : 0);
}

static int begin_job(void *self, const struct letter_job_request *request,
                     dead_letters_job_fn *done, void *arg)
{
    struct fake_letters *letters = self;
    if (letters->refuses)
        return -1;
    ask(letters, request->kind == LETTER_JOB_REPLAY ? "replay" : "discard", &request->filter);
    size_t used = strlen(letters->asked);
    snprintf(letters->asked + used, sizeof(letters->asked) - used, " by=%s %s", request->by,
             request->parameters);
    answer_later(letters, "job", call_job, arg)->done.job = done;
    return 0;
}

/* ---- jobs ---- */

static void call_jobs_listed(struct later *later)
{
    struct fake_letters *letters = later->letters;
    bool ok = letters->status == ORDER_STORE_OK;
    size_t job_count = letters->job_count < later->limit ? letters->job_count : later->limit;
    later->done.jobs_listed(later->arg, letters->status, ok ? letters->jobs : NULL,
                            ok ? job_count : 0);
}

static int list_jobs(void *self, int64_t before_id, unsigned limit, job_records_listed_fn *done,
                     void *arg)
{
    struct fake_letters *letters = self;
    if (letters->refuses)
        return -1;
    snprintf(letters->asked, sizeof(letters->asked), "jobs before=%" PRId64 " limit=%u", before_id,
             limit);
    struct later *later = answer_later(letters, "jobs", call_jobs_listed, arg);
    later->done.jobs_listed = done;
    later->limit = limit;
    return 0;
}

static int find_job(void *self, int64_t id, job_records_listed_fn *done, void *arg)
{
    struct fake_letters *letters = self;
    if (letters->refuses)
        return -1;
    struct later *later = answer_later(letters, "find_job", call_jobs_listed, arg);
    later->done.jobs_listed = done;
    later->limit = id == 1 ? 1 : 0;
    return 0;
}

static void call_begun(struct later *later)
{
    struct fake_letters *letters = later->letters;
    bool ok = letters->status == ORDER_STORE_OK;
    later->done.begun(later->arg, letters->status, ok ? &letters->jobs[0] : NULL,
                      ok && letters->begins);
}

static int begin(void *self, const struct index_job_request *request, job_records_begun_fn *done,
                 void *arg)
{
    struct fake_letters *letters = self;
    if (letters->refuses)
        return -1;
    snprintf(letters->asked, sizeof(letters->asked), "begin %s %s by=%s", request->kind,
             request->parameters, request->by);
    answer_later(letters, "begin", call_begun, arg)->done.begun = done;
    return 0;
}

static void call_canceled(struct later *later)
{
    struct fake_letters *letters = later->letters;
    bool there = letters->status == ORDER_STORE_OK && later->id == 1 && letters->job_count > 0;
    later->done.canceled(later->arg, letters->status, there ? &letters->jobs[0] : NULL,
                         there && letters->cancels);
}

static int cancel(void *self, int64_t id, job_records_canceled_fn *done, void *arg)
{
    struct fake_letters *letters = self;
    if (letters->refuses)
        return -1;
    struct later *later = answer_later(letters, "cancel", call_canceled, arg);
    later->done.canceled = done;
    later->id = id;
    return 0;
}

/* ---- all ---- */

struct letter *fake_letters_add(struct fake_letters *letters, const char *reason, const char *body)
{
    if (letters->count == FAKE_LETTERS_MAX)
        abort();
    struct letter *letter = &letters->letters[letters->count];
    letters->contents[letters->count++] = (struct letter_content){
        .body = body, .body_len = strlen(body), .properties = "\0\0", .properties_len = 2};
    *letter = (struct letter){.id = (int64_t)letters->count,
                              .state = LETTER_STATE_DEAD,
                              .queue = "order_queue",
                              .reason = reason,
                              .detail = "",
                              .stage = "persist",
                              .body_bytes = (int64_t)strlen(body),
                              .died_at_us = 1};
    return letter;
}

void fake_letters_reset(struct fake_letters *letters)
{
    fake_letters_init(letters, letters->fakes);
}

void fake_letters_init(struct fake_letters *letters, struct fakes *fakes)
{
    *letters = (struct fake_letters){
        .fakes = fakes, .job = 7, .total = 3, .begins = true, .cancels = true};
    letters->port = (struct dead_letters){.self = letters,
                                          .list = list,
                                          .find = find,
                                          .count = count,
                                          .settle = settle,
                                          .begin_job = begin_job};
    letters->jobs_port = (struct job_records){
        .self = letters, .list = list_jobs, .find = find_job, .begin = begin, .cancel = cancel};
}
