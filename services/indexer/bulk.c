#include "services/indexer/bulk.h"
#include "services/indexer/bulk_response.h"
#include "services/indexer/server_error.h"
#include <stdio.h>

void bulk_begin(struct bulk *bulk, size_t count, struct verdict verdicts[], int64_t now_ms)
{
    bulk->verdicts = verdicts;
    bulk->deadline_ms = now_ms + BULK_TIMEOUT_MS;
    bulk->any_decided = false;
    bulk->systemic = false;
    verdict_fail(&bulk->last_retry, OUTCOME_RETRY, "elasticsearch_unavailable", "no time left");
    parts_begin(&bulk->parts, count);
}

static void retry_later(struct bulk *bulk, const struct part *part)
{
    for (size_t i = 0; i < part->count; i++)
        bulk->verdicts[part->first + i] = bulk->last_retry;
}

bool bulk_next(struct bulk *bulk, int64_t now_ms, struct part *ret_part, int64_t *ret_timeout_ms)
{
    struct part part;
    int64_t left_ms = bulk->deadline_ms - now_ms;
    while (parts_take(&bulk->parts, &part)) {
        if (!bulk->systemic && left_ms > 0) {
            *ret_part = part;
            *ret_timeout_ms = left_ms;
            return true;
        }
        retry_later(bulk, &part);
    }
    return false;
}

void bulk_shorten(struct bulk *bulk, struct part *part, size_t count)
{
    if (count == part->count)
        return;
    parts_add(&bulk->parts, (struct part){part->first + count, part->count - count});
    part->count = count;
}

/* The request as a whole has failed for a reason that is no order's fault: an overload, a missing
 * index or privilege, a server that is down. */
static void fail_all(struct bulk *bulk, const struct part *part, const char *code,
                     const char *detail)
{
    bulk->systemic = true;
    verdict_fail(&bulk->last_retry, OUTCOME_RETRY, code, detail);
    retry_later(bulk, part);
}

static void read_items(struct bulk *bulk, const struct part *part, const char *body,
                       size_t len_bytes)
{
    struct verdict *verdicts = &bulk->verdicts[part->first];
    struct error err;
    if (bulk_response_read(body, len_bytes, part->count, verdicts, &err) != 0) {
        fail_all(bulk, part, "elasticsearch_unreadable", err.message);
        return;
    }
    for (size_t i = 0; i < part->count; i++)
        if (verdicts[i].outcome != OUTCOME_RETRY)
            bulk->any_decided = true;
}

void bulk_answered(struct bulk *bulk, const struct part *part, long status, const char *body,
                   size_t len_bytes, const struct error *err)
{
    if (status == 200) {
        read_items(bulk, part, body, len_bytes);
    } else if (status == 0) {
        fail_all(bulk, part, "elasticsearch_unavailable", err->message);
    } else if (status == 413 && part->count > 1) {
        parts_cut(&bulk->parts, part, 2);
    } else {
        struct error reason;
        server_error_from_body(body, len_bytes, &reason);
        char code[REPLY_CODE_SIZE];
        (void)snprintf(code, sizeof(code), "elasticsearch_%ld", status); /* it fits */
        if (status == 413) {                                             /* one order alone */
            bulk->any_decided = true;
            verdict_fail(&bulk->verdicts[part->first], OUTCOME_REJECT, code, reason.message);
        } else {
            fail_all(bulk, part, code, reason.message);
        }
    }
}

bool bulk_backend_down(const struct bulk *bulk)
{
    return bulk->systemic || !bulk->any_decided;
}
