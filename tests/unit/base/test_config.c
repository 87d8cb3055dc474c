#include "services/clients/elasticsearch/options.h"
#include "services/clients/rabbitmq/options.h"
#include "services/runtime/options.h"
#include "services/worker/options.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static int no_blank(const char *value, struct error *err)
{
    if (strchr(value, ' ') == NULL)
        return 0;
    error_set(err, "must not have blanks");
    return -1;
}

struct settings {
    char *text, *optional, *secret, *queue, *bridges, *address, *ca_file;
    int64_t number, duration_ms;
    int choice;
};

static const struct config_option options[] = {
    {.name = "T_TEXT",
     .default_text = "text",
     .help = "a text",
     .kind = CONFIG_STRING,
     .offset = offsetof(struct settings, text),
     .validate = no_blank},
    {.name = "T_OPTIONAL",
     .help = "an optional text",
     .kind = CONFIG_STRING,
     .offset = offsetof(struct settings, optional)},
    {.name = "T_SECRET",
     .default_text = "public-default",
     .help = "a secret",
     .kind = CONFIG_SECRET,
     .offset = offsetof(struct settings, secret),
     .validate = no_blank},
    {.name = "T_NUMBER",
     .default_text = "-7",
     .help = "a number",
     .kind = CONFIG_INTEGER,
     .offset = offsetof(struct settings, number),
     .minimum = -10,
     .maximum = 1000},
    {.name = "T_DURATION",
     .default_text = "24h",
     .help = "a duration",
     .kind = CONFIG_DURATION,
     .offset = offsetof(struct settings, duration_ms),
     .minimum = 0,
     .maximum = 86400000},
    {.name = "T_CHOICE",
     .default_text = "b",
     .help = "a choice",
     .kind = CONFIG_CHOICE,
     .offset = offsetof(struct settings, choice),
     .choices = (const char *const[]){"a", "b", NULL}},
    CONFIG_OPTION_ORDER_QUEUE(struct settings, queue),
    CONFIG_OPTION_BRIDGE_ENDPOINTS(struct settings, bridges),
    CONFIG_OPTION_ADMIN_ADDRESS(struct settings, address),
    CONFIG_OPTION_ELASTICSEARCH_CA_FILE(struct settings, ca_file),
};
#define COUNT (sizeof(options) / sizeof(options[0]))

static char directory[] = "/tmp/test_config-XXXXXX";
static char path_good[64], path_no_newline[64], path_two_newlines[64], path_empty[64],
    path_newline[64], path_nul[64], path_long[64], path_fifo[64], path_crlf[64], path_bom[64],
    path_two_lines[64], path_certificate[64], path_line_ends[64], path_utf16[64], path_tab[64],
    path_escape[64], path_bom_certificate[64], path_utf16_certificate[64];

static void clear_environment(void)
{
    for (size_t i = 0; i < COUNT; i++) {
        char file[64];
        (void)snprintf(file, sizeof(file), "%s_FILE", options[i].name);
        unsetenv(options[i].name);
        unsetenv(file);
    }
}

