/* A bridge's socket with a key, against members and all kinds of strangers, in one process. */
#include "proto/job.h"
#include "services/base/metrics.h"
#include "services/bridge/gate.h"
#include "services/bridge/listener.h"
#include "services/worker/link_socket.h"
#include "tests/unit/support/cmocka_headers.h"
#include "tests/unit/support/loopback.h"
#include "tests/unit/support/run_loop.h"
#include "tests/unit/support/test_clock.h"
#include <czmq.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEY "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
#define OTHER_KEY "ff112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
#define STRANGERS 1000
#define GREETING_BYTES 64
#define LARGE_MESSAGE_FRAMES 4000
#define RESPITE_MS 25 /* so much time passes in a turn: libzmq's threads keep up */

struct scene {
    struct link_key key, other_key;
    char endpoint[64];
    uint16_t port;
    struct event_loop *loop;
    struct gate *gate;
    struct listener *listener;
    zsock_t *peer;
    unsigned received;
};

static const char *const reasons[] = {"key", "protocol", "handshake", "descriptors"};

static uint64_t refused(const char *reason)
{
    char labels[64];
    (void)snprintf(labels, sizeof labels, "reason=\"%s\"", reason);
    return metric_count(metric_counter("bridge_refused_connections_total", labels, ""));
}

static uint64_t refused_in_all(void)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < COUNT(reasons); i++)
        sum += refused(reasons[i]);
    return sum;
}

static uint64_t cut(void)
{
    return metric_count(metric_counter("link_cut_connections_total", NULL, ""));
}

static int set_up(void **state, bool with_key)
{
    struct scene *scene = calloc(1, sizeof *scene);
    struct error err;
    assert_non_null(scene);
    zsys_handler_set(NULL);
    link_key_read(KEY, &scene->key);
    link_key_read(OTHER_KEY, &scene->other_key);
    scene->port = loopback_free_ports(1);
    (void)snprintf(scene->endpoint, sizeof scene->endpoint, "tcp://127.0.0.1:%u", scene->port);
    scene->loop = event_loop_new();
    scene->gate = gate_new(scene->loop, with_key ? &scene->key : NULL, &err);
    assert_non_null(scene->gate);
    scene->listener =
        listener_new(scene->loop, scene->gate, LINK_REPLIES_FROM_WORKERS, scene->endpoint);
    assert_int_equal(listener_open(scene->listener, &err), 0);
    *state = scene;
    return 0;
}

static int setup(void **state)
{
    return set_up(state, true);
}

static int setup_without_key(void **state)
{
    return set_up(state, false);
}

static int teardown(void **state)
{
    struct scene *scene = *state;
    zsock_destroy(&scene->peer);
    listener_free(scene->listener);
    gate_free(scene->gate);
    event_loop_free(scene->loop);
    free(scene);
    return 0;
}

/* Whatever arrives is received. */
static void turn(struct scene *scene)
{
    zmq_msg_t frame;
    event_loop_turn(scene->loop, 1);
    (void)zmq_msg_init(&frame);
    while (listener_receive(scene->listener, &frame))
        scene->received++;
    (void)zmq_msg_close(&frame);
    test_clock_advance(RESPITE_MS);
}

static zsock_t *connected(struct scene *scene, const struct link_key *key)
{
    zsock_t *peer = link_socket_new(LINK_REPLIES_TO_BRIDGE, key);
    zsock_set_linger(peer, 0);
    assert_int_equal(zsock_connect(peer, "%s", scene->endpoint), 0);
    return peer;
}

static bool sent(zsock_t *peer, const void *bytes, size_t len, int flags)
{
    return zmq_send(zsock_resolve(peer), bytes, len, flags | ZMQ_DONTWAIT) == (int)len;
}

static void assert_a_member_gets_through(struct scene *scene)
{
    unsigned before = scene->received;
    zsock_t *member = connected(scene, gate_key(scene->gate));
    wait_until(sent(member, "x", 1, 0), turn(scene));
    wait_until(scene->received == before + 1, turn(scene));
    zsock_destroy(&member);
}

/* The peer is refused for this reason, and nothing of it arrives. */
static void assert_refused(struct scene *scene, const char *reason)
{
    uint64_t before = refused(reason);
    wait_until(refused(reason) > before, {
        assert_false(sent(scene->peer, "x", 1, 0));
        turn(scene);
    });
    for (unsigned i = 0; i < 20; i++) {
        assert_false(sent(scene->peer, "x", 1, 0));
        turn(scene);
    }
    assert_int_equal(scene->received, 0);
    assert_a_member_gets_through(scene);
}

/* ---- who comes in ---- */

static void a_member_gets_through(void **state)
{
    uint64_t before = refused_in_all();
    assert_a_member_gets_through(*state);
    assert_int_equal(refused_in_all(), before);
}

