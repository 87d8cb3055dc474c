/* A ZeroMQ socket shows its descriptor readable only once for what has changed inside, and sending
 * may swallow that. So whoever reads, reads all there is, and a turn of the loop follows each send.
 *
 * With ZMQ_IMMEDIATE a socket takes messages only while it has a connection: ZMQ_POLLOUT tells
 * whether the scheduler is there, and nothing waits in a queue for one that is not. */
#include "services/gateway/adapters/scheduler_client.h"
#include "proto/refresh_message.h"
#include "services/base/clock.h"
#include "services/base/endpoint.h"
#include "services/base/memory.h"
#include "services/loop/zmq_address.h"
#include <czmq.h>

#define ACCEPT_TIMEOUT_MS 1000
#define SILENCE_TIMEOUT_MS 5000
#define ROUNDS 2 /* round the list of schedulers */
#define BUSY_TURN_MS 100
#define IDLE_TURN_MS 1000
#define HEARTBEAT_MS 1000
#define HEARTBEAT_TIMEOUT_MS 3000
#define RECONNECT_MS 100
#define RECONNECT_MAX_MS 1000

struct scheduler_link {
    struct scheduler_client *client;
    zsock_t *socket;
    struct loop_watch *watch;
    struct zmq_address *address;
    char connected_to[ENDPOINT_SIZE]; /* libzmq tries for ever; empty: nothing yet */
};

struct asker {
    struct asker *next;
    uint64_t request_id; /* another one each time it is asked: late answers match nothing */
    size_t link;         /* asked last */
    size_t times_asked;
    bool sent; /* false: no scheduler was connected */
    int64_t silent_at_ms, ends_at_ms;
    sales_refresh_done_fn *on_done;
    void *arg;
};

struct scheduler_client {
    struct sales_refresh port; /* the first member: free() gets it back */
    struct event_loop *loop;
    struct loop_timer *turn;
    struct scheduler_client_options options;
    bool up, state_told;
    bool sent; /* since the last turn */
    uint64_t last_request_id;
    struct asker *askers;
    size_t asker_count;
    size_t link_count;
    struct scheduler_link links[ENDPOINT_LIST_MAX];
};

static bool connected(const struct scheduler_link *link)
{
    return (zsock_events(link->socket) & ZMQ_POLLOUT) != 0;
}

static bool send_request(struct scheduler_client *client, struct asker *asker, size_t link)
{
    uint8_t message[REFRESH_MESSAGE_MAX_BYTES];
    size_t len = refresh_request_encode(client->last_request_id + 1, message);
    if (zmq_send(zsock_resolve(client->links[link].socket), message, len, ZMQ_DONTWAIT) < 0)
        return false;
    asker->request_id = ++client->last_request_id;
    asker->link = link;
    asker->sent = client->sent = true;
    return true;
}

/* Ask the first scheduler from `link` on that is connected. */
static void ask(struct scheduler_client *client, struct asker *asker, size_t link)
{
    asker->sent = false;
    for (size_t i = 0; i < client->link_count && !asker->sent; i++)
        (void)send_request(client, asker, (link + i) % client->link_count); /* else the next */
}

static void ask_anew(struct scheduler_client *client, struct asker *asker, size_t link)
{
    asker->times_asked++;
    asker->silent_at_ms = clock_monotonic_ms() + ACCEPT_TIMEOUT_MS;
    ask(client, asker, link);
}

static bool may_ask_again(const struct scheduler_client *client, const struct asker *asker)
{
    return asker->times_asked < ROUNDS * client->link_count;
}

/* The callback comes last: it may begin another request. */
static void finish(struct scheduler_client *client, struct asker *asker,
                   enum sales_refresh_status status)
{
    struct asker **at = &client->askers;
    while (*at != asker)
        at = &(*at)->next;
    *at = asker->next;
    client->asker_count--;
    sales_refresh_done_fn *on_done = asker->on_done;
    void *arg = asker->arg;
    free(asker);
    on_done(arg, status);
}

