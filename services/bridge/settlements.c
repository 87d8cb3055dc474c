/* A ring of acks and nacks that wait for the socket. */
#include "services/bridge/settlements.h"
#include "services/base/memory.h"
#include <assert.h>
#include <stdlib.h>

/* poll() says "writable" while a third of the socket's buffer is free: so many frames of about 20
 * bytes always fit then, also inside TLS records. */
#define SENDS_PER_POLL 32

void settlements_init(struct settlements *settlements, size_t window)
{
    *settlements = (struct settlements){.capacity = window};
    settlements->ring = memory_new_array(window, sizeof settlements->ring[0]);
}

void settlements_release(struct settlements *settlements)
{
    free(settlements->ring);
}

void settlements_clear(struct settlements *settlements)
{
    settlements->count = 0;
}

void settlements_add(struct settlements *settlements, enum settlement_kind kind,
                     uint64_t delivery_tag)
{
    assert(settlements->count < settlements->capacity);
    size_t place = (settlements->first + settlements->count++) % settlements->capacity;
    settlements->ring[place] = (struct settlement){delivery_tag, kind};
}

static int send_one(const struct settlement *settlement, amqp_connection_state_t amqp)
{
    switch (settlement->kind) {
    case SETTLEMENT_ACK:
        return amqp_basic_ack(amqp, BROKER_CHANNEL, settlement->delivery_tag, 0);
    case SETTLEMENT_ACK_MULTIPLE:
        return amqp_basic_ack(amqp, BROKER_CHANNEL, settlement->delivery_tag, 1);
    case SETTLEMENT_REQUEUE:
        return amqp_basic_nack(amqp, BROKER_CHANNEL, settlement->delivery_tag, 0, 1);
    }
    return AMQP_STATUS_INVALID_PARAMETER;
}

int settlements_send(struct settlements *settlements, struct broker_link *link, struct error *err)
{
    for (unsigned sent = 0; settlements->count > 0; sent++) {
        if (sent % SENDS_PER_POLL == 0 && !broker_link_writable(link))
            return 0;
        int status =
            send_one(&settlements->ring[settlements->first], broker_link_connection(link)->amqp);
        if (status != AMQP_STATUS_OK) {
            error_set(err, "cannot settle: %s", amqp_error_string2(status));
            return -1;
        }
        settlements->first = (settlements->first + 1) % settlements->capacity;
        settlements->count--;
    }
    return 0;
}
