/* Connecting to RabbitMQ. librabbitmq's blocking calls have no deadline of their own unless told:
 * every one here runs under one deadline for the whole set-up. */
#include "services/clients/rabbitmq/connection.h"
#include "services/base/clock.h"
#include "services/clients/rabbitmq/amqp_url.h"
#include "services/clients/rabbitmq/tls_socket.h"
#include "services/loop/tcp_keepalive.h"
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define ADDRESS_SIZE (INET6_ADDRSTRLEN + 1 + IF_NAMESIZE) /* fe80::1%eth0 */
#define CHANNEL_MAX 1
#define FRAME_MAX 131072
#define CLOSE_TIMEOUT_MS 1000

static struct timeval time_left(int64_t deadline_ms)
{
    int64_t left_ms = deadline_ms - clock_monotonic_ms();
    /* librabbitmq takes a zero timeout for "at once", which no round trip meets. */
    if (left_ms < 1)
        left_ms = 1;
    return (struct timeval){.tv_sec = left_ms / 1000, .tv_usec = left_ms % 1000 * 1000};
}

void broker_set_deadline(struct broker_connection *connection, int64_t deadline_ms)
{
    struct timeval left = time_left(deadline_ms);
    (void)amqp_set_rpc_timeout(connection->amqp, &left); /* fails for negative times only */
}

unsigned broker_closed(const amqp_method_t *method, struct error *err)
{
    /* connection.close has the same members. */
    const amqp_channel_close_t *close = method->decoded;
    bool channel = method->id == AMQP_CHANNEL_CLOSE_METHOD;
    if (!close || (!channel && method->id != AMQP_CONNECTION_CLOSE_METHOD)) {
        error_set(err, "unexpected reply 0x%08x", (unsigned)method->id);
        return 0;
    }
    error_set(err, "%s closed by the broker: %u %.*s", channel ? "channel" : "connection",
              (unsigned)close->reply_code,
              close->reply_text.len > 150 ? 150 : (int)close->reply_text.len,
              (const char *)close->reply_text.bytes);
    return close->reply_code;
}

unsigned broker_reply_code(amqp_rpc_reply_t reply)
{
    return reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION ? broker_closed(&reply.reply, NULL)
                                                              : 0;
}

int broker_check(amqp_rpc_reply_t reply, const char *doing, struct error *err)
{
    struct error why = {"no reply"};
    switch (reply.reply_type) {
    case AMQP_RESPONSE_NORMAL:
        return 0;
    case AMQP_RESPONSE_NONE:
        break;
    case AMQP_RESPONSE_LIBRARY_EXCEPTION:
        error_set(&why, "%s", amqp_error_string2(reply.library_error));
        break;
    case AMQP_RESPONSE_SERVER_EXCEPTION:
        (void)broker_closed(&reply.reply, &why);
        break;
    }
    error_set(err, "%s: %s", doing, why.message);
    return -1;
}

/* Announce what RabbitMQ sends only to clients that know it; amqp_login() announces none of it. */
static amqp_rpc_reply_t log_in(amqp_connection_state_t amqp, const struct amqp_url *url,
                               const char *name)
{
    static const char *const capabilities[] = {"connection.blocked", "consumer_cancel_notify",
                                               "publisher_confirms", "basic.nack"};
    enum { CAPABILITY_COUNT = sizeof capabilities / sizeof capabilities[0] };
    amqp_table_entry_t capability[CAPABILITY_COUNT];
    for (int i = 0; i < CAPABILITY_COUNT; i++)
        capability[i] = (amqp_table_entry_t){
            .key = amqp_cstring_bytes(capabilities[i]),
            .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value = {.boolean = 1}}};
    amqp_table_entry_t property[] = {
        {.key = amqp_cstring_bytes("capabilities"),
         .value = {.kind = AMQP_FIELD_KIND_TABLE,
                   .value = {.table = {.num_entries = CAPABILITY_COUNT, .entries = capability}}}},
        {.key = amqp_cstring_bytes("connection_name"),
         .value = {.kind = AMQP_FIELD_KIND_UTF8, .value = {.bytes = amqp_cstring_bytes(name)}}},
    };
    amqp_table_t properties = {.num_entries = 2, .entries = property};
    return amqp_login_with_properties(amqp, url->vhost, CHANNEL_MAX, FRAME_MAX, BROKER_HEARTBEAT_S,
                                      &properties, AMQP_SASL_METHOD_PLAIN, url->user,
                                      url->password);
}

