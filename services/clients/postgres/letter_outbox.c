/* An order as parameters, all text. */
#include "services/clients/postgres/letter_outbox.h"
#include <inttypes.h>
#include <stdio.h>

void letter_order_values(const struct order *order, struct letter_order_texts *texts,
                         const char *values[LETTER_ORDER_PARAMETERS])
{
    order_id_format(&order->id, texts->id);
    snprintf(texts->cents, sizeof texts->cents, "%" PRId64, order->amount_cents);
    (void)timestamp_format(order->created_at_us, texts->created_at);
    (void)order_to_json(order, texts->json);
    values[0] = texts->id;
    values[1] = order->product_name;
    values[2] = texts->cents;
    values[3] = texts->created_at;
    values[4] = texts->json;
}
