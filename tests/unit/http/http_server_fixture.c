#include "tests/unit/http/http_server_fixture.h"
#include "services/loop/event_loop_h2o.h"
#include <fcntl.h>
#include <sys/time.h>

static h2o_loop_t *evloop;
static struct event_loop *events;
struct http_server *server;
struct byte_budget bodies = {.limit_bytes = 200000};
uint16_t port;

char handled[4096];
size_t handled_count, handled_in_turn[128];
h2o_req_t *held;

int64_t wall_clock_off_s;

/* In place of libc's, for libh2o too. */
int gettimeofday(struct timeval *restrict ret_now, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    ret_now->tv_sec = now.tv_sec + wall_clock_off_s;
    ret_now->tv_usec = now.tv_nsec / 1000;
    return 0;
}

static void answer_with(h2o_req_t *req, int status, const char *reason)
{
    static h2o_generator_t generator = {NULL, NULL};
    req->res.status = status;
    req->res.reason = reason;
    req->res.content_length = 2;
    h2o_start_response(req, &generator);
    h2o_send(req, &(h2o_iovec_t){H2O_STRLIT("ok")}, 1, H2O_SEND_STATE_FINAL);
}

void answer(h2o_req_t *req)
{
    answer_with(req, 200, "OK");
}

static void handle(void *arg, h2o_req_t *req, enum request_head_fault fault)
{
    (void)arg;
    if (fault != REQUEST_HEAD_FINE) {
        answer_with(req, 400, "Bad Request");
        return;
    }
    char name = req->path.base[1];
    assert_true(handled_count < sizeof(handled) - 1);
    handled[handled_count++] = name;
    handled_in_turn[(size_t)name]++;
    if (name == 'h')
        held = req;
    else
        answer(req);
}

static void open_server(bool ends_slow)
{
    struct error err;
    memset(handled, 0, sizeof(handled));
    handled_count = 0;
    held = NULL;
    wall_clock_off_s = 0;
    evloop = h2o_evloop_create();
    events = event_loop_h2o_new(evloop);
    server = http_server_new(evloop, events,
                             &(struct http_server_options){.max_connections = 10,
                                                           .ends_slow = ends_slow,
                                                           .max_body_bytes = 100000,
                                                           .bodies = &bodies,
                                                           .request_timeout_ms = 10000,
                                                           .keepalive_ms = 75000,
                                                           .handle = handle});
    port = loopback_free_ports(1);
    int fd = http_listen("127.0.0.1", port, false, &err);
    assert_int_not_equal(fd, -1);
    http_server_listen(server, fd);
}

int set_up(void **state)
{
    (void)state;
    open_server(false);
    return 0;
}

int set_up_ends_slow(void **state)
{
    (void)state;
    open_server(true);
    return 0;
}

void turn(int32_t wait_ms)
{
    memset(handled_in_turn, 0, sizeof(handled_in_turn));
    (void)h2o_evloop_run(evloop, http_server_turn(server, wait_ms));
}

void pass(int64_t ms)
{
    for (; ms > 0; ms -= 250) {
        test_clock_advance(ms < 250 ? ms : 250);
        turn(1);
    }
    for (unsigned i = 0; i < 3; i++)
        turn(1);
}

int tear_down(void **state)
{
    (void)state;
    http_server_drain(server, 0);
    wait_until(http_server_drained(server), test_clock_advance(50); turn(10));
    assert_int_equal(atomic_load(&bodies.used_bytes), 0);
    http_server_free(server);
    event_loop_h2o_free(events);
    (void)h2o_evloop_run(evloop, 0);
    h2o_evloop_destroy(evloop);
    return 0;
}

int client_new(void)
{
    int fd = loopback_connect(port);
    assert_int_not_equal(fd, -1);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

int client_accepted(void)
{
    unsigned before = http_server_connections(server);
    int fd = client_new();
    wait_until(http_server_connections(server) > before, turn(10));
    return fd;
}

void client_send(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    turn(1);
}

const char *received(int fd, bool ended)
{
    static char text[8192];
    size_t len = 0;
    for (unsigned quiet = 0; quiet < 3;) {
        ssize_t got = recv(fd, text + len, sizeof(text) - 1 - len, 0);
        if (got == 0) {
            assert_true(ended);
            ended = false;
            break;
        }
        assert_true(got > 0 || errno == EAGAIN);
        if (got > 0)
            len += (size_t)got;
        else
            quiet++;
        turn(1);
    }
    assert_false(ended);
    text[len] = '\0';
    return text;
}
