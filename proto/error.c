/* Filling in the error value. */
#include "proto/error.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void error_set(struct error *err, const char *format, ...)
{
    if (err == NULL)
        return;
    va_list args;
    va_start(args, format);
    int len = vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    if (len >= (int)sizeof err->message) {
        char *end = err->message + sizeof err->message - sizeof "...";
        while (end > err->message && ((unsigned char)*end & 0xC0) == 0x80)
            end--; /* not in the middle of a UTF-8 character */
        memcpy(end, "...", sizeof "...");
    }
}
