/* Serves on the threads of the connections: what a test changes meanwhile is atomic. */
#include "tests/unit/scheduler/index/fake_index.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKED "{\"error\":{\"type\":\"cluster_block_exception\",\"reason\":\"the disk is full\"}}"
#define REFUSED "{\"type\":\"document_parsing_exception\",\"reason\":\"it is poison\"}"
#define OVERLOADED "{\"type\":\"es_rejected_execution_exception\",\"reason\":\"queue is full\"}"

static int look(struct fake_index *index, char *body, size_t size)
{
    if (atomic_load(&index->absent)) {
        snprintf(body, size, "{\"error\":{\"type\":\"index_not_found_exception\"}}");
        return 404;
    }
    snprintf(
        body, size,
        "{\"orders-000001\":{\"aliases\":{\"orders\":{\"is_write_index\":true}},\"mappings\":"
        "{\"properties\":{\"product_name\":{\"type\":\"text\"},\"amount\":{\"type\":\"double\"},"
        "\"created_at\":{\"type\":\"date\"}}},\"settings\":{\"index\":{\"uuid\":\"uuid%u\"}}}}",
        atomic_load(&index->incarnation));
    return 200;
}

static int serve(void *arg, const char *request, char *body, size_t size)
{
    struct fake_index *index = arg;
    if (atomic_fetch_add(&index->requests, 1) >= atomic_load(&index->requests_max))
        return 503;
    int status = atomic_load(&index->status);
    if (status == 403)
        snprintf(body, size, BLOCKED);
    if (status != 200)
        return status;
    if (strncmp(request, "GET /orders?", 12) == 0)
        return look(index, body, size);
    if (strncmp(request, "POST /orders/_bulk?", 19) != 0 ||
        strstr(request, "&require_alias=true&") == NULL)
        return 400;
    static const char action[] = "{\"index\":{\"_id\":\"";
    unsigned items = 0;
    for (const char *line = request; (line = strstr(line, action)) != NULL; line++)
        items++;
    if (items > atomic_load(&index->items_max))
        return 413;
    items = 0;
    size_t len = (size_t)snprintf(body, size, "{\"items\":[");
    for (const char *line = strstr(request, action); line != NULL;
         line = strstr(line + 1, action)) {
        const char *id = line + sizeof action - 1, *document = strchr(line, '\n') + 1;
        unsigned number = (unsigned)strtoul(
            (char[9]){id[0], id[1], id[2], id[3], id[4], id[5], id[6], id[7]}, NULL, 16);
        const char *error = NULL;
        int item_status = 201;
        if (strncmp(strchr(document, ',') + 1, "\"product_name\":\"poison\"", 23) == 0) {
            error = REFUSED;
            item_status = 400;
        } else if (items % 2 == 1 && atomic_load(&index->overloaded)) {
            error = OVERLOADED;
            item_status = 429;
        } else {
            atomic_fetch_add(&index->written[number], 1);
        }
        len += (size_t)snprintf(body + len, size - len,
                                "%s{\"index\":{\"_id\":\"%.36s\",\"status\":%d%s%s}}",
                                items > 0 ? "," : "", id, item_status,
                                error != NULL ? ",\"error\":" : "", error != NULL ? error : "");
        items++;
    }
    atomic_store(&index->overloaded, false);
    (void)snprintf(body + len, size - len, "]}");
    return 200;
}

void fake_index_start(struct fake_index *index)
{
    atomic_store(&index->status, 200);
    atomic_store(&index->items_max, 2000);
    atomic_store(&index->requests_max, UINT_MAX);
    index->peer = http_peer_new_answering(serve, index);
    snprintf(index->url, sizeof index->url, "http://127.0.0.1:%u",
             (unsigned)http_peer_port(index->peer));
}

void fake_index_stop(struct fake_index *index)
{
    http_peer_free(index->peer);
}
