/* The pages for orchestrators and Prometheus. /metrics costs the most by far: it is rendered at
 * most once a second, and all who ask in that second get the same text. */
#include "services/runtime/admin_page.h"
#include "services/base/clock.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define METRICS_LIFE_MS 1000

static void livez(enum health_detail detail, struct admin_page *page)
{
    (void)detail;
    page->body = memory_copy_text("{\"status\":\"alive\"}\n");
    page->len = strlen(page->body);
}

static void readyz(enum health_detail detail, struct admin_page *page)
{
    page->status = health_ready() ? 200 : 503;
    page->body = health_render(detail, &page->len);
}

static void metrics(enum health_detail detail, struct admin_page *page)
{
    (void)detail;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static char *text;
    static size_t len;
    static int64_t rendered_ms;

    (void)pthread_mutex_lock(&lock);
    int64_t now_ms = clock_monotonic_ms();
    if (text == NULL || now_ms - rendered_ms >= METRICS_LIFE_MS) {
        metric_set(metric_gauge("service_ready", NULL, "1 while /readyz answers 200, 0 while not"),
                   health_ready());
        free(text);
        text = metrics_render(&len);
        rendered_ms = now_ms;
    }
    page->content_type = "text/plain; version=0.0.4; charset=utf-8";
    page->body = memory_copy(text, len);
    page->len = len;
    (void)pthread_mutex_unlock(&lock);
}

static const struct {
    const char *path;
    void (*render)(enum health_detail detail, struct admin_page *page);
} pages[] = {{"/livez", livez}, {"/readyz", readyz}, {"/metrics", metrics}};

bool admin_page_render(const char *path, size_t path_len, enum health_detail detail,
                       struct admin_page *ret_page)
{
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        if (strlen(pages[i].path) == path_len && memcmp(pages[i].path, path, path_len) == 0) {
            *ret_page = (struct admin_page){.status = 200, .content_type = "application/json"};
            pages[i].render(detail, ret_page);
            return true;
        }
    }
    return false;
}
