/* Lines are captured by putting a file in the place of standard error, then parsed by jansson. */
#include "services/base/json_text.h"
#include "services/base/log.h"
#include "services/base/log_writer.h"
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

/* Linked with --wrap=write. */
ssize_t __real_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len);

static _Atomic unsigned late_ms; /* what is written to standard error */

ssize_t __wrap_write(int fd, const void *bytes, size_t len)
{
    if (fd == STDERR_FILENO)
        (void)usleep(1000 * atomic_load(&late_ms));
    return __real_write(fd, bytes, len);
}

static int real_stderr = -1, capture = -1;

static void capture_start(void)
{
    capture = memfd_create("log", 0);
    assert_true(capture >= 0);
    assert_int_equal(fcntl(capture, F_SETFL, O_APPEND), 0);
    real_stderr = dup(STDERR_FILENO);
    assert_int_equal(dup2(capture, STDERR_FILENO), STDERR_FILENO);
}

/* What was written since; free() it. */
static char *capture_end(size_t *ret_len)
{
    log_flush();
    (void)dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    off_t len = lseek(capture, 0, SEEK_END);
    char *text = calloc(1, (size_t)len + 1);
    assert_int_equal(pread(capture, text, (size_t)len, 0), len);
    close(capture);
    *ret_len = (size_t)len;
    return text;
}

/* Check that `text` is lines of one JSON object each; returns how many, the last one in *ret_last
 * (json_decref() it). */
static size_t parse_lines(const char *text, size_t len, json_t **ret_last)
{
    size_t count = 0;
    json_t *last = NULL;
    while (len > 0) {
        const char *end = memchr(text, '\n', len);
        assert_non_null(end);
        size_t line_len = (size_t)(end - text);
        assert_true(line_len + 1 <= 4096);
        json_error_t error;
        json_decref(last);
        last = json_loadb(text, line_len, JSON_REJECT_DUPLICATES, &error);
        if (last == NULL)
            fail_msg("%s: %.*s", error.text, (int)line_len, text);
        for (size_t i = 0; i < line_len; i++)
            assert_true((unsigned char)text[i] >= 0x20);
        count++;
        text = end + 1;
        len -= line_len + 1;
    }
    if (ret_last != NULL)
        *ret_last = last;
    else
        json_decref(last);
    return count;
}

static const char *text_of(json_t *line, const char *name)
{
    const char *text = json_string_value(json_object_get(line, name));
    assert_non_null(text);
    return text;
}

static void test_line(void **state)
{
    (void)state;
    size_t len;
    json_t *line;
    log_init("tester", LOG_LEVEL_INFO);
    capture_start();
    log_warn("it \"happened\"", log_text("path", "C:\\\n"), log_number("count", INT64_MIN),
             log_text("none", NULL));
    char *text = capture_end(&len);
    assert_int_equal(parse_lines(text, len, &line), 1);
    assert_string_equal(text_of(line, "level"), "warn");
    assert_string_equal(text_of(line, "service"), "tester");
    assert_string_equal(text_of(line, "message"), "it \"happened\"");
    assert_string_equal(text_of(line, "path"), "C:\\\n");
    assert_int_equal(json_integer_value(json_object_get(line, "count")), INT64_MIN);
    assert_true(json_is_null(json_object_get(line, "none")));
    assert_int_equal(text_of(line, "time")[strlen(text_of(line, "time")) - 1], 'Z');
    json_decref(line);
    free(text);
}

static void test_threshold(void **state)
{
    (void)state;
    static const size_t expected[] = {4, 3, 2, 1};
    for (int threshold = LOG_LEVEL_DEBUG; threshold <= LOG_LEVEL_ERROR; threshold++) {
        size_t len;
        log_init("tester", (enum log_level)threshold);
        capture_start();
        log_debug("d");
        log_info("i");
        log_warn("w");
        log_error("e");
        char *text = capture_end(&len);
        assert_int_equal(parse_lines(text, len, NULL), expected[threshold]);
        free(text);
    }
    log_init("tester", LOG_LEVEL_INFO);
}

