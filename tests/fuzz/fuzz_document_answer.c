#include "services/scheduler/index/document_answer.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>

/* Whatever is answered: spans lie within the text, orders are orders, hours fit. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct error err;
    struct document_answer *answer = document_answer_new(text, size, &err);
    struct document_item item;
    struct order order;
    size_t items = 0;
    while (answer != NULL && document_answer_next(answer, &item)) {
        items++;
        REQUIRE(item.id != NULL && item.index != NULL);
        if (item.source.len > 0)
            REQUIRE(item.source.text >= text && item.source.text + item.source.len <= text + size);
        if (document_order(item.source, &order) == 0)
            REQUIRE(order_name_valid(order.product_name, order.product_name_len));
    }
    REQUIRE(answer == NULL || items <= document_answer_count(answer));
    document_answer_free(answer);

    struct document_hour *hours = calloc(DOCUMENT_HOURS_MAX, sizeof *hours);
    size_t count = 0;
    int64_t documents, undated;
    REQUIRE(hours != NULL);
    if (document_answer_hours(text, size, hours, &count, &err) == 0)
        REQUIRE(count <= DOCUMENT_HOURS_MAX);
    free(hours);
    (void)!document_answer_totals(text, size, &documents, &undated, &err);
    return 0;
}
