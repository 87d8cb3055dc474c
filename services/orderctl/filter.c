/* The filter of dead letters. */
#include "services/orderctl/filter.h"
#include "proto/timestamp.h"
#include "services/orderctl/arguments.h"
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
    [FILTER_REASON] = "reason", [FILTER_STAGE] = "stage", [FILTER_ORDER] = "order_id",
    [FILTER_SINCE] = "since",   [FILTER_UNTIL] = "until", [FILTER_DETAIL] = "detail",
};

#define KEY(which) (0x200 + (which))

static const struct argp_option options[] = {
    {"reason", KEY(FILTER_REASON), "REASON", 0, "Why they died: malformed, unacceptable, …", 0},
    {"stage", KEY(FILTER_STAGE), "STAGE", 0, "Where: intake, persist or index", 0},
    {"order-id", KEY(FILTER_ORDER), "ID", 0, "Of this order", 0},
    {"since", KEY(FILTER_SINCE), "TIME", 0,
     "Died since then: 2h and 7d are ago; or 2026-11-29, or 2026-11-29T22:55:39Z", 0},
    {"until", KEY(FILTER_UNTIL), "TIME", 0, "Died before then", 0},
    {"detail", KEY(FILTER_DETAIL), "TEXT", 0, "Whose detail contains this, in either case", 0},
    {0},
};

static const char *instant(const struct argp_state *state, const char *option, const char *text,
                           char formatted[40])
{
    int64_t us;
    if (instant_parse(text, timestamp_now_us(), &us) != 0)
        argp_error(state, "%s must be a duration (2h, 7d), a date or an RFC 3339 time", option);
    (void)timestamp_format(us, formatted);
    return formatted;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct filter *filter = state->input;
    switch (key) {
    case KEY(FILTER_SINCE):
        filter->values[FILTER_SINCE] = instant(state, "--since", arg, filter->since);
        return 0;
    case KEY(FILTER_UNTIL):
        filter->values[FILTER_UNTIL] = instant(state, "--until", arg, filter->until);
        return 0;
    case KEY(FILTER_ORDER):
        filter->values[FILTER_ORDER] = argument_order_id(state, arg);
        return 0;
    case KEY(FILTER_REASON):
    case KEY(FILTER_STAGE):
    case KEY(FILTER_DETAIL):
        filter->values[key - KEY(0)] = argument_text(state, "a filter", arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp filter_argp = {options, parse, NULL, NULL, NULL, NULL, NULL};

bool filter_is_empty(const struct filter *filter)
{
    for (int i = 0; i < FILTER_COUNT; i++)
        if (filter->values[i] != NULL)
            return false;
    return true;
}

void filter_add(const struct filter *filter, struct query *query)
{
    for (int i = 0; i < FILTER_COUNT; i++)
        query_add(query, names[i], filter->values[i]);
}

json_t *filter_json(const struct filter *filter)
{
    json_t *json = json_object();
    for (int i = 0; i < FILTER_COUNT; i++)
        if (filter->values[i] != NULL &&
            json_object_set_new(json, names[i], json_string(filter->values[i])) != 0)
            abort();
    return json;
}
