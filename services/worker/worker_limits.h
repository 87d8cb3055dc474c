/* What a worker asks of the system. */
#ifndef WORKER_LIMITS_H
#define WORKER_LIMITS_H

#include "services/base/limits.h"

/* `variable`, the setting of the batch, must live for ever. */
struct limits_wanted worker_limits(const char *bridge_endpoints, int64_t batch,
                                   const char *variable);

#endif