static void test_hostile_values(void **state)
{
    (void)state;
    size_t len;
    unsigned seed = 12345;
    capture_start();
    for (int i = 0; i < 1000; i++) {
        char value[600];
        size_t value_len = (size_t)rand_r(&seed) % (sizeof(value) - 1);
        for (size_t j = 0; j < value_len; j++) {
            int kind = rand_r(&seed) % 4;
            value[j] = (char)(kind == 0   ? rand_r(&seed) % 255 + 1
                              : kind == 1 ? 0x80 + rand_r(&seed) % 128
                              : kind == 2 ? "\n\r\"\\\x7f\t{}"[rand_r(&seed) % 8]
                                          : 'a' + rand_r(&seed) % 26);
        }
        value[value_len] = '\0';
        log_error(value, log_text(value_len % 2 ? "value" : "other", value), log_number("i", i));
        if (i % 50 == 0)
            log_flush(); /* there is room for the next ones */
    }
    char *text = capture_end(&len);
    assert_int_equal(parse_lines(text, len, NULL), 1000);
    free(text);
}

static void test_long_line(void **state)
{
    (void)state;
    size_t len;
    json_t *line;
    static char longest[100001];
    memset(longest, '"', sizeof(longest) - 1);
    capture_start();
    log_error(longest, log_text("a", longest), log_text("b", longest), log_text("c", longest),
              log_text("d", longest), log_text("e", "short"));
    char *text = capture_end(&len);
    assert_int_equal(parse_lines(text, len, &line), 1);
    assert_true(json_is_true(json_object_get(line, "truncated")));
    assert_true(strlen(text_of(line, "message")) > 100);
    assert_null(json_object_get(line, "e")); /* no gap in the order of fields */
    json_decref(line);
    free(text);
}

static void *log_many(void *arg)
{
    for (int i = 0; i < 250; i++)
        log_info(arg, log_number("i", i), log_text("padding", "0123456789012345678901234567890"));
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    size_t len;
    pthread_t threads[4];
    capture_start();
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_many, (void *)"from a thread"), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    char *text = capture_end(&len);
    assert_int_equal(parse_lines(text, len, NULL), 1000);
    free(text);
}

/* Read so many lines from the pipe and return them; free() it. */
static char *read_lines(int pipe_fd, size_t count, size_t *ret_len)
{
    static const size_t size = 1 << 20;
    char *text = malloc(size);
    size_t len = 0;
    for (size_t seen = 0; seen < count;) {
        ssize_t got = read(pipe_fd, text + len, size - len);
        assert_true(got > 0);
        for (ssize_t i = 0; i < got; i++)
            seen += text[len++] == '\n';
    }
    *ret_len = len;
    return text;
}

/* Standard error is a pipe that nobody reads, for a while. */
static void nobody_waits_for_a_reader(void **state)
{
    (void)state;
    enum { LINES = 4000 };
    static char filler[4096];
    int ends[2];
    size_t len;
    json_t *line;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, sizeof(filler)) > 0);
    int flags = fcntl(ends[1], F_GETFL);
    real_stderr = dup(STDERR_FILENO);
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    assert_int_equal(write(ends[1], filler, sizeof(filler)), sizeof(filler));
    for (int i = 0; i < LINES; i++) {
        log_info("unread", log_number("i", i), log_text("padding", "01234567890123456789"));
        if (i == 0)      /* the writer stands with this line from now on, and makes no more room */
            log_flush(); /* comes back all the same */
    }
    assert_int_equal(fcntl(ends[1], F_GETFL), flags); /* which others share */
    size_t dropped = (size_t)log_writer_dropped();
    assert_in_range(dropped, 1, LINES - 1);

    assert_int_equal(read(ends[0], filler, sizeof(filler)), sizeof(filler));
    char *text = read_lines(ends[0], LINES - dropped, &len);
    assert_int_equal(parse_lines(text, len, NULL), LINES - dropped);
    free(text);
    log_info("read again");
    text = read_lines(ends[0], 1, &len);
    assert_int_equal(parse_lines(text, len, &line), 1);
    assert_int_equal(json_integer_value(json_object_get(line, "dropped")), dropped);
    json_decref(line);
    free(text);
    log_info("once more");
    text = read_lines(ends[0], 1, &len);
    assert_null(memmem(text, len, "dropped", strlen("dropped")));
    free(text);

    close(ends[0]); /* a reader that has gone */
    (void)signal(SIGPIPE, SIG_IGN);
    log_info("for nobody");
    log_flush();
    assert_int_equal(log_writer_dropped(), dropped + 1);
    (void)dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    close(ends[1]);
}

