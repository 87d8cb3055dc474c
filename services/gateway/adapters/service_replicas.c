/* The list of replicas, which follows the URLs and what their names stand for, and one question to
 * all of them. A question goes at once to the replicas that are known, and to those that a name
 * look-up adds when it ends. A look-up that does not end goes on in the next question, so there is
 * one for a URL at most. */
#include "services/gateway/adapters/service_replicas.h"
#include "services/base/clock.h"
#include "services/base/memory.h"
#include "services/gateway/adapters/service_urls.h"
#include "services/loop/name_lookup.h"
#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_MAX_BYTES (1024 * 1024)
#define MARGIN_MS 50 /* by which a request ends before its question */

struct url {
    struct url *next;
    struct service_replicas *home;
    struct service_url at;
    struct name_lookup *lookup; /* under way, or NULL */
    bool listed;                /* in SERVICE_ADMIN_URLS still */
};

struct replica {
    struct service_replica told; /* the first member */
    struct replica *next;
    const struct url *url; /* NULL: this gateway */
    bool gone;             /* no longer listed: freed as soon as it is not being asked */
    bool seen;             /* in the answer of the look-up */
};

struct service_replicas {
    struct event_loop *loop;
    struct service_replicas_options options;
    struct http_client *client;
    struct byte_budget answers;
    struct loop_timer *end;
    struct url *urls;
    struct replica *replicas;
    size_t count; /* without this gateway, and without those gone */
    bool asking;
    bool too_many;
    int64_t deadline_ms; /* of the question */
    struct error fault;  /* of SERVICE_ADMIN_URLS; empty: none */
};

/* ---- the list ---- */

static void write_address(char *text, const char *address, uint16_t port)
{
    (void)snprintf(text, SERVICE_REPLICA_ADDRESS_SIZE,
                   strchr(address, ':') != NULL ? "[%s]:%u" : "%s:%u", address, (unsigned)port);
}

static void on_answered(void *arg);

/* `address` "": its name has none. Returns NULL when there are too many. */
static struct replica *add_replica(struct service_replicas *replicas, const struct url *url,
                                   const char *name, const char *address)
{
    if (replicas->count == SERVICE_REPLICAS_MAX) {
        replicas->too_many = true;
        return NULL;
    }
    struct replica *replica = memory_new(sizeof(*replica));
    service_replica_init(&replica->told, name, url != NULL ? url->at.text : NULL, address,
                         replicas->client, on_answered, replicas);
    replica->url = url;
    replica->seen = true;
    struct replica **end = &replicas->replicas;
    while (*end != NULL)
        end = &(*end)->next;
    *end = replica;
    replicas->count += url != NULL;
    return replica;
}

static void set_gone(struct service_replicas *replicas, struct replica *replica)
{
    replica->gone = true;
    replicas->count--;
}

static bool has_replica(const struct service_replicas *replicas, const struct url *url)
{
    const struct replica *replica = replicas->replicas;
    while (replica != NULL && (replica->gone || replica->url != url))
        replica = replica->next;
    return replica != NULL;
}

/* Forget what is no longer listed, unless a request or a look-up still needs it. */
static void forget_gone(struct service_replicas *replicas)
{
    for (struct replica **at = &replicas->replicas; *at != NULL;) {
        struct replica *replica = *at;
        if (!replica->gone || replica->told.asked) {
            at = &replica->next;
            continue;
        }
        *at = replica->next;
        free(replica);
    }
    for (struct url **at = &replicas->urls; *at != NULL;) {
        struct url *url = *at;
        bool used = url->listed;
        for (const struct replica *replica = replicas->replicas; replica != NULL;
             replica = replica->next)
            used |= replica->url == url;
        if (used) {
            at = &url->next;
            continue;
        }
        *at = url->next;
        name_lookup_free(url->lookup);
        free(url);
    }
}

/* ---- a question ---- */

static void end_question(struct service_replicas *replicas)
{
    replicas->asking = false;
    loop_timer_stop(replicas->end);
    replicas->options.on_told(replicas->options.arg); /* last */
}

static bool all_answered(const struct service_replicas *replicas)
{
    for (const struct replica *replica = replicas->replicas; replica != NULL;
         replica = replica->next)
        if (!replica->gone && !service_replica_answered(&replica->told))
            return false;
    for (const struct url *url = replicas->urls; url != NULL; url = url->next)
        if (url->listed && url->lookup != NULL)
            return false;
    return true;
}

