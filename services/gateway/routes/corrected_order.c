/* What the correction lacks is written in front of what it has, and the whole is decoded. So an
 * amount is read from its own characters, as everywhere. */
#include "services/gateway/routes/corrected_order.h"
#include "proto/timestamp.h"
#include "services/base/memory.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of the letter's body, which may be anything. */
static bool read_created_at(const struct letter_content *content, int64_t *ret_us)
{
    json_t *body = json_loadb(content->body, content->body_len, 0, NULL);
    const json_t *text = json_object_get(body, "created_at"); /* NULL for what is no object */
    bool read = json_is_string(text) &&
                timestamp_parse(json_string_value(text), json_string_length(text), ret_us) == 0;
    json_decref(body);
    return read;
}

static bool refuse(enum problem problem, const char *why, enum problem *ret_problem,
                   struct error *err)
{
    *ret_problem = problem;
    error_set(err, "%s", why);
    return false;
}

/* Which id the order gets, or that the correction has its own (*ret_given). */
static bool choose_id(const struct correction *correction, const struct letter *letter,
                      struct order_id *ret_id, bool *ret_given, enum problem *ret_problem,
                      struct error *err)
{
    bool conflict = strcmp(letter->reason, LETTER_REASON_CONFLICT) == 0;
    *ret_given = correction->has_id;
    if (correction->new_id && correction->has_id)
        return refuse(PROBLEM_ORDER_ID_DIFFERS, "with new_id the id is made, and not given",
                      ret_problem, err);
    if (correction->new_id) {
        *ret_id = order_id_new(timestamp_now_us() / 1000);
        return true;
    }
    if (conflict)
        return refuse(PROBLEM_NEW_ID_REQUIRED, "another order has the id of this letter",
                      ret_problem, err);
    if (letter->has_order_id)
        *ret_id = letter->order_id;
    else if (!correction->has_id)
        return refuse(PROBLEM_UNACCEPTABLE_ORDER,
                      "the letter has no order id: give the order an id, or ask for a new_id",
                      ret_problem, err);
    return true;
}

/* The correction with the members that it lacks in front. free() it. */
static char *completed(const struct correction *correction, const struct order_id *id,
                       int64_t created_at_us)
{
    char before[160] = "{", text[64];
    const char *rest = memchr(correction->json, '{', correction->json_len);
    size_t rest_len = correction->json_len - 1; /* it begins with the brace */
    if (!correction->has_id) {
        order_id_format(id, text);
        snprintf(before + strlen(before), sizeof before - strlen(before), "\"id\":\"%s\",", text);
    }
    if (!correction->has_created_at) {
        (void)timestamp_format(created_at_us, text);
        snprintf(before + strlen(before), sizeof before - strlen(before), "\"created_at\":\"%s\",",
                 text);
    }
    char *whole = memory_take(strlen(before) + rest_len + 1);
    memcpy(whole, before, strlen(before));
    memcpy(whole + strlen(before), rest + 1, rest_len);
    whole[strlen(before) + rest_len] = '\0';
    return whole;
}

bool corrected_order(const struct correction *correction, const struct letter *letter,
                     const struct letter_content *content, struct order *ret_order,
                     enum problem *ret_problem, struct error *err)
{
    struct order_id id;
    bool given;
    if (!choose_id(correction, letter, &id, &given, ret_problem, err))
        return false;
    int64_t created_at_us = letter->died_at_us;
    if (!correction->has_created_at)
        (void)read_created_at(content, &created_at_us);
    char *json = completed(correction, &id, created_at_us);
    enum decode_result decoded = order_from_json(json, strlen(json), ret_order, err);
    free(json);
    if (decoded != DECODE_OK) {
        *ret_problem = PROBLEM_UNACCEPTABLE_ORDER;
        return false;
    }
    if (given && letter->has_order_id && !order_id_equal(&ret_order->id, &letter->order_id))
        return refuse(PROBLEM_ORDER_ID_DIFFERS, "the letter has another order id", ret_problem,
                      err);
    return true;
}