/* A machine so busy that the thread that writes comes late: the last lines are waited for. */
static void test_a_late_writer(void **state)
{
    (void)state;
    size_t len;
    capture_start();
    atomic_store(&late_ms, 700);
    log_info("the last but one");
    log_info("the last");
    char *text = capture_end(&len);
    atomic_store(&late_ms, 0);
    assert_int_equal(parse_lines(text, len, NULL), 2);
    free(text);
}

static void test_limited(void **state)
{
    (void)state;
    size_t len;
    json_t *line;
    static struct log_limit limit;
    capture_start();
    for (int i = 0; i < 1000; i++)
        log_warn_limited(&limit, "again", log_number("i", i));
    limit.last_ms -= 5000; /* 5 s later */
    log_warn_limited(&limit, "again", log_number("i", 1000));
    log_warn_limited(&limit, "again", log_number("i", 1001));
    char *text = capture_end(&len);
    assert_int_equal(parse_lines(text, len, &line), 2);
    assert_int_equal(json_integer_value(json_object_get(line, "i")), 1000);
    assert_int_equal(json_integer_value(json_object_get(line, "suppressed")), 999);
    json_decref(line);
    free(text);
}

static void test_escape(void **state)
{
    (void)state;
    static const struct {
        const char *text, *escaped;
    } cases[] = {
        {"", ""},
        {"plain ÅŸ € 😀", "plain ÅŸ € 😀"},
        {"\"\\/", "\\\"\\\\/"},
        {"\n\t\x01\x7f", "\\u000a\\u0009\\u0001\\u007f"},
        {"\xC2\x85", "\\u0085"},
        {"\xE2\x80\xA8\xE2\x80\xAE", "\\u2028\\u202e"},
        {"\xFF", "\xEF\xBF\xBD"},
        {"a\xC3", "a\xEF\xBF\xBD"},
        {"\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD"},                                 /* overlong */
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},                 /* surrogate */
        {"\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"}, /* too high */
        {"\xE2\x82", "\xEF\xBF\xBD\xEF\xBF\xBD"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char buffer[64];
        size_t len = json_text_escape(cases[i].text, strlen(cases[i].text), buffer, sizeof(buffer));
        assert_string_equal(buffer, cases[i].escaped);
        assert_int_equal(len, strlen(cases[i].escaped));
        for (size_t size = 1; size <= len; size++) { /* cut anywhere, it stays within a string */
            char quoted[80];
            size_t cut = json_text_escape(cases[i].text, strlen(cases[i].text), buffer, size);
            assert_true(cut < size);
            (void)snprintf(quoted, sizeof(quoted), "[\"%s\"]", buffer);
            json_t *json = json_loads(quoted, 0, NULL);
            assert_non_null(json);
            json_decref(json);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line),          cmocka_unit_test(test_threshold),
        cmocka_unit_test(test_threads),       cmocka_unit_test(test_hostile_values),
        cmocka_unit_test(test_long_line),     cmocka_unit_test(test_limited),
        cmocka_unit_test(test_escape),        cmocka_unit_test(nobody_waits_for_a_reader),
        cmocka_unit_test(test_a_late_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
