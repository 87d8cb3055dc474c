/* The swap, and what comes after it. The alias moves in one request, which is refused as a whole
 * unless each old index still has the alias, and the new one that of the job: a scheduler that was
 * frozen before the request, and goes on when another one has ended the job, changes nothing. After
 * an answer of any kind, or none, the indices are listed again: they say whether it has happened.
 */
#include "services/base/log.h"
#include "services/scheduler/index/reindex_work.h"
#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ATTEMPTS_MAX 5
#define RETRY_MS 500
#define PATH_SIZE (INDEX_NAME_SIZE + 20)

/* ---- the swap ---- */

enum { REFRESH, TELL, LIST, MOVE, TELL_MOVED };

static void on_refreshed(void *arg, long status, const char *body, size_t body_len,
                         const struct server_error *said)
{
    (void)body, (void)body_len;
    struct reindex *reindex = arg;
    reindex_answered(reindex);
    if (said != NULL)
        reindex_refused(reindex, "cannot refresh the new index", status, said);
    else
        reindex->step = TELL;
}

static void on_told(void *arg, const struct database_answer *answer)
{
    struct reindex *reindex = arg;
    if (job_run_answered(reindex->run, answer, true))
        reindex->step = LIST;
}

/* Takes `actions`. Elasticsearch gives up before its client does: what had no answer does not
 * happen later. */
static void send_actions(struct reindex *reindex, json_t *actions, index_answer_fn *on_answer)
{
    json_t *request = json_pack("{s:o}", "actions", actions);
    char *body = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    if (body == NULL)
        abort(); /* no memory */
    reindex_send(reindex, "POST", "/_aliases?master_timeout=10s", body, "manage", on_answer);
    free(body);
}

bool reindex_has_moved(const struct reindex *reindex)
{
    size_t others = 0;
    if (reindex->at.name[0] == '\0')
        return false;
    for (size_t i = 0; i < reindex->listing.count; i++)
        others += reindex->listing.indices[i].in_use &&
                  strcmp(reindex->listing.indices[i].name, reindex->at.name) != 0;
    const struct listed_index *own = index_listing_find(&reindex->listing, reindex->at.name);
    return others == 0 && own != NULL && own->in_use && own->is_written;
}

/* Whose place the new index takes; the one that is written to comes first. */
static void note_old(struct reindex *reindex, const struct listed_index *written)
{
    struct reindex_checkpoint *at = &reindex->at;
    at->old_count = 0;
    at->old_kept = false;
    for (size_t i = 0; i <= reindex->listing.count; i++) {
        const struct listed_index *index = i == 0 ? written : &reindex->listing.indices[i - 1];
        if (!index->in_use || (i > 0 && index == written) || strcmp(index->name, at->name) == 0)
            continue;
        assert(at->old_count < REINDEX_OLD_MAX); /* reindex_used() */
        struct reindex_old *old = &at->old[at->old_count++];
        (void)snprintf(old->name, sizeof old->name, "%s", index->name);
        old->ours = index->numbered || strcmp(index->deployment, reindex->row.deployment) == 0;
        at->old_kept |= !index->is_concrete && (reindex->keep_old || !old->ours);
    }
    reindex->noted = false;
}

static void judge_listing(struct reindex *reindex)
{
    if (reindex_has_moved(reindex)) {
        reindex->step = TELL_MOVED;
        job_run_step_in(reindex->run, 0);
        return;
    }
    if (reindex->run->canceled) {
        reindex_enter(reindex, REINDEX_CLEAN);
        return;
    }
    const struct listed_index *written = reindex_used(reindex);
    if (written == NULL)
        return;
    note_old(reindex, written);
    reindex->step = MOVE; /* when it is noted */
    job_run_step_in(reindex->run, 0);
}

static void on_moved(void *arg, long status, const char *body, size_t body_len,
                     const struct server_error *said)
{
    (void)body, (void)body_len;
    struct reindex *reindex = arg;
    reindex_answered(reindex);
    reindex_forget_listing(reindex);
    reindex->step = LIST;
    if (said == NULL && ++reindex->attempts < ATTEMPTS_MAX)
        return;
    log_warn("the swap of the index was refused", log_number("job", reindex->run->job->id),
             log_number("status", status),
             log_text("reason", said == NULL ? "" : said->words.message));
    if (++reindex->attempts < ATTEMPTS_MAX)
        job_run_step_in(reindex->run, RETRY_MS);
    else
        reindex_fail(reindex, "the swap was refused: HTTP status %ld: %s", status,
                     said == NULL ? "the alias does not move" : said->words.message);
}

static void move(struct reindex *reindex)
{
    const struct reindex_checkpoint *at = &reindex->at;
    const char *index = reindex->context->index;
    json_t *actions = json_pack("[{s:{s:s,s:s,s:b}}]", "remove", "index", at->name, "alias",
                                reindex->own, "must_exist", 1);
    for (size_t i = 0; i < at->old_count; i++) {
        const char *name = at->old[i].name;
        if (strcmp(name, index) == 0) {
            json_array_append_new(actions, json_pack("{s:{s:s}}", "remove_index", "index", name));
            continue;
        }
        json_array_append_new(actions, json_pack("{s:{s:s,s:s,s:b}}", "remove", "index", name,
                                                 "alias", index, "must_exist", 1));
        json_array_append_new(
            actions, json_pack("{s:{s:s,s:s}}", "add", "index", name, "alias", reindex->swapped));
    }
    json_array_append_new(
        actions, json_pack("{s:{s:s,s:s}}", "add", "index", at->name, "alias", reindex->swapped));
    json_array_append_new(actions, json_pack("{s:{s:s,s:s,s:b}}", "add", "index", at->name, "alias",
                                             index, "is_write_index", 1));
    log_info("swaps the index", log_number("job", reindex->run->job->id),
             log_text("index", at->name), log_text("old", at->old[0].name));
    send_actions(reindex, actions, on_moved);
}