static void make_file(char path[64], const char *name, const char *content, size_t len)
{
    (void)snprintf(path, 64, "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static int make_files(void **state)
{
    (void)state;
    static char longest[65537];
    memset(longest, 'x', sizeof(longest));
    if (mkdtemp(directory) == NULL)
        return -1;
    make_file(path_good, "good", "canary\n", 7);
    make_file(path_no_newline, "no_newline", "canary", 6);
    make_file(path_two_newlines, "two_newlines", "canary\n\n", 8);
    make_file(path_empty, "empty", "", 0);
    make_file(path_newline, "newline", "\n", 1);
    make_file(path_nul, "nul", "can\0ary", 7);
    make_file(path_crlf, "crlf", "canary\r\n", 8);
    make_file(path_bom, "bom",
              "\xef\xbb\xbf"
              "canary",
              9);
    make_file(path_two_lines, "two_lines", "canary\ncanary", 13);
    make_file(path_line_ends, "line_ends", "canary\r\n\r\n\n", 11);
    make_file(path_utf16, "utf16",
              "\xff\xfe"
              "c\0a\0n\0a\0r\0y\0",
              14);
    make_file(path_tab, "tab", "canary\t\n", 8);
    make_file(path_escape, "escape", "canary\x1b[0mcanary\n", 17);
    make_file(path_bom_certificate, "bom_certificate",
              "\xef\xbb\xbf"
              "-----BEGIN CERTIFICATE-----\ncanary\n",
              38);
    make_file(path_utf16_certificate, "utf16_certificate", "\xff\xfe-\0-\0", 6);
    make_file(path_certificate, "certificate", "-----BEGIN CERTIFICATE-----\ncanary\n", 35);
    make_file(path_long, "long", longest, sizeof(longest));
    (void)snprintf(path_fifo, sizeof(path_fifo), "%s/fifo", directory);
    return mkfifo(path_fifo, 0600);
}

static int remove_files(void **state)
{
    (void)state;
    char *const paths[] = {path_good,
                           path_no_newline,
                           path_two_newlines,
                           path_empty,
                           path_newline,
                           path_nul,
                           path_long,
                           path_fifo,
                           path_crlf,
                           path_bom,
                           path_two_lines,
                           path_certificate,
                           path_line_ends,
                           path_utf16,
                           path_tab,
                           path_escape,
                           path_bom_certificate,
                           path_utf16_certificate};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        unlink(paths[i]);
    return rmdir(directory);
}

static void test_defaults(void **state)
{
    (void)state;
    struct settings settings;
    memset(&settings, 0xAA, sizeof(settings));
    for (int set_empty = 0; set_empty < 2; set_empty++) {
        clear_environment();
        for (size_t i = 0; set_empty && i < COUNT; i++)
            setenv(options[i].name, "", 1);
        if (set_empty)
            setenv("T_SECRET_FILE", "", 1);
        assert_int_equal(config_read(options, COUNT, &settings, NULL), 0);
        assert_string_equal(settings.text, "text");
        assert_null(settings.optional);
        assert_string_equal(settings.secret, "public-default");
        assert_int_equal(settings.number, -7);
        assert_int_equal(settings.duration_ms, 86400000);
        assert_int_equal(settings.choice, 1);
        assert_string_equal(settings.queue, "order_queue");
        assert_string_equal(settings.bridges, "tcp://127.0.0.1:7100");
        assert_null(settings.ca_file);
        config_release(options, COUNT, &settings);
        assert_null(settings.text);
    }
}

static void test_good_values(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
        int64_t expected;
    } cases[] = {
        {"T_NUMBER", "1000", 1000},
        {"T_NUMBER", "-10", -10},
        {"T_NUMBER", "007", 7},
        {"T_DURATION", "100ms", 100},
        {"T_DURATION", "0", 0},
        {"T_DURATION", "10s", 10000},
        {"T_DURATION", "1h30m", 5400000},
        {"T_DURATION", "1m1s1ms", 61001},
        {"T_DURATION", "24h", 86400000},
        {"T_DURATION", "1d", 86400000},
        {"T_CHOICE", "a", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct settings settings;
        clear_environment();
        setenv(cases[i].name, cases[i].value, 1);
        assert_int_equal(config_read(options, COUNT, &settings, NULL), 0);
        assert_int_equal(cases[i].name[2] == 'N'   ? settings.number
                         : cases[i].name[2] == 'D' ? settings.duration_ms
                                                   : settings.choice,
                         cases[i].expected);
        config_release(options, COUNT, &settings);
    }
}

static void test_secret_files(void **state)
{
    (void)state;
    const struct {
        const char *path, *expected;
    } cases[] = {{path_good, "canary"},
                 {path_no_newline, "canary"},
                 {path_two_newlines, "canary"},
                 {path_crlf, "canary"},
                 {path_line_ends, "canary"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct settings settings;
        clear_environment();
        setenv("T_SECRET_FILE", cases[i].path, 1);
        setenv("T_SECRET", "", 1);
        assert_int_equal(config_read(options, COUNT, &settings, NULL), 0);
        assert_string_equal(settings.secret, cases[i].expected);
        config_release(options, COUNT, &settings);
    }
}

/* Each is refused by one line that begins with the variable and does not quote the value. */
static void test_bad_values(void **state)
{
    (void)state;
    static char name_of_251_bytes[252];
    memset(name_of_251_bytes, 'q', 251);
    const struct {
        const char *name, *value, *message; /* message NULL: begins with the name */
    } cases[] = {
        {"T_NUMBER", "canary", "T_NUMBER: must be a number from -10 to 1000"},
        {"T_NUMBER", "1001", NULL},
        {"T_NUMBER", "-11", NULL},
        {"T_NUMBER", "1x", NULL},
        {"T_NUMBER", " 1", NULL},
        {"T_NUMBER", "1 ", NULL},
        {"T_NUMBER", "+1", NULL},
        {"T_NUMBER", "1.0", NULL},
        {"T_NUMBER", "0x1", NULL},
        {"T_NUMBER", "-", NULL},
        {"T_NUMBER", "9223372036854775808", NULL},
        {"T_NUMBER", "18446744073709551617", NULL},
        {"T_DURATION", "10",
         "T_DURATION: must be a duration such as 1h30m, 10s or 500ms, from 0s to 24h"},
        {"T_DURATION", "s", NULL},
        {"T_DURATION", "-1s", NULL},
        {"T_DURATION", "1 s", NULL},
        {"T_DURATION", "1w", NULL},
        {"T_DURATION", "1.5h", NULL},
        {"T_DURATION", "1hs", NULL},
        {"T_DURATION", "00", NULL},
        {"T_DURATION", "24h1ms", NULL},
        {"T_DURATION", "9223372036854775807h", NULL},
        {"T_DURATION", "9223372036854775807ms9223372036854775807ms", NULL},
        {"T_DURATION", "99999999999999999999s", NULL},
        {"T_CHOICE", "canary", "T_CHOICE: must be one of a, b"},
        {"T_CHOICE", "A", NULL},
        {"T_TEXT", "canary canary", "T_TEXT: must not have blanks"},
        {"T_SECRET", "canary canary", "T_SECRET: must not have blanks"},
        {"T_SECRET_FILE", path_empty, "T_SECRET_FILE: the file is empty"},
        {"T_SECRET_FILE", path_newline, NULL},
        {"T_SECRET_FILE", path_nul, "T_SECRET_FILE: has a NUL (U+0000) in its middle"},
        {"T_SECRET_FILE", path_long, "T_SECRET_FILE: the file is longer than 65536 bytes"},
        {"T_SECRET_FILE", path_fifo, NULL},
        {"T_SECRET_FILE", directory, "T_SECRET_FILE: cannot read the file: Is a directory"},
        {"T_SECRET_FILE", "/no/such/canary",
         "T_SECRET_FILE: cannot read the file: No such file or directory"},
        {"T_SECRET_FILE", path_bom,
         "T_SECRET_FILE: has a byte order mark (U+FEFF) at its beginning"},
        {"T_SECRET_FILE", path_utf16,
         "T_SECRET_FILE: has a byte order mark of UTF-16 at its beginning; it must be UTF-8"},
        {"T_SECRET_FILE", path_tab, "T_SECRET_FILE: has a tab (U+0009) at its end"},
        {"T_SECRET_FILE", path_escape,
         "T_SECRET_FILE: has a control character (U+001B) in its middle"},
        {"T_SECRET_FILE", path_two_lines, "T_SECRET_FILE: has a line feed (U+000A) in its middle"},
        {"T_SECRET_FILE", "/no/such/canary\r",
         "T_SECRET_FILE: has a carriage return (U+000D) at its end"},
        {"T_SECRET", "canary\tcanary", "T_SECRET: has a tab (U+0009) in its middle"},
        {"T_NUMBER", "7\r", "T_NUMBER: has a carriage return (U+000D) at its end"},
        {"T_DURATION", "1s\r", "T_DURATION: has a carriage return (U+000D) at its end"},
        {"T_CHOICE", "\xef\xbb\xbfz", "T_CHOICE: has a byte order mark (U+FEFF) at its beginning"},
        {"T_OPTIONAL", "a\xc2\x85z", "T_OPTIONAL: has a control character (U+0085) in its middle"},
        {"T_SECRET", "canary\n", NULL},
        {"T_TEXT", "canary\x7f", NULL},
        {"T_OPTIONAL", "\x01", NULL},
        {"ORDER_QUEUE", "amq.canary", NULL},
        {"ORDER_QUEUE", "canary\n", NULL},
        {"ORDER_QUEUE", "canary\tcanary", NULL},
        {"ORDER_QUEUE", "canary\x1b", NULL},
        {"ORDER_QUEUE", "canary\xc2\x85", NULL},
        {"ORDER_QUEUE", "canary\xff", NULL},
        {"ORDER_QUEUE", name_of_251_bytes, NULL},
        {"BRIDGE_ENDPOINTS", "tcp://canary:7100,", NULL},
        {"BRIDGE_ENDPOINTS", "tcp://a:7100,tcp://canary", NULL},
        {"BRIDGE_ENDPOINTS", "tcp://canary:7100,tcp://*:7100",
         "BRIDGE_ENDPOINTS: a wildcard is no address to connect to"},
        {"ADMIN_ADDRESS", "canary", NULL},
        {"ADMIN_ADDRESS", "1.2.3", NULL},
        {"ELASTICSEARCH_CA_FILE", "/no/such/canary", NULL},
        {"ELASTICSEARCH_CA_FILE", directory, "ELASTICSEARCH_CA_FILE: not a file"},
        {"ELASTICSEARCH_CA_FILE", path_fifo, "ELASTICSEARCH_CA_FILE: not a file"},
        {"ELASTICSEARCH_CA_FILE", path_empty, NULL},
        {"ELASTICSEARCH_CA_FILE", path_good,
         "ELASTICSEARCH_CA_FILE: no certificates in PEM in the file, or broken ones"},
        {"ELASTICSEARCH_CA_FILE", path_certificate, NULL},
        {"ELASTICSEARCH_CA_FILE", path_bom_certificate,
         "ELASTICSEARCH_CA_FILE: a byte order mark (U+FEFF) in the file"},
        {"ELASTICSEARCH_CA_FILE", path_utf16_certificate,
         "ELASTICSEARCH_CA_FILE: a NUL in the file: it may be UTF-16, and must be UTF-8"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct settings settings;
        struct error err;
        clear_environment();
        setenv(cases[i].name, cases[i].value, 1);
        if (config_read(options, COUNT, &settings, &err) != -1)
            fail_msg("%s=%s was taken", cases[i].name, cases[i].value);
        if (cases[i].message != NULL)
            assert_string_equal(err.message, cases[i].message);
        assert_memory_equal(err.message, cases[i].name, strlen(cases[i].name));
        assert_int_equal(err.message[strlen(cases[i].name)], ':');
        assert_null(strstr(err.message, "canary"));
        assert_null(strchr(err.message, '\n'));
        assert_null(settings.text); /* nothing is left behind */
        assert_null(settings.secret);
    }
}

static void test_variable_and_file(void **state)
{
    (void)state;
    struct settings settings;
    struct error err;
    clear_environment();
    setenv("T_SECRET", "canary", 1);
    setenv("T_SECRET_FILE", path_good, 1);
    assert_int_equal(config_read(options, COUNT, &settings, &err), -1);
    assert_string_equal(err.message, "T_SECRET: both it and T_SECRET_FILE are set");
}

/* What is no secret cannot come from a file. */
static void test_file_of_no_secret(void **state)
{
    (void)state;
    struct settings settings;
    clear_environment();
    setenv("T_TEXT_FILE", path_good, 1);
    assert_int_equal(config_read(options, COUNT, &settings, NULL), 0);
    assert_string_equal(settings.text, "text");
    config_release(options, COUNT, &settings);
    clear_environment();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),          cmocka_unit_test(test_good_values),
        cmocka_unit_test(test_secret_files),      cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_variable_and_file), cmocka_unit_test(test_file_of_no_secret),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
