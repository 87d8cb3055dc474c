#include "services/clients/redis/command_text.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_words(void **state)
{
    (void)state;
    static char thousand[1000];
    struct command_text text = {0};
    const struct redis_word set[] = {REDIS_WORD("SET"), REDIS_WORD("a\r\n\0b"), redis_word("")};
    static const char expected[] = "*3\r\n$3\r\nSET\r\n$5\r\na\r\n\0b\r\n$0\r\n\r\n";
    for (int i = 0; i < 2; i++) {
        assert_int_equal(command_text_write(&text, set, 3), sizeof(expected) - 1);
        assert_memory_equal(text.bytes, expected, sizeof(expected) - 1);
        /* a longer one between them, in the same buffer */
        const struct redis_word echo[] = {REDIS_WORD("ECHO"), {thousand, sizeof(thousand)}};
        assert_int_equal(command_text_write(&text, echo, 2), 4 + 10 + 7 + 1000 + 2);
        assert_memory_equal(text.bytes, "*2\r\n$4\r\nECHO\r\n$1000\r\n", 21);
    }
    command_text_release(&text);
}

static void test_many_words(void **state)
{
    (void)state;
    struct redis_word words[120];
    struct command_text text = {0};
    for (size_t i = 0; i < 120; i++)
        words[i] = REDIS_WORD("x");
    assert_int_equal(command_text_write(&text, words, 120), 6 + 120 * 7);
    assert_memory_equal(text.bytes, "*120\r\n$1\r\nx\r\n", 13);
    command_text_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_many_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
