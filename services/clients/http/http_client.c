/* Requests over HTTP by libcurl's multi socket interface
 * (https://curl.se/libcurl/c/libcurl-multi.html, "multi_socket") on an event loop. libcurl says
 * which descriptors and which one timer it wants watched, the loop says when they are ready.
 *
 * Each request in flight has a slot, which keeps its easy handle for the next one. Finished
 * requests are collected first and their callbacks called afterwards, when libcurl is no longer on
 * the stack, so that a callback may send the next request. A request is written to its connection
 * while http_client_send() is called; what fails at once is told in the next turn. */
#include "services/clients/http/http_client.h"
#include "services/base/memory.h"
#include "services/loop/event_loop.h"
#include "services/loop/tcp_keepalive.h"
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct slot {
    struct http_client *client;
    struct slot *next; /* in the list of free or of finished slots */
    CURL *easy;
    struct curl_slist *headers;
    char *body_copy; /* of the request, unless the caller keeps it */
    http_done_fn *on_done;
    void *arg;
    CURLcode result; /* when finished */
    char error_text[CURL_ERROR_SIZE];
    struct answer_body *answer; /* NULL as long as there are no bytes of it */
    bool answer_too_long, over_budget;
};

/* A descriptor of libcurl's. */
struct transport {
    struct http_client *client;
    curl_socket_t fd;
    struct loop_watch *watch;
};

struct http_client {
    struct event_loop *loop;
    struct loop_timer *timer;        /* libcurl's */
    struct loop_timer *finish_timer; /* runs when something finished outside of the loop's turn */
    CURLM *multi;
    bool adding;           /* a request to `multi` */
    char *authorization;   /* header line, or NULL */
    char *user, *password; /* or NULL */
    char *ca_file;         /* or NULL */
    size_t max_response_bytes;
    struct byte_budget *answers; /* or NULL */
    struct answer_body *answer;  /* that a callback may take */
    unsigned slot_count;
    struct slot *slots;
    struct slot *free_slots;
    struct slot *finished, **finished_end;
};

/* For calls that fail only for want of memory or by our own mistake. */
#define MUST(call) ((call) == 0 ? (void)0 : abort())

/* The end of a request */

static void slot_release(struct slot *slot)
{
    curl_slist_free_all(slot->headers);
    free(slot->body_copy);
    answer_body_free(slot->answer);
    slot->headers = NULL;
    slot->body_copy = NULL;
    slot->answer = NULL;
    slot->next = slot->client->free_slots;
    slot->client->free_slots = slot;
}

/* The HTTP status of a finished request, or 0 with `err` set when there was no whole answer. */
static long slot_status(const struct slot *slot, struct error *err)
{
    long status = 0, cause = 0;
    if (slot->result == CURLE_OK)
        MUST(curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status));
    else if (slot->answer_too_long)
        error_set(err, "the answer is longer than %zu bytes", slot->client->max_response_bytes);
    else if (slot->over_budget)
        error_set(err, "the answers in memory have taken all that they may");
    else if (slot->result == CURLE_COULDNT_CONNECT &&
             curl_easy_getinfo(slot->easy, CURLINFO_OS_ERRNO, &cause) == CURLE_OK && cause != 0)
        error_set(err, "%s: %s", slot->error_text, strerror((int)cause));
    else
        error_set(err, "%s",
                  slot->error_text[0] != '\0' ? slot->error_text
                                              : curl_easy_strerror(slot->result));
    return status;
}

