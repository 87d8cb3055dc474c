/* The indexer: makes stored orders searchable in Elasticsearch. Health: "elasticsearch". */
#ifndef INDEXER_INDEXER_H
#define INDEXER_INDEXER_H

#include "proto/error.h"

/* As service.run, with a struct indexer_settings. */
int indexer_run(const void *settings, int stop_fd, struct error *err);

#endif
