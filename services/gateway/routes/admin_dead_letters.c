/* GET /api/admin/dead-letters and /api/admin/dead-letters/{id}: the archive of dead letters, a page
 * or a letter with all that it holds. */
#include "services/gateway/api.h"
#include "services/gateway/json_answer.h"
#include "services/gateway/routes/admin_request.h"
#include "services/gateway/routes/message_json.h"
#include "services/gateway/routes/routes.h"
#include <string.h>

struct list {
    struct request_guard guard;
    unsigned limit;
};

static dead_letters_listed_fn on_listed;
static dead_letters_found_fn on_found;

/* ---- a letter ---- */

static void add_number_or_null(json_t *object, const char *name, int64_t number)
{
    json_add(object, name, number != 0 ? json_integer(number) : NULL);
}

static json_t *letter_json(const struct letter *letter)
{
    json_t *json = json_object();
    json_add_number(json, "id", letter->id);
    json_add_text(json, "state", letter->state);
    json_add_text(json, "queue", letter->queue);
    json_add_text(json, "reason", letter->reason);
    json_add_text(json, "detail", letter->detail);
    json_add_text(json, "stage", letter->stage);
    json_add_number(json, "attempts", letter->attempts);
    json_add(json, "order_id", letter->has_order_id ? json_order_id(&letter->order_id) : NULL);
    json_add_number(json, "body_bytes", letter->body_bytes);
    json_add_number(json, "copies", letter->copies);
    json_add(json, "died_at", json_time(letter->died_at_us));
    json_add(json, "archived_at", json_time(letter->archived_at_us));
    json_add_text(json, "trace_id", letter->trace_id[0] != '\0' ? letter->trace_id : NULL);
    add_number_or_null(json, "replay_of", letter->replay_of);
    json_add(json, "ended_at", letter->ended ? json_time(letter->ended_at_us) : NULL);
    json_add_text(json, "ended_by", letter->ended_by);
    json_add_text(json, "ended_reason", letter->ended_reason);
    json_add(json, "replayed_as",
             letter->has_replayed_as ? json_order_id(&letter->replayed_as) : NULL);
    add_number_or_null(json, "job", letter->job);
    return json;
}

/* ---- a page ---- */

void list_dead_letters(struct request *request, h2o_iovec_t rest)
{
    (void)rest;
    struct admin_page page;
    struct letter_filter filter = {.state = NULL};
    if (!admin_read_query(request, &page, &filter))
        return;
    struct list *list = request_guard_new(request, sizeof(*list), ORDER_STORE_TIMEOUT_MS,
                                          PROBLEM_DEADLINE_EXCEEDED);
    struct dead_letters *letters = request->api->dead_letters;
    list->limit = page.limit;
    /* One more than is shown tells whether there is a next page. */
    if (letters->list(letters->self, &filter, page.before_id, page.limit + 1, on_listed, list) != 0)
        request_guard_fail(&list->guard, PROBLEM_STORE_UNAVAILABLE);
}

static void on_listed(void *arg, enum order_store_status status, const struct letter *letters,
                      size_t count)
{
    struct list *list = arg;
    if (status != ORDER_STORE_OK) {
        request_guard_fail(&list->guard, order_store_problem(status));
        return;
    }
    json_t *items = json_array();
    size_t shown = count < list->limit ? count : list->limit;
    for (size_t i = 0; i < shown; i++)
        (void)json_array_append_new(items, letter_json(&letters[i]));
    admin_reply_page(list->guard.request, "dead_letters", items,
                     count > shown ? letters[shown - 1].id : 0);
    request_guard_end(&list->guard);
}

/* ---- one with all that it holds ---- */

void show_dead_letter(struct request *request, h2o_iovec_t rest)
{
    int64_t id;
    if (!admin_number(rest.base, rest.len, &id)) {
        reply_problem(request, PROBLEM_DEAD_LETTER_NOT_FOUND, NULL);
        return;
    }
    struct request_guard *guard = request_guard_new(request, sizeof(*guard), ORDER_STORE_TIMEOUT_MS,
                                                    PROBLEM_DEADLINE_EXCEEDED);
    struct dead_letters *letters = request->api->dead_letters;
    if (letters->find(letters->self, id, on_found, guard) != 0)
        request_guard_fail(guard, PROBLEM_STORE_UNAVAILABLE);
}

static void on_found(void *arg, enum order_store_status status, const struct letter *letter,
                     const struct letter_content *content)
{
    struct request_guard *guard = arg;
    if (status != ORDER_STORE_OK) {
        request_guard_fail(guard, order_store_problem(status));
        return;
    }
    if (letter == NULL) {
        request_guard_fail(guard, PROBLEM_DEAD_LETTER_NOT_FOUND);
        return;
    }
    json_t *json = letter_json(letter), *text = NULL;
    if (memchr(content->body, '\0', content->body_len) == NULL)
        text = json_stringn(content->body, content->body_len); /* NULL when it is no UTF-8 */
    if (text != NULL)
        json_add(json, "body", text);
    else
        json_add(json, "body_base64", json_base64(content->body, content->body_len));
    json_add(json, "body_cut", json_boolean((int64_t)content->body_len < letter->body_bytes));
    json_add(json, "properties", message_json(content->properties, content->properties_len));
    json_add(json, "properties_base64", json_base64(content->properties, content->properties_len));
    reply_json(guard->request, 200, json);
    request_guard_end(guard);
}
