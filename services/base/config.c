/* Configuration from the environment. An error names the variable and what is expected, never the
 * value: it may be a password in the wrong place. */
#include "services/base/config.h"
#include "services/base/memory.h"
#include "services/base/stray_character.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_FILE_MAX_BYTES 65536

static bool is_text(enum config_kind kind)
{
    return kind == CONFIG_STRING || kind == CONFIG_SECRET;
}

static void *member(const struct config_option *option, void *settings)
{
    return (char *)settings + option->offset;
}

/* The variable's value, NULL when unset or empty. */
static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static void file_variable(const struct config_option *option, char name[128])
{
    (void)snprintf(name, 128, "%s_FILE", option->name);
}

/* A tab is left to the checks of texts that are no secrets: a cron expression may have tabs. */
static int refuse_stray(const struct config_option *option, const char *variable, const char *text,
                        size_t len, struct error *err)
{
    char what[STRAY_CHARACTER_SIZE];
    if (!stray_character_find(text, len, option->kind == CONFIG_STRING, what))
        return 0;
    error_set(err, "%s: has %s", variable, what);
    return -1;
}

/* Read a secret's file into *ret_value (allocated). */
static int secret_read(const struct config_option *option, const char *variable, const char *path,
                       char **ret_value, struct error *err)
{
    char buffer[SECRET_FILE_MAX_BYTES + 1];
    size_t len = 0;
    ssize_t got = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block the start */
    if (fd >= 0) {
        while ((got = read(fd, buffer + len, sizeof(buffer) - len)) > 0 && len < sizeof(buffer))
            len += (size_t)got;
        int saved_errno = errno;
        (void)close(fd);
        errno = saved_errno;
    }
    if (got < 0) {
        error_set(err, "%s: cannot read the file: %s", variable, strerror(errno));
        return -1;
    }
    while (len > 0 && len < sizeof(buffer) && (buffer[len - 1] == '\n' || buffer[len - 1] == '\r'))
        len--;
    int status = -1;
    if (len == 0)
        error_set(err, "%s: the file is empty", variable);
    else if (len == sizeof(buffer))
        error_set(err, "%s: the file is longer than %d bytes", variable, SECRET_FILE_MAX_BYTES);
    else
        status = refuse_stray(option, variable, buffer, len, err);
    if (status == 0)
        *ret_value = memory_copy(buffer, len);
    explicit_bzero(buffer, sizeof(buffer));
    return status;
}

/* "-17"; no blanks, no plus sign. */
static int integer_parse(const char *text, int64_t *ret)
{
    char *end;
    if (text[text[0] == '-' ? 1 : 0] < '0' || text[text[0] == '-' ? 1 : 0] > '9')
        return -1;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0')
        return -1;
    *ret = value;
    return 0;
}

int duration_parse(const char *text, int64_t *ret_ms)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {{"ms", 1},
                 {"s", 1000},
                 {"m", 60 * 1000},
                 {"h", 60 * 60 * 1000},
                 {"d", 24 * 60 * 60 * 1000}};
    int64_t total_ms = 0;
    if (strcmp(text, "0") == 0) { /* the one that needs no unit */
        *ret_ms = 0;
        return 0;
    }
    if (*text == '\0')
        return -1;
    while (*text != '\0') {
        char *end;
        if (*text < '0' || *text > '9')
            return -1;
        errno = 0;
        int64_t ms = strtoll(text, &end, 10);
        size_t unit_len = strspn(end, "dhms"), unit = 0;
        while (
            unit < sizeof(units) / sizeof(units[0]) &&
            (strlen(units[unit].name) != unit_len || strncmp(units[unit].name, end, unit_len) != 0))
            unit++;
        if (errno != 0 || unit == sizeof(units) / sizeof(units[0]) ||
            __builtin_mul_overflow(ms, units[unit].ms, &ms) ||
            __builtin_add_overflow(total_ms, ms, &total_ms))
            return -1;
        text = end + unit_len;
    }
    *ret_ms = total_ms;
    return 0;
}

/* 5000 → "5s": the largest unit that is exact. */
static void duration_format(int64_t ms, char text[32])
{
    if (ms % 3600000 == 0 && ms != 0)
        (void)snprintf(text, 32, "%" PRId64 "h", ms / 3600000);
    else if (ms % 60000 == 0 && ms != 0)
        (void)snprintf(text, 32, "%" PRId64 "m", ms / 60000);
    else if (ms % 1000 == 0)
        (void)snprintf(text, 32, "%" PRId64 "s", ms / 1000);
    else
        (void)snprintf(text, 32, "%" PRId64 "ms", ms);
}