/* The number before the first dot of the "version" that the server announced. */
static unsigned server_major(amqp_connection_state_t amqp)
{
    const amqp_table_t *properties = amqp_get_server_properties(amqp);
    for (int i = 0; i < properties->num_entries; i++) {
        const amqp_table_entry_t *entry = &properties->entries[i];
        if (entry->key.len != strlen("version") ||
            memcmp(entry->key.bytes, "version", entry->key.len) != 0 ||
            entry->value.kind != AMQP_FIELD_KIND_UTF8)
            continue;
        const char *text = entry->value.value.bytes.bytes;
        unsigned major = 0;
        for (size_t at = 0; at < entry->value.value.bytes.len && at < 4; at++) {
            if (text[at] < '0' || text[at] > '9')
                break;
            major = major * 10 + (unsigned)(text[at] - '0');
        }
        return major;
    }
    return 0;
}

static amqp_socket_t *make_socket(amqp_connection_state_t amqp, const struct amqp_url *url,
                                  const char *ca_file, struct error *err)
{
    if (url->tls)
        return tls_socket_new(amqp, url->host, ca_file, err);
    amqp_socket_t *plain = amqp_tcp_socket_new(amqp);
    if (!plain)
        abort();
    return plain;
}

static int open_socket(amqp_connection_state_t amqp, const struct amqp_url *url,
                       const char *ca_file, const char *address, int64_t deadline_ms,
                       struct error *err)
{
    amqp_socket_t *socket = make_socket(amqp, url, ca_file, err);
    if (!socket)
        return -1;
    struct timeval left = time_left(deadline_ms);
    int status = amqp_socket_open_noblock(socket, address, url->port, &left);
    if (status == AMQP_STATUS_OK)
        return 0;
    error_set(err, "%s",
              status == AMQP_STATUS_SOCKET_ERROR ? "refused or unreachable"
                                                 : amqp_error_string2(status));
    if (url->tls)
        tls_socket_explain(socket, err);
    return -1;
}

static int set_up(const struct broker_options *options, const struct amqp_url *url,
                  const char *address, int64_t deadline_ms, struct broker_connection *connection,
                  struct error *err)
{
    if (open_socket(connection->amqp, url, options->ca_file, address, deadline_ms, err) != 0)
        return -1;
    connection->fd = amqp_get_sockfd(connection->amqp);
    tcp_keepalive(connection->fd); /* librabbitmq's begins after two hours */
    /* This one ends librabbitmq's calls that block in sending without a deadline. Not vital where
     * the kernel has none: heartbeats notice as well. */
    unsigned user_timeout_ms = BROKER_USER_TIMEOUT_MS;
    (void)setsockopt(connection->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms,
                     sizeof user_timeout_ms);

    struct timeval left = time_left(deadline_ms);
    (void)amqp_set_handshake_timeout(connection->amqp, &left);
    broker_set_deadline(connection, deadline_ms);
    if (broker_check(log_in(connection->amqp, url, options->name), "cannot log in", err) != 0)
        return -1;
    connection->server_major = server_major(connection->amqp);
    broker_set_deadline(connection, deadline_ms);
    amqp_channel_open(connection->amqp, BROKER_CHANNEL);
    return broker_check(amqp_get_rpc_reply(connection->amqp), "cannot open a channel", err);
}

static int connect_to_address(const struct broker_options *options, const struct amqp_url *url,
                              const char *address, int64_t deadline_ms,
                              struct broker_connection *ret_connection, struct error *err)
{
    struct broker_connection connection = {
        .amqp = amqp_new_connection(), .fd = -1, .tls = url->tls};
    if (!connection.amqp)
        abort();
    if (set_up(options, url, address, deadline_ms, &connection, err) != 0) {
        broker_disconnect(&connection, false);
        return -1;
    }
    broker_set_deadline(&connection, clock_monotonic_ms() + BROKER_SETUP_TIMEOUT_MS);
    *ret_connection = connection;
    return 0;
}

/* Add "<where>: <why>" to what has failed before. */
static void add_failure(struct error *all, const char *where, const char *why)
{
    struct error before = *all;
    error_set(all, "%s%s%s: %s", before.message, before.message[0] ? "; " : "", where, why);
}

/* Try one address after the other. Each gets an equal share of the time that is left, so that one
 * that does not answer leaves time for the next. */
