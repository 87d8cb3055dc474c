/* Which dead letters: options that list, replay and discard share. */
#ifndef ORDERCTL_FILTER_H
#define ORDERCTL_FILTER_H

#include "services/orderctl/query.h"
#include <argp.h>
#include <jansson.h>
#include <stdbool.h>

enum {
    FILTER_REASON,
    FILTER_STAGE,
    FILTER_ORDER,
    FILTER_SINCE,
    FILTER_UNTIL,
    FILTER_DETAIL,
    FILTER_COUNT
};

struct filter {
    const char *values[FILTER_COUNT]; /* NULL: any */
    char since[40], until[40];
};

/* A child of a command's argp; its input is the filter. */
extern const struct argp filter_argp;

bool filter_is_empty(const struct filter *filter);
void filter_add(const struct filter *filter, struct query *query);
/* The member "filter" of a mass operation. */
json_t *filter_json(const struct filter *filter);

#endif
