/* Counts a dependency's links that are up, and logs its changes. */
#include "services/gateway/dependency.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/runtime/health.h"
#include <pthread.h>

struct dependency {
    const char *name;
    struct health_check *check;
    pthread_mutex_t mutex;
    unsigned links, links_up;
    bool heard_of;
};

struct dependency_link {
    struct dependency *dependency;
    bool up;
};

struct dependency *dependency_new(const char *name)
{
    struct dependency *dependency = memory_new(sizeof(*dependency));
    dependency->name = name;
    dependency->check = health_check(name, HEALTH_DEGRADED);
    pthread_mutex_init(&dependency->mutex, NULL);
    return dependency;
}

struct dependency_link *dependency_link_new(struct dependency *dependency)
{
    struct dependency_link *link = memory_new(sizeof(*link));
    link->dependency = dependency;
    dependency->links++;
    return link;
}

void dependency_report(void *arg, bool up, const char *reason)
{
    struct dependency_link *link = arg;
    struct dependency *dependency = link->dependency;
    pthread_mutex_lock(&dependency->mutex);
    if (link->up != up) {
        link->up = up;
        dependency->links_up = up ? dependency->links_up + 1 : dependency->links_up - 1;
    }
    bool all_up = dependency->links_up == dependency->links;
    /* A link that has come up says nothing about what is wrong with another. */
    dependency->heard_of |= all_up || !up;
    bool changed = (all_up || !up) && health_set(dependency->check, all_up, all_up ? NULL : reason);
    pthread_mutex_unlock(&dependency->mutex);

    if (changed && all_up)
        log_info("dependency is up", log_text("dependency", dependency->name));
    else if (changed)
        log_warn("dependency is down", log_text("dependency", dependency->name),
                 log_text("reason", reason));
}

bool dependency_heard_of(struct dependency *dependency)
{
    pthread_mutex_lock(&dependency->mutex);
    bool heard_of = dependency->heard_of;
    pthread_mutex_unlock(&dependency->mutex);
    return heard_of;
}
