/* Reading what the user typed. */
#include "services/orderctl/arguments.h"
#include "proto/order_id.h"
#include "proto/timestamp.h"
#include "proto/utf8.h"
#include "services/base/config.h"
#include "services/base/memory.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

long long argument_number(const struct argp_state *state, const char *what, const char *text,
                          long long minimum, long long maximum)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number < minimum || number > maximum)
        argp_error(state, "%s must be a number from %lld to %lld", what, minimum, maximum);
    return number;
}

const char *argument_text(const struct argp_state *state, const char *what, const char *text)
{
    size_t at = 0, step, len = strlen(text);
    while (at < len && utf8_decode(text + at, len - at, &step) != UTF8_INVALID)
        at += step;
    if (len == 0 || at < len)
        argp_error(state, "%s must be text in UTF-8, and not empty", what);
    return text;
}

const char *argument_order_id(const struct argp_state *state, const char *text)
{
    struct order_id id;
    if (order_id_parse(text, strlen(text), &id) != 0)
        argp_error(state, "an order id is a UUID such as 01a2076c-998d-7e86-b21d-4f1b14821ba4");
    return text;
}

int instant_parse(const char *text, int64_t now_us, int64_t *ret_us)
{
    int64_t ago_ms, instant_us;
    size_t len = strlen(text);
    char midnight[] = "yyyy-mm-ddT00:00:00Z";
    if (duration_parse(text, &ago_ms) == 0) {
        if (ago_ms > (now_us - TIMESTAMP_MIN_US) / 1000)
            return -1;
        *ret_us = now_us - ago_ms * 1000;
        return 0;
    }
    if (len == strlen("yyyy-mm-dd")) {
        memcpy(midnight, text, len);
        text = midnight;
    }
    if (timestamp_parse(text, strlen(text), &instant_us) != 0)
        return -1;
    *ret_us = instant_us;
    return 0;
}

char *argument_file_read(const char *name, size_t max_bytes, size_t *ret_len)
{
    int fd = strcmp(name, "-") == 0 ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
    char *bytes = memory_take(max_bytes + 2);
    size_t len = 0;
    ssize_t got = -1;
    if (fd >= 0)
        while ((got = read(fd, bytes + len, max_bytes + 1 - len)) > 0)
            len += (size_t)got;
    if (got < 0)
        fprintf(stderr, "orderctl: cannot read %s: %s\n", name, strerror(errno));
    else if (len > max_bytes)
        fprintf(stderr, "orderctl: %s is longer than %zu bytes\n", name, max_bytes);
    if (fd > STDIN_FILENO)
        (void)close(fd);
    if (got < 0 || len > max_bytes) {
        free(bytes);
        return NULL;
    }
    bytes[len] = '\0';
    *ret_len = len;
    return bytes;
}
