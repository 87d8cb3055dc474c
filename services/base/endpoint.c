/* Addresses as configured. Error messages never quote the text: it may hold a password. */
#include "services/base/endpoint.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#define SOCKET_PATH_SIZE sizeof(((struct sockaddr_un *)NULL)->sun_path) /* with the NUL */

/* A piece of the text being parsed. */
struct span {
    const char *start;
    size_t len;
};

static struct span span_of(const char *text)
{
    return (struct span){text, strlen(text)};
}

static bool span_starts(struct span span, const char *prefix)
{
    return span.len >= strlen(prefix) && strncmp(span.start, prefix, strlen(prefix)) == 0;
}

/* Cut `span` at the first `separator`: what is before it; *span keeps what is after. */
static bool span_cut(struct span *span, char separator, struct span *ret_before)
{
    const char *at = memchr(span->start, separator, span->len);
    if (at == NULL)
        return false;
    *ret_before = (struct span){span->start, (size_t)(at - span->start)};
    *span = (struct span){at + 1, span->len - ret_before->len - 1};
    return true;
}

static struct span span_skip(struct span span, size_t count)
{
    return (struct span){span.start + count, span.len - count};
}

static int copy_span(struct span span, char *buffer, size_t size)
{
    if (span.len >= size)
        return -1;
    memcpy(buffer, span.start, span.len);
    buffer[span.len] = '\0';
    return 0;
}

static int port_parse(struct span span, uint16_t *ret)
{
    unsigned port = 0;
    if (span.len == 0 || span.len > 5)
        return -1;
    for (size_t i = 0; i < span.len; i++) {
        if (span.start[i] < '0' || span.start[i] > '9')
            return -1;
        port = port * 10 + (unsigned)(span.start[i] - '0');
    }
    if (port == 0 || port > 65535)
        return -1;
    *ret = (uint16_t)port;
    return 0;
}

/* Names, IPv4, and "*" where a wildcard is allowed. */
static bool is_host_name(struct span span)
{
    for (size_t i = 0; i < span.len; i++) {
        char c = span.start[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '-' || c == '_'))
            return false;
    }
    return span.len > 0;
}

static bool is_ipv6(struct span span)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    return copy_span(span, text, sizeof(text)) == 0 && inet_pton(AF_INET6, text, &address) == 1;
}

/* host, host:port, [ipv6], [ipv6]:port. *ret_host is without brackets; *ret_port stays untouched
 * when there is none. */
static int authority_parse(struct span span, struct span *ret_host, uint16_t *ret_port,
                           struct error *err)
{
    struct span host = span, rest;
    bool has_port;
    if (span_starts(span, "[")) {
        rest = span_skip(span, 1);
        if (!span_cut(&rest, ']', &host) || !is_ipv6(host) ||
            (rest.len > 0 && rest.start[0] != ':')) {
            error_set(err, "not an IPv6 address in brackets");
            return -1;
        }
        has_port = rest.len > 0;
        if (has_port)
            rest = span_skip(rest, 1);
    } else {
        rest = span;
        has_port = span_cut(&rest, ':', &host);
        if (!is_host_name(host)) {
            error_set(err, "the host is missing or has characters that no host name has");
            return -1;
        }
    }
    if (has_port && port_parse(rest, ret_port) != 0) {
        error_set(err, "the port must be a number from 1 to 65535");
        return -1;
    }
    *ret_host = host;
    return 0;
}

int host_port_parse(const char *text, uint16_t default_port, struct host_port *ret,
                    struct error *err)
{
    struct span span = span_of(text), host;
    struct host_port parsed = {.port = default_port, .tls = span_starts(span, "rediss://")};
    if (parsed.tls)
        span = span_skip(span, strlen("rediss://"));
    if (!parsed.tls && span_starts(span, "unix:")) {
        host = span_skip(span, strlen("unix:"));
        parsed.port = 0;
        if (host.len == 0 || host.len >= SOCKET_PATH_SIZE) {
            error_set(err, "the socket's path is missing or too long");
            return -1;
        }
    } else {
        if (authority_parse(span, &host, &parsed.port, err) != 0)
            return -1;
        if (parsed.port == 0) {
            error_set(err, "the port is missing");
            return -1;
        }
    }
    if (copy_span(host, parsed.host, sizeof(parsed.host)) != 0) {
        error_set(err, "the host is too long");
        return -1;
    }
    *ret = parsed;
    return 0;
}

/* The part of a tcp:// endpoint before its port (with "*" and brackets as they are), and the port.
 */
static int tcp_endpoint_parse(struct span span, struct span *ret_host, uint16_t *ret_port,
                              struct error *err)
{
    struct span host;
    *ret_port = 0;
    if (span_starts(span, "*:")) {
        if (port_parse(span_skip(span, 2), ret_port) != 0) {
            error_set(err, "the port must be a number from 1 to 65535");
            return -1;
        }
    } else if (authority_parse(span, &host, ret_port, err) != 0) {
        return -1;
    }
    if (*ret_port == 0) {
        error_set(err, "the port is missing");
        return -1;
    }
    const char *colon = memrchr(span.start, ':', span.len);
    *ret_host = (struct span){span.start, (size_t)(colon - span.start)};
    return 0;
}

/* An endpoint in parts: "tcp://" host and port, or "ipc://" path and port 0. */
static int zmq_endpoint_parse(const char *text, const char **ret_scheme, struct span *ret_name,
                              uint16_t *ret_port, struct error *err)
{
    struct span span = span_of(text);
    *ret_port = 0;
    if (span_starts(span, "tcp://")) {
        *ret_scheme = "tcp://";
        return tcp_endpoint_parse(span_skip(span, strlen("tcp://")), ret_name, ret_port, err);
    }
    if (!span_starts(span, "ipc://")) {
        error_set(err, "must begin with tcp:// or ipc://");
        return -1;
    }
    *ret_scheme = "ipc://";
    *ret_name = span_skip(span, strlen("ipc://"));
    if (ret_name->len == 0) {
        error_set(err, "the path is missing");
        return -1;
    }
    return 0;
}