static void end_if_answered(struct service_replicas *replicas)
{
    if (replicas->asking && all_answered(replicas))
        end_question(replicas);
}

static void on_answered(void *arg)
{
    end_if_answered(arg);
}

static void on_end(void *arg)
{
    static const char late[] = "its name could not be resolved within 1 s";
    struct service_replicas *replicas = arg;
    for (struct url *url = replicas->urls; url != NULL; url = url->next) {
        if (!url->listed || url->lookup == NULL || has_replica(replicas, url))
            continue;
        struct replica *replica = add_replica(replicas, url, url->at.address.host, "");
        if (replica != NULL)
            service_replica_set_unreachable(&replica->told, late);
    }
    for (struct replica *replica = replicas->replicas; replica != NULL; replica = replica->next)
        if (!replica->told.answered)
            service_replica_set_unreachable(&replica->told, "no answer within 1 s");
    end_question(replicas);
}

static void ask(struct service_replicas *replicas, struct replica *replica)
{
    service_replica_ask(&replica->told, replicas->deadline_ms - MARGIN_MS - clock_monotonic_ms());
}

/* ---- names ---- */

/* An address of this machine, or of this container. */
static bool is_own(const char *address)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    bool is_v4 = inet_pton(AF_INET, address, &v4.sin_addr) == 1;
    if (!is_v4 && inet_pton(AF_INET6, address, &v6.sin6_addr) != 1)
        return false;
    int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    /* bind(2) takes no other address. */
    bool own = fd != -1 && (is_v4 ? bind(fd, (const struct sockaddr *)&v4, sizeof(v4))
                                  : bind(fd, (const struct sockaddr *)&v6, sizeof(v6))) == 0;
    if (fd != -1)
        (void)close(fd);
    return own;
}

static void take_address(struct url *url, const char *address)
{
    struct service_replicas *replicas = url->home;
    uint16_t port = url->at.address.port;
    if (port == replicas->options.own_port && is_own(address))
        return; /* this gateway */
    char text[SERVICE_REPLICA_ADDRESS_SIZE];
    write_address(text, address, port);
    struct replica *replica = replicas->replicas;
    while (replica != NULL && (replica->gone || strcmp(replica->told.address, text) != 0))
        replica = replica->next;
    if (replica != NULL) {
        replica->seen = true;
        return;
    }
    replica = add_replica(replicas, url, url->at.address.host, text);
    if (replica != NULL && replicas->asking)
        ask(replicas, replica);
}

static void take_addresses(struct url *url, const struct name_lookup_result *result)
{
    struct service_replicas *replicas = url->home;
    bool any_v4 = false;
    for (size_t i = 0; i < result->count; i++)
        any_v4 |= strchr(result->addresses[i], ':') == NULL;
    for (struct replica *replica = replicas->replicas; replica != NULL; replica = replica->next)
        replica->seen = replica->url != url;
    for (size_t i = 0; i < result->count; i++)
        if (!any_v4 || strchr(result->addresses[i], ':') == NULL)
            take_address(url, result->addresses[i]);
    for (struct replica *replica = replicas->replicas; replica != NULL; replica = replica->next)
        if (!replica->seen && !replica->gone)
            set_gone(replicas, replica);
}

static void on_resolved(void *arg, const struct name_lookup_result *result)
{
    struct url *url = arg;
    struct service_replicas *replicas = url->home;
    if (!url->listed) {
        /* Nobody asks for its replicas. */
    } else if (result->count > 0) {
        take_addresses(url, result);
    } else {
        /* The replicas of a name that cannot be resolved now are asked all the same. */
        if (!has_replica(replicas, url))
            (void)add_replica(replicas, url, url->at.address.host, "");
        for (struct replica *replica = replicas->replicas; replica != NULL; replica = replica->next)
            if (replica->url == url && replica->told.address[0] == '\0')
                service_replica_set_unreachable(&replica->told, result->error.message);
    }
    name_lookup_free(url->lookup); /* with the result */
    url->lookup = NULL;
    end_if_answered(replicas);
}

static void look_up(struct url *url)
{
    const char *host = url->at.address.host;
    struct in6_addr numeric;
    if (inet_pton(AF_INET, host, &numeric) == 1 || inet_pton(AF_INET6, host, &numeric) == 1) {
        struct name_lookup_result itself = {.count = 1};
        memcpy(itself.addresses[0], host, strlen(host) + 1); /* a numeric address fits */
        take_addresses(url, &itself);
    } else if (url->lookup == NULL) {
        url->lookup = name_lookup_new(url->home->loop, host, on_resolved, url);
    }
}

