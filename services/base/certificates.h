/* Files of certificates that servers must be signed by. */
#ifndef BASE_CERTIFICATES_H
#define BASE_CERTIFICATES_H

#include "proto/error.h"

/* For config_option.validate: is it a file that can be read now, with at least one certificate in
 * PEM and nothing in PEM that is broken? The libraries that use it say so only with the first
 * connection, and some of them never. Never blocks. */
int certificates_validate(const char *path, struct error *err);

#endif
