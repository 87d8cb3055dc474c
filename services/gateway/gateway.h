/* The gateway: its loops, and what they work with. For service.h. */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "services/runtime/service.h"

extern const struct service_probe gateway_probes[];

int gateway_validate(const void *settings, struct error *err);
int gateway_run(const void *settings, int stop_fd, struct error *err);
const char *gateway_address(const void *settings, uint16_t *ret_port);

#endif
