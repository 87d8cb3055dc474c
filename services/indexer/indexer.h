/* The indexer: makes stored orders searchable in Elasticsearch. Health: "elasticsearch". */
#ifndef INDEXER_INDEXER_H
#define INDEXER_INDEXER_H

#include "services/runtime/service.h"

extern const struct service indexer_service;

#endif