static int name_too_long(struct error *err)
{
    error_set(err, "the host or path is too long");
    return -1;
}

/* The endpoint of one of the bridge's sockets: `offset` from its port, or `suffix` to its path. */
static int bridge_endpoint_write(char buffer[ENDPOINT_SIZE], const char *scheme, struct span name,
                                 uint16_t port, unsigned offset, const char *suffix,
                                 struct error *err)
{
    if (port + offset > UINT16_MAX) {
        error_set(err, "the port must leave room for " STAGE_MORE_PORTS);
        return -1;
    }
    char end[32];
    if (port > 0)
        (void)snprintf(end, sizeof(end), ":%u", port + offset);
    else
        (void)snprintf(end, sizeof(end), ".%s", suffix);
    if (name.len >= ENDPOINT_SIZE || (port == 0 && name.len + strlen(end) >= SOCKET_PATH_SIZE))
        return name_too_long(err);
    int len = snprintf(buffer, ENDPOINT_SIZE, "%s%.*s%s", scheme, (int)name.len, name.start, end);
    return len < ENDPOINT_SIZE ? 0 : name_too_long(err);
}

int bridge_endpoints_parse(const char *text, struct bridge_endpoints *ret, struct error *err)
{
    const char *scheme;
    struct span name;
    uint16_t port;
    struct bridge_endpoints parsed;
    if (zmq_endpoint_parse(text, &scheme, &name, &port, err) != 0 ||
        bridge_endpoint_write(parsed.reply, scheme, name, port, STAGE_REPLY_PORT, "reply", err) !=
            0)
        return -1;
    for (size_t i = 0; i < STAGES; i++)
        if (bridge_endpoint_write(parsed.jobs[i], scheme, name, port, stages[i].port,
                                  stages[i].name, err) != 0)
            return -1;
    *ret = parsed;
    return 0;
}

/* The host of a valid tcp:// endpoint, without brackets; empty for ipc://. */
static void tcp_host(const char *text, char host[ENDPOINT_SIZE])
{
    host[0] = '\0';
    if (!bridge_endpoint_is_tcp(text))
        return;
    const char *start = text + strlen("tcp://"), *end = strrchr(text, ':');
    if (*start == '[') {
        start++;
        end--;
    }
    (void)copy_span((struct span){start, (size_t)(end - start)}, host, ENDPOINT_SIZE); /* it fits */
}

bool bridge_endpoint_is_tcp(const char *text)
{
    return span_starts(span_of(text), "tcp://");
}

bool bridge_endpoint_is_loopback(const char *text)
{
    char host[ENDPOINT_SIZE];
    struct in_addr v4;
    struct in6_addr v6;
    tcp_host(text, host);
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> IN_CLASSA_NSHIFT == IN_LOOPBACKNET;
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* As a name service reads it: 0 is 0.0.0.0. */
static bool is_wildcard(const char *text)
{
    char host[ENDPOINT_SIZE];
    struct in_addr v4;
    struct in6_addr v6;
    tcp_host(text, host);
    if (inet_aton(host, &v4) == 1)
        return v4.s_addr == INADDR_ANY;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_UNSPECIFIED(&v6);
    return strcmp(host, "*") == 0;
}

static struct span trimmed(struct span span)
{
    while (span.len > 0 && (span.start[0] == ' ' || span.start[0] == '\t'))
        span = span_skip(span, 1);
    while (span.len > 0 && (span.start[span.len - 1] == ' ' || span.start[span.len - 1] == '\t'))
        span.len--;
    return span;
}

int endpoint_list_parse(const char *text, struct endpoint_list *ret, struct error *err)
{
    struct span rest = span_of(text), item;
    struct endpoint_list list = {.count = 0};
    for (bool more = true; more;) {
        more = span_cut(&rest, ',', &item);
        item = trimmed(more ? item : rest);
        if (item.len == 0) {
            error_set(err, "an item of the list is empty");
            return -1;
        }
        if (list.count == ENDPOINT_LIST_MAX) {
            error_set(err, "more than %d items", ENDPOINT_LIST_MAX);
            return -1;
        }
        if (copy_span(item, list.items[list.count++], ENDPOINT_SIZE) != 0) {
            error_set(err, "an item of the list is too long");
            return -1;
        }
    }
    *ret = list;
    return 0;
}

int bridge_endpoint_validate(const char *value, struct error *err)
{
    struct bridge_endpoints endpoints;
    return bridge_endpoints_parse(value, &endpoints, err);
}

int bridge_endpoint_list_validate(const char *value, struct error *err)
{
    struct endpoint_list list;
    if (endpoint_list_parse(value, &list, err) != 0)
        return -1;
    for (size_t i = 0; i < list.count; i++) {
        if (bridge_endpoint_validate(list.items[i], err) != 0)
            return -1;
        if (is_wildcard(list.items[i])) {
            error_set(err, "a wildcard is no address to connect to");
            return -1;
        }
    }
    return 0;
}

int listen_address_validate(const char *value, struct error *err)
{
    unsigned char address[sizeof(struct in6_addr)];
    if (inet_pton(AF_INET, value, address) == 1 || inet_pton(AF_INET6, value, address) == 1)
        return 0;
    error_set(err, "must be a numeric IPv4 or IPv6 address");
    return -1;
}