static int connect_to_addresses(const struct broker_options *options, const struct amqp_url *url,
                                const struct addrinfo *addresses, int64_t limit_ms,
                                struct broker_connection *ret_connection, struct error *err)
{
    int64_t deadline_ms = clock_monotonic_ms() + limit_ms;
    int left = 0;
    for (const struct addrinfo *each = addresses; each; each = each->ai_next)
        left++;
    bool alone = left == 1;
    for (const struct addrinfo *each = addresses; each; each = each->ai_next, left--) {
        char address[ADDRESS_SIZE];
        struct error why;
        int64_t now_ms = clock_monotonic_ms();
        if (getnameinfo(each->ai_addr, each->ai_addrlen, address, sizeof address, NULL, 0,
                        NI_NUMERICHOST) != 0)
            abort(); /* it is numeric, and there is room for it */
        if (connect_to_address(options, url, address, now_ms + (deadline_ms - now_ms) / left,
                               ret_connection, &why) == 0)
            return 0;
        if (alone)
            *err = why;
        else
            add_failure(err, address, why.message);
    }
    return -1;
}

/* Returns 0, or -1 with this server's failure added to `err`. */
static int connect_to_server(const struct broker_options *options, const struct amqp_url *url,
                             int64_t limit_ms, struct broker_connection *ret_connection,
                             struct error *err)
{
    char server[AMQP_URL_SERVER_SIZE];
    struct error why = {""};
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *addresses = NULL;
    int failed = getaddrinfo(url->host, NULL, &hints, &addresses);
    if (failed)
        error_set(&why, "hostname lookup failed: %s", gai_strerror(failed));
    else
        failed = connect_to_addresses(options, url, addresses, limit_ms, ret_connection, &why);
    if (addresses)
        freeaddrinfo(addresses);
    amqp_url_server(url, server);
    if (failed)
        add_failure(err, server, why.message);
    return failed ? -1 : 0;
}

int broker_connect(const struct broker_options *options, struct broker_connection *ret_connection,
                   struct error *err)
{
    struct amqp_url_list servers;
    struct error why = {""};
    if (amqp_url_list_parse(options->url, &servers, err) != 0)
        return -1;
    int64_t limit_ms = BROKER_SETUP_TIMEOUT_MS;
    if (servers.count > 1)
        limit_ms /= 2; /* the next attempt, which goes to another server, must not come late */
    int failed = connect_to_server(options, &servers.urls[options->server % servers.count],
                                   limit_ms, ret_connection, &why);
    amqp_url_list_release(&servers);
    if (failed)
        error_set(err, "%s", why.message);
    return failed;
}

void broker_disconnect(struct broker_connection *connection, bool politely)
{
    if (!connection->amqp)
        return;
    if (politely) {
        broker_set_deadline(connection, clock_monotonic_ms() + CLOSE_TIMEOUT_MS);
        /* Whether the broker agrees or not, the socket is closed next. */
        (void)amqp_connection_close(connection->amqp, AMQP_REPLY_SUCCESS);
    }
    (void)amqp_destroy_connection(connection->amqp); /* always succeeds */
    *connection = (struct broker_connection){.amqp = NULL, .fd = -1};
}

int broker_reopen_channel(struct broker_connection *connection, struct error *err)
{
    amqp_channel_close_ok_t agreed = {0};
    int status =
        amqp_send_method(connection->amqp, BROKER_CHANNEL, AMQP_CHANNEL_CLOSE_OK_METHOD, &agreed);
    if (status != AMQP_STATUS_OK) {
        error_set(err, "cannot agree to close the channel: %s", amqp_error_string2(status));
        return -1;
    }
    amqp_channel_open(connection->amqp, BROKER_CHANNEL);
    return broker_check(amqp_get_rpc_reply(connection->amqp), "cannot open the channel again", err);
}

int broker_reach(const struct broker_options *options, struct error *err)
{
    struct amqp_url_list servers;
    struct broker_connection connection;
    struct error why = {""};
    if (amqp_url_list_parse(options->url, &servers, err) != 0)
        return -1;
    int failed = -1;
    for (unsigned i = 0; i < servers.count && failed; i++) {
        const struct amqp_url *url = &servers.urls[i];
        failed = connect_to_server(options, url, BROKER_SETUP_TIMEOUT_MS / servers.count,
                                   &connection, &why);
        if (!failed) {
            char server[AMQP_URL_SERVER_SIZE];
            amqp_url_server(url, server);
            error_set(&why, "%s answers", server);
        }
    }
    amqp_url_list_release(&servers);
    error_set(err, "%s", why.message);
    if (!failed)
        broker_disconnect(&connection, true);
    return failed;
}

/* The server is not told: librabbitmq only compares with its own limit. */
int broker_take_large_frames(struct broker_connection *connection, struct error *err)
{
    amqp_connection_state_t amqp = connection->amqp;
    int status = amqp_tune_connection(amqp, CHANNEL_MAX, (int)BROKER_LARGE_FRAME_BYTES,
                                      amqp_get_heartbeat(amqp));
    if (status == AMQP_STATUS_OK)
        return 0;
    error_set(err, "cannot take large frames: %s", amqp_error_string2(status));
    return -1;
}
