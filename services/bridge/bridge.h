/* The bridge: takes orders from the queue, has them persisted and then indexed by workers, and acks
 * them. Everything but the dead-letter publisher runs on one loop in the calling thread. */
#ifndef BRIDGE_BRIDGE_H
#define BRIDGE_BRIDGE_H

#include "proto/error.h"

/* As service.run, with a struct bridge_settings: blocks until `stop_fd` is readable and what the
 * workers have is finished, at most 8 s more. */
int bridge_run(const void *settings, int stop_fd, struct error *err);

#endif
