/* The new index. Its _meta names the job until the job has ended, so that another scheduler finds
 * it when this one dies at once, and a later job finds what was left. All is written to it through
 * an alias of the job's own, so that nothing makes it again once it is deleted; the swap needs that
 * alias and takes it away. */
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/clients/elasticsearch/index_definition.h"
#include "services/scheduler/index/reindex_work.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ATTEMPTS_MAX 5
#define INDEX_WAIT_MS (60 * 1000)
#define INDEX_LOOK_MS 1000
#define PATH_SIZE (INDEX_BUILT_ALIAS_SIZE + 320)

/* ---- what is there ---- */

static void on_listed(void *arg, long status, const char *body, size_t body_len,
                      const struct server_error *said)
{
    struct reindex *reindex = arg;
    struct error err;
    reindex_answered(reindex);
    if (status != 200)
        reindex_refused(reindex, "cannot list the indices", status, said);
    else if (index_listing_read(reindex->context->index, body, body_len, &reindex->listing, &err) !=
             0)
        reindex_fail(reindex, "%s", err.message);
    else
        reindex->listed = true;
}

void reindex_list(struct reindex *reindex)
{
    char path[INDEX_LISTING_PATH_SIZE];
    index_listing_path(reindex->context->index, path);
    reindex_send(reindex, "GET", path, NULL, "view_index_metadata", on_listed);
}

void reindex_forget_listing(struct reindex *reindex)
{
    if (reindex->listed)
        index_listing_release(&reindex->listing);
    reindex->listed = false;
}

/* An indexer makes it, in a moment. */
static void wait_for_index(struct reindex *reindex)
{
    int64_t now_ms = clock_monotonic_ms();
    if (reindex->wait_until_ms == 0)
        reindex->wait_until_ms = now_ms + INDEX_WAIT_MS;
    if (now_ms >= reindex->wait_until_ms) {
        reindex_fail(reindex, "there is no index %s, and no indexer makes one",
                     reindex->context->index);
        return;
    }
    reindex_forget_listing(reindex);
    job_run_step_in(reindex->run, INDEX_LOOK_MS);
}

const struct listed_index *reindex_used(struct reindex *reindex)
{
    const struct index_listing *listing = &reindex->listing;
    const struct listed_index *foreign = index_listing_foreign(listing, reindex->row.deployment);
    const struct listed_index *used = NULL;
    size_t count = 0;
    for (size_t i = 0; i < listing->count; i++) {
        if (!listing->indices[i].in_use)
            continue;
        count++;
        if (used == NULL || listing->indices[i].is_written)
            used = &listing->indices[i];
    }
    if (foreign != NULL) {
        reindex_fail(reindex,
                     "the index %.100s belongs to the deployment %s, and this is %s: is one of the "
                     "two addresses wrong?",
                     foreign->name, foreign->deployment, reindex->row.deployment);
        return NULL;
    }
    if (used == NULL) {
        wait_for_index(reindex);
        return NULL;
    }
    reindex->wait_until_ms = 0;
    if (count > REINDEX_OLD_MAX) {
        reindex_fail(reindex, "the alias %s has more than %d indices", reindex->context->index,
                     REINDEX_OLD_MAX);
        return NULL;
    }
    if (used->is_concrete && reindex->keep_old) {
        reindex_fail(reindex,
                     "the old index cannot be kept: its name %s is needed for the alias. Ask again "
                     "without keep_old, or copy it first",
                     reindex->context->index);
        return NULL;
    }
    return used;
}

/* ---- what is asked often ---- */

void reindex_delete(struct reindex *reindex, const char *name, index_answer_fn *on_answer)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "/%s", name);
    log_info("deletes an index", log_number("job", reindex->run->job->id), log_text("index", name));
    reindex_send(reindex, "DELETE", path, NULL, "delete_index", on_answer);
}

void reindex_unmark(struct reindex *reindex, const char *name, index_answer_fn *on_answer)
{
    char path[PATH_SIZE], body[100];
    (void)snprintf(path, sizeof path, "/%s/_mapping", name);
    (void)snprintf(body, sizeof body, "{\"_meta\":{\"deployment\":\"%s\"}}",
                   reindex->row.deployment);
    reindex_send(reindex, "PUT", path, body, "manage", on_answer);
}

