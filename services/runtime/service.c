/* What every program of the pipeline does alike.
 *
 * Signals: SIGTERM and SIGINT are blocked before any thread starts, so that one thread takes them
 * with sigtimedwait(): the first makes the service unready and its stop descriptor readable; a
 * second one, or the end of the time to drain, ends it at once. The time to drain begins with the
 * signal. That thread lives until the process ends, so the deadline also covers what runs after
 * run(). */
#include "services/runtime/service.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/metrics.h"
#include "services/runtime/admin_server.h"
#include "services/runtime/health.h"
#include <curl/curl.h>
#include <czmq.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sysexits.h>
#include <unistd.h>

#define DRAIN_SECONDS 10

struct common_settings {
    int log_level;
};

static const struct config_option common_options[] = {
    {.name = "LOG_LEVEL",
     .default_text = "info",
     .help = "the least important lines to log",
     .kind = CONFIG_CHOICE,
     .offset = offsetof(struct common_settings, log_level),
     .choices = (const char *const[]){[LOG_LEVEL_DEBUG] = "debug",
                                      [LOG_LEVEL_INFO] = "info",
                                      [LOG_LEVEL_WARN] = "warn",
                                      [LOG_LEVEL_ERROR] = "error",
                                      NULL}},
};
#define COMMON_OPTION_COUNT (sizeof(common_options) / sizeof(common_options[0]))

enum action { ACTION_RUN, ACTION_HELP, ACTION_VERSION, ACTION_CHECK, ACTION_HEALTH, ACTION_WRONG };

static void print_help(const struct service *service)
{
    printf("Usage: %s [--check | --health[=live|ready] | --help | --version]\n%s\n\n"
           "  --check    check the configuration and reach each dependency; exit 0 or 1\n"
           "  --health   ask the running instance whether it is ready (or live); exit 0 or 1\n"
           "  --help     this text\n"
           "  --version  the version\n\n"
           "SIGTERM or SIGINT: finish what is in hand within %d s%s and exit.\n\n"
           "Configuration, from the environment (unset or empty means the default):\n",
           service->name, service->summary, DRAIN_SECONDS,
           service->stop_delay_ms != NULL ? " (after API_DRAIN)" : "");
    config_print_help(service->options, service->option_count);
    config_print_help(common_options, COMMON_OPTION_COUNT);
}

