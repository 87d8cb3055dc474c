/* The persister: stores orders in PostgreSQL, the source of truth. Health: "postgres". */
#ifndef PERSISTER_PERSISTER_H
#define PERSISTER_PERSISTER_H

#include "proto/error.h"

/* As service.run, with a struct persister_settings. */
int persister_run(const void *settings, int stop_fd, struct error *err);

#endif
