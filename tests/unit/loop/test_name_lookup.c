#include "services/loop/event_loop.h"
#include "services/loop/name_lookup.h"
#include "tests/unit/support/cmocka_headers.h"
#include "tests/unit/support/name_service.h"
#include "tests/unit/support/run_loop.h"
#include <string.h>
#include <sys/resource.h>

struct answer {
    bool came;
    struct name_lookup_result result;
    struct name_lookup *lookup;
};

static void on_done(void *arg, const struct name_lookup_result *result)
{
    struct answer *answer = arg;
    assert_false(answer->came);
    answer->came = true;
    answer->result = *result;
    name_lookup_free(answer->lookup);
}

static void ask(struct event_loop *loop, const char *host, struct answer *answer)
{
    *answer = (struct answer){.came = false};
    answer->lookup = name_lookup_new(loop, host, on_done, answer);
    run_loop_until(loop, answer->came);
}

static void test_addresses(void **state)
{
    (void)state;
    struct event_loop *loop = event_loop_new();
    struct answer answer;
    ask(loop, "127.0.0.1", &answer);
    assert_int_equal(answer.result.count, 1);
    assert_string_equal(answer.result.addresses[0], "127.0.0.1");
    ask(loop, "no..name", &answer);
    assert_int_equal(answer.result.count, 0);
    assert_non_null(strstr(answer.result.error.message, "cannot resolve \"no..name\""));
    event_loop_free(loop);
}

/* Also where the machine has no IPv6 but ::1, or no IPv4 but 127.0.0.1. */
static void test_both_families(void **state)
{
    (void)state;
    struct event_loop *loop = event_loop_new();
    struct answer answer;
    name_service_set("127.0.0.1,::1");
    ask(loop, "found.test", &answer);
    assert_int_equal(answer.result.count, 2);
    assert_string_equal(answer.result.addresses[0], "127.0.0.1");
    assert_string_equal(answer.result.addresses[1], "::1");
    event_loop_free(loop);
}

static void test_freed_before_its_answer(void **state)
{
    (void)state;
    struct event_loop *loop = event_loop_new();
    struct answer answer = {.came = false};
    name_lookup_free(name_lookup_new(loop, "127.0.0.1", on_done, &answer));
    event_loop_turn(loop, 100);
    assert_false(answer.came);
    event_loop_free(loop);
}

static void test_without_descriptors(void **state)
{
    (void)state;
    struct event_loop *loop = event_loop_new();
    struct rlimit usual;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, usual.rlim_max}), 0);
    struct answer answer;
    ask(loop, "127.0.0.1", &answer);
    assert_int_equal(answer.result.count, 0);
    assert_non_null(strstr(answer.result.error.message, "Too many open files"));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
    ask(loop, "127.0.0.1", &answer);
    assert_int_equal(answer.result.count, 1);
    event_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_both_families),
        cmocka_unit_test(test_freed_before_its_answer),
        cmocka_unit_test(test_without_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
