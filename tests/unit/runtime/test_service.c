/* service_main() as its users see it: the example service is run as a process. */
#include "services/base/clock.h"
#include "tests/unit/support/loopback.h"
#include "tests/unit/support/real_time.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define OUTPUT_SIZE 16384
#define ATTEMPTS 5 /* at what takes too long when the machine pauses */
#define CANARY "canary-5f2b"

struct process {
    pid_t pid;
    int output_fd; /* its standard output and error */
    char output[OUTPUT_SIZE];
    size_t len;
};

static uint16_t admin_port;
static char port_text[8];
static bool without_ipv6;        /* what is started next sees a kernel that has none */
static bool without_descriptors; /* … and has 0 to 2 closed */

static int choose_port(void **state)
{
    (void)state;
    admin_port = loopback_free_ports(1);
    (void)snprintf(port_text, sizeof(port_text), "%u", admin_port);
    return 0;
}

/* From now on socket(AF_INET6, …) fails with EAFNOSUPPORT. */
static void lose_ipv6(void)
{
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(steps) / sizeof(steps[0]), steps};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(98);
}

/* Start it with one argument (or NULL) and NAME=VALUE pairs on top of a usable configuration. */
static void start(struct process *process, const char *argument, const char *const *variables)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    *process = (struct process){.output_fd = ends[0]};
    process->pid = fork();
    assert_true(process->pid >= 0);
    if (process->pid == 0) {
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)dup2(ends[1], STDERR_FILENO);
        if (without_ipv6)
            lose_ipv6();
        for (int fd = 0; fd <= STDERR_FILENO && without_descriptors; fd++)
            close(fd);
        (void)unsetenv("ADMIN_ADDRESS");
        (void)setenv("ADMIN_PORT", port_text, 1);
        (void)setenv("EXAMPLE_SECRET", CANARY, 1);
        for (; variables != NULL && *variables != NULL; variables++)
            (void)putenv((char *)(uintptr_t)*variables);
        (void)execl(EXAMPLE_SERVICE, "example", argument, (char *)NULL);
        _exit(99);
    }
    close(ends[1]);
}

/* Read output until `text` shows up (or the end, when NULL). */
static void read_until(struct process *process, const char *text)
{
    int64_t deadline_ms = clock_monotonic_ms() + PATIENCE_MS;
    while (text == NULL || strstr(process->output, text) == NULL) {
        struct pollfd readable = {.fd = process->output_fd, .events = POLLIN};
        int64_t left_ms = deadline_ms - clock_monotonic_ms();
        if (left_ms <= 0 || poll(&readable, 1, (int)left_ms) != 1)
            fail_msg("no '%s' in: %s", text != NULL ? text : "end", process->output);
        ssize_t got = read(process->output_fd, process->output + process->len,
                           OUTPUT_SIZE - 1 - process->len);
        if (got <= 0) {
            if (text != NULL)
                fail_msg("no '%s' in: %s", text, process->output);
            return;
        }
        process->len += (size_t)got;
        process->output[process->len] = '\0';
    }
}

/* Wait for its end; returns the exit code. No output ever has the secret. */
static int finish(struct process *process)
{
    int status;
    read_until(process, NULL);
    close(process->output_fd);
    assert_int_equal(waitpid(process->pid, &status, 0), process->pid);
    assert_null(strstr(process->output, CANARY));
    if (!WIFEXITED(status))
        fail_msg("killed by signal %d: %s", WTERMSIG(status), process->output);
    return WEXITSTATUS(status);
}

static int lines(const char *text)
{
    int count = 0;
    for (; *text != '\0'; text++)
        count += *text == '\n';
    return count;
}