/* Call the callback, last. The slot is free before, so that the callback can use it again. */
static void slot_finish(struct slot *slot)
{
    http_done_fn *on_done = slot->on_done;
    void *arg = slot->arg;
    struct error err;
    long status = slot_status(slot, &err);
    enum http_end end = status != 0                                ? HTTP_ANSWERED
                        : slot->answer_too_long                    ? HTTP_TOO_LONG
                        : slot->over_budget                        ? HTTP_OVER_BUDGET
                        : slot->result == CURLE_OPERATION_TIMEDOUT ? HTTP_TIMED_OUT
                                                                   : HTTP_FAILED;
    struct http_client *client = slot->client;
    client->answer = slot->answer;
    slot->answer = NULL;
    slot_release(slot);
    if (status == 0)
        on_done(arg, 0, end, "", 0, &err);
    else if (client->answer == NULL)
        on_done(arg, status, end, "", 0, NULL);
    else
        on_done(arg, status, end, client->answer->bytes, client->answer->len, NULL);
    answer_body_free(http_client_take_body(client));
}

struct answer_body *http_client_take_body(struct http_client *client)
{
    struct answer_body *answer = client->answer;
    client->answer = NULL;
    return answer;
}

/* Let libcurl work, and collect what it has finished. */
static void work(struct http_client *client, curl_socket_t fd, int ready)
{
    int count;
    MUST(curl_multi_socket_action(client->multi, fd, ready, &count));
    for (CURLMsg *message; (message = curl_multi_info_read(client->multi, &count)) != NULL;) {
        struct slot *slot;
        MUST(curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &slot));
        slot->result = message->data.result;
        MUST(curl_multi_remove_handle(client->multi, slot->easy));
        slot->next = NULL;
        *client->finished_end = slot;
        client->finished_end = &slot->next;
    }
}

static void finish_all(struct http_client *client)
{
    struct slot *finished = client->finished;
    client->finished = NULL;
    client->finished_end = &client->finished;
    while (finished != NULL) {
        struct slot *slot = finished;
        finished = slot->next;
        slot_finish(slot);
    }
}

/* What libcurl calls, and what the loop calls for it */

/* Returns `len`, or 0: then the transfer fails and its connection is closed. */
static size_t on_answer(char *data, size_t size, size_t count, void *arg)
{
    struct slot *slot = arg;
    size_t len = size * count, most = slot->client->max_response_bytes;
    curl_off_t announced;
    MUST(curl_easy_getinfo(slot->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced));
    size_t expected = announced > 0 ? (size_t)announced : 0; /* -1: not announced */
    if (slot->answer == NULL)
        slot->answer = answer_body_new(slot->client->answers);
    slot->answer_too_long = expected > most || len > most - slot->answer->len;
    if (slot->answer_too_long)
        return 0;
    slot->over_budget = answer_body_append(slot->answer, data, len, expected) != 0;
    return slot->over_budget ? 0 : len;
}

static void on_ready(void *arg, bool readable, bool writable)
{
    const struct transport *transport = arg; /* libcurl may have it freed in work() */
    struct http_client *client = transport->client;
    work(client, transport->fd,
         (readable ? CURL_CSELECT_IN : 0) | (writable ? CURL_CSELECT_OUT : 0));
    finish_all(client);
}

static void on_expired(void *arg)
{
    work(arg, CURL_SOCKET_TIMEOUT, 0);
    finish_all(arg);
}

static void on_finished(void *arg)
{
    finish_all(arg);
}

/* CURLMOPT_SOCKETFUNCTION */
static int on_want(CURL *easy, curl_socket_t fd, int want, void *arg, void *assigned)
{
    (void)easy;
    struct http_client *client = arg;
    struct transport *transport = assigned;
    if (want == CURL_POLL_REMOVE) {
        if (transport != NULL)
            loop_watch_free(transport->watch);
        free(transport);
        return 0;
    }
    if (transport == NULL) {
        transport = memory_new(sizeof(*transport));
        transport->client = client;
        transport->fd = fd;
        transport->watch = event_loop_watch(client->loop, fd, on_ready, transport);
        MUST(curl_multi_assign(client->multi, fd, transport));
    }
    loop_watch_want(transport->watch, (want & CURL_POLL_IN) != 0, (want & CURL_POLL_OUT) != 0);
    return 0;
}

