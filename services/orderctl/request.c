/* HTTP by libcurl's easy interface. What a status or a problem's code means to the user stands in
 * one table. */
#include "services/orderctl/request.h"
#include "services/base/memory.h"
#include "services/orderctl/exit_code.h"
#include "services/orderctl/interrupt.h"
#include "services/orderctl/output.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_TIMEOUT_MS 5000L
/* A letter with a body of 1 MiB and its headers, each byte of them escaped. */
#define ANSWER_MAX_BYTES (64U << 20)

/* For calls that fail only for want of memory or by our own mistake. */
#define MUST(call) ((call) == 0 ? (void)0 : abort())

static const struct hint {
    long status;
    const char *code; /* of the problem; NULL: of every other with this status */
    const char *text;
} hints[] = {
    {401, NULL,
     "Give the gateway's ADMIN_TOKEN: in the environment as ADMIN_TOKEN or ADMIN_TOKEN_FILE, or by "
     "--token-file."},
    {403, "read_only_token", "This token may look and change nothing. Use the ADMIN_TOKEN."},
    {403, "admin_disabled", "Give the gateway an ADMIN_TOKEN, and the same to orderctl."},
    {404, "not_found",
     "The gateway there is older than orderctl, or has API_ADMIN=off: then use its admin port "
     "(--api http://HOST:9105)."},
    {404, "dead_letter_not_found", "See which there are: orderctl dead list --state all"},
    {404, "job_not_found", "See which there are: orderctl jobs"},
    {404, "order_not_found", "Nobody knows this order: is the id right?"},
    {409, "dead_letter_settled", "See what was done with it: orderctl dead show ID"},
    {409, "archive_off",
     "The scheduler does not archive dead letters: orderctl status says why. Mass replay waits for "
     "that."},
    {409, "job_finished", "See how it ended: orderctl jobs show ID"},
    {409, "job_unfinished", "Wait until it has ended: orderctl jobs watch ID"},
    {422, "not_an_order",
     "Save its body (orderctl dead show ID --body >FILE), correct it, and replay with --order "
     "FILE, "
     "or discard the letter."},
    {422, "order_stored", "Its row is stored already. Replay it as it is, without --order."},
    {422, "new_id_required",
     "Another order has this id. A corrected one needs a new id: add --new-id."},
    {422, "order_id_differs", "A corrected order keeps its id: leave \"id\" out, or as it was."},
    {422, "unacceptable_order", "Correct what it says and replay again."},
    {503, "outcome_unknown",
     "See what has happened before you repeat it: orderctl jobs, orderctl dead show ID"},
    {503, NULL, "See what is wrong: orderctl status. Then try again."},
};

void answer_release(struct answer *answer)
{
    free(answer->body);
    json_decref(answer->json);
    *answer = (struct answer){0};
}

int request_exit_code(long status)
{
    if (status >= 200 && status < 300)
        return EXIT_GOOD;
    if (status == 401 || status == 403)
        return EXIT_NOT_ALLOWED;
    if (status == 400 || status == 413 || status == 414 || status == 431)
        return EXIT_USAGE;
    if (status == 404 || status == 409 || status == 422)
        return EXIT_WRONG;
    return status == 429 || status >= 500 ? EXIT_UNAVAILABLE : EXIT_NOT_UNDERSTOOD;
}

/* Of a problem. */
static const char *member(const struct answer *answer, const char *name)
{
    return json_string_value(json_object_get(answer->json, name));
}

void request_complain(const struct session *session, const struct answer *answer)
{
    const char *title = member(answer, "title"), *detail = member(answer, "detail"),
               *code = member(answer, "code"), *trace = member(answer, "trace_id");
    fputs("orderctl: ", stderr);
    if (title == NULL) {
        fprintf(stderr,
                "the answer of %s is not one of the gateway's (HTTP %ld)\n"
                "  Is this its address? --api or ORDER_API_URL names it.\n",
                session->api, answer->status);
        return;
    }
    output_text(stderr, title);
    if (detail != NULL) {
        fputs(": ", stderr);
        output_text(stderr, detail);
    }
    fprintf(stderr, " (HTTP %ld", answer->status);
    if (code != NULL) {
        fputs(", ", stderr);
        output_text(stderr, code);
    }
    if (trace != NULL) {
        fputs(", trace ", stderr);
        output_text(stderr, trace);
    }
    fputs(")\n", stderr);
    for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
        if (hints[i].status == answer->status &&
            (hints[i].code == NULL || (code != NULL && strcmp(hints[i].code, code) == 0))) {
            fprintf(stderr, "  %s\n", hints[i].text);
            return;
        }
    }
}

void request_complain_unreachable(const struct session *session, const struct error *err)
{
    fprintf(stderr,
            "orderctl: cannot reach the gateway at %s: %s\n"
            "  Does it run, and is this its address? --api or ORDER_API_URL names it.\n",
            session->api, err->message);
}

/* The handle */

static int on_progress(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up)
{
    (void)arg, (void)down_total, (void)down, (void)up_total, (void)up;
    return interrupt_asked() ? 1 : 0;
}

