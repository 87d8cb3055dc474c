/* Sending orders by libcurl's multi interface. Each order has a slot from the time it is read until
 * it is accepted or refused. An order that was not taken waits in its slot; the same key is sent
 * again, so that none is doubled, whatever became of the first time. While the gateway has no room,
 * all slots wait together: for Retry-After, or longer and longer. */
#include "services/orderctl/sender.h"
#include "services/base/backoff.h"
#include "services/base/clock.h"
#include "services/base/memory.h"
#include "services/orderctl/exit_code.h"
#include "services/orderctl/output.h"
#include <stdlib.h>
#include <string.h>

#define ORDER_TIMEOUT_MS 15000L
#define POLL_MS 100
#define BACKOFF_BASE_MS 200
#define BACKOFF_CAP_MS 10000
#define RETRY_AFTER_MAX_S 60
#define ANSWER_MAX_BYTES 65536

/* For calls that fail only for want of memory or by our own mistake. */
#define MUST(call) ((call) == 0 ? (void)0 : abort())

enum slot_state { SLOT_FREE, SLOT_WAITING, SLOT_SENDING };

struct slot {
    enum slot_state state;
    struct order_line line;
    CURL *easy;
    struct curl_slist *headers;
    size_t len;
    char answer[ANSWER_MAX_BYTES + 1];
    char error_text[CURL_ERROR_SIZE];
};

struct sender {
    const struct session *session;
    sender_done_fn *on_done;
    void *arg;
    CURLM *multi;
    struct backoff backoff;
    int64_t patience_ms, taken_ms; /* when an order was last taken */
    int64_t not_before_ms;
    unsigned random;
    size_t in_hand, count;
    struct error trouble; /* "" when there is none */
    struct slot slots[];
};

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct slot *slot = arg;
    size_t len = size * count;
    if (len > ANSWER_MAX_BYTES - slot->len)
        return 0;
    memcpy(slot->answer + slot->len, bytes, len);
    slot->len += len;
    return len;
}

struct sender *sender_new(const struct session *session, size_t parallel, int64_t patience_ms,
                          sender_done_fn *on_done, void *arg)
{
    struct sender *sender = memory_new(sizeof(*sender) + parallel * sizeof(struct slot));
    sender->session = session;
    sender->on_done = on_done;
    sender->arg = arg;
    sender->multi = curl_multi_init();
    sender->backoff = (struct backoff){.base_ms = BACKOFF_BASE_MS, .cap_ms = BACKOFF_CAP_MS};
    sender->patience_ms = patience_ms;
    sender->taken_ms = clock_monotonic_ms();
    sender->random = (unsigned)clock_monotonic_us();
    sender->count = parallel;
    if (sender->multi == NULL)
        abort();
    for (size_t i = 0; i < parallel; i++) {
        struct slot *slot = &sender->slots[i];
        slot->easy = request_handle_new(session, "/api/orders", ORDER_TIMEOUT_MS);
        MUST(curl_easy_setopt(slot->easy, CURLOPT_POST, 1L));
        MUST(curl_easy_setopt(slot->easy, CURLOPT_ERRORBUFFER, slot->error_text));
        MUST(curl_easy_setopt(slot->easy, CURLOPT_WRITEFUNCTION, on_body));
        MUST(curl_easy_setopt(slot->easy, CURLOPT_WRITEDATA, slot));
        MUST(curl_easy_setopt(slot->easy, CURLOPT_PRIVATE, slot));
    }
    return sender;
}

static void slot_empty(struct sender *sender, struct slot *slot)
{
    if (slot->state == SLOT_FREE)
        return;
    if (slot->state == SLOT_SENDING)
        MUST(curl_multi_remove_handle(sender->multi, slot->easy));
    curl_slist_free_all(slot->headers);
    slot->headers = NULL;
    order_line_release(&slot->line);
    slot->state = SLOT_FREE;
    sender->in_hand--;
}

void sender_free(struct sender *sender)
{
    for (size_t i = 0; i < sender->count; i++) {
        slot_empty(sender, &sender->slots[i]);
        curl_easy_cleanup(sender->slots[i].easy);
    }
    MUST(curl_multi_cleanup(sender->multi));
    free(sender);
}

bool sender_has_room(const struct sender *sender)
{
    return sender->in_hand < sender->count;
}

size_t sender_in_hand(const struct sender *sender)
{
    return sender->in_hand;
}

const char *sender_trouble(const struct sender *sender)
{
    return sender->trouble.message[0] != '\0' ? sender->trouble.message : NULL;
}

void sender_add(struct sender *sender, struct order_line *line, const char *batch)
{
    char key[ORDER_LINE_KEY_SIZE], header[ORDER_LINE_KEY_SIZE + 20];
    struct slot *slot = sender->slots;
    while (slot->state != SLOT_FREE)
        slot++;
    slot->line = *line;
    *line = (struct order_line){0};
    order_line_key(&slot->line, batch, key);
    (void)snprintf(header, sizeof(header), "Idempotency-Key: %s", key);
    struct curl_slist *headers = curl_slist_append(request_headers(sender->session), header);
    if (headers == NULL)
        abort();
    slot->headers = headers;
    MUST(curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER, headers));
    MUST(curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDS, slot->line.body));
    MUST(curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDSIZE, (long)slot->line.body_len));
    slot->state = SLOT_WAITING;
    sender->in_hand++;
}