/* CURLMOPT_TIMERFUNCTION */
static int on_timeout_wanted(CURLM *multi, long timeout_ms, void *arg)
{
    (void)multi;
    struct http_client *client = arg;
    if (client->adding)
        return 0;
    if (timeout_ms < 0)
        loop_timer_stop(client->timer);
    else
        loop_timer_start(client->timer, timeout_ms);
    return 0;
}

/* The client */

static char *copy_or_null(const char *text)
{
    return text != NULL ? memory_copy_text(text) : NULL;
}

static void forget(char *secret)
{
    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

struct http_client *http_client_new(struct event_loop *loop,
                                    const struct http_client_options *options)
{
    struct http_client *client = memory_new(sizeof(*client));
    client->loop = loop;
    client->timer = event_loop_timer(loop, on_expired, client);
    client->finish_timer = event_loop_timer(loop, on_finished, client);
    client->finished_end = &client->finished;
    client->authorization = copy_or_null(options->authorization);
    client->user = copy_or_null(options->user);
    client->password = copy_or_null(options->password);
    client->ca_file = copy_or_null(options->ca_file);
    client->max_response_bytes = options->max_response_bytes;
    client->answers = options->answers;

    client->multi = curl_multi_init();
    if (client->multi == NULL)
        abort();
    MUST(curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_want));
    MUST(curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client));
    MUST(curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_timeout_wanted));
    MUST(curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client));
    MUST(curl_multi_setopt(client->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS,
                           (long)options->max_in_flight));
    MUST(curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)options->max_in_flight));

    client->slot_count = options->max_in_flight;
    client->slots = memory_new_array(client->slot_count, sizeof(*client->slots));
    for (unsigned i = 0; i < client->slot_count; i++) {
        client->slots[i].client = client;
        slot_release(&client->slots[i]);
    }
    return client;
}

void http_client_free(struct http_client *client)
{
    if (client == NULL)
        return;
    for (unsigned i = 0; i < client->slot_count; i++) {
        struct slot *slot = &client->slots[i];
        if (slot->easy != NULL) {
            (void)curl_multi_remove_handle(client->multi, slot->easy); /* also when idle */
            curl_easy_cleanup(slot->easy);
        }
        slot_release(slot);
    }
    (void)curl_multi_cleanup(client->multi);
    loop_timer_free(client->timer);
    loop_timer_free(client->finish_timer);
    forget(client->authorization);
    free(client->user);
    forget(client->password);
    free(client->ca_file);
    free(client->slots);
    free(client);
}

static int on_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    (void)arg, (void)purpose;
    tcp_keepalive(fd);
    return CURL_SOCKOPT_OK;
}

/* A file of authorities is the only trust, and is read for each connection: libcurl would also
 * trust its folder of the system's authorities, keep what it has read for a day, and ask no
 * certificate of a server that resumes a session. */
static void set_trust(const struct http_client *client, CURL *easy)
{
    MUST(curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L));
    MUST(curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L));
    if (client->ca_file == NULL)
        return;
    MUST(curl_easy_setopt(easy, CURLOPT_CAINFO, client->ca_file));
    MUST(curl_easy_setopt(easy, CURLOPT_CAPATH, NULL));
    MUST(curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L));
    MUST(curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L));
}

/* What is the same for each request of a slot. */
static CURL *slot_easy_new(struct slot *slot)
{
    const struct http_client *client = slot->client;
    CURL *easy = curl_easy_init();
    if (easy == NULL)
        abort();
    MUST(curl_easy_setopt(easy, CURLOPT_PRIVATE, slot));
    MUST(curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, slot->error_text));
    MUST(curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer));
    MUST(curl_easy_setopt(easy, CURLOPT_WRITEDATA, slot));
    MUST(curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L));
    /* A deadline that passes while a name is being resolved must not wait for the resolver. */
    MUST(curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L));
    MUST(curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https"));
    MUST(curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1));
    MUST(curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L));
    MUST(curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L));
    MUST(curl_easy_setopt(easy, CURLOPT_PROXY, "")); /* No proxy, also where http_proxy is set. */
    /* A new connection goes to the address that the name has now. */
    MUST(curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, 0L));
    MUST(curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_socket));
    set_trust(client, easy);
    if (client->authorization == NULL && client->user != NULL) {
        MUST(curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BASIC));
        MUST(curl_easy_setopt(easy, CURLOPT_USERNAME, client->user));
        MUST(curl_easy_setopt(easy, CURLOPT_PASSWORD,
                              client->password != NULL ? client->password : ""));
    }
    return easy;
}

