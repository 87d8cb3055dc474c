/* The verdicts on a part that was sent by _bulk. */
#include "services/indexer/bulk_answer.h"
#include "services/clients/elasticsearch/bulk_items.h"
#include <stdio.h>

static void judge_item(const struct bulk_item *item, struct verdict *verdict)
{
    if (item->stored) {
        verdict_done(verdict, 0);
        return;
    }
    char code[VERDICT_CODE_SIZE];
    (void)snprintf(code, sizeof code, "bulk_%d", (int)item->status); /* it fits */
    verdict_fail(verdict, item->about_the_document ? OUTCOME_REJECT : OUTCOME_RETRY, code,
                 item->error.words.message);
}

static void judge_all_stored(struct batch *batch)
{
    for (size_t i = 0; i < batch->part.count; i++)
        verdict_done(&batch->verdicts[batch->part.first + i], 0);
    batch->store_works = true;
}

static void give_up(struct batch *batch, const char *code, const char *detail)
{
    batch_failed(batch, code, detail);
    batch_give_up(batch);
}

/* No order is done unless each order has a status. */
static void judge_items(struct batch *batch, const struct order *const orders[], const char *body,
                        size_t len_bytes)
{
    size_t count = batch->part.count;
    struct error err;
    struct bulk_items *items = bulk_items_new("index", body, len_bytes, count, &err);
    if (items != NULL && !bulk_items_are_of(items, orders)) {
        error_set(&err, "the answer to _bulk is not that of the %zu orders sent", count);
        bulk_items_free(items);
        items = NULL;
    }
    if (items == NULL) {
        give_up(batch, "elasticsearch_unreadable", err.message);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct verdict *verdict = &batch->verdicts[batch->part.first + i];
        struct bulk_item item;
        bulk_items_get(items, i, &item);
        judge_item(&item, verdict);
        batch->store_works = batch->store_works || verdict->outcome != OUTCOME_RETRY;
    }
    bulk_items_free(items);
}

void bulk_answer_judge(struct batch *batch, long status, const char *body, size_t len_bytes,
                       const struct error *err)
{
    const struct order *const *orders = batch->orders + batch->part.first;
    if (status == 200 && bulk_items_all_stored(orders, batch->part.count, body, len_bytes)) {
        judge_all_stored(batch);
    } else if (status == 200) {
        judge_items(batch, orders, body, len_bytes);
    } else if (status == 0) {
        give_up(batch, "elasticsearch_unavailable", err->message);
    } else if (status == 413 && batch->part.count > 1) {
        batch_cut(batch, 2);
    } else {
        struct server_error error;
        server_error_parse(body, len_bytes, &error);
        bulk_items_name_privilege(&error, status);
        char code[VERDICT_CODE_SIZE];
        (void)snprintf(code, sizeof code, "elasticsearch_%ld", status); /* it fits */
        if (status != 413) {
            give_up(batch, code, error.words.message);
        } else { /* smaller ones may pass the limit */
            batch_failed(batch, code, error.words.message);
            batch_retry_later(batch);
        }
    }
}