/* "a number from 1 to 65535", "a duration from 1s to 1h", "one of on, off". */
static void expectation(const struct config_option *option, char *text, size_t size)
{
    char low[32], high[32];
    size_t len = 0;
    switch (option->kind) {
    case CONFIG_STRING:
    case CONFIG_SECRET:
        (void)snprintf(text, size, "text");
        break;
    case CONFIG_INTEGER:
        (void)snprintf(text, size, "a number from %" PRId64 " to %" PRId64, option->minimum,
                       option->maximum);
        break;
    case CONFIG_DURATION:
        duration_format(option->minimum, low);
        duration_format(option->maximum, high);
        (void)snprintf(text, size, "a duration such as 1h30m, 10s or 500ms, from %s to %s", low,
                       high);
        break;
    case CONFIG_CHOICE:
        len = (size_t)snprintf(text, size, "one of");
        for (size_t i = 0; option->choices[i] != NULL && len < size; i++)
            len += (size_t)snprintf(text + len, size - len, "%s %s", i > 0 ? "," : "",
                                    option->choices[i]);
        break;
    }
}

static int number_store(const struct config_option *option, const char *value, void *settings)
{
    int64_t number = 0;
    if ((option->kind == CONFIG_INTEGER ? integer_parse(value, &number)
                                        : duration_parse(value, &number)) != 0 ||
        number < option->minimum || number > option->maximum)
        return -1;
    *(int64_t *)member(option, settings) = number;
    return 0;
}

static int choice_store(const struct config_option *option, const char *value, void *settings)
{
    for (int i = 0; option->choices[i] != NULL; i++) {
        if (strcmp(option->choices[i], value) == 0) {
            *(int *)member(option, settings) = i;
            return 0;
        }
    }
    return -1;
}

/* Store the text and check it. It is released with the rest when the check fails. */
static int text_store(const struct config_option *option, const char *variable, const char *value,
                      void *settings, struct error *err)
{
    struct error reason = {.message = "not valid"};
    *(char **)member(option, settings) = memory_copy_text(value);
    if (option->validate != NULL && option->validate(value, &reason) != 0) {
        error_set(err, "%s: %s", variable, reason.message);
        return -1;
    }
    return 0;
}

static int value_store(const struct config_option *option, const char *variable, const char *value,
                       void *settings, struct error *err)
{
    if (is_text(option->kind))
        return text_store(option, variable, value, settings, err);
    int stored = option->kind == CONFIG_CHOICE ? choice_store(option, value, settings)
                                               : number_store(option, value, settings);
    if (stored != 0) {
        char expected[160];
        expectation(option, expected, sizeof(expected));
        error_set(err, "%s: must be %s", variable, expected);
    }
    return stored;
}

static int option_read(const struct config_option *option, void *settings, struct error *err)
{
    const char *value = environment(option->name);
    if (option->kind == CONFIG_SECRET) {
        char file_name[128], *secret = NULL;
        file_variable(option, file_name);
        const char *path = environment(file_name);
        if (path != NULL && value != NULL) {
            error_set(err, "%s: both it and %s are set", option->name, file_name);
            return -1;
        }
        if (path != NULL) {
            if (refuse_stray(option, file_name, path, strlen(path), err) != 0 ||
                secret_read(option, file_name, path, &secret, err) != 0)
                return -1;
            int stored = value_store(option, file_name, secret, settings, err);
            explicit_bzero(secret, strlen(secret));
            free(secret);
            return stored;
        }
    }
    if (value != NULL && refuse_stray(option, option->name, value, strlen(value), err) != 0)
        return -1;
    if (value == NULL)
        value = option->default_text;
    return value != NULL ? value_store(option, option->name, value, settings, err) : 0;
}

int config_read(const struct config_option *options, size_t count, void *settings,
                struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (is_text(options[i].kind))
            *(char **)member(&options[i], settings) = NULL;
    }
    for (size_t i = 0; i < count; i++) {
        if (option_read(&options[i], settings, err) != 0) {
            config_release(options, count, settings);
            return -1;
        }
    }
    return 0;
}

void config_release(const struct config_option *options, size_t count, void *settings)
{
    for (size_t i = 0; i < count; i++) {
        if (!is_text(options[i].kind))
            continue;
        char **text = member(&options[i], settings);
        if (*text != NULL && options[i].kind == CONFIG_SECRET)
            explicit_bzero(*text, strlen(*text));
        free(*text);
        *text = NULL;
    }
}

void config_print_help(const struct config_option *options, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct config_option *option = &options[i];
        char expected[160];
        expectation(option, expected, sizeof(expected));
        printf("  %s", option->name);
        if (option->kind == CONFIG_SECRET)
            printf(" or %s_FILE (a file that holds it)", option->name);
        printf("\n      %s\n", option->help);
        if (!is_text(option->kind))
            printf("      %s\n", expected);
        printf("      default: %s\n", option->default_text != NULL ? option->default_text : "none");
    }
}
