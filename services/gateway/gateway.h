/* The gateway: its loops, and what they work with. */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "proto/error.h"

/* As service.run, with a struct gateway_settings. */
int gateway_run(const void *settings, int stop_fd, struct error *err);

#endif
