/* Watches the search index: looks every INDEX_WATCH_LOOK_MS which index is there and how many
 * documents it has, writes that down in PostgreSQL, and notices a new index, or one that has lost
 * documents, also when that happened while no scheduler ran. Asks for what makes it right again,
 * and for verifications by their schedules. Health's checks "search_index" and "elasticsearch" are
 * of this part. Any number of schedulers may watch. */
#ifndef SCHEDULER_INDEX_INDEX_WATCH_H
#define SCHEDULER_INDEX_INDEX_WATCH_H

#include "services/clients/elasticsearch/elasticsearch.h"
#include "services/loop/event_loop.h"
#include "services/scheduler/cron.h"
#include <stdbool.h>

#define INDEX_WATCH_LOOK_MS 10000
#define INDEX_WATCH_TURN_MS 1000 /* between looks at the row, and at an index that is not right */

struct index_watch_options {
    const char *dsn;                            /* read only in index_watch_new(), as all of it */
    const struct elasticsearch_options *server; /* url, api_key and ca_file */
    const char *index;                          /* an index, or an alias */
    bool repair;                                /* what is wrong is mended; else it is told */
    const struct cron *verify, *verify_full;    /* or NULL: by no schedule */
    void (*on_state)(void *arg, bool up, const char *reason); /* as database_options.on_state */
    void *arg;
};

struct index_watch;

struct index_watch *index_watch_new(struct event_loop *loop,
                                    const struct index_watch_options *options);
void index_watch_free(struct index_watch *watch); /* NULL is legal */

bool index_watch_up(const struct index_watch *watch); /* its connection to PostgreSQL */

#endif
