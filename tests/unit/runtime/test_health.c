/* The checks are global and only grow, so this is one story. */
#include "services/base/metrics.h"
#include "services/runtime/admin_page.h"
#include "services/runtime/health.h"
#include "tests/unit/support/test_clock.h"
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void assert_report_for(enum health_detail detail, const char *expected)
{
    size_t len;
    char *text = health_render(detail, &len);
    assert_int_equal(strlen(text), len);
    assert_string_equal(text, expected);
    json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    json_decref(json);
    free(text);
}

static void assert_report(const char *expected)
{
    assert_report_for(HEALTH_REASONS, expected);
}

static void assert_page(const char *path, int status, const char *content_type)
{
    struct admin_page page;
    assert_true(admin_page_render(path, strlen(path), HEALTH_REASONS, &page));
    assert_int_equal(page.status, status);
    assert_string_equal(page.content_type, content_type);
    assert_true(page.len > 0 && strlen(page.body) == page.len);
    free(page.body);
}

static void assert_metric(const char *line)
{
    struct admin_page page;
    test_clock_advance(1000); /* a new page */
    assert_true(admin_page_render("/metrics", strlen("/metrics"), HEALTH_REASONS, &page));
    if (strstr(page.body, line) == NULL)
        fail_msg("no \"%s\" in\n%s", line, page.body);
    free(page.body);
}

static struct health_state look(size_t index, const char *dependency)
{
    struct health_state state;
    assert_true(health_look(index, &state));
    assert_string_equal(state.dependency, dependency);
    return state;
}

static void test_story(void **state)
{
    (void)state;
    assert_false(health_ready()); /* not before it is known what is needed */
    assert_report("{\"status\":\"not ready\",\"dependencies\":[]}\n");

    struct health_check *database = health_check("postgres", HEALTH_REQUIRED);
    assert_false(health_ready());
    assert_report("{\"status\":\"not ready\",\"dependencies\":[{\"name\":\"postgres\",\"required\":"
                  "true,\"status\":\"down\",\"reason\":\"starting\"}]}\n");
    assert_page("/readyz", 503, "application/json");
    assert_page("/livez", 200, "application/json");
    assert_metric("\nservice_ready 0\n");
    assert_metric("\ndependency_up{dependency=\"postgres\"} 0\n");

    struct health_state before = look(0, "postgres"), after;
    assert_false(before.up);
    assert_string_equal(before.reason, "starting");
    assert_int_equal(before.weight, HEALTH_REQUIRED);
    (void)usleep(1);

    assert_true(health_set(database, true, NULL));
    after = look(0, "postgres");
    assert_true(after.up && after.since_us > before.since_us);
    assert_string_equal(after.reason, "");
    assert_metric("\nservice_ready 1\n");
    assert_metric("\ndependency_up{dependency=\"postgres\"} 1\n");
    assert_metric("\ndependency_failures_total{dependency=\"postgres\"} 0\n");
    assert_false(health_set(database, true, NULL)); /* no change */
    assert_true(health_up(database) && health_ready());
    assert_page("/readyz", 200, "application/json");

    struct health_check *cache = health_check("redis", HEALTH_DEGRADED);
    assert_false(health_ready()); /* not before it is known how the cache stands */
    assert_metric("\ndependency_failures_total{dependency=\"redis\"} 0\n");
    assert_true(health_set(cache, false, "no address")); /* it was never up: a change */
    before = look(1, "redis");
    (void)usleep(1);
    assert_false(health_set(cache, false, "refused \"now\"\n"));
    after = look(1, "redis");
    assert_true(!after.up && after.since_us == before.since_us); /* it is down for another reason */
    assert_string_equal(after.reason, "refused \"now\"\n");
    assert_false(health_look(2, &after));
    assert_metric("\ndependency_failures_total{dependency=\"redis\"} 1\n");
    assert_true(health_ready());
    assert_report("{\"status\":\"degraded\",\"dependencies\":[{\"name\":\"postgres\",\"required\":"
                  "true,\"status\":\"up\"},{\"name\":\"redis\",\"required\":false,\"status\":"
                  "\"down\",\"reason\":\"refused \\\"now\\\"\\u000a\"}]}\n");
    assert_report_for(HEALTH_STATES, "{\"status\":\"degraded\",\"dependencies\":["
                                     "{\"name\":\"postgres\",\"status\":\"up\"},"
                                     "{\"name\":\"redis\",\"status\":\"down\"}]}\n");
    assert_true(health_set(cache, true, NULL));

    char reason[1000];
    memset(reason, '\xFF', sizeof(reason) - 1);
    reason[sizeof(reason) - 1] = '\0';
    assert_true(health_set(database, false, reason)); /* too long, and no UTF-8 */
    size_t len;
    char *text = health_render(HEALTH_REASONS, &len);
    json_t *json = json_loadb(text, len, 0, NULL);
    assert_non_null(json);
    json_decref(json);
    free(text);
    assert_metric("\ndependency_up{dependency=\"postgres\"} 0\n");
    assert_metric("\ndependency_failures_total{dependency=\"postgres\"} 1\n");

    assert_true(health_set(database, true, NULL));
    health_set_stopping();
    assert_metric("\nservice_ready 0\n");
    assert_false(health_ready());
    assert_page("/readyz", 503, "application/json");
    assert_page("/livez", 200, "application/json");
}

static void test_pages(void **state)
{
    (void)state;
    static const char *const unknown[] = {"", "/", "/livez/", "/live", "/livezz", "/readyz?x"};
    struct admin_page page;
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        assert_false(admin_page_render(unknown[i], strlen(unknown[i]), HEALTH_REASONS, &page));
    assert_page("/metrics", 200, "text/plain; version=0.0.4; charset=utf-8");
}

static void metrics_are_rendered_once_a_second(void **state)
{
    (void)state;
    struct metric_counter *counter = metric_counter("pages_total", NULL, "Of the test");
    assert_metric("\npages_total 0\n");
    struct admin_page first, second, third;
    assert_true(admin_page_render("/metrics", strlen("/metrics"), HEALTH_REASONS, &first));
    metric_add(counter, 1);
    test_clock_advance(999);
    assert_true(admin_page_render("/metrics", strlen("/metrics"), HEALTH_REASONS, &second));
    assert_string_equal(first.body, second.body);
    test_clock_advance(1);
    assert_true(admin_page_render("/metrics", strlen("/metrics"), HEALTH_REASONS, &third));
    assert_non_null(strstr(third.body, "\npages_total 1\n"));
    free(first.body);
    free(second.body);
    free(third.body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_story), cmocka_unit_test(test_pages),
                                       cmocka_unit_test(metrics_are_rendered_once_a_second)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
