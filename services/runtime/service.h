/* What every program of the pipeline does alike: environment, --help, --version, --check, --health,
 * signals, logging, admin server, exit codes. main.c only describes its service and calls
 * service_main(). */
#ifndef RUNTIME_SERVICE_H
#define RUNTIME_SERVICE_H

#include "proto/error.h"
#include "services/base/config.h"
#include "services/base/limits.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit codes, of sysexits.h: 0; 64 EX_USAGE, unknown argument; 70 EX_SOFTWARE, run() failed, the
 * admin port cannot be had, or the drain took too long; 78 EX_CONFIG, unusable configuration (one
 * log line names the variable), or limits of the system that are too low for it (one line tells how
 * much is needed); 128 + signal after a second one. --check and --health: 0 or 1. */

#define SERVICE_MEMORY_BYTES (UINT64_C(32) << 20) /* of a program, without what it holds */

struct service_probe {
    const char *dependency;
    /* Whether it can be reached with these settings; blocks at most 5 s. Returns 0, where a message
     * in `err` tells what has answered, or -1 with `err` set. */
    int (*reach)(const void *settings, struct error *err);
};

struct service {
    const char *name;    /* "bridge" */
    const char *summary; /* one line for --help */
    const struct config_option *options;
    size_t option_count;
    void *settings; /* where the options are stored */
    /* Where /livez, /readyz and /metrics are served: the offsets, in the settings, of the address
     * (char *) and of the port (int64_t). service_main() serves there on a thread of its own, or
     * run() does (the gateway). --health asks there. */
    size_t admin_address, admin_port;
    bool run_serves_admin;
    const struct service_probe *probes; /* for --check; ends with dependency NULL */
    /* Optional: settings that make no sense together; one line naming the variable. */
    int (*validate)(const void *settings, struct error *err);
    /* What these settings ask of the system; compared with its limits at the start. */
    struct limits_wanted (*wanted)(const void *settings);
    /* Optional: how long run() goes on as before when it is told to stop. */
    int64_t (*stop_delay_ms)(const void *settings);
    /* Run until `stop_fd` becomes readable (SIGTERM, SIGINT; it stays readable), then drain within
     * 10 s (after the delay) and return. Returns 0, or -1 with `err` set. A second signal, or a
     * drain over its deadline, ends the process at once. */
    int (*run)(const void *settings, int stop_fd, struct error *err);
};

int service_main(const struct service *service, int argc, char **argv);

#endif
