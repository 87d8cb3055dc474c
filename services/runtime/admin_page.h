/* The pages for orchestrators and Prometheus, the same in every service: /livez, /readyz, /metrics.
 */
#ifndef RUNTIME_ADMIN_PAGE_H
#define RUNTIME_ADMIN_PAGE_H

#include "services/runtime/health.h"
#include <stdbool.h>
#include <stddef.h>

struct admin_page {
    int status; /* 200; 503: not ready */
    const char *content_type;
    char *body; /* free() it */
    size_t len;
};

/* Render the page of this path; `detail` is of /readyz. Returns whether there is one. Any thread.
 */
bool admin_page_render(const char *path, size_t path_len, enum health_detail detail,
                       struct admin_page *ret_page) __attribute__((warn_unused_result));

#endif
