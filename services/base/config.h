/* Configuration from the environment, by one table per service. An unset or empty variable means
 * its default. A secret may also come as NAME_FILE (the file's content without the line ends at its
 * end). No value may have control characters or a byte order mark, but a text that is no secret may
 * have tabs. */
#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

#include "proto/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_kind {
    CONFIG_STRING,   /* char * */
    CONFIG_SECRET,   /* char *, also NAME_FILE; never printed */
    CONFIG_INTEGER,  /* int64_t within [minimum, maximum] */
    CONFIG_DURATION, /* int64_t milliseconds from "500ms", "10s", "90d", "1h30m"; within [minimum,
                        maximum] ms */
    CONFIG_CHOICE,   /* int: index into `choices` */
};

struct config_option {
    const char *name;         /* "POSTGRES_DSN" */
    const char *default_text; /* as a user would write it; NULL = none (then a string is NULL) */
    const char *help;         /* one line */
    enum config_kind kind;
    size_t offset; /* of the member in the service's configuration struct */
    int64_t minimum, maximum;
    const char *const *choices; /* ends with NULL */
    /* Optional further check of a string's value ("not a URL"); its message must not contain the
     * value. */
    int (*validate)(const char *value, struct error *err);
};

/* A row of the table: name, kind, the service's configuration struct, its member, and then any of
 * the other fields as designated initializers. */
#define CONFIG_OPTION(name_, kind_, type, member, ...)                                             \
    {                                                                                              \
        .name = (name_), .kind = (kind_), .offset = offsetof(type, member), __VA_ARGS__            \
    }

/* Read every option into `settings`. Strings are allocated and live until config_release(). Returns
 * 0, or -1 with an error of one line that names the variable, never its value. */
int config_read(const struct config_option *options, size_t count, void *settings,
                struct error *err) __attribute__((warn_unused_result));
void config_release(const struct config_option *options, size_t count, void *settings);

/* The table for --help, to standard output. */
void config_print_help(const struct config_option *options, size_t count);

/* Parse a duration, "500ms", "1h30m", "90d": whole numbers, each with its unit, added up. Returns
 * 0, or -1 with *ret_ms untouched. */
int duration_parse(const char *text, int64_t *ret_ms) __attribute__((warn_unused_result));

/* Rows that several services share stand beside the client that reads them, in options.h. */

#endif