CURL *request_handle_new(const struct session *session, const char *path, long timeout_ms)
{
    CURL *easy = curl_easy_init();
    size_t api_len = strlen(session->api);
    char *url;
    while (api_len > 0 && session->api[api_len - 1] == '/')
        api_len--;
    if (easy == NULL || asprintf(&url, "%.*s%s", (int)api_len, session->api, path) < 0)
        abort();
    MUST(curl_easy_setopt(easy, CURLOPT_URL, url));
    free(url);
    MUST(curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https"));
    MUST(curl_easy_setopt(easy, CURLOPT_PROXY, ""));
    MUST(curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L));
    MUST(curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L));
    MUST(curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS));
    MUST(curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms));
    MUST(curl_easy_setopt(easy, CURLOPT_USERAGENT, "orderctl/" PIPELINE_VERSION));
    if (session->ca_file != NULL) {
        MUST(curl_easy_setopt(easy, CURLOPT_CAINFO, session->ca_file));
        MUST(curl_easy_setopt(easy, CURLOPT_CAPATH, NULL));
    }
    MUST(curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L));
    MUST(curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress));
    return easy;
}

static void add_header(struct curl_slist **headers, const char *name, const char *value)
{
    char *line;
    if (asprintf(&line, "%s: %s", name, value) < 0)
        abort();
    struct curl_slist *longer = curl_slist_append(*headers, line);
    if (longer == NULL)
        abort();
    *headers = longer;
    explicit_bzero(line, strlen(line));
    free(line);
}

struct curl_slist *request_headers(const struct session *session)
{
    struct curl_slist *headers = NULL;
    add_header(&headers, "Content-Type", "application/json");
    add_header(&headers, "Accept", "application/json, application/problem+json");
    add_header(&headers, "Expect", ""); /* none: bodies are small */
    add_header(&headers, "X-Operator", session->operator_name);
    return headers;
}

/* One request */

struct body {
    char *bytes;
    size_t len;
};

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct body *body = arg;
    size_t len = size * count;
    if (len > ANSWER_MAX_BYTES - body->len)
        return 0;
    body->bytes = memory_resize(body->bytes, body->len + len + 1);
    memcpy(body->bytes + body->len, bytes, len);
    body->len += len;
    body->bytes[body->len] = '\0';
    return len;
}

int request_send(const struct session *session, const char *method, const char *path,
                 const char *body, long timeout_ms, struct answer *ret_answer, struct error *err)
{
    char error_text[CURL_ERROR_SIZE] = "";
    struct body received = {0};
    CURL *easy = request_handle_new(session, path, timeout_ms);
    struct curl_slist *headers = request_headers(session);
    const char *token = session->token != NULL ? session->token : session->read_token;
    if (token != NULL && strncmp(path, "/api/admin/", strlen("/api/admin/")) == 0) {
        char *bearer;
        if (asprintf(&bearer, "Bearer %s", token) < 0)
            abort();
        add_header(&headers, "Authorization", bearer);
        explicit_bzero(bearer, strlen(bearer));
        free(bearer);
    }
    if (strcmp(method, "POST") == 0) {
        MUST(curl_easy_setopt(easy, CURLOPT_POST, 1L));
        MUST(curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body != NULL ? body : ""));
        MUST(
            curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)(body != NULL ? strlen(body) : 0)));
    }
    MUST(curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers));
    MUST(curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error_text));
    MUST(curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body));
    MUST(curl_easy_setopt(easy, CURLOPT_WRITEDATA, &received));
    CURLcode result = curl_easy_perform(easy);
    if (result == CURLE_OK) {
        curl_off_t retry_after = 0;
        *ret_answer = (struct answer){.body = received.bytes, .body_len = received.len};
        MUST(curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &ret_answer->status));
        MUST(curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after));
        ret_answer->retry_after = (long)retry_after;
        ret_answer->json = json_loadb(received.bytes != NULL ? received.bytes : "", received.len,
                                      JSON_ALLOW_NUL, NULL);
    } else {
        error_set(err, "%s", error_text[0] != '\0' ? error_text : curl_easy_strerror(result));
        free(received.bytes);
    }
    curl_slist_free_all(headers);
    curl_easy_cleanup(easy);
    return result == CURLE_OK ? 0 : -1;
}

int request_json(const struct session *session, const char *method, const char *path,
                 const char *body, struct answer *ret_answer)
{
    struct error err;
    struct answer answer;
    if (request_send(session, method, path, body, REQUEST_TIMEOUT_MS, &answer, &err) != 0) {
        request_complain_unreachable(session, &err);
        return EXIT_UNAVAILABLE;
    }
    int code = request_exit_code(answer.status);
    if (code == EXIT_GOOD && !json_is_object(answer.json))
        code = EXIT_NOT_UNDERSTOOD;
    if (code != EXIT_GOOD) {
        request_complain(session, &answer);
        answer_release(&answer);
        return code;
    }
    *ret_answer = answer;
    return EXIT_GOOD;
}
