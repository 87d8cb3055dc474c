/* The steps of both kinds. A step does one thing: it sends a statement, or sets the time of the
 * next step. What a statement was about is kept until it is answered, and changes only then. */
#include "services/scheduler/letter_jobs.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/clients/postgres/letter_jobs.h"
#include "services/scheduler/order_documents.h"
#include "services/scheduler/replay_plan.h"
#include <assert.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS 100            /* between two looks at the fates */
#define STALLED_MS (60 * 1000) /* no fate came to light for so long: tell it, as often */

_Static_assert(REPLAY_UNKNOWN_MAX <= LETTERS_SENT_MAX, "their fates fit");
_Static_assert(REPLAY_UNKNOWN_MAX <= ORDER_DOCUMENTS_MAX, "their orders fit");

/* ---- discard ---- */

static void *discard_begin(void *arg, struct job_run *run)
{
    (void)arg;
    return run;
}

static void on_discarded(void *arg, const struct database_answer *answer)
{
    struct job_run *run = arg;
    if (job_run_answered(run, answer, true) && letters_discarded_all(answer))
        job_run_done(run);
}

static void discard_step(void *work)
{
    struct job_run *run = work;
    job_run_sent(run, letters_discard(run->database, run->job, on_discarded, run));
}

static void discard_end(void *work)
{
    (void)work; /* the runner's */
}

struct job_kind discard_kind(void)
{
    return (struct job_kind){
        .name = JOB_KIND_DISCARD, .begin = discard_begin, .step = discard_step, .end = discard_end};
}

/* ---- replay ---- */

/* A letter that was replayed, and whose fate is unknown. */
struct sent_letter {
    int64_t id;
    struct order order;
    bool looked_for; /* in the look at Elasticsearch that is under way */
    bool searchable;
};

struct replay {
    struct job_run *run;
    struct order_documents *documents;
    struct replay_plan plan;
    struct sent_letter sent[REPLAY_UNKNOWN_MAX]; /* plan.unknown of them */
    struct job_letter letter;  /* the one in hand: found to be sent, or to be replayed or skipped */
    struct letter_fates fates; /* not yet told to PostgreSQL */
    bool sent_known;           /* all that were replayed before are in `sent` */
    bool none_wait;            /* no letter of the job is left that was not looked at */
    bool asking;               /* Elasticsearch is being asked */
    int64_t look_at_ms;        /* at the fates */
    int64_t tell_at_ms;        /* that there is no progress */
};

static int64_t per_second(const char *parameters)
{
    json_t *json = json_loads(parameters, 0, NULL);
    const json_t *value = json_object_get(json, "per_second");
    int64_t number = json_is_integer(value) ? json_integer_value(value) : REPLAY_PER_SECOND_DEFAULT;
    json_decref(json);
    return number < 1 ? 1 : number > REPLAY_PER_SECOND_MAX ? REPLAY_PER_SECOND_MAX : number;
}

static void *replay_begin(void *arg, struct job_run *run)
{
    struct replay *replay = memory_new(sizeof *replay);
    const char *checkpoint = run->job->checkpoint;
    replay->run = run;
    replay->documents = arg;
    replay->tell_at_ms = clock_monotonic_ms() + STALLED_MS;
    replay_plan_init(&replay->plan, per_second(run->job->parameters),
                     checkpoint == NULL ? 0 : (unsigned)strtoul(checkpoint, NULL, 10));
    return replay;
}

static void replay_end(void *work)
{
    struct replay *replay = work;
    order_documents_forget(replay->documents);
    free(replay);
}

static void add_sent(struct replay *replay)
{
    struct sent_letter *sent = &replay->sent[replay->plan.unknown];
    sent->id = replay->letter.id;
    sent->looked_for = sent->searchable = false;
    order_copy(&sent->order, &replay->letter.order);
    replay->letter.id = 0;
}

static void remove_sent(struct replay *replay, size_t i)
{
    /* The plan counts them, and has not counted this one down yet. */
    size_t behind = replay->plan.unknown - i - 1;
    memmove(&replay->sent[i], &replay->sent[i + 1], behind * sizeof replay->sent[i]);
}

static void settle(struct replay *replay, int64_t letter)
{
    struct letter_fates *fates = &replay->fates;
    assert(fates->count < LETTERS_SENT_MAX);
    fates->letters[fates->count++] = letter;
}

static void skip(struct replay *replay)
{
    settle(replay, replay->letter.id);
    replay->fates.skipped++;
    replay->letter.id = 0;
}

static void on_settled(void *arg, const struct database_answer *answer)
{
    struct replay *replay = arg;
    if (!job_run_answered(replay->run, answer, true))
        return;
    replay->fates = (struct letter_fates){.count = 0};
    replay->tell_at_ms = clock_monotonic_ms() + STALLED_MS;
}

static void on_found_sent(void *arg, const struct database_answer *answer)
{
    struct replay *replay = arg;
    if (!job_run_answered(replay->run, answer, false))
        return;
    letters_next_read(answer, &replay->letter);
    replay->sent_known = replay->letter.id == 0;
    if (replay->sent_known)
        return;
    if (replay->letter.is_order) {
        add_sent(replay);
        replay_plan_found(&replay->plan);
    } else {
        skip(replay); /* the row of the letter is gone: nobody can tell its fate */
    }
}

static void on_found_next(void *arg, const struct database_answer *answer)
{
    struct replay *replay = arg;
    if (!job_run_answered(replay->run, answer, false))
        return;
    letters_next_read(answer, &replay->letter);
    replay->none_wait = replay->letter.id == 0;
}

