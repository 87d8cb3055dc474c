/* The stages that every order passes, one after another. The table in stage.c is all that is known
 * of a stage: the bridge, its workers, their endpoints and the metrics follow from it. */
#ifndef PROTO_STAGE_H
#define PROTO_STAGE_H

enum stage {
    STAGE_PERSIST,
    STAGE_INDEX,
    STAGES, /* how many there are; as a next stage: none, the order is finished */
};
#define STAGE_FIRST STAGE_PERSIST

/* Ports are counted from the bridge's own port. The port of the replies never changes, so that
 * bridges and workers of different versions find each other: a third stage takes port 3. */
#define STAGE_REPLY_PORT 2
#define STAGE_MORE_PORTS "the next two ports" /* for people: what a bridge uses beside its own */

struct stage_facts {
    const char *name;    /* "persist": in logs, metrics, headers and ipc:// endpoints */
    const char *workers; /* "persisters": in health checks */
    unsigned port;       /* where the bridge hands out the jobs of the stage */
    enum stage next;     /* where an order goes when the stage is done with it */
};
extern const struct stage_facts stages[STAGES];

#endif