static void test_ends_by_itself(void **state)
{
    (void)state;
    static const struct {
        const char *argument;
        const char *variables[3];
        int code;
        int lines; /* 0: any */
        const char *parts[4];
    } cases[] = {
        {"--help", {NULL}, 0, 0, {"EXAMPLE_SECRET", "EXAMPLE_SECRET_FILE", "LOG_LEVEL", "9999"}},
        {"--help", {"ADMIN_PORT=x"}, 0, 0, {"EXAMPLE_LOW"}},
        {"--version", {NULL}, 0, 1, {"example "}},
        {"--bogus", {NULL}, 64, 0, {"--help"}},
        {"argument", {NULL}, 64, 1, {"--help"}},
        {"--health=maybe", {NULL}, 64, 1, {"--help"}},
        {NULL, {"ADMIN_PORT=0"}, 78, 1, {"ADMIN_PORT"}},
        {NULL, {"LOG_LEVEL=loud"}, 78, 1, {"LOG_LEVEL: must be one of debug, info, warn, error"}},
        {NULL, {"EXAMPLE_MODE=" CANARY}, 78, 1, {"EXAMPLE_MODE"}},
        {NULL, {"EXAMPLE_LOW=6"}, 78, 1, {"EXAMPLE_LOW: must not be above EXAMPLE_HIGH"}},
        {NULL,
         {"EXAMPLE_MEMORY=1000000000"},
         78,
         1,
         {"too little memory: 1000000000 MiB are needed for EXAMPLE_MEMORY, the limit is "}},
        {NULL, {"EXAMPLE_SECRET_FILE=/dev/null"}, 78, 1, {"EXAMPLE_SECRET: both"}},
        {NULL,
         {"EXAMPLE_SECRET=", "EXAMPLE_SECRET_FILE=/dev/null"},
         78,
         1,
         {"EXAMPLE_SECRET_FILE"}},
        {"--check", {"ADMIN_PORT=99999"}, 78, 1, {"ADMIN_PORT"}},
        {"--check", {NULL}, 0, 2, {"ok    one\nok    two\n"}},
        {"--check", {"EXAMPLE_MODE=fail"}, 1, 2, {"ok    one\nFAIL  two: refused\n"}},
        {"--health", {NULL}, 1, 1, {"/readyz: Could", "connect to server"}},
        {NULL, {"EXAMPLE_MODE=fail"}, 70, 2, {"started", "it was told to"}},
        {NULL, {"ADMIN_ADDRESS=192.0.2.1"}, 70, 1, {"cannot listen on 192.0.2.1"}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct process process;
        int code;
        int64_t took_ms = INT64_MAX;
        for (int attempt = 0; attempt < ATTEMPTS && took_ms >= 5000; attempt++) {
            int64_t start_ms = clock_monotonic_ms();
            start(&process, cases[i].argument, cases[i].variables);
            code = finish(&process);
            took_ms = clock_monotonic_ms() - start_ms;
        }
        if (code != cases[i].code)
            fail_msg("%zu: exit code %d: %s", i, code, process.output);
        if (cases[i].lines != 0)
            assert_int_equal(lines(process.output), cases[i].lines);
        for (size_t j = 0; j < 4 && cases[i].parts[j] != NULL; j++) {
            if (strstr(process.output, cases[i].parts[j]) == NULL)
                fail_msg("%zu: no '%s' in: %s", i, cases[i].parts[j], process.output);
        }
        assert_true(took_ms < 5000);
    }
}

static int ask_health(const char *argument, const char *const *variables)
{
    struct process process;
    start(&process, argument, variables);
    return finish(&process);
}

/* It asks for 2 s at most. */
static void expect_health(const char *argument, const char *const *variables)
{
    int code = 1;
    for (int attempt = 0; attempt < ATTEMPTS && code != 0; attempt++)
        code = ask_health(argument, variables);
    assert_int_equal(code, 0);
}

/* For a service that does not say when it is ready. */
static void expect_health_soon(void)
{
    int64_t deadline_ms = clock_monotonic_ms() + PATIENCE_MS;
    while (ask_health("--health", NULL) != 0)
        assert_true(clock_monotonic_ms() < deadline_ms);
}

static void test_stop(void **state)
{
    (void)state;
    static const int numbers[] = {SIGTERM, SIGINT};
    for (size_t i = 0; i < 2; i++) {
        struct process process;
        start(&process, NULL, (const char *const[]){"EXAMPLE_MODE=slow", NULL});
        read_until(&process, "\"ready\"");
        expect_health("--health", NULL);
        expect_health("--health=live", NULL);
        assert_int_equal(kill(process.pid, SIGPIPE), 0); /* ignored */
        assert_int_equal(kill(process.pid, numbers[i]), 0);
        read_until(&process, "\"stopping\"");
        assert_int_equal(ask_health("--health", NULL), 1); /* draining: alive, not ready */
        assert_int_equal(finish(&process), 0);
        assert_non_null(strstr(process.output, "\"stopped\""));
    }
}

static void test_second_signal(void **state)
{
    (void)state;
    struct process process;
    start(&process, NULL, (const char *const[]){"EXAMPLE_MODE=hang", NULL});
    read_until(&process, "\"ready\"");
    assert_int_equal(kill(process.pid, SIGTERM), 0);
    read_until(&process, "\"stopping\"");
    int64_t start_ms = clock_monotonic_ms();
    assert_int_equal(kill(process.pid, SIGINT), 0);
    assert_int_equal(finish(&process), 128 + SIGINT);
    assert_true(clock_monotonic_ms() - start_ms < 5000); /* and not after the 10 s to drain */
}

static void test_drain_deadline(void **state)
{
    (void)state;
    struct process process;
    int64_t took_ms = INT64_MAX;
    for (int attempt = 0; attempt < ATTEMPTS && took_ms > 13000; attempt++) {
        start(&process, NULL, (const char *const[]){"EXAMPLE_MODE=hang", NULL});
        read_until(&process, "\"ready\"");
        int64_t start_ms = clock_monotonic_ms();
        assert_int_equal(kill(process.pid, SIGTERM), 0);
        assert_int_equal(finish(&process), 70);
        took_ms = clock_monotonic_ms() - start_ms;
        assert_true(took_ms >= 9900);
    }
    assert_in_range(took_ms, 9900, 13000);
}

/* The admin port as seen on the wire. */
static const struct {
    const char *request, *answer, *absent; /* beginning, and part that must not be there */
} exchanges[] = {
    {"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n", "erver:"},
    {"GET /readyz HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n", NULL},
    {"HEAD /readyz HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n", "status"},
    {"GET /metrics?x=y HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n", NULL},
    {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 Not Found\r\n", NULL},
    {"GET /livez/x HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 Not Found\r\n", NULL},
    {"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
     "HTTP/1.1 405 Method Not Allowed\r\n", NULL},
    {"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n", "HTTP/1.1 413 ", NULL},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 400 ", NULL},
    {"nonsense\r\n\r\n", "HTTP/1.1 400 ", NULL},
};

static int connect_admin(void)
{
    struct timeval limit = {.tv_sec = PATIENCE_MS / 1000};
    int fd = loopback_connect(admin_port);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    return fd;
}

/* With a timeout, recv() is interrupted when a stopped process goes on (signal(7)). */
static ssize_t receive(int fd, void *buffer, size_t size)
{
    return TEMP_FAILURE_RETRY(recv(fd, buffer, size, 0));
}

static void test_admin_pages(void **state)
{
    (void)state;
    struct process process;
    start(&process, NULL, NULL);
    read_until(&process, "\"ready\"");
    for (size_t i = 0; i < sizeof(exchanges) / sizeof(exchanges[0]); i++) {
        char answer[8192] = "";
        size_t len = 0;
        int fd = connect_admin();
        assert_true(send(fd, exchanges[i].request, strlen(exchanges[i].request), 0) > 0);
        (void)shutdown(fd, SHUT_WR); /* it answers, then closes */
        ssize_t got;
        while ((got = receive(fd, answer + len, sizeof(answer) - 1 - len)) > 0)
            len += (size_t)got;
        close(fd);
        if (strncmp(answer, exchanges[i].answer, strlen(exchanges[i].answer)) != 0)
            fail_msg("%s: %s", exchanges[i].request, answer);
        if (strstr(answer, " 405 ") != NULL)
            assert_non_null(strcasestr(answer, "\r\nallow: GET, HEAD\r\n"));
        if (strstr(answer, " 413 ") == NULL && strstr(answer, " 400 ") == NULL)
            assert_non_null(strcasestr(answer, "\r\nx-content-type-options: nosniff\r\n"));
        if (exchanges[i].absent != NULL)
            assert_null(strstr(answer, exchanges[i].absent));
    }
    assert_int_equal(kill(process.pid, SIGTERM), 0);
    assert_int_equal(finish(&process), 0);
}

/* Whether the admin port can be reached at this address of the machine. */
static bool answers_at(const char *address)
{
    struct addrinfo *found;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    assert_int_equal(getaddrinfo(address, port_text, &hints, &found), 0);
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool connected = fd != -1 && connect(fd, found->ai_addr, found->ai_addrlen) == 0;
    if (fd != -1)
        close(fd);
    freeaddrinfo(found);
    return connected;
}

static bool machine_has_ipv6(void)
{
    const struct sockaddr_in6 loopback = {.sin6_family = AF_INET6,
                                          .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has = fd != -1 && bind(fd, (const struct sockaddr *)&loopback, sizeof(loopback)) == 0;
    if (fd != -1)
        close(fd);
    return has;
}

/* log_lines_dropped_total of the service that runs. */
static double dropped_lines(void)
{
    static const char request[] = "GET /metrics HTTP/1.0\r\n\r\n",
                      name[] = "\nlog_lines_dropped_total ";
    char answer[OUTPUT_SIZE] = "";
    size_t len = 0;
    ssize_t got;
    int fd = connect_admin();
    assert_int_equal(send(fd, request, sizeof(request) - 1, 0), sizeof(request) - 1);
    while ((got = receive(fd, answer + len, sizeof(answer) - 1 - len)) > 0)
        len += (size_t)got;
    close(fd);
    const char *found = strstr(answer, name);
    assert_non_null(found);
    return strtod(found + strlen(name), NULL);
}

/* Standard error is a pipe that is full: the service works, says how many lines it has dropped, and
 * ends when it is told to. */
static void test_nobody_reads_the_log(void **state)
{
    (void)state;
    struct process process;
    start(&process, NULL, (const char *const[]){"EXAMPLE_MODE=talk", NULL});
    expect_health_soon();
    wait_until(dropped_lines() > 0, (void)usleep(20000));
    int64_t start_ms = clock_monotonic_ms();
    assert_int_equal(kill(process.pid, SIGTERM), 0);
    int status;
    assert_int_equal(waitpid(process.pid, &status, 0), process.pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(clock_monotonic_ms() - start_ms < 5000);
    close(process.output_fd);
}

/* What the service opens must not become its standard error. */
static void test_closed_descriptors(void **state)
{
    (void)state;
    struct process process;
    without_descriptors = true;
    start(&process, NULL, NULL);
    without_descriptors = false;
    expect_health_soon();
    for (int fd = 0; fd <= STDERR_FILENO; fd++) {
        char path[64], target[64] = "";
        (void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)process.pid, fd);
        assert_true(readlink(path, target, sizeof(target) - 1) > 0);
        assert_string_equal(target, "/dev/null");
    }
    assert_int_equal(kill(process.pid, SIGTERM), 0);
    assert_int_equal(finish(&process), 0);
    assert_string_equal(process.output, "");
}

/* Nobody but this machine by default; with "::" everybody, by IPv4 also where there is no IPv6. */
static void test_admin_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *variable;
        bool without_ipv6, everywhere;
    } cases[] = {
        {NULL, false, false},
        {"ADMIN_ADDRESS=::", false, true},
        {"ADMIN_ADDRESS=::", true, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct process process;
        const char *const variables[] = {cases[i].variable, NULL};
        without_ipv6 = cases[i].without_ipv6;
        start(&process, NULL, variables);
        read_until(&process, "\"ready\"");
        expect_health("--health", variables);
        assert_true(answers_at("127.0.0.1"));
        assert_int_equal(answers_at("127.0.0.2"), cases[i].everywhere);
        assert_int_equal(answers_at("::1"),
                         cases[i].everywhere && !without_ipv6 && machine_has_ipv6());
        without_ipv6 = false;
        assert_int_equal(kill(process.pid, SIGTERM), 0);
        assert_int_equal(finish(&process), 0);
    }
}

/* A crowd of clients that send half a head neither keeps the pages from being served nor the
 * process from ending. */
static void test_slow_clients(void **state)
{
    (void)state;
    static const char half[] = "GET /readyz HTTP/1.1\r\nHost";
    int fds[300];
    struct process process;
    start(&process, NULL, NULL);
    read_until(&process, "\"ready\"");
    for (int i = 0; i < 300; i++) {
        fds[i] = connect_admin();
        assert_int_equal(send(fds[i], half, sizeof(half) - 1, 0), sizeof(half) - 1);
    }
    expect_health("--health", NULL);
    char answer[16] = "";
    assert_true(receive(fds[0], answer, sizeof(answer) - 1) > 0); /* it has made place */
    assert_memory_equal(answer, "HTTP/1.1 503 ", 13);
    assert_true(receive(fds[299], answer, sizeof(answer) - 1) > 0); /* after its time */
    assert_memory_equal(answer, "HTTP/1.1 408 ", 13);
    for (int i = 0; i < 100; i++) {
        close(fds[i]);
        fds[i] = connect_admin(); /* these say nothing */
    }
    expect_health("--health", NULL);
    int64_t start_ms = clock_monotonic_ms();
    assert_int_equal(kill(process.pid, SIGTERM), 0);
    assert_int_equal(finish(&process), 0);
    assert_true(clock_monotonic_ms() - start_ms < 5000); /* it gives them 1 s; draining is 10 s */
    for (int i = 0; i < 300; i++)
        close(fds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends_by_itself),     cmocka_unit_test(test_stop),
        cmocka_unit_test(test_second_signal),      cmocka_unit_test(test_drain_deadline),
        cmocka_unit_test(test_admin_pages),        cmocka_unit_test(test_admin_addresses),
        cmocka_unit_test(test_slow_clients),       cmocka_unit_test(test_nobody_reads_the_log),
        cmocka_unit_test(test_closed_descriptors),
    };
    return cmocka_run_group_tests(tests, choose_port, NULL);
}