/* ---- URLs ---- */

static struct url *url_of(struct service_replicas *replicas, const struct service_url *at)
{
    struct url **place = &replicas->urls;
    while (*place != NULL && strcmp((*place)->at.text, at->text) != 0)
        place = &(*place)->next;
    if (*place == NULL) {
        *place = memory_new(sizeof(**place));
        (*place)->home = replicas;
        (*place)->at = *at;
    }
    return *place;
}

/* Follow SERVICE_ADMIN_URLS. When it is at fault, the URLs stay those of before. */
static void read_urls(struct service_replicas *replicas)
{
    struct service_urls *read = memory_new(sizeof(*read));
    replicas->fault.message[0] = '\0';
    if (service_urls_read(replicas->options.urls, read, &replicas->fault) == 0) {
        for (struct url *url = replicas->urls; url != NULL; url = url->next)
            url->listed = false;
        for (size_t i = 0; i < read->count; i++)
            url_of(replicas, &read->items[i])->listed = true;
        for (struct replica *replica = replicas->replicas; replica != NULL; replica = replica->next)
            if (replica->url != NULL && !replica->url->listed && !replica->gone)
                set_gone(replicas, replica);
    }
    free(read);
}

/* ---- interface ---- */

void service_replicas_ask(struct service_replicas *replicas)
{
    assert(!replicas->asking);
    replicas->too_many = false;
    if (replicas->options.urls != NULL)
        read_urls(replicas);
    forget_gone(replicas);
    replicas->asking = true;
    replicas->deadline_ms = clock_monotonic_ms() + SERVICE_REPLICAS_TIMEOUT_MS;
    for (struct replica *replica = replicas->replicas; replica != NULL; replica = replica->next) {
        if (replica->url == NULL)
            service_replica_ask_self(&replica->told);
        else if (!replica->gone && replica->told.address[0] != '\0')
            ask(replicas, replica);
    }
    for (struct url *url = replicas->urls; url != NULL; url = url->next)
        if (url->listed)
            look_up(url);
    /* When all is told already, on_told() comes from the loop all the same. */
    loop_timer_start(replicas->end, all_answered(replicas) ? 0 : SERVICE_REPLICAS_TIMEOUT_MS);
}

const struct service_replica *service_replicas_at(const struct service_replicas *replicas,
                                                  size_t index)
{
    for (const struct replica *replica = replicas->replicas; replica != NULL;
         replica = replica->next)
        if (!replica->gone && index-- == 0)
            return &replica->told;
    return NULL;
}

const char *service_replicas_fault(const struct service_replicas *replicas)
{
    if (replicas->too_many)
        return "there are more replicas than the 256 that are asked";
    return replicas->fault.message[0] != '\0' ? replicas->fault.message : NULL;
}

struct service_replicas *service_replicas_new(struct event_loop *loop,
                                              const struct service_replicas_options *options)
{
    struct service_replicas *replicas = memory_new(sizeof(*replicas));
    replicas->loop = loop;
    replicas->options = *options;
    replicas->end = event_loop_timer(loop, on_end, replicas);
    replicas->answers.limit_bytes = SERVICE_REPLICAS_ANSWERS_MAX_BYTES;
    replicas->client =
        http_client_new(loop, &(struct http_client_options){.max_in_flight = SERVICE_REPLICAS_MAX,
                                                            .max_response_bytes = ANSWER_MAX_BYTES,
                                                            .answers = &replicas->answers});
    char address[SERVICE_REPLICA_ADDRESS_SIZE];
    write_address(address, options->own_address, options->own_port);
    (void)add_replica(replicas, NULL, "gateway", address);
    return replicas;
}

void service_replicas_free(struct service_replicas *replicas)
{
    if (replicas == NULL)
        return;
    http_client_free(replicas->client);
    loop_timer_free(replicas->end);
    for (struct replica *next, *replica = replicas->replicas; replica != NULL; replica = next) {
        next = replica->next;
        free(replica);
    }
    for (struct url *next, *url = replicas->urls; url != NULL; url = next) {
        next = url->next;
        name_lookup_free(url->lookup);
        free(url);
    }
    free(replicas);
}
