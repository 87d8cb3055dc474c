/* The attempt has two holders, its thread and whoever started it; the last one frees it. */
#include "services/clients/rabbitmq/connection_attempt.h"
#include "services/base/memory.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct connection_attempt {
    char *url, *ca_file, *name, *queue;
    enum queue_type type;
    bool confirms;
    int ended_fd;
    atomic_int holders;
    /* written by the thread before it signals ended_fd */
    struct broker_connection connection;
    bool differs;
    int failed;
    struct error err;
};

static void let_go(struct connection_attempt *attempt)
{
    if (atomic_fetch_sub(&attempt->holders, 1) > 1)
        return;
    broker_disconnect(&attempt->connection, false); /* when nobody took it */
    close(attempt->ended_fd);
    explicit_bzero(attempt->url, strlen(attempt->url));
    free(attempt->url);
    free(attempt->ca_file);
    free(attempt->name);
    free(attempt->queue);
    free(attempt);
}

static int set_up(struct connection_attempt *attempt)
{
    struct broker_options options = {
        .url = attempt->url, .ca_file = attempt->ca_file, .name = attempt->name};
    struct broker_connection connection;
    if (broker_connect(&options, &connection, &attempt->err) != 0)
        return -1;
    if (queue_declare(&connection, attempt->queue, attempt->type, &attempt->differs,
                      &attempt->err) != 0)
        goto failed;
    if (attempt->confirms) {
        amqp_confirm_select(connection.amqp, BROKER_CHANNEL);
        if (broker_check(amqp_get_rpc_reply(connection.amqp), "cannot select confirms",
                         &attempt->err) != 0)
            goto failed;
    }
    attempt->connection = connection;
    return 0;
failed:
    broker_disconnect(&connection, false);
    return -1;
}

static void *run(void *arg)
{
    struct connection_attempt *attempt = arg;
    attempt->failed = set_up(attempt);
    uint64_t one = 1;
    if (write(attempt->ended_fd, &one, sizeof one) != sizeof one)
        abort(); /* an eventfd that holds 0 takes a 1 */
    let_go(attempt);
    return NULL;
}

struct connection_attempt *connection_attempt_start(const struct broker_options *options,
                                                    const char *queue, enum queue_type type,
                                                    bool confirms, struct error *err)
{
    int ended_fd = eventfd(0, EFD_CLOEXEC);
    if (ended_fd < 0) {
        error_set(err, "cannot start connecting: %s", strerror(errno));
        return NULL;
    }
    struct connection_attempt *attempt = memory_new(sizeof *attempt);
    *attempt = (struct connection_attempt){
        .url = memory_copy_text(options->url),
        .ca_file = options->ca_file ? memory_copy_text(options->ca_file) : NULL,
        .name = memory_copy_text(options->name),
        .queue = memory_copy_text(queue),
        .type = type,
        .confirms = confirms,
        .ended_fd = ended_fd,
        .connection = {.amqp = NULL, .fd = -1},
    };
    atomic_init(&attempt->holders, 2);
    pthread_t thread;
    int failed = pthread_create(&thread, NULL, run, attempt);
    if (failed) {
        error_set(err, "cannot start connecting: %s", strerror(failed));
        let_go(attempt);
        let_go(attempt);
        return NULL;
    }
    pthread_detach(thread);
    return attempt;
}

int connection_attempt_fd(const struct connection_attempt *attempt)
{
    return attempt->ended_fd;
}

int connection_attempt_finish(struct connection_attempt *attempt,
                              struct broker_connection *ret_connection, bool *ret_differs,
                              struct error *err)
{
    uint64_t ended;
    while (read(attempt->ended_fd, &ended, sizeof ended) != sizeof ended)
        continue; /* interrupted */
    int failed = attempt->failed;
    if (failed) {
        error_set(err, "%s", attempt->err.message);
    } else {
        *ret_connection = attempt->connection;
        *ret_differs = attempt->differs;
        attempt->connection = (struct broker_connection){.amqp = NULL, .fd = -1};
    }
    let_go(attempt);
    return failed;
}

void connection_attempt_abandon(struct connection_attempt *attempt)
{
    if (attempt)
        let_go(attempt);
}