static void slot_add_header(struct slot *slot, const char *line)
{
    struct curl_slist *headers = curl_slist_append(slot->headers, line);
    if (headers == NULL)
        abort();
    slot->headers = headers;
}

static void slot_set_body(struct slot *slot, const struct http_request *request)
{
    char line[128];
    (void)snprintf(line, sizeof(line), "Content-Type: %s", request->content_type);
    slot_add_header(slot, line);
    const char *body = request->body;
    if (!request->body_kept)
        body = slot->body_copy = memory_copy(body, request->body_len);
    MUST(curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len));
    MUST(curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDS, body)); /* not copied */
}

/* A slot with the request ready to be sent; NULL when all are in use. */
static struct slot *slot_take(struct http_client *client, const struct http_request *request)
{
    struct slot *slot = client->free_slots;
    if (slot == NULL)
        return NULL;
    client->free_slots = slot->next;
    slot->answer_too_long = slot->over_budget = false;
    slot->error_text[0] = '\0';
    if (slot->easy == NULL)
        slot->easy = slot_easy_new(slot);
    MUST(curl_easy_setopt(slot->easy, CURLOPT_HTTPGET, 1L));
    MUST(curl_easy_setopt(slot->easy, CURLOPT_CUSTOMREQUEST, request->method));
    MUST(curl_easy_setopt(slot->easy, CURLOPT_TIMEOUT_MS,
                          (long)(request->timeout_ms > 0 ? request->timeout_ms : 1)));
    MUST(curl_easy_setopt(slot->easy, CURLOPT_URL, request->url));
    MUST(curl_easy_setopt(slot->easy, CURLOPT_FORBID_REUSE, request->ends_connection ? 1L : 0L));
    /* libcurl would announce a large body and wait up to 1 s for "100 Continue". */
    slot_add_header(slot, "Expect:");
    if (client->authorization != NULL)
        slot_add_header(slot, client->authorization);
    if (request->body != NULL)
        slot_set_body(slot, request);
    MUST(curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER, slot->headers));
    return slot;
}

int http_client_send(struct http_client *client, const struct http_request *request,
                     http_done_fn *on_done, void *arg)
{
    struct slot *slot = slot_take(client, request);
    if (slot == NULL)
        return -1;
    slot->on_done = on_done;
    slot->arg = arg;
    /* A new request makes libcurl ask for its timer after 0 ms. work() does at once what that timer
     * would do in the next turn of the loop, so on_timeout_wanted() ignores libcurl meanwhile. */
    client->adding = true;
    MUST(curl_multi_add_handle(client->multi, slot->easy));
    client->adding = false;
    work(client, CURL_SOCKET_TIMEOUT, 0);
    if (client->finished != NULL)
        loop_timer_start(client->finish_timer, 0);
    return 0;
}

long http_client_ask(struct http_client *client, const struct http_request *request,
                     struct answer_body **ret_body, struct error *err)
{
    struct slot *slot = slot_take(client, request);
    if (slot == NULL)
        abort(); /* the caller's bug */
    slot->result = curl_easy_perform(slot->easy);
    long status = slot_status(slot, err);
    if (status != 0) {
        *ret_body = slot->answer != NULL ? slot->answer : answer_body_new(NULL);
        slot->answer = NULL;
    }
    slot_release(slot);
    return status;
}
