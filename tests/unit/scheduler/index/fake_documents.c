#include "tests/unit/scheduler/index/fake_documents.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned number_of(const char *id)
{
    char digits[9] = "";
    memcpy(digits, id, 8);
    return (unsigned)strtoul(digits, NULL, 16);
}

#define LATER "\"gte\":\"20" /* only what is dated in the future begins after 2020-01-01 */

static void write_later_hours(struct fake_documents *fake, const char *request, char *body,
                              size_t size)
{
    snprintf(body, size, "{\"timed_out\":false,\"aggregations\":{\"hours\":{\"buckets\":[%s]}}}",
             atomic_load(&fake->extra) && strstr(request, "\"lt\":\"20") == NULL
                 ? "{\"key\":{\"hour\":5680281600000},\"doc_count\":1,\"sum\":{\"value\":1}}"
                 : "");
}

static void write_walk(struct fake_documents *fake, const char *request, char *body, size_t size)
{
    bool found = atomic_load(&fake->extra) && strstr(request, "\"gte\":\"2150-01-01T00") != NULL;
    snprintf(body, size, "{\"_scroll_id\":\"s\",\"timed_out\":false,\"hits\":{\"hits\":[%s]}}",
             found ? "{\"_index\":\"orders-000001\",\"_id\":\"" EXTRA_ID
                     "\",\"_seq_no\":7,\"_primary_term\":1}"
                   : "");
}

static size_t write_hours(struct fake_documents *fake, char *body, size_t size)
{
    size_t len = (size_t)snprintf(body, size,
                                  "{\"timed_out\":false,\"aggregations\":{\"hours\":"
                                  "{\"buckets\":[");
    const char *comma = "";
    for (int hour = 0; hour <= ORDERS_MAX / PER_HOUR; hour++) {
        unsigned count = 0;
        for (int n = hour * PER_HOUR; n < (hour + 1) * PER_HOUR && n <= ORDERS_MAX; n++)
            count +=
                atomic_load(&fake->present[n]) || (n > 0 && n == (int)atomic_load(&fake->gone));
        if (count == 0)
            continue;
        len += (size_t)snprintf(body + len, size - len,
                                "%s{\"key\":{\"hour\":%lld},\"doc_count\":%u,"
                                "\"sum\":{\"value\":%u}}",
                                comma, (1577836800LL + hour * 3600LL) * 1000, count, count);
        comma = ",";
    }
    return len + (size_t)snprintf(body + len, size - len, "]}}}");
}

/* Of an order's own content. */
static void write_documents(struct fake_documents *fake, const char *ids, char *body, size_t size)
{
    size_t len = (size_t)snprintf(body, size, "{\"docs\":[");
    const char *comma = "";
    for (const char *id = strstr(ids, "[\"") + 1; *id == '"'; id += 39) {
        unsigned n = number_of(id + 1);
        len += (size_t)snprintf(
            body + len, size - len,
            "%s{\"_index\":\"orders-000001\",\"_id\":\"%.36s\",\"found\":", comma, id + 1);
        comma = ",";
        bool there = n <= ORDERS_MAX ? atomic_load(&fake->present[n]) : atomic_load(&fake->extra);
        if (!there) {
            len += (size_t)snprintf(body + len, size - len, "false}");
            continue;
        }
        unsigned hour = n / PER_HOUR;
        len += (size_t)snprintf(body + len, size - len,
                                "true,\"_seq_no\":1,\"_primary_term\":1,\"_source\":{\"id\":"
                                "\"%.36s\",\"product_name\":\"order\",\"amount\":1,"
                                "\"created_at\":\"2020-01-%02uT%02u:00:00Z\"}}",
                                id + 1, 1 + hour / 24, hour % 24);
        if (id[38] != ',')
            break;
    }
    (void)snprintf(body + len, size - len, "]}");
}

