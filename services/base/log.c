/* JSON lines on standard error. A line is built in a buffer on the stack and handed to the writer
 * (log_writer.h), which writes it by one write(): lines of several threads and processes never mix.
 * Values that are too long are cut, fields that no longer fit are left out and "truncated":true is
 * added, so a line is always one JSON object. */
#include "services/base/log.h"
#include "proto/timestamp.h"
#include "services/base/clock.h"
#include "services/base/json_text.h"
#include "services/base/log_writer.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define VALUE_MAX_BYTES 1024 /* escaped */
#define NAME_MAX_BYTES 64
#define LIMIT_PERIOD_MS 5000
#define FLUSH_MS 500

static const char line_end[] = "}\n";
static const char line_end_truncated[] = ",\"truncated\":true}\n";

static const char *const level_names[] = {"debug", "info", "warn", "error"};

static const char *log_service = "-";
static _Atomic int log_threshold = LOG_LEVEL_INFO;
static _Atomic uint64_t dropped_unsaid; /* lines, since the last one that was taken */

struct line {
    char text[LOG_LINE_MAX_BYTES];
    size_t len;
    bool truncated;
};

void log_init(const char *service, enum log_level threshold)
{
    log_service = service;
    log_threshold = (int)threshold;
}

/* Add `"name":value` to the line, or nothing when it does not fit. */
static void line_add(struct line *line, const char *name, const char *value, bool quoted)
{
    char piece[NAME_MAX_BYTES + VALUE_MAX_BYTES + 8];
    const char *quote = quoted ? "\"" : "";
    int len = snprintf(piece, sizeof(piece), "%s\"%s\":%s%s%s", line->len > 0 ? "," : "{", name,
                       quote, value, quote);
    if (line->truncated || len < 0 || (size_t)len >= sizeof(piece) ||
        line->len + (size_t)len + sizeof(line_end_truncated) > sizeof(line->text)) {
        line->truncated = true;
        return;
    }
    memcpy(line->text + line->len, piece, (size_t)len);
    line->len += (size_t)len;
}

static void line_add_text(struct line *line, const char *name, const char *text)
{
    char escaped_name[NAME_MAX_BYTES], escaped[VALUE_MAX_BYTES];
    (void)json_text_escape(name, strlen(name), escaped_name, sizeof(escaped_name));
    if (text == NULL) {
        line_add(line, escaped_name, "null", false);
        return;
    }
    (void)json_text_escape(text, strlen(text), escaped, sizeof(escaped));
    line_add(line, escaped_name, escaped, true);
}

static void line_add_number(struct line *line, const char *name, int64_t number)
{
    char escaped_name[NAME_MAX_BYTES], text[24];
    (void)json_text_escape(name, strlen(name), escaped_name, sizeof(escaped_name));
    (void)snprintf(text, sizeof(text), "%lld", (long long)number);
    line_add(line, escaped_name, text, false);
}

static bool line_put(struct line *line)
{
    const char *end = line->truncated ? line_end_truncated : line_end;
    memcpy(line->text + line->len, end, strlen(end));
    line->len += strlen(end);
    return log_writer_put(line->text, line->len);
}

static void log_line(enum log_level level, const char *message, const struct log_field *fields,
                     uint64_t suppressed)
{
    int saved_errno = errno;
    struct line line = {.len = 0};
    uint64_t dropped = atomic_exchange(&dropped_unsaid, 0);
    char time_text[TIMESTAMP_TEXT_SIZE];
    (void)timestamp_format(timestamp_now_us(), time_text);
    line_add_text(&line, "time", time_text);
    line_add_text(&line, "level", level_names[level]);
    line_add_text(&line, "service", log_service);
    line_add_text(&line, "message", message);
    if (suppressed > 0)
        line_add_number(&line, "suppressed", (int64_t)suppressed);
    if (dropped > 0)
        line_add_number(&line, "dropped", (int64_t)dropped);
    for (; fields->name != NULL; fields++) {
        switch (fields->kind) {
        case LOG_TEXT:
            line_add_text(&line, fields->name, fields->text);
            break;
        case LOG_NUMBER:
            line_add_number(&line, fields->name, fields->number);
            break;
        }
    }
    if (!line_put(&line))
        dropped_unsaid += dropped + 1;
    errno = saved_errno;
}

void log_write(enum log_level level, const char *message, const struct log_field *fields)
{
    if ((int)level >= log_threshold)
        log_line(level, message, fields, 0);
}

void log_limited(struct log_limit *limit, enum log_level level, const char *message,
                 const struct log_field *fields)
{
    if ((int)level < log_threshold)
        return;
    int64_t now_ms = clock_monotonic_ms();
    int64_t last_ms = limit->last_ms;
    int64_t period_ms = limit->period_ms > 0 ? limit->period_ms : LIMIT_PERIOD_MS;
    bool due = last_ms == 0 || now_ms - last_ms >= period_ms;
    if (!due || !atomic_compare_exchange_strong(&limit->last_ms, &last_ms, now_ms)) {
        limit->suppressed++;
        return;
    }
    log_line(level, message, fields, atomic_exchange(&limit->suppressed, 0));
}

void log_flush(void)
{
    log_writer_flush(FLUSH_MS);
}
