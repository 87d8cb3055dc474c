/* A job in JSON, wherever the API tells of one. */
#ifndef GATEWAY_JOB_JSON_H
#define GATEWAY_JOB_JSON_H

#include "services/clients/postgres/job_record.h"
#include <jansson.h>

/* A new object. */
json_t *job_json(const struct job_record *job);

#endif