static void ask_next_or_give_up(struct scheduler_client *client, struct asker *asker)
{
    if (may_ask_again(client, asker))
        ask_anew(client, asker, asker->link + 1);
    else
        finish(client, asker, SALES_REFRESH_UNAVAILABLE);
}

static void take_answer(struct scheduler_client *client, const uint8_t *message, size_t len)
{
    struct refresh_answer answer;
    if (refresh_answer_decode(message, len, &answer, NULL) != 0)
        return; /* as PROTOCOL.md says; silence will tell */
    struct asker *asker = client->askers;
    while (asker != NULL && !(asker->sent && asker->request_id == answer.request_id))
        asker = asker->next;
    if (asker == NULL)
        return;
    switch (answer.state) {
    case REFRESH_ANSWER_ACCEPTED:
    case REFRESH_ANSWER_WAITING:
        asker->silent_at_ms = clock_monotonic_ms() + SILENCE_TIMEOUT_MS;
        break;
    case REFRESH_ANSWER_DONE:
        finish(client, asker, SALES_REFRESH_DONE);
        break;
    case REFRESH_ANSWER_FAILED:
        finish(client, asker, SALES_REFRESH_FAILED);
        break;
    case REFRESH_ANSWER_DECLINED:
        ask_next_or_give_up(client, asker);
        break;
    }
}

/* One message; false when there was none. */
static bool read_message(struct scheduler_link *link)
{
    void *socket = zsock_resolve(link->socket);
    uint8_t message[REFRESH_MESSAGE_MAX_BYTES];
    int len = zmq_recv(socket, message, sizeof message, ZMQ_DONTWAIT);
    if (len < 0)
        return false;
    bool single = zsock_rcvmore(link->socket) == 0;
    while (zsock_rcvmore(link->socket) != 0 && zmq_recv(socket, NULL, 0, ZMQ_DONTWAIT) >= 0)
        continue;
    if (single && (size_t)len <= sizeof message)
        take_answer(link->client, message, (size_t)len);
    return true;
}

static void on_readable(void *arg, bool readable, bool writable)
{
    (void)readable;
    (void)writable;
    struct scheduler_link *link = arg;
    while (read_message(link))
        continue;
    if (link->client->sent)
        loop_timer_start(link->client->turn, 0);
}

static struct asker *first_overdue(const struct scheduler_client *client, int64_t now_ms)
{
    struct asker *asker = client->askers;
    while (asker != NULL && now_ms < asker->silent_at_ms && now_ms < asker->ends_at_ms)
        asker = asker->next;
    return asker;
}

static void tell_state(struct scheduler_client *client)
{
    bool up = false;
    for (size_t i = 0; i < client->link_count; i++)
        up = up || connected(&client->links[i]);
    if (client->options.on_state == NULL || (client->state_told && up == client->up))
        return;
    client->up = up;
    client->state_told = true;
    client->options.on_state(client->options.arg, up, up ? NULL : "no scheduler is connected");
}

static void on_turn(void *arg)
{
    struct scheduler_client *client = arg;
    client->sent = false;
    for (size_t i = 0; i < client->link_count; i++) {
        while (read_message(&client->links[i]))
            continue;
        if (!connected(&client->links[i]))
            zmq_address_look(client->links[i].address, true);
    }

    int64_t now_ms = clock_monotonic_ms();
    struct asker *asker;
    while ((asker = first_overdue(client, now_ms)) != NULL) {
        if (now_ms >= asker->ends_at_ms)
            finish(client, asker, SALES_REFRESH_TIMEOUT);
        else
            ask_next_or_give_up(client, asker);
    }
    for (asker = client->askers; asker != NULL; asker = asker->next)
        if (!asker->sent)
            ask(client, asker, asker->link);

    tell_state(client);
    loop_timer_start(client->turn, client->sent               ? 0
                                   : client->asker_count != 0 ? BUSY_TURN_MS
                                                              : IDLE_TURN_MS);
}

