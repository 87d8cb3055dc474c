#include "services/gateway/dependency.h"
#include "services/runtime/health.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_health(const char *part)
{
    size_t len;
    char *report = health_render(HEALTH_REASONS, &len);
    if (strstr(report, part) == NULL)
        fail_msg("%s is not in %s", part, report);
    free(report);
}

static void test_up_while_all_links_are_up(void **state)
{
    (void)state;
    static struct dependency *dependency; /* these live as long as the process */
    static struct dependency_link *one, *two;
    dependency = dependency_new("server");
    one = dependency_link_new(dependency);
    two = dependency_link_new(dependency);
    assert_health("\"reason\":\"starting\"");
    dependency_report(one, true, NULL);
    assert_health("\"reason\":\"starting\"");
    assert_false(dependency_heard_of(dependency));
    dependency_report(two, true, NULL);
    assert_true(dependency_heard_of(dependency));
    assert_health("\"required\":false,\"status\":\"up\"");

    dependency_report(one, false, "one is lost");
    dependency_report(one, false, "one is still lost"); /* counted once */
    assert_health("\"reason\":\"one is still lost\"");
    dependency_report(two, false, "two is lost");
    assert_health("\"reason\":\"two is lost\"");
    dependency_report(one, true, NULL); /* says nothing about the other */
    assert_health("\"reason\":\"two is lost\"");
    dependency_report(two, true, NULL);
    dependency_report(two, true, NULL);
    assert_health("\"status\":\"up\"");
    dependency_report(two, false, "two is lost again");
    assert_health("\"reason\":\"two is lost again\"");
}

static void test_one_link_that_fails_is_heard_of(void **state)
{
    (void)state;
    static struct dependency *dependency;
    static struct dependency_link *one, *other; /* they live as long as the process */
    dependency = dependency_new("another");
    one = dependency_link_new(dependency);
    other = dependency_link_new(dependency);
    assert_non_null(other);
    assert_false(dependency_heard_of(dependency));
    dependency_report(one, false, "refused");
    assert_true(dependency_heard_of(dependency));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_up_while_all_links_are_up),
                                       cmocka_unit_test(test_one_link_that_fails_is_heard_of)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
