#include "tests/unit/support/cmocka_headers.h"
#include <jansson.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile size_t too_much = SIZE_MAX / 2;
static void *volatile taken; /* or the compiler would leave it all out */

static void by_malloc(void)
{
    taken = malloc(too_much);
}

static void by_calloc(void)
{
    taken = calloc(2, too_much);
}

static void by_realloc(void)
{
    taken = realloc(NULL, too_much);
}

static void in_a_library(void)
{
    json_decref(json_stringn_nocheck("", too_much));
}

static void test_out_of_memory_aborts(void **state)
{
    (void)state;
    void (*const calls[])(void) = {by_malloc, by_calloc, by_realloc, in_a_library};
    for (size_t i = 0; i < COUNT(calls); i++) {
        pid_t child = fork();
        if (child == 0) {
            (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
            calls[i]();
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGABRT);
    }
}

static void test_to_nothing(void **state)
{
    (void)state;
    free(realloc(malloc(10), 0)); /* frees and returns NULL, which is no want of memory */
    free(calloc(0, 8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_out_of_memory_aborts),
        cmocka_unit_test(test_to_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