static void the_largest_frame_gets_through(void **state)
{
    struct scene *scene = *state;
    static const char largest[FRAME_MAX_BYTES + 1];
    scene->peer = connected(scene, gate_key(scene->gate));
    wait_until(sent(scene->peer, largest, FRAME_MAX_BYTES, 0), turn(scene));
    wait_until(scene->received == 1, turn(scene));
    wait_until(sent(scene->peer, largest, FRAME_MAX_BYTES + 1, 0), turn(scene));
    for (unsigned i = 0; i < 20; i++)
        turn(scene);
    assert_int_equal(scene->received, 1);
}

static void a_stranger_without_a_key_is_refused(void **state)
{
    struct scene *scene = *state;
    scene->peer = connected(scene, NULL);
    assert_refused(scene, "protocol");
}

/* It does not know the public half of the bridge's key. */
static void a_stranger_with_another_key_is_refused(void **state)
{
    struct scene *scene = *state;
    scene->peer = connected(scene, &scene->other_key);
    assert_refused(scene, "protocol");
}

/* Without a ZAP handler libzmq lets this one in. */
static void a_stranger_who_knows_the_public_half_is_refused(void **state)
{
    struct scene *scene = *state;
    scene->peer = link_socket_new(LINK_REPLIES_TO_BRIDGE, &scene->other_key);
    zsock_set_curve_serverkey(scene->peer, scene->key.public);
    assert_int_equal(zsock_connect(scene->peer, "%s", scene->endpoint), 0);
    assert_refused(scene, "key");
}

static void a_process_has_one_gate_with_a_key(void **state)
{
    struct scene *scene = *state;
    struct error err;
    assert_null(gate_new(scene->loop, &scene->key, &err));
    assert_non_null(strstr(err.message, "in use"));
}

static void a_port_in_use_is_an_error(void **state)
{
    struct scene *scene = *state;
    struct error err;
    struct listener *other =
        listener_new(scene->loop, scene->gate, LINK_JOBS_TO_WORKERS, scene->endpoint);
    assert_int_equal(listener_open(other, &err), -1);
    assert_non_null(strstr(err.message, "Address already in use"));
    listener_free(other);
}

/* ---- raw connections ---- */

