/* Posts orders at a fixed rate, however slow the answers are, for ./dev bench.
 *
 * Order N is due N/RATE seconds after the start. It is sent when it is due, or as soon after that
 * as a connection is free. Its latency counts from when it was due: an order that had to wait for a
 * connection has waited (no coordinated omission). Every latency is kept, so percentiles are exact.
 *
 * One thread. Connections are made when they are needed, up to a limit. Prints a line "ID answered
 * id" for every EVERY-th order when its 202 is there (seconds of CLOCK_MONOTONIC), then "RESULT"
 * and JSON. */
#include "services/base/clock.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 4096
#define ANSWER_SIZE 4096
#define EVENTS_MAX 256
#define GRACE_US 15000000 /* for the answers, after the last order was due */

struct connection {
    int fd; /* -1: none */
    long order;
    bool busy;
    size_t len;
    char answer[ANSWER_SIZE];
};

static struct {
    struct sockaddr_in address;
    struct connection connections[CONNECTIONS_MAX];
    struct connection *free[CONNECTIONS_MAX]; /* a stack: few are used as long as few suffice */
    long frees, count, every, sent, answered, accepted, refused, broken;
    double rate;
    int64_t started_us;
    int64_t *latency_us, *late_us;
    int epoll;
} run;

_Noreturn static void die(const char *doing, const char *why)
{
    fprintf(stderr, "open_loop: %s: %s\n", doing, why);
    exit(1);
}

static int64_t due_us(long order)
{
    return run.started_us + (int64_t)((double)order * 1e6 / run.rate);
}

static void settle(struct connection *connection)
{
    connection->busy = false;
    connection->len = 0;
    run.free[run.frees++] = connection;
    run.answered++;
}

static void hang_up(struct connection *connection)
{
    (void)close(connection->fd);
    connection->fd = -1;
    if (!connection->busy)
        return; /* the server closes what is idle for long */
    run.broken++;
    settle(connection);
}

static void open_connection(struct connection *connection)
{
    int on = 1;
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0 ||
        connect(connection->fd, (struct sockaddr *)&run.address, sizeof(run.address)) != 0)
        die("connect", strerror(errno));
    (void)setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(run.epoll, EPOLL_CTL_ADD, connection->fd, &event) != 0)
        die("epoll_ctl", strerror(errno));
}

static void send_order(struct connection *connection, int64_t now_us)
{
    char body[128], request[512];
    long order = run.sent++;
    if (connection->fd < 0)
        open_connection(connection);
    int body_len =
        snprintf(body, sizeof(body), "{\"product_name\":\"Desk %ld\",\"amount\":%ld.%02ld}", order,
                 order % 5000 + 1, order % 100);
    int len =
        snprintf(request, sizeof(request),
                 "POST /api/orders HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
                 "Content-Length: %d\r\n\r\n%s",
                 body_len, body);
    run.late_us[order] = now_us - due_us(order);
    connection->order = order;
    connection->busy = true;
    if (send(connection->fd, request, (size_t)len, MSG_NOSIGNAL) != len)
        hang_up(connection);
}

/* The order's id in the body of a 202. */
static void print_id(const char *body, int64_t now_us)
{
    const char *name = strstr(body, "\"order_id\"");
    const char *value = name ? strchr(name + strlen("\"order_id\""), '"') : NULL;
    const char *end = value ? strchr(value + 1, '"') : NULL;
    if (!end)
        die("an answer without order_id", body);
    printf("ID %.6f %.*s\n", (double)now_us / 1e6, (int)(end - value - 1), value + 1);
}

static void take_answer(struct connection *connection, const char *body)
{
    int64_t now_us = clock_monotonic_us();
    if (strncmp(connection->answer, "HTTP/1.1 202 ", 13) == 0) {
        run.latency_us[run.accepted++] = now_us - due_us(connection->order);
        if (connection->order % run.every == 0)
            print_id(body, now_us);
    } else {
        run.refused++;
    }
    settle(connection);
}

