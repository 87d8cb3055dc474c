/* A piece of the statements that replay a dead letter. Inside the database module. */
#ifndef CLIENTS_POSTGRES_LETTER_OUTBOX_H
#define CLIENTS_POSTGRES_LETTER_OUTBOX_H

#include "proto/order.h"
#include "proto/order_json.h"
#include "proto/timestamp.h"

/* Of the letter that `ended` has RETURNING id, traceparent, tracestate: its order, in the
 * parameters $4 to $8, goes into the outbox with its trace. */
#define LETTER_TO_OUTBOX                                                                           \
    " INSERT INTO order_outbox (order_id, product_name, amount, created_at, json, traceparent,"    \
    " tracestate, replay_of) SELECT $4::uuid, $5, $6::bigint * 0.01, $7::timestamptz, $8,"         \
    " traceparent, tracestate, id FROM ended"
#define LETTER_ORDER_PARAMETERS 5

struct letter_order_texts {
    char id[ORDER_ID_TEXT_LEN + 1], cents[24], created_at[TIMESTAMP_TEXT_SIZE];
    char json[ORDER_JSON_SIZE];
};

/* These parameters, which point into `texts` and `order`. */
void letter_order_values(const struct order *order, struct letter_order_texts *texts,
                         const char *values[LETTER_ORDER_PARAMETERS]);

#endif