static int raw_connection(struct scene *scene)
{
    int fd = loopback_connect(scene->port);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static bool closed_by_peer(int fd)
{
    char byte[4096];
    ssize_t got;
    while ((got = recv(fd, byte, sizeof byte, 0)) > 0)
        continue;
    return got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

static void what_is_not_zeromq_is_refused(void **state)
{
    struct scene *scene = *state;
    static const char request[] = "GET / HTTP/1.1\r\nHost: bridge\r\n\r\n";
    uint64_t before = refused_in_all();
    int fd = raw_connection(scene);
    assert_int_equal(send(fd, request, sizeof request - 1, MSG_NOSIGNAL), sizeof request - 1);
    wait_until(closed_by_peer(fd), turn(scene));
    wait_until(refused_in_all() > before, turn(scene));
    close(fd);
    assert_a_member_gets_through(scene);
}

/* Move what is there from one end to the other, and keep a copy. */
static void relay(int from, int to, uint8_t *copy, size_t *len, size_t size)
{
    uint8_t bytes[4096];
    ssize_t got = recv(from, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got <= 0)
        return;
    assert_int_equal(send(to, bytes, (size_t)got, MSG_NOSIGNAL), got);
    if (copy != NULL) {
        assert_true(*len + (size_t)got <= size);
        memcpy(copy + *len, bytes, (size_t)got);
        *len += (size_t)got;
    }
}

static bool is_readable(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    return poll(&ready, 1, 0) == 1;
}

static void a_replayed_handshake_is_refused(void **state)
{
    struct scene *scene = *state;
    uint16_t port;
    uint8_t said[16384];
    size_t len = 0;
    int listening = loopback_listen(&port), to_bridge = raw_connection(scene);
    scene->peer = link_socket_new(LINK_REPLIES_TO_BRIDGE, &scene->key);
    assert_int_equal(zsock_connect(scene->peer, "tcp://127.0.0.1:%u", port), 0);
    wait_until(is_readable(listening), turn(scene));
    int to_member = accept(listening, NULL, NULL);
    assert_true(to_member >= 0);
    wait_until(sent(scene->peer, "x", 1, 0), {
        relay(to_member, to_bridge, said, &len, sizeof said);
        relay(to_bridge, to_member, NULL, NULL, 0);
        turn(scene);
    });
    wait_until(scene->received == 1, {
        relay(to_member, to_bridge, said, &len, sizeof said);
        relay(to_bridge, to_member, NULL, NULL, 0);
        turn(scene);
    });

    uint64_t before = refused_in_all();
    int replay = raw_connection(scene);
    assert_int_equal(send(replay, said, len, MSG_NOSIGNAL), len);
    wait_until(closed_by_peer(replay), turn(scene));
    wait_until(refused_in_all() > before, turn(scene));
    assert_int_equal(scene->received, 1);
    close(replay);
    close(to_member);
    close(to_bridge);
    close(listening);
}

static void strangers_half_way_disturb_nobody(void **state)
{
    struct scene *scene = *state;
    static const uint8_t greeting[GREETING_BYTES] = {0xff, 0, 0, 0,   0,   0,   0,   0,  1,
                                                     0x7f, 3, 1, 'C', 'U', 'R', 'V', 'E'};
    static int fds[STRANGERS];
    uint64_t before = refused("handshake");
    scene->peer = connected(scene, &scene->key);
    wait_until(sent(scene->peer, "x", 1, 0), turn(scene));
    for (size_t i = 0; i < STRANGERS; i++) {
        fds[i] = raw_connection(scene);
        size_t len = i % (GREETING_BYTES + 1); /* some have said all of it, some nothing */
        assert_int_equal(send(fds[i], greeting, len, MSG_NOSIGNAL), len);
        event_loop_turn(scene->loop, 0);
    }
    assert_true(sent(scene->peer, "x", 1, 0));
    wait_until(scene->received == 2, turn(scene));
    assert_a_member_gets_through(scene);
    wait_until(refused("handshake") >= before + STRANGERS, turn(scene)); /* they had 3 s */
    for (size_t i = 0; i < STRANGERS; i++) {
        assert_true(closed_by_peer(fds[i]));
        close(fds[i]);
    }
}

/* ---- frames without end ---- */

static long resident_kib(void)
{
    long size, resident;
    FILE *statm = fopen("/proc/self/statm", "r");
    assert_non_null(statm);
    assert_int_equal(fscanf(statm, "%ld %ld", &size, &resident), 2);
    (void)fclose(statm);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

/* After a greeting without CURVE. */
static void frames_of_a_stranger_are_not_read(void **state)
{
    struct scene *scene = *state;
    static uint8_t frame[2 + 255] = {1 /* more follows */, 255};
    static const uint8_t greeting[GREETING_BYTES] = {0xff, 0,    0, 0, 0,   0,   0,   0,
                                                     1,    0x7f, 3, 0, 'N', 'U', 'L', 'L'};
    int fd = raw_connection(scene);
    assert_int_equal(send(fd, greeting, sizeof greeting, MSG_NOSIGNAL), sizeof greeting);
    long before = resident_kib();
    wait_until(send(fd, frame, sizeof frame, MSG_NOSIGNAL) < 0 && errno != EAGAIN, turn(scene));
    assert_in_range(resident_kib(), 0, before + 4096);
    close(fd);
    assert_a_member_gets_through(scene);
}

/* libzmq sends no message that is not complete, but a large one takes a while. */
static void queue_large_message(zsock_t *peer)
{
    static const char frame[FRAME_MAX_BYTES];
    for (unsigned left = LARGE_MESSAGE_FRAMES; left > 0; left--)
        assert_int_equal(zmq_send_const(zsock_resolve(peer), frame, sizeof frame,
                                        ZMQ_DONTWAIT | (left > 1 ? ZMQ_SNDMORE : 0)),
                         sizeof frame);
}

static void assert_large_message_is_cut(struct scene *scene)
{
    uint64_t before = cut();
    scene->peer = connected(scene, gate_key(scene->gate));
    wait_until(sent(scene->peer, "x", 1, 0), turn(scene));
    queue_large_message(scene->peer);
    long resident = resident_kib();
    wait_until(cut() > before, turn(scene));
    assert_in_range(resident_kib(), 0,
                    resident + LARGE_MESSAGE_FRAMES * (FRAME_MAX_BYTES / 1024) / 2);
    assert_int_equal(scene->received, 1);
    zsock_destroy(&scene->peer);
    assert_a_member_gets_through(scene);
}

static void frames_without_end_of_a_member_are_cut(void **state)
{
    assert_large_message_is_cut(*state);
}

/* Many times as many bytes as are allowed for a message without end. */
static void messages_that_end_are_not_cut(void **state)
{
    struct scene *scene = *state;
    static const char frame[FRAME_MAX_BYTES];
    const unsigned many = 1000;
    uint64_t before = cut();
    scene->peer = connected(scene, gate_key(scene->gate));
    for (unsigned i = 0; i < many;) {
        if (sent(scene->peer, frame, sizeof frame, i % 2 ? 0 : ZMQ_SNDMORE))
            i++;
        else
            turn(scene);
    }
    wait_until(scene->received == many, turn(scene));
    assert_int_equal(cut(), before);
}

/* Nobody would take them there. */
static void frames_to_a_socket_that_sends_are_cut(void **state)
{
    struct scene *scene = *state;
    static const uint8_t greeting[GREETING_BYTES] = {0xff, 0,    0, 0, 0,   0,   0,   0,
                                                     1,    0x7f, 3, 0, 'N', 'U', 'L', 'L'};
    static const char ready[] = "\4\x1a\5READY\x0bSocket-Type\0\0\0\4PULL";
    static uint8_t frame[2 + 255] = {1 /* more follows */, 255};
    struct error err;
    char endpoint[64];
    uint16_t port = loopback_free_ports(1);
    (void)snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", port);
    struct listener *jobs = listener_new(scene->loop, scene->gate, LINK_JOBS_TO_WORKERS, endpoint);
    assert_int_equal(listener_open(jobs, &err), 0);
    int fd = loopback_connect(port);
    assert_true(fd >= 0);
    assert_int_equal(send(fd, greeting, sizeof greeting, MSG_NOSIGNAL), sizeof greeting);
    assert_int_equal(send(fd, ready, sizeof ready - 1, MSG_NOSIGNAL), sizeof ready - 1);
    wait_until((zsock_events(listener_socket(jobs)) & ZMQ_POLLOUT) != 0, turn(scene));
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    uint64_t before = cut();
    wait_until(cut() > before, {
        for (unsigned i = 0; i < 1000; i++)
            (void)!send(fd, frame, sizeof frame, MSG_NOSIGNAL);
        turn(scene);
    });
    wait_until(closed_by_peer(fd), turn(scene));
    close(fd);
    listener_free(jobs);
}

/* ---- descriptors ---- */

/* libzmq's threads still close some of the tests before. */
static void fill_descriptors(int *fds, size_t size, size_t *ret_count)
{
    int fd;
    *ret_count = 0;
    for (unsigned i = 0; i < 50; i++) {
        while ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0) {
            assert_true(*ret_count < size);
            fds[(*ret_count)++] = fd;
        }
        assert_int_equal(errno, EMFILE);
        usleep(2000);
    }
}

static void without_descriptors_connections_are_shut(void **state)
{
    struct scene *scene = *state;
    static int fds[1024];
    int strangers[10];
    size_t count;
    struct rlimit before, low;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(scene->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint64_t refused_before = refused("descriptors"), before_all = refused_in_all();
    for (size_t i = 0; i < COUNT(strangers); i++) {
        strangers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(strangers[i] >= 0);
    }
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = (struct rlimit){.rlim_cur = 512, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    fill_descriptors(fds, COUNT(fds), &count);
    for (size_t i = 0; i < COUNT(strangers); i++) {
        assert_int_equal(connect(strangers[i], (struct sockaddr *)&address, sizeof address), 0);
        assert_int_equal(fcntl(strangers[i], F_SETFL, O_NONBLOCK), 0);
    }
    for (size_t i = 0; i < COUNT(strangers); i++) {
        wait_until(closed_by_peer(strangers[i]), turn(scene));
        close(strangers[i]);
    }
    wait_until(refused_in_all() == before_all + COUNT(strangers), turn(scene));
    for (unsigned i = 0; i < 20; i++)
        turn(scene);
    assert_int_equal(refused_in_all(), before_all + COUNT(strangers)); /* each is counted once */
    assert_true(refused("descriptors") > refused_before);
    while (count > 0)
        close(fds[--count]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_a_member_gets_through(scene); /* it comes again and again until it is let in */
}

int main(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < 4096) {
        files.rlim_cur = files.rlim_max < 4096 ? files.rlim_max : 4096;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_WITHOUT_KEY(name) cmocka_unit_test_setup_teardown(name, setup_without_key, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_member_gets_through),
        TEST(the_largest_frame_gets_through),
        TEST_WITHOUT_KEY(the_largest_frame_gets_through),
        TEST(a_stranger_without_a_key_is_refused),
        TEST(a_stranger_with_another_key_is_refused),
        TEST(a_stranger_who_knows_the_public_half_is_refused),
        TEST(a_process_has_one_gate_with_a_key),
        TEST(a_port_in_use_is_an_error),
        TEST(what_is_not_zeromq_is_refused),
        TEST(a_replayed_handshake_is_refused),
        TEST(strangers_half_way_disturb_nobody),
        TEST(frames_of_a_stranger_are_not_read),
        TEST(frames_without_end_of_a_member_are_cut),
        TEST_WITHOUT_KEY(frames_without_end_of_a_member_are_cut),
        TEST(messages_that_end_are_not_cut),
        TEST_WITHOUT_KEY(messages_that_end_are_not_cut),
        TEST_WITHOUT_KEY(frames_to_a_socket_that_sends_are_cut),
        TEST(without_descriptors_connections_are_shut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
