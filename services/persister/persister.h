/* The persister: stores orders in PostgreSQL, the source of truth. Health: "postgres". */
#ifndef PERSISTER_PERSISTER_H
#define PERSISTER_PERSISTER_H

#include "services/runtime/service.h"

extern const struct service persister_service;

#endif
