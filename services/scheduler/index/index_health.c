/* While search is incomplete, or something about the index waits for a person, the scheduler is not
 * ready: its own work goes on, but somebody has to see it. */
#include "services/scheduler/index/index_health.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include "services/runtime/health.h"
#include <math.h>
#include <stdlib.h>

struct index_health {
    struct health_check *check;
    bool known; /* how the index is, at some time */
    struct metric_gauge *missing, *fault, *documents, *verified, *verified_full;
    struct metric_gauge *found_missing, *found_extra, *found_different;
};

struct index_health *index_health_new(void)
{
    static const char at[] = "search_index_verified_timestamp_seconds",
                      at_help[] = "When the search index was last verified, 0: never",
                      found[] = "search_index_verified_documents",
                      found_help[] = "Documents that the last verification has left as it found "
                                     "them: missing, extra (without an order), different";
    struct index_health *health = memory_new(sizeof *health);
    *health = (struct index_health){
        .check = health_check("search_index", HEALTH_REQUIRED),
        .missing = metric_gauge("search_index_missing_ratio", NULL,
                                "The share of the orders that search lacks, as far as known"),
        .fault = metric_gauge("search_index_fault", NULL,
                              "1: something about the search index waits for a person"),
        .documents = metric_gauge("search_index_documents", NULL,
                                  "Documents of the search index, as last counted or seen"),
        .verified = metric_gauge(at, "orders=\"recent\"", at_help),
        .verified_full = metric_gauge(at, "orders=\"all\"", at_help),
        .found_missing = metric_gauge(found, "state=\"missing\"", found_help),
        .found_extra = metric_gauge(found, "state=\"extra\"", found_help),
        .found_different = metric_gauge(found, "state=\"different\"", found_help),
    };
    return health;
}

void index_health_free(struct index_health *health)
{
    free(health);
}

static void set_count(struct metric_gauge *gauge, int64_t count)
{
    metric_set(gauge, count < 0 ? NAN : (double)count);
}

static void set(struct index_health *health, const char *reason)
{
    if (!health_set(health->check, reason == NULL, reason))
        return;
    if (reason == NULL)
        log_info("the search index is complete, as far as known");
    else
        log_warn("the search index is not right", log_text("reason", reason));
}

void index_health_wrong(struct index_health *health, const char *reason)
{
    set(health, reason);
}

void index_health_unknown(struct index_health *health, const char *reason)
{
    struct error unknown;
    error_set(&unknown, "not known: %s", reason);
    if (!health->known)
        set(health, unknown.message);
}

void index_health_tell(struct index_health *health, const struct search_index *index,
                       const char *foreign)
{
    struct error wrong;
    const char *reason = foreign;
    if (reason == NULL && search_index_wrong(index, &wrong))
        reason = wrong.message;
    health->known = true;
    set(health, reason);
    metric_set(health->missing, index->incomplete ? index->missing : 0);
    metric_set(health->fault, foreign != NULL || index->fault[0] != '\0' ? 1 : 0);
    set_count(health->documents, index->documents);
    metric_set(health->verified, (double)index->verified_at_us / 1e6);
    metric_set(health->verified_full, (double)index->verified_full_at_us / 1e6);
    set_count(health->found_missing, index->verified_missing);
    set_count(health->found_extra, index->verified_extra);
    set_count(health->found_different, index->verified_different);
}
