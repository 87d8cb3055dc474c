/* The table of stages. A new stage is a member of the enum, a row here, and a worker. */
#include "proto/stage.h"

const struct stage_facts stages[STAGES] = {
    [STAGE_PERSIST] = {"persist", "persisters", 0, STAGE_INDEX},
    [STAGE_INDEX] = {"index", "indexers", 1, STAGES},
};
