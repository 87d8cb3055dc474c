/* Writes the text of an answer, and frees the JSON that it was made of. */
#include "services/gateway/json_answer.h"
#include <stdlib.h>
#include <string.h>

void reply_json(struct request *request, int status, json_t *json)
{
    char *text = request != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    if (request != NULL && text == NULL)
        abort(); /* out of memory */
    json_decref(json);
    reply_header(request, "cache-control", "no-store");
    if (text != NULL)
        reply_send_kept(request, status, "application/json", text, strlen(text), free, text);
}