/* ---- making ---- */

static void on_stale_gone(void *arg, long status, const char *body, size_t body_len,
                          const struct server_error *said)
{
    (void)body, (void)body_len;
    struct reindex *reindex = arg;
    reindex_answered(reindex);
    reindex_forget_listing(reindex);
    if (said != NULL && status != 404)
        reindex_refused(reindex, "cannot remove what an earlier reindex has left", status, said);
}

/* What a job has left that did not come to its end, because nobody could delete it then. Only one
 * reindex is unfinished at a time: this one. */
static bool remove_stale(struct reindex *reindex)
{
    for (size_t i = 0; i < reindex->listing.count; i++) {
        const struct listed_index *index = &reindex->listing.indices[i];
        bool is_own = index->built_by == reindex->run->job->id;
        if (index->built_by == 0 || (is_own && index->is_open) || !index->numbered ||
            strcmp(index->deployment, reindex->row.deployment) != 0)
            continue;
        if (index->in_use)
            reindex_unmark(reindex, index->name, on_stale_gone);
        else
            reindex_delete(reindex, index->name, on_stale_gone);
        return true;
    }
    return false;
}

static void on_made(void *arg, long status, const char *body, size_t body_len,
                    const struct server_error *said)
{
    (void)body, (void)body_len;
    struct reindex *reindex = arg;
    reindex_answered(reindex);
    reindex_forget_listing(reindex); /* it shows what there is now, also if the answer was lost */
    bool exists = status == 400 && server_error_is(said, "resource_already_exists_exception");
    if (said != NULL && !(exists && ++reindex->attempts < ATTEMPTS_MAX))
        reindex_refused(reindex, "cannot make the new index", status, said);
}

void reindex_make(struct reindex *reindex)
{
    if (!reindex->listed) {
        reindex_list(reindex);
        return;
    }
    if (reindex_used(reindex) == NULL || remove_stale(reindex))
        return;
    for (size_t i = 0; i < reindex->listing.count; i++) {
        if (reindex->listing.indices[i].built_by == reindex->run->job->id) {
            reindex_look_at_own(reindex);
            return;
        }
    }
    char name[INDEX_NAME_SIZE], path[PATH_SIZE];
    unsigned used = index_names_number(reindex->context->index, reindex->last_name);
    unsigned number =
        used >= reindex->listing.next_number ? used + 1 : reindex->listing.next_number;
    index_names_write(reindex->context->index, number, name);
    if (strcmp(name, reindex->at.name) != 0) { /* it is noted first: no later job takes it */
        (void)snprintf(reindex->at.name, sizeof reindex->at.name, "%s", name);
        reindex->noted = false;
        job_run_step_in(reindex->run, 0);
        return;
    }
    (void)snprintf(path, sizeof path, "/%s", name);
    char *body =
        index_definition_body(reindex->context->definition,
                              &(struct index_purpose){.alias = reindex->own,
                                                      .deployment = reindex->row.deployment,
                                                      .reindex_job = reindex->run->job->id});
    log_info("makes an index", log_number("job", reindex->run->job->id), log_text("index", name));
    reindex_send(reindex, "PUT", path, body, "create_index", on_made);
    free(body);
}

/* ---- finding ---- */

static void on_own(void *arg, long status, const char *body, size_t body_len,
                   const struct server_error *said)
{
    struct reindex *reindex = arg;
    struct reindex_checkpoint *at = &reindex->at;
    struct index_look look = {.form = INDEX_ABSENT};
    struct error err;
    reindex_answered(reindex);
    reindex_forget_listing(reindex);
    bool there = status == 200;
    if (!there && !index_look_is_absent(status, said->type)) {
        reindex_refused(reindex, "cannot look at the new index", status, said);
        return;
    }
    if (there && index_look_read(reindex->own, body, body_len, &look, &err) != 0) {
        reindex_fail(reindex, "%s", err.message);
        return;
    }
    bool made = at->phase != REINDEX_MAKE;
    reindex->owned = there && (!made || strcmp(look.identity, at->identity) == 0);
    reindex->float_amounts = look.amount_is_float;
    reindex->counts_only = !look.amount_is_number;
    if (!made && there) {
        (void)snprintf(at->name, sizeof at->name, "%s", look.name);
        (void)snprintf(at->identity, sizeof at->identity, "%s", look.identity);
        reindex_enter(reindex, REINDEX_COPY);
    } else if (made && !reindex->owned) {
        log_warn("the new index was lost; a reindex begins anew",
                 log_number("job", reindex->run->job->id), log_text("index", at->name));
        reindex_checkpoint_set(&at->copy, NULL);
        reindex_checkpoint_set(&at->compare, NULL);
        at->name[0] = '\0';
        reindex_enter(reindex, REINDEX_MAKE);
    }
}