static void read_answer(struct connection *connection)
{
    ssize_t got = recv(connection->fd, connection->answer + connection->len,
                       sizeof(connection->answer) - 1 - connection->len, 0);
    if (got <= 0 || !connection->busy) {
        hang_up(connection);
        return;
    }
    connection->len += (size_t)got;
    connection->answer[connection->len] = '\0';
    char *end = strstr(connection->answer, "\r\n\r\n");
    if (!end) {
        if (connection->len == sizeof(connection->answer) - 1)
            die("an answer", "too long");
        return;
    }
    char *length = strcasestr(connection->answer, "\r\nContent-Length:");
    if (!length || length > end)
        die("an answer", "without Content-Length");
    size_t whole = (size_t)(end + 4 - connection->answer) +
                   (size_t)strtoul(length + strlen("\r\nContent-Length:"), NULL, 10);
    if (whole >= sizeof(connection->answer))
        die("an answer", "too long");
    if (connection->len >= whole)
        take_answer(connection, end + 4);
}

static void work(void)
{
    int64_t end_us = due_us(run.count) + GRACE_US;
    while (run.answered < run.count) {
        int64_t now_us = clock_monotonic_us();
        while (run.frees > 0 && run.sent < run.count && due_us(run.sent) <= now_us)
            send_order(run.free[--run.frees], now_us);
        if (now_us > end_us)
            break;
        int64_t until_us = run.frees > 0 && run.sent < run.count ? due_us(run.sent) : end_us;
        int64_t wait_us = until_us > now_us ? until_us - now_us : 0;
        struct timespec wait = {.tv_sec = wait_us / 1000000, .tv_nsec = wait_us % 1000000 * 1000};
        struct epoll_event events[EVENTS_MAX];
        int ready = epoll_pwait2(run.epoll, events, EVENTS_MAX, &wait, NULL);
        for (int i = 0; i < ready; i++)
            read_answer(events[i].data.ptr);
        (void)fflush(stdout);
    }
    run.broken += run.count - run.answered;
}

static int compare(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

/* The value that so many thousandths of the sorted values do not exceed. */
static double at_ms(const int64_t *sorted_us, long count, long thousandths)
{
    long position = (count * thousandths + 999) / 1000;
    return count == 0 ? 0 : (double)sorted_us[position > 0 ? position - 1 : 0] / 1000;
}

static void print_result(void)
{
    struct rusage used;
    double seconds = (double)(clock_monotonic_us() - run.started_us) / 1e6;
    (void)getrusage(RUSAGE_SELF, &used); /* cannot fail */
    double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                 (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    qsort(run.latency_us, (size_t)run.accepted, sizeof(int64_t), compare);
    qsort(run.late_us, (size_t)run.sent, sizeof(int64_t), compare);
    const int64_t *sorted = run.latency_us;
    printf("RESULT {\"accepted\":%ld,\"refused\":%ld,\"broken\":%ld,\"seconds\":%.3f,"
           "\"cpu_seconds\":%.3f,\"late_p99_ms\":%.3f,"
           "\"percentiles_ms\":[%.3f,%.3f,%.3f,%.3f,%.3f]}\n",
           run.accepted, run.refused, run.broken, seconds, cpu, at_ms(run.late_us, run.sent, 990),
           at_ms(sorted, run.accepted, 500), at_ms(sorted, run.accepted, 900),
           at_ms(sorted, run.accepted, 990), at_ms(sorted, run.accepted, 999),
           at_ms(sorted, run.accepted, 1000));
}

int main(int argc, char **argv)
{
    long connections = argc == 7 ? atol(argv[3]) : 0;
    run.rate = argc == 7 ? atof(argv[4]) : 0;
    run.count = argc == 7 ? atol(argv[5]) : 0;
    run.every = argc == 7 ? atol(argv[6]) : 0;
    if (connections < 1 || connections > CONNECTIONS_MAX || run.rate <= 0 || run.count < 1 ||
        run.count > 100000000 || run.every < 1) {
        fputs("Usage: open_loop IPV4 PORT CONNECTIONS RATE COUNT EVERY\n", stderr);
        return 64;
    }
    run.address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    if (inet_pton(AF_INET, argv[1], &run.address.sin_addr) != 1)
        die(argv[1], "not an IPv4 address");
    run.latency_us = calloc((size_t)run.count, sizeof(int64_t));
    run.late_us = calloc((size_t)run.count, sizeof(int64_t));
    run.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!run.latency_us || !run.late_us || run.epoll < 0)
        die("starting", strerror(errno));
    for (long i = connections; i-- > 0;) {
        run.connections[i].fd = -1;
        run.free[run.frees++] = &run.connections[i];
    }
    (void)prctl(PR_SET_TIMERSLACK, 1UL); /* else late by 50 µs; only a wish */
    run.started_us = clock_monotonic_us();
    work();
    print_result();
    return 0;
}
