/* JSON lines on standard error: time, level, service, message, then fields. Any thread; a line is
 * one write(). Logging never blocks: lines that nobody takes are dropped and counted, and the next
 * line has the number as "dropped". Values are escaped; never log payloads or secrets. Only
 * services log; common/ and proto/ return errors, except for the clients that reconnect by
 * themselves, which report through their status callbacks. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdint.h>

/* Not LOG_DEBUG and so on: those are macros of <syslog.h>, which <czmq.h> includes. */
enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

struct log_field {
    const char *name;
    enum { LOG_TEXT, LOG_NUMBER } kind;
    const char *text;
    int64_t number;
};

#define log_text(field_name, value) ((struct log_field){(field_name), LOG_TEXT, (value), 0})
#define log_number(field_name, value)                                                              \
    ((struct log_field){(field_name), LOG_NUMBER, 0, (int64_t)(value)})

/* Called once, before threads start. `service` must live for ever. */
void log_init(const char *service, enum log_level threshold);

/* Before the process ends: wait until the lines are written, for half a second at most. */
void log_flush(void);

/* log_info("connected", log_text("server", name), log_number("attempts", n)); */
#define log_debug(...) log_event(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...) log_event(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...) log_event(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) log_event(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_event(level, message, ...)                                                             \
    log_write((level), (message), (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){0}})

/* `fields` ends with an entry whose name is NULL. */
void log_write(enum log_level level, const char *message, const struct log_field *fields);

/* A repeating event: at most one line per 5 s, or per `period_ms`, for each `struct log_limit`,
 * with the number of those held back. Static storage, the rest zero-initialised, any thread.
 * log_warn_limited(&limit, "cannot connect", log_text("server", name)); */
struct log_limit {
    int64_t period_ms;       /* 0: 5 s */
    _Atomic int64_t last_ms; /* clock_monotonic_ms() of the last line; 0 = none yet */
    _Atomic uint64_t suppressed;
};
#define log_info_limited(limit, ...) log_event_limited((limit), LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn_limited(limit, ...) log_event_limited((limit), LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error_limited(limit, ...) log_event_limited((limit), LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_event_limited(limit, level, message, ...)                                              \
    log_limited((limit), (level), (message),                                                       \
                (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){0}})

void log_limited(struct log_limit *limit, enum log_level level, const char *message,
                 const struct log_field *fields);

#endif
