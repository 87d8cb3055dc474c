/* The smallest service, for test_service.c. EXAMPLE_MODE says how it misbehaves. */
#include "services/base/log.h"
#include "services/runtime/health.h"
#include "services/runtime/options.h"
#include "services/runtime/service.h"
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define TALK_LINES 4000 /* more than a pipe takes, and the log's own buffer */

enum mode { MODE_GOOD, MODE_FAIL, MODE_HANG, MODE_SLOW, MODE_TALK };

struct example_settings {
    char *admin_address, *secret;
    int64_t admin_port, low, high, memory_mib;
    int mode;
};

static struct example_settings settings;

static const struct config_option options[] = {
    CONFIG_OPTION_ADMIN_ADDRESS(struct example_settings, admin_address),
    CONFIG_OPTION_ADMIN_PORT(struct example_settings, admin_port, "9999"),
    {.name = "EXAMPLE_SECRET",
     .help = "a password",
     .kind = CONFIG_SECRET,
     .offset = offsetof(struct example_settings, secret)},
    {.name = "EXAMPLE_LOW",
     .default_text = "1",
     .help = "a lower bound",
     .kind = CONFIG_INTEGER,
     .offset = offsetof(struct example_settings, low),
     .maximum = 10},
    {.name = "EXAMPLE_HIGH",
     .default_text = "5",
     .help = "an upper bound",
     .kind = CONFIG_INTEGER,
     .offset = offsetof(struct example_settings, high),
     .maximum = 10},
    {.name = "EXAMPLE_MEMORY",
     .default_text = "1",
     .help = "how much to ask for, MiB",
     .kind = CONFIG_INTEGER,
     .offset = offsetof(struct example_settings, memory_mib),
     .maximum = INT64_C(1) << 30},
    {.name = "EXAMPLE_MODE",
     .default_text = "good",
     .help = "how to behave",
     .kind = CONFIG_CHOICE,
     .offset = offsetof(struct example_settings, mode),
     .choices = (const char *const[]){"good", "fail", "hang", "slow", "talk", NULL}},
};

static int validate(const void *arg, struct error *err)
{
    const struct example_settings *example = arg;
    if (example->low <= example->high)
        return 0;
    error_set(err, "EXAMPLE_LOW: must not be above EXAMPLE_HIGH");
    return -1;
}

static struct limits_wanted wanted(const void *arg)
{
    const struct example_settings *example = arg;
    return (struct limits_wanted){.descriptors = 100,
                                  .descriptors_for = "the example",
                                  .memory_bytes = (uint64_t)example->memory_mib << 20,
                                  .threads = 2,
                                  .memory_for = "EXAMPLE_MEMORY"};
}

static int reach_good(const void *arg, struct error *err)
{
    (void)arg;
    (void)err;
    return 0;
}

static int reach_mode(const void *arg, struct error *err)
{
    const struct example_settings *example = arg;
    if (example->mode != MODE_FAIL)
        return 0;
    error_set(err, "refused");
    return -1;
}

static int run(const void *arg, int stop_fd, struct error *err)
{
    const struct example_settings *example = arg;
    struct pollfd stop = {.fd = stop_fd, .events = POLLIN};
    (void)health_set(health_check("example", HEALTH_REQUIRED), true, NULL);
    if (example->mode == MODE_FAIL) {
        error_set(err, "it was told to");
        return -1;
    }
    for (int i = 0; i < TALK_LINES && example->mode == MODE_TALK; i++)
        log_info("talking", log_text("padding", "0123456789012345678901234567890123456789"));
    log_info("ready");
    while (poll(&stop, 1, -1) != 1)
        ;
    if (example->mode == MODE_SLOW)
        (void)usleep(300000);
    while (example->mode == MODE_HANG)
        (void)pause();
    return 0;
}

int main(int argc, char **argv)
{
    static const struct service_probe probes[] = {
        {"one", reach_good}, {"two", reach_mode}, {NULL, NULL}};
    static const struct service service = {
        .name = "example",
        .summary = "Does nothing.",
        .options = options,
        .option_count = sizeof(options) / sizeof(options[0]),
        .settings = &settings,
        .probes = probes,
        .validate = validate,
        .wanted = wanted,
        .run = run,
        .admin_address = offsetof(struct example_settings, admin_address),
        .admin_port = offsetof(struct example_settings, admin_port)};
    return service_main(&service, argc, argv);
}
