/* What a metric without labels says now, read as Prometheus reads it. */
#ifndef TESTS_METRIC_NOW_H
#define TESTS_METRIC_NOW_H

#include "services/base/metrics.h"
#include "tests/unit/support/cmocka_headers.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The metric exists. NAN: unknown. */
static inline double metric_now(const char *name)
{
    char line[64];
    size_t len;
    double value;
    char *text = metrics_render(&len);
    (void)snprintf(line, sizeof line, "\n%s ", name);
    const char *at = strstr(text, line);
    assert_non_null(at);
    assert_int_equal(sscanf(at + strlen(line), "%lf", &value), 1);
    free(text);
    return value;
}

#endif
