/* A server that the gateway depends on, reached by several links (one or more on each loop). It is
 * up while all its links are. A change is logged once, not for each link or request. */
#ifndef GATEWAY_DEPENDENCY_H
#define GATEWAY_DEPENDENCY_H

#include <stdbool.h>

struct dependency;

/* While it is down the service is degraded. Lives as long as the process. Registered before threads
 * start. */
struct dependency *dependency_new(const char *name);

struct dependency_link;

/* One more link, at first down; before threads start. */
struct dependency_link *dependency_link_new(struct dependency *dependency);

/* What a link's client reports, in the form of its on_state callback: `link` is a struct
 * dependency_link. Any thread. */
void dependency_report(void *link, bool up, const char *reason);

/* Whether all its links have come up, or one of them has failed to. Any thread. */
bool dependency_heard_of(struct dependency *dependency);

#endif