void reindex_look_at_own(struct reindex *reindex)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "/%s?" INDEX_LOOK_QUERY, reindex->own);
    reindex_send(reindex, "GET", path, NULL, "view_index_metadata", on_own);
}

/* ---- its settings ---- */

static void on_settings(void *arg, long status, const char *body, size_t body_len,
                        const struct server_error *said)
{
    (void)body, (void)body_len;
    struct reindex *reindex = arg;
    reindex_answered(reindex);
    if (said != NULL)
        reindex_refused(reindex, "cannot give the new index its settings", status, said);
    else
        reindex_enter(reindex, REINDEX_COMPARE); /* which refreshes it */
}

void reindex_give_settings(struct reindex *reindex)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "/%s/_settings", reindex->at.name);
    char *settings = index_definition_refresh(reindex->context->definition);
    reindex_send(reindex, "PUT", path, settings, "manage", on_settings);
    free(settings);
}

/* ---- cleaning up ---- */

static void on_cleaned(void *arg, long status, const char *body, size_t body_len,
                       const struct server_error *said)
{
    (void)body, (void)body_len;
    struct reindex *reindex = arg;
    reindex_answered(reindex);
    reindex_forget_listing(reindex); /* it shows what there is now */
    if (said != NULL && !(status == 404 && ++reindex->attempts < ATTEMPTS_MAX))
        reindex_fail(reindex, "HTTP status %ld: %s", status, said->words.message);
}

/* From here on a swap that is still on its way, of this scheduler or of one that was frozen, is
 * refused. */
static void close_index(struct reindex *reindex, const char *name)
{
    char body[INDEX_NAME_SIZE + INDEX_BUILT_ALIAS_SIZE + 100];
    (void)snprintf(body, sizeof body,
                   "{\"actions\":[{\"remove\":{\"index\":\"%s\",\"alias\":\"%s\"}}]}", name,
                   reindex->own);
    reindex_send(reindex, "POST", "/_aliases", body, "manage", on_cleaned);
}

static void on_not_building(void *arg, const struct database_answer *answer)
{
    struct reindex *reindex = arg;
    if (job_run_answered(reindex->run, answer, true))
        reindex->step++;
}

/* Returns whether something is under way. */
static bool clean_index(struct reindex *reindex)
{
    if (!reindex->listed) {
        reindex_list(reindex);
        return true;
    }
    if (reindex_has_moved(reindex)) { /* the swap has come after all */
        reindex_enter(reindex, REINDEX_SWAP);
        return true;
    }
    for (size_t i = 0; i < reindex->listing.count; i++) {
        const struct listed_index *index = &reindex->listing.indices[i];
        if (index->built_by != reindex->run->job->id || !index->numbered || index->in_use)
            continue;
        if (index->is_open)
            close_index(reindex, index->name);
        else
            reindex_delete(reindex, index->name, on_cleaned);
        return true;
    }
    return false;
}

void reindex_clean(struct reindex *reindex)
{
    struct job_run *run = reindex->run;
    enum { DELETE, TELL };
    if (reindex->step == DELETE) {
        if (clean_index(reindex))
            return;
        reindex->step = TELL;
    }
    if (reindex->step == TELL)
        job_run_sent(
            run, search_index_building(run->database, run->job, NULL, on_not_building, reindex));
    else if (reindex->at.failure != NULL)
        job_run_fail(run, reindex->at.failure);
    else
        job_run_canceled(run, reindex->left[0] != '\0' ? reindex->left : NULL);
}