static int refresh(void *self, sales_refresh_done_fn *on_done, void *arg)
{
    struct scheduler_client *client = self;
    if (client->asker_count == SCHEDULER_CLIENT_MAX_WAITING)
        return -1;
    struct asker *asker = memory_new(sizeof *asker);
    asker->on_done = on_done;
    asker->arg = arg;
    asker->ends_at_ms = clock_monotonic_ms() + SALES_REFRESH_TIMEOUT_MS;
    asker->next = client->askers;
    client->askers = asker;
    client->asker_count++;
    ask_anew(client, asker, 0);
    loop_timer_start(client->turn, 0);
    return 0;
}

static void connect_link(void *arg)
{
    struct scheduler_link *link = arg;
    if (link->connected_to[0] != '\0')
        (void)zsock_disconnect(link->socket, "%s", link->connected_to);
    (void)snprintf(link->connected_to, sizeof link->connected_to, "%s",
                   zmq_address_endpoint(link->address)); /* it fits */
    if (zsock_connect(link->socket, "%s", link->connected_to) != 0)
        abort(); /* it is well-formed */
}

static void add_link(struct scheduler_client *client, const char *endpoint)
{
    zsock_t *socket = zsock_new(ZMQ_DEALER);
    if (socket == NULL)
        abort(); /* out of memory, or of sockets */
    zsock_set_maxmsgsize(socket, REFRESH_MESSAGE_MAX_BYTES);
    zsock_set_sndhwm(socket, SCHEDULER_CLIENT_MAX_WAITING);
    zsock_set_rcvhwm(socket, 2 * SCHEDULER_CLIENT_MAX_WAITING);
    zsock_set_immediate(socket, 1);
    zsock_set_linger(socket, 0);
    zsock_set_heartbeat_ivl(socket, HEARTBEAT_MS);
    zsock_set_heartbeat_timeout(socket, HEARTBEAT_TIMEOUT_MS);
    zsock_set_heartbeat_ttl(socket, HEARTBEAT_TIMEOUT_MS);
    zsock_set_reconnect_ivl(socket, RECONNECT_MS);
    zsock_set_reconnect_ivl_max(socket, RECONNECT_MAX_MS);

    struct scheduler_link *link = &client->links[client->link_count++];
    link->client = client;
    link->socket = socket;
    link->address = zmq_address_new(client->loop, endpoint, connect_link, link);
    if (zmq_address_endpoint(link->address) != NULL)
        connect_link(link);
    else
        zmq_address_look(link->address, false);
    link->watch = event_loop_watch(client->loop, zsock_fd(socket), on_readable, link);
    loop_watch_want(link->watch, true, false);
}

struct sales_refresh *scheduler_client_new(struct event_loop *loop,
                                           const struct scheduler_client_options *options)
{
    struct scheduler_client *client = memory_new(sizeof *client);
    client->port = (struct sales_refresh){.self = client, .refresh = refresh};
    client->loop = loop;
    client->options = *options;
    client->options.endpoints = NULL;
    struct endpoint_list list;
    if (endpoint_list_parse(options->endpoints, &list, NULL) != 0)
        list.count = 0; /* they were checked before */
    for (size_t i = 0; i < list.count; i++)
        add_link(client, list.items[i]);
    client->turn = event_loop_timer(loop, on_turn, client);
    loop_timer_start(client->turn, BUSY_TURN_MS); /* soon: readiness waits for the first look */
    return &client->port;
}

void scheduler_client_free(struct sales_refresh *port)
{
    if (port == NULL)
        return;
    struct scheduler_client *client = port->self;
    for (size_t i = 0; i < client->link_count; i++) {
        loop_watch_free(client->links[i].watch);
        zmq_address_free(client->links[i].address);
        zsock_destroy(&client->links[i].socket);
    }
    while (client->askers != NULL) {
        struct asker *asker = client->askers;
        client->askers = asker->next;
        free(asker);
    }
    loop_timer_free(client->turn);
    free(client);
}
