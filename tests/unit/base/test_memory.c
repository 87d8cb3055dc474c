#include "services/base/memory.h"
#include "tests/unit/support/cmocka_headers.h"
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* AddressSanitizer would end the process in a way of its own. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static volatile size_t too_much = SIZE_MAX / 2;

static void take(void)
{
    free(memory_take(too_much));
}

static void new_array(void)
{
    free(memory_new_array(2, too_much));
}

static void resize(void)
{
    free(memory_resize(NULL, too_much));
}

static void test_out_of_memory_aborts(void **state)
{
    (void)state;
    void (*const calls[])(void) = {take, new_array, resize};
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

static void test_nothing_is_something(void **state)
{
    (void)state;
    void *memory[] = {memory_take(0), memory_new(0), memory_resize(NULL, 0), memory_copy(NULL, 0)};
    for (size_t i = 0; i < COUNT(memory); i++) {
        assert_non_null(memory[i]);
        free(memory[i]);
    }
}

static void test_new_is_zeroed(void **state)
{
    (void)state;
    static const char zeros[1000];
    char *memory = memory_new(sizeof zeros);
    assert_memory_equal(memory, zeros, sizeof zeros);
    free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_out_of_memory_aborts),
        cmocka_unit_test(test_nothing_is_something),
        cmocka_unit_test(test_new_is_zeroed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
