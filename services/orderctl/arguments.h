/* Values of options and arguments. */
#ifndef ORDERCTL_ARGUMENTS_H
#define ORDERCTL_ARGUMENTS_H

#include <argp.h>
#include <stddef.h>
#include <stdint.h>

/* A whole number from `minimum` to `maximum`; any other text ends the program with words that name
 * `what`. */
long long argument_number(const struct argp_state *state, const char *what, const char *text,
                          long long minimum, long long maximum);
/* A text that JSON can hold: UTF-8, and not empty. Or the program ends. */
const char *argument_text(const struct argp_state *state, const char *what, const char *text);
/* The id of an order, or the program ends. */
const char *argument_order_id(const struct argp_state *state, const char *text);

/* An instant: RFC 3339, a UTC date, or a duration before `now_us` ("2h", "7d"). Returns 0, or -1
 * with *ret_us untouched. */
int instant_parse(const char *text, int64_t now_us, int64_t *ret_us)
    __attribute__((warn_unused_result));

/* The whole file of that name, "-" is standard input, at most `max_bytes`; free() it. Returns NULL
 * with a complaint on standard error. */
char *argument_file_read(const char *name, size_t max_bytes, size_t *ret_len);

#endif
