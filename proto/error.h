/* The one error value: what went wrong, in words for the person who reads the log. */
#ifndef PROTO_ERROR_H
#define PROTO_ERROR_H

struct error {
    char message[256];
};

/* Write a printf-style message; one that is cut to fit ends in "...". `err` may be NULL: then
 * nothing happens. Never blocks. */
void error_set(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
