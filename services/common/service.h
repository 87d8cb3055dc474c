/* What every program of the pipeline does alike: environment, --help, --version, --check, --health,
 * signals, logging, admin server, exit codes. main.c only describes its service and calls
 * service_main(). */
#ifndef COMMON_SERVICE_H
#define COMMON_SERVICE_H

#include "proto/error.h"
#include "services/common/config.h"
#include <stddef.h>

/* Exit codes of sysexits.h: 78 EX_CONFIG; 70 EX_SOFTWARE when run() fails. */

struct service_probe {
    const char *dependency;
    /* Whether it can be reached with these settings; blocks at most 5 s. */
    int (*reach)(const void *settings, struct error *err);
};

struct service {
    const char *name;    /* "bridge" */
    const char *summary; /* one line for --help */
    const struct config_option *options;
    size_t option_count;
    void *settings;                     /* where the options are stored */
    const struct service_probe *probes; /* for --check; ends with dependency NULL */
    /* Optional: settings that make no sense together; one line naming the variable. */
    int (*validate)(const void *settings, struct error *err);
    /* Run until `stop_fd` becomes readable (SIGTERM, SIGINT; it stays readable), then drain within
     * 10 s and return. Returns 0, or -1 with `err` set. A second signal, or a drain over its
     * deadline, ends the process at once. */
    int (*run)(const void *settings, int stop_fd, struct error *err);
    /* Where /livez, /readyz and /metrics are served by service_main() on a thread of its own, read
     * from the settings; NULL when the service serves them itself (the gateway). */
    const char *(*admin_address)(const void *settings, uint16_t *ret_port);
};

int service_main(const struct service *service, int argc, char **argv);

#endif
