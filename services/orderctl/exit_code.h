/* What orderctl ends with. 64 and above are those of sysexits.h; the manual page lists them. */
#ifndef ORDERCTL_EXIT_CODE_H
#define ORDERCTL_EXIT_CODE_H

#include <sysexits.h>

enum exit_code {
    EXIT_GOOD = 0,
    EXIT_WRONG = 1, /* the answer is no: something is wrong, dead, refused or not there */
    EXIT_USAGE = EX_USAGE,
    EXIT_NO_INPUT = EX_NOINPUT,        /* a file cannot be read */
    EXIT_UNAVAILABLE = EX_UNAVAILABLE, /* no gateway, or it cannot do this now */
    EXIT_NO_OUTPUT = EX_CANTCREAT,     /* a file, or the output, cannot be written */
    EXIT_TOO_LATE = EX_TEMPFAIL,       /* what was waited for has not come in time */
    EXIT_NOT_UNDERSTOOD = EX_PROTOCOL, /* the answer is not one of the gateway's */
    EXIT_NOT_ALLOWED = EX_NOPERM,
    EXIT_SETTING = EX_CONFIG,
    EXIT_INTERRUPTED = 130,
};

#endif
