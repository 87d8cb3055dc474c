/* What is in a message: an order, or the reason why it is poison. */
#ifndef BRIDGE_MESSAGE_DECODER_H
#define BRIDGE_MESSAGE_DECODER_H

#include "services/bridge/message.h"

/* Decode the body of a complete message: sets `order`, or `fault` ("too_large", "malformed",
 * "unacceptable", "message_id_mismatch") with its detail. */
void message_decode(struct message *message);

#endif
