/* Answers in JSON, built with jansson. */
#ifndef GATEWAY_JSON_ANSWER_H
#define GATEWAY_JSON_ANSWER_H

#include "services/gateway/json_members.h"
#include "services/gateway/request.h"
#include <jansson.h>

/* Answer with `json`, which is freed; nobody may store it. */
void reply_json(struct request *request, int status, json_t *json);

#endif
