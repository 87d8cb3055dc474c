/* Filling in the error value. */
#include "proto/error.h"
#include <stdarg.h>
#include <stdio.h>

void error_set(struct error *err, const char *format, ...)
{
    if (err == NULL)
        return;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err->message, sizeof err->message, format, args); /* cut to fit on purpose */
    va_end(args);
}