static void on_told_moved(void *arg, const struct database_answer *answer)
{
    struct reindex *reindex = arg;
    if (job_run_answered(reindex->run, answer, true))
        reindex_enter(reindex, REINDEX_TAIL);
}

void reindex_swap(struct reindex *reindex)
{
    struct job_run *run = reindex->run;
    char path[PATH_SIZE];
    switch (reindex->step) {
    case REFRESH: /* what search has found in the old one, it finds in the new one */
        (void)snprintf(path, sizeof path, "/%s/_refresh", reindex->at.name);
        reindex_send(reindex, "POST", path, NULL, "maintenance", on_refreshed);
        return;
    case TELL:
        reindex_forget_listing(reindex);
        job_run_sent(run, search_index_building(run->database, run->job, reindex->at.identity,
                                                on_told, reindex));
        return;
    case LIST:
        if (reindex->listed)
            judge_listing(reindex);
        else
            reindex_list(reindex);
        return;
    case MOVE:
        move(reindex);
        return;
    default:
        job_run_sent(run, search_index_swapped(run->database, run->job, reindex->at.identity, -1,
                                               on_told_moved, reindex));
    }
}

/* ---- the old one ---- */

static void on_old_deleted(void *arg, long status, const char *body, size_t body_len,
                           const struct server_error *said)
{
    (void)body, (void)body_len;
    struct reindex *reindex = arg;
    reindex_answered(reindex);
    reindex_forget_listing(reindex); /* it shows what there is now */
    if (said == NULL || (status == 404 && ++reindex->attempts < ATTEMPTS_MAX))
        return;
    reindex->at.old_kept = true;
    reindex_refused(reindex, "the new index is in use; the old one cannot be deleted", status,
                    said);
}

/* What becomes of the old indices: those that are kept lose the second alias of the job. One that
 * has the alias of the orders again, because somebody moved it back, is kept. */
static json_t *deletions(struct reindex *reindex)
{
    struct reindex_checkpoint *at = &reindex->at;
    bool deletes = !reindex->keep_old && !reindex->run->canceled && reindex_has_moved(reindex);
    json_t *actions = json_array();
    at->old_kept = false;
    for (size_t i = 0; i < at->old_count; i++) {
        const char *name = at->old[i].name;
        const struct listed_index *index = index_listing_find(&reindex->listing, name);
        if (index == NULL || index->is_concrete)
            continue;
        if (deletes && at->old[i].ours) {
            json_array_append_new(actions, json_pack("{s:{s:s}}", "remove_index", "index", name));
            continue;
        }
        at->old_kept = true;
        json_array_append_new(actions, json_pack("{s:{s:s,s:s}}", "remove", "index", name, "alias",
                                                 reindex->swapped));
    }
    return actions;
}

static void tell_kept(struct reindex *reindex)
{
    const struct reindex_checkpoint *at = &reindex->at;
    if (reindex->run->canceled && at->old_kept)
        (void)snprintf(reindex->left, sizeof reindex->left,
                       "the new index %.120s is in use, and the old one %.120s is kept%s", at->name,
                       at->old[0].name,
                       reindex->tail_cut ? "; orders of transactions that were open at the swap "
                                           "may be missing until the next verification"
                                         : "");
}

/* In one request with the second alias of the job, which is gone when it was executed: it is
 * refused then. */
void reindex_delete_old(struct reindex *reindex)
{
    const struct reindex_checkpoint *at = &reindex->at;
    if (!reindex->listed) {
        reindex_list(reindex);
        return;
    }
    const struct listed_index *own = index_listing_find(&reindex->listing, at->name);
    if (own == NULL || !own->is_swapped) { /* the request was executed */
        tell_kept(reindex);
        reindex_enter(reindex, REINDEX_END);
        return;
    }
    json_t *actions = deletions(reindex);
    log_info("ends the use of the old index", log_number("job", reindex->run->job->id),
             log_text("index", at->old_count > 0 ? at->old[0].name : ""),
             log_text("kept", at->old_kept ? "yes" : "no"));
    json_array_append_new(actions, json_pack("{s:{s:s,s:s,s:b}}", "remove", "index", at->name,
                                             "alias", reindex->swapped, "must_exist", 1));
    send_actions(reindex, actions, on_old_deleted);
}

/* ---- the end ---- */

static void on_unmarked(void *arg, long status, const char *body, size_t body_len,
                        const struct server_error *said)
{
    (void)body, (void)body_len;
    struct reindex *reindex = arg;
    reindex_answered(reindex);
    if (said != NULL) /* the next reindex does it */
        log_warn("cannot write _meta of the new index", log_number("job", reindex->run->job->id),
                 log_number("status", status), log_text("reason", said->words.message));
    reindex->step++;
}

static void on_rebuilt(void *arg, const struct database_answer *answer)
{
    struct reindex *reindex = arg;
    if (job_run_answered(reindex->run, answer, true))
        reindex->step++;
}

void reindex_end(struct reindex *reindex)
{
    struct job_run *run = reindex->run;
    struct reindex_checkpoint *at = &reindex->at;
    if (reindex->step == 0) {
        reindex_unmark(reindex, at->name, on_unmarked);
    } else if (at->failure != NULL) {
        job_run_fail(run, at->failure);
    } else if (reindex->step == 1) {
        job_run_sent(
            run, search_index_rebuilt(run->database, run->job, at->identity, on_rebuilt, reindex));
    } else if (run->canceled && at->old_kept) {
        job_run_canceled(run, reindex->left);
    } else {
        job_run_done(run);
    }
}
