/* Acks and nacks on their way to the broker. Sent only while the socket takes them, in the order in
 * which they were added; bounded by the deliveries that the broker may have outstanding. */
#ifndef BRIDGE_SETTLEMENTS_H
#define BRIDGE_SETTLEMENTS_H

#include "services/clients/rabbitmq/link.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum settlement_kind { SETTLEMENT_ACK, SETTLEMENT_ACK_MULTIPLE, SETTLEMENT_REQUEUE };

struct settlement {
    uint64_t delivery_tag;
    enum settlement_kind kind;
};

struct settlements {
    struct settlement *ring;
    size_t capacity, first, count;
};

/* Each settles at least one of at most `window` unsettled deliveries. */
void settlements_init(struct settlements *settlements, size_t window);
void settlements_release(struct settlements *settlements);
void settlements_clear(struct settlements *settlements);

void settlements_add(struct settlements *settlements, enum settlement_kind kind,
                     uint64_t delivery_tag);

/* Send what the socket takes without blocking, while the link is up. Returns 0 (see `count` for
 * what is left), or -1 with `err` set when the connection is broken. */
int settlements_send(struct settlements *settlements, struct broker_link *link, struct error *err)
    __attribute__((warn_unused_result));

#endif