static void write_bulk(struct fake_documents *fake, const char *request, char *body, size_t size)
{
    static const char
        action[] = "{\"index\":{\"_id\":\"",
        refusal[] =
            ",\"error\":{\"type\":\"document_parsing_exception\",\"reason\":\"it is poison\"}";
    size_t len = (size_t)snprintf(body, size, "{\"items\":[");
    const char *comma = "";
    for (const char *line = strstr(request, action); line != NULL;
         line = strstr(line + 1, action)) {
        const char *id = line + sizeof action - 1;
        unsigned n = number_of(id);
        bool refused = n == atomic_load(&fake->refused);
        len += (size_t)snprintf(body + len, size - len,
                                "%s{\"index\":{\"_id\":\"%.36s\",\"status\":%d%s}}", comma, id,
                                refused ? 400 : 201, refused ? refusal : "");
        comma = ",";
        if (refused)
            continue;
        atomic_fetch_add(&fake->written[n], 1);
        atomic_store(&fake->present[n], true);
    }
    (void)snprintf(body + len, size - len, "]}");
}

static void write_deletion(struct fake_documents *fake, const char *request, char *body,
                           size_t size)
{
    if (strstr(request, "{\"delete\":{\"_index\":\"orders-000001\",\"_id\":\"" EXTRA_ID
                        "\",\"if_seq_no\":7,\"if_primary_term\":1}}\n") != NULL)
        atomic_store(&fake->extra, false);
    snprintf(body, size, "{\"items\":[{\"delete\":{\"_id\":\"" EXTRA_ID "\",\"status\":200}}]}");
}

static int answer_refresh(struct fake_documents *fake, char *body, size_t size)
{
    atomic_fetch_add(&fake->refreshes, 1);
    if (atomic_load(&fake->refuses_refresh)) {
        snprintf(body, size, "{\"error\":{\"type\":\"security_exception\",\"reason\":\"no\"}}");
        return 403;
    }
    atomic_store(&fake->gone, 0);
    snprintf(body, size, "{\"_shards\":{\"failed\":0}}");
    return 200;
}

int fake_documents_serve(void *arg, const char *request, char *body, size_t size)
{
    struct fake_documents *fake = arg;
    atomic_fetch_add(&fake->requests, 1);
    if (strncmp(request, "GET /orders?", 12) == 0)
        snprintf(
            body, size,
            "{\"orders-000001\":{\"aliases\":{\"orders\":{\"is_write_index\":true}},"
            "\"mappings\":{\"_meta\":{%s},\"properties\":{\"product_name\":{\"type\":\"text\"},"
            "\"amount\":{\"type\":\"double\"},\"created_at\":{\"type\":\"date\"}}},"
            "\"settings\":{\"index\":{\"uuid\":\"u\"}}}}",
            atomic_load(&fake->another) ? "\"deployment\":\"not this one\"" : "");
    else if (strncmp(request, "POST /orders/_refresh ", 22) == 0)
        return answer_refresh(fake, body, size);
    else if (strstr(request, "\"composite\"") != NULL && strstr(request, LATER) != NULL)
        write_later_hours(fake, request, body, size);
    else if (strstr(request, "\"composite\"") != NULL)
        write_hours(fake, body, size);
    else if (strstr(request, "\"undated\"") != NULL)
        snprintf(body, size,
                 "{\"timed_out\":false,\"hits\":{\"total\":{\"value\":0}},"
                 "\"aggregations\":{\"undated\":{\"doc_count\":0}}}");
    else if (strncmp(request, "POST /orders/_mget", 18) == 0)
        write_documents(fake, strstr(request, "{\"ids\":"), body, size);
    else if (strncmp(request, "POST /orders/_bulk?", 19) == 0 &&
             strstr(request, "&require_alias=true&") != NULL)
        write_bulk(fake, request, body, size);
    else if (strncmp(request, "POST /_bulk?", 12) == 0)
        write_deletion(fake, request, body, size);
    else
        write_walk(fake, request, body, size);
    return 200;
}