/* The order stays, to be sent again. One pause for all that failed at about the same time. */
static void put_off(struct sender *sender, struct slot *slot, long retry_after_s, int64_t now_ms)
{
    slot->state = SLOT_WAITING;
    if (now_ms < sender->not_before_ms)
        return;
    int64_t wait_ms = backoff_next_ms(&sender->backoff, (uint32_t)rand_r(&sender->random));
    int64_t asked_ms =
        1000 * (int64_t)(retry_after_s < RETRY_AFTER_MAX_S ? retry_after_s : RETRY_AFTER_MAX_S);
    sender->not_before_ms = now_ms + (wait_ms > asked_ms ? wait_ms : asked_ms);
}

/* Whether the gateway has judged the order itself, not the address or the moment. */
static bool is_verdict(long status)
{
    return (status >= 200 && status < 300) || status == 400 || status == 413 || status == 415 ||
           status == 422;
}

static int on_answer(struct sender *sender, struct slot *slot, int64_t now_ms)
{
    struct answer answer = {0};
    curl_off_t retry_after = 0;
    int code = EXIT_GOOD;
    MUST(curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &answer.status));
    MUST(curl_easy_getinfo(slot->easy, CURLINFO_RETRY_AFTER, &retry_after));
    answer.json = json_loadb(slot->answer, slot->len, JSON_ALLOW_NUL, NULL);
    if (is_verdict(answer.status) && json_is_object(answer.json)) {
        sender->on_done(sender->arg, &slot->line, &answer);
        slot->state = SLOT_WAITING;
        slot_empty(sender, slot);
        sender->taken_ms = now_ms;
        sender->trouble.message[0] = '\0';
        backoff_reset(&sender->backoff);
    } else if (answer.status == 429 || answer.status >= 500) {
        const char *what = json_string_value(json_object_get(answer.json, "code"));
        error_set(&sender->trouble, "HTTP %ld%s%.100s", answer.status, what != NULL ? ", " : "",
                  what != NULL ? what : "");
        put_off(sender, slot, (long)retry_after, now_ms);
    } else {
        request_complain(sender->session, &answer);
        slot->state = SLOT_WAITING;
        code = request_exit_code(answer.status);
        if (code == EXIT_GOOD)
            code = EXIT_NOT_UNDERSTOOD;
    }
    json_decref(answer.json);
    return code;
}

static int collect(struct sender *sender, int64_t now_ms)
{
    int code = EXIT_GOOD, left;
    for (CURLMsg *message; (message = curl_multi_info_read(sender->multi, &left)) != NULL;) {
        struct slot *slot;
        CURLcode result = message->data.result;
        MUST(curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &slot));
        MUST(curl_multi_remove_handle(sender->multi, slot->easy));
        if (result != CURLE_OK) {
            error_set(&sender->trouble, "%s",
                      slot->error_text[0] != '\0' ? slot->error_text : curl_easy_strerror(result));
            put_off(sender, slot, 0, now_ms);
            continue;
        }
        int ended = on_answer(sender, slot, now_ms);
        if (ended != EXIT_GOOD)
            code = ended;
    }
    return code;
}

static void start_waiting(struct sender *sender, int64_t now_ms)
{
    if (now_ms < sender->not_before_ms)
        return;
    for (size_t i = 0; i < sender->count; i++) {
        struct slot *slot = &sender->slots[i];
        if (slot->state != SLOT_WAITING)
            continue;
        slot->len = 0;
        slot->error_text[0] = '\0';
        slot->state = SLOT_SENDING;
        MUST(curl_multi_add_handle(sender->multi, slot->easy));
    }
}

static void give_up(const struct sender *sender)
{
    char waited[TIME_WORDS_SIZE];
    duration_words(sender->patience_ms / 1000, waited);
    fprintf(stderr, "orderctl: the gateway at %s has taken no order for %s: ", sender->session->api,
            waited);
    output_text(stderr, sender->trouble.message);
    fputs("\n  See what is wrong: orderctl status\n", stderr);
}

int sender_work(struct sender *sender)
{
    int running;
    start_waiting(sender, clock_monotonic_ms());
    MUST(curl_multi_perform(sender->multi, &running));
    int code = collect(sender, clock_monotonic_ms());
    if (code != EXIT_GOOD)
        return code;
    if (sender->in_hand == 0) {
        sender->taken_ms = clock_monotonic_ms(); /* nobody waits for the gateway */
    } else if (clock_monotonic_ms() - sender->taken_ms > sender->patience_ms) {
        give_up(sender);
        return EXIT_UNAVAILABLE;
    } else {
        (void)curl_multi_poll(sender->multi, NULL, 0, POLL_MS, NULL);
    }
    return EXIT_GOOD;
}