static void on_replayed(void *arg, const struct database_answer *answer)
{
    struct replay *replay = arg;
    if (!job_run_answered(replay->run, answer, true))
        return;
    if (!letters_replayed(answer)) {
        skip(replay); /* somebody else was faster */
        return;
    }
    add_sent(replay);
    replay_plan_replayed(&replay->plan, clock_monotonic_us());
}

/* ---- fates ---- */

/* A statement may be under way, and what it is about must not change. */
static void on_documents(void *arg, const bool *found)
{
    struct replay *replay = arg;
    replay->asking = false;
    job_run_step_in(replay->run, 0);
    size_t asked = 0;
    for (size_t i = 0; i < replay->plan.unknown; i++) {
        struct sent_letter *sent = &replay->sent[i];
        sent->searchable = sent->looked_for && found != NULL && found[asked];
        asked += sent->looked_for;
        sent->looked_for = false;
    }
}

static void settle_searchable(struct replay *replay)
{
    for (size_t i = 0; i < replay->plan.unknown;) {
        if (!replay->sent[i].searchable) {
            i++;
            continue;
        }
        settle(replay, replay->sent[i].id);
        replay->fates.searchable++;
        remove_sent(replay, i);
        replay_plan_searchable(&replay->plan);
    }
}

static void ask_documents(struct replay *replay)
{
    const struct order *orders[REPLAY_UNKNOWN_MAX];
    for (size_t i = 0; i < replay->plan.unknown; i++)
        orders[i] = &replay->sent[i].order;
    if (replay->plan.unknown == 0 ||
        order_documents_look(replay->documents, orders, replay->plan.unknown, on_documents,
                             replay) != 0)
        return;
    replay->asking = true;
    for (size_t i = 0; i < replay->plan.unknown; i++)
        replay->sent[i].looked_for = true;
}

static void on_looked(void *arg, const struct database_answer *answer)
{
    struct replay *replay = arg;
    if (!job_run_answered(replay->run, answer, false))
        return;
    for (size_t i = 0; i < replay->plan.unknown;) {
        if (!letters_has_died_again(answer, replay->sent[i].id)) {
            i++;
            continue;
        }
        settle(replay, replay->sent[i].id);
        replay->fates.died_again++;
        remove_sent(replay, i);
        replay_plan_died_again(&replay->plan);
    }
    if (letters_archive_off(answer))
        job_run_fail(replay->run, "the archive of dead letters was turned off: nobody would see a "
                                  "letter that dies again");
    else
        ask_documents(replay);
}

static void look(struct replay *replay)
{
    int64_t letters[REPLAY_UNKNOWN_MAX];
    for (size_t i = 0; i < replay->plan.unknown; i++)
        letters[i] = replay->sent[i].id;
    replay->look_at_ms = clock_monotonic_ms() + LOOK_MS;
    job_run_sent(replay->run, letters_died_again(replay->run->database, letters,
                                                 replay->plan.unknown, on_looked, replay));
}

/* ---- a step ---- */

static void tell_stalled(struct replay *replay)
{
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms < replay->tell_at_ms)
        return;
    replay->tell_at_ms = now_ms + STALLED_MS;
    log_warn("a mass replay waits: replayed letters are neither searchable nor dead again",
             log_number("job", replay->run->job->id),
             log_number("letters", (int64_t)replay->plan.unknown));
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void replay_step(void *work)
{
    struct replay *replay = work;
    struct job_run *run = replay->run;
    const struct replay_plan *plan = &replay->plan;
    if (replay->fates.count == 0)
        settle_searchable(replay);
    if (replay->fates.count > 0) {
        replay->fates.in_a_row = plan->deaths;
        job_run_sent(run,
                     letters_settle(run->database, run->job, &replay->fates, on_settled, replay));
        return;
    }
    if (!replay->sent_known) {
        int64_t last = plan->unknown > 0 ? replay->sent[plan->unknown - 1].id : 0;
        job_run_sent(run, letters_next(run->database, run->job, true, last, on_found_sent, replay));
        return;
    }
    if (replay_plan_broken(plan)) {
        job_run_fail(run, "5 replayed letters in a row died again; those that were left stay dead. "
                          "Repair what kills them, then ask again");
        _Static_assert(REPLAY_DEATHS_MAX == 5, "the words");
        return;
    }
    if (replay->none_wait && plan->unknown == 0) {
        job_run_done(run);
        return;
    }

    int64_t now_ms = clock_monotonic_ms();
    if (plan->unknown > 0 && !replay->asking && now_ms >= replay->look_at_ms) {
        look(replay);
        return;
    }
    int64_t wait_ms = replay->none_wait ? -1 : replay_plan_wait_ms(plan, clock_monotonic_us());
    if (wait_ms == 0 && replay->letter.id == 0) {
        job_run_sent(run, letters_next(run->database, run->job, false, 0, on_found_next, replay));
        return;
    }
    if (wait_ms == 0 && replay->letter.dead && replay->letter.is_order) {
        job_run_sent(run, letters_replay(run->database, run->job, replay->letter.id,
                                         &replay->letter.order, on_replayed, replay));
        return;
    }
    if (wait_ms == 0) {
        skip(replay);
        job_run_step_in(run, 0);
        return;
    }
    tell_stalled(replay);
    job_run_step_in(run, wait_ms < 0 ? LOOK_MS : smaller(wait_ms, LOOK_MS));
}

struct job_kind replay_kind(struct order_documents *documents)
{
    return (struct job_kind){.name = JOB_KIND_REPLAY,
                             .arg = documents,
                             .begin = replay_begin,
                             .step = replay_step,
                             .end = replay_end};
}
