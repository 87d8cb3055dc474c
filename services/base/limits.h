/* What a program is allowed to use, compared with what its configuration asks for. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#include "proto/error.h"
#include <stdint.h>

struct limits_wanted {
    uint64_t descriptors; /* open files in all */
    uint64_t memory_bytes;
    unsigned threads; /* each takes address space for its stack and its share of the heap */
    /* The settings that lead to these numbers, for people. */
    const char *descriptors_for, *memory_for;
};

/* Raise the limit of open files as far as it may go. Returns how many may be open then. */
uint64_t limits_raise_descriptors(void);

/* Raise the limit of open files, and compare: open files; memory with the machine's, with the
 * control group's (versions 1 and 2) and with RLIMIT_AS. Returns 0, or -1 with an error of one line
 * that tells how much is needed. */
int limits_check(const struct limits_wanted *wanted, struct error *err)
    __attribute__((warn_unused_result));

#endif
