/* Files that a setting names. */
#ifndef BASE_REGULAR_FILE_H
#define BASE_REGULAR_FILE_H

#include "proto/error.h"
#include <stdio.h>

/* Open a regular file for reading; fclose() it. A FIFO or a directory is refused without waiting.
 * Returns NULL with `err` set. */
FILE *regular_file_open(const char *path, struct error *err) __attribute__((warn_unused_result));

#endif