static enum action arguments_parse(int argc, char **argv, const char **ret_health_path)
{
    static const struct option long_options[] = {{"help", no_argument, NULL, 'h'},
                                                 {"version", no_argument, NULL, 'v'},
                                                 {"check", no_argument, NULL, 'c'},
                                                 {"health", optional_argument, NULL, 'l'},
                                                 {NULL, 0, NULL, 0}};
    enum action action = ACTION_RUN;
    int letter;
    *ret_health_path = "/readyz";
    while ((letter = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (letter) {
        case 'h':
            return ACTION_HELP;
        case 'v':
            return ACTION_VERSION;
        case 'c':
            action = ACTION_CHECK;
            break;
        case 'l':
            action = ACTION_HEALTH;
            if (optarg != NULL && strcmp(optarg, "live") == 0)
                *ret_health_path = "/livez";
            else if (optarg != NULL && strcmp(optarg, "ready") != 0)
                return ACTION_WRONG;
            break;
        default: /* getopt_long() has said what is wrong */
            return ACTION_WRONG;
        }
    }
    return optind == argc ? action : ACTION_WRONG;
}

/* Set up the log and read the configuration. */
static int configure(const struct service *service)
{
    struct common_settings common = {.log_level = LOG_LEVEL_INFO};
    struct error err;
    log_init(service->name, LOG_LEVEL_INFO);
    int failed = config_read(common_options, COMMON_OPTION_COUNT, &common, &err);
    if (!failed)
        failed = config_read(service->options, service->option_count, service->settings, &err);
    if (!failed && service->validate != NULL && service->validate(service->settings, &err) != 0) {
        config_release(service->options, service->option_count, service->settings);
        failed = -1;
    }
    if (failed)
        log_error("unusable configuration", log_text("error", err.message));
    else
        log_init(service->name, (enum log_level)common.log_level);
    return failed;
}

/* Whether the system's limits allow what the configuration asks for. */
static bool allowed(const struct service *service)
{
    const struct limits_wanted wanted = service->wanted(service->settings);
    struct error err;
    if (limits_check(&wanted, &err) == 0)
        return true;
    log_error("cannot start", log_text("error", err.message));
    return false;
}

static int check(const struct service *service)
{
    int failed = 0;
    for (const struct service_probe *probe = service->probes;
         probe != NULL && probe->dependency != NULL; probe++) {
        struct error err = {.message = ""};
        bool reached = probe->reach(service->settings, &err) == 0;
        printf("%s  %s%s%s\n", reached ? "ok  " : "FAIL", probe->dependency,
               err.message[0] != '\0' ? ": " : "", err.message);
        failed |= !reached;
        (void)fflush(stdout);
    }
    return failed;
}

static const char *admin_address(const struct service *service)
{
    return *(char *const *)((const char *)service->settings + service->admin_address);
}

static uint16_t admin_port(const struct service *service)
{
    return (uint16_t) * (const int64_t *)((const char *)service->settings + service->admin_port);
}

static int health(const struct service *service, const char *path)
{
    struct error err;
    if (admin_server_ask(admin_address(service), admin_port(service), path, &err) == 0)
        return 0;
    fprintf(stderr, "%s\n", err.message);
    return 1;
}

struct signals {
    sigset_t set;
    int stop_fd;
    int64_t drain_ms;
};

/* Returns the signal, or -1 when none has come by then. */
static int wait_for_second(const struct signals *signals, int64_t deadline_ms)
{
    int number;
    do {
        int64_t left_ms = deadline_ms - clock_monotonic_ms();
        const struct timespec left = {.tv_sec = left_ms > 0 ? left_ms / 1000 : 0,
                                      .tv_nsec = left_ms > 0 ? left_ms % 1000 * 1000000 : 0};
        number = sigtimedwait(&signals->set, NULL, &left);
    } while (number < 0 && errno == EINTR);
    return number;
}

static void *wait_for_signals(void *arg)
{
    const struct signals *signals = arg;
    int number;
    while ((number = sigwaitinfo(&signals->set, NULL)) < 0)
        ; /* interrupted, by a debugger */
    int64_t deadline_ms = clock_monotonic_ms() + signals->drain_ms;
    log_info("stopping", log_text("signal", number == SIGTERM ? "SIGTERM" : "SIGINT"));
    health_set_stopping();
    if (eventfd_write(signals->stop_fd, 1) != 0)
        abort();
    number = wait_for_second(signals, deadline_ms);
    if (number > 0)
        log_warn("stopped at once by a second signal");
    else
        log_error("stopped at once: draining took too long", log_number("ms", signals->drain_ms));
    log_flush();
    _exit(number > 0 ? 128 + number : EX_SOFTWARE);
}

/* All threads inherit the mask. */
static void signals_block(struct signals *signals)
{
    (void)sigemptyset(&signals->set);
    (void)sigaddset(&signals->set, SIGTERM);
    (void)sigaddset(&signals->set, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &signals->set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    zsys_handler_set(NULL); /* czmq would take SIGTERM and SIGINT for itself */
}

static void signals_start(struct signals *signals, int64_t drain_ms)
{
    pthread_t thread;
    signals->drain_ms = drain_ms;
    signals_block(signals);
    signals->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (signals->stop_fd < 0 || pthread_create(&thread, NULL, wait_for_signals, signals) != 0 ||
        pthread_detach(thread) != 0)
        abort();
}

static void set_build_info(const struct service *service)
{
    char labels[128];
    (void)snprintf(labels, sizeof(labels), "service=\"%s\",version=\"%s\"", service->name,
                   PIPELINE_VERSION);
    metric_set(metric_gauge("order_pipeline_build_info", labels, "Always 1; what is running"), 1);
}

static int run(const struct service *service)
{
    static struct signals signals; /* its thread outlives this function */
    struct admin_server *admin = NULL;
    struct error err = {.message = ""};
    int64_t delay_ms =
        service->stop_delay_ms != NULL ? service->stop_delay_ms(service->settings) : 0;
    signals_start(&signals, delay_ms + DRAIN_SECONDS * 1000);
    set_build_info(service);
    if (!service->run_serves_admin) {
        admin = admin_server_new(admin_address(service), admin_port(service), &err);
        if (admin == NULL) {
            log_error("cannot start", log_text("error", err.message));
            return EX_SOFTWARE;
        }
    }
    log_info("started", log_text("version", PIPELINE_VERSION));
    int failed = service->run(service->settings, signals.stop_fd, &err);
    health_set_stopping();
    admin_server_free(admin);
    if (failed)
        log_error("failed", log_text("error", err.message));
    else
        log_info("stopped");
    return failed ? EX_SOFTWARE : EX_OK;
}

/* Else the first connection would become standard error, and its peer would be sent the log. */
static void open_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        (void)close(fd);
}

static int act(const struct service *service, int argc, char **argv)
{
    const char *health_path;
    int code = EX_OK;
    enum action action = arguments_parse(argc, argv, &health_path);
    switch (action) {
    case ACTION_HELP:
        print_help(service);
        return EX_OK;
    case ACTION_VERSION:
        printf("%s %s\n", service->name, PIPELINE_VERSION);
        return EX_OK;
    case ACTION_WRONG:
        fprintf(stderr, "Try '%s --help'.\n", service->name);
        return EX_USAGE;
    case ACTION_RUN:
    case ACTION_CHECK:
    case ACTION_HEALTH:
        break;
    }
    if (configure(service) != 0)
        return EX_CONFIG;
    if (action != ACTION_HEALTH && !allowed(service)) {
        config_release(service->options, service->option_count, service->settings);
        return EX_CONFIG;
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) /* not thread-safe later */
        abort();
    if (action == ACTION_CHECK)
        code = check(service);
    else if (action == ACTION_HEALTH)
        code = health(service, health_path);
    else
        code = run(service);
    config_release(service->options, service->option_count, service->settings);
    curl_global_cleanup();
    return code;
}

int service_main(const struct service *service, int argc, char **argv)
{
    open_standard_descriptors();
    int code = act(service, argc, argv);
    log_flush();
    return code;
}
