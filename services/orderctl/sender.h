/* Sends orders to the gateway, several at a time, each until it is accepted or refused. */
#ifndef ORDERCTL_SENDER_H
#define ORDERCTL_SENDER_H

#include "services/orderctl/order_file.h"
#include "services/orderctl/request.h"
#include "services/orderctl/session.h"
#include <stdbool.h>

#define SENDER_PARALLEL_MAX 64

/* The end of an order: 202, or a status that refuses it for good. */
typedef void sender_done_fn(void *arg, const struct order_line *line, const struct answer *answer);

struct sender;

/* At most `parallel` at once. When the gateway has taken none for `patience_ms` the sender gives
 * up.
 */
struct sender *sender_new(const struct session *session, size_t parallel, int64_t patience_ms,
                          sender_done_fn *on_done, void *arg);
void sender_free(struct sender *sender);

/* Whether there is room for an order. */
bool sender_has_room(const struct sender *sender);
/* Takes the line over; it has a body. There is room. */
void sender_add(struct sender *sender, struct order_line *line, const char *batch);
/* How many are in hand. */
size_t sender_in_hand(const struct sender *sender);

/* Go on for a moment. Returns EXIT_GOOD, or what to end with: the user has been told why. */
int sender_work(struct sender *sender) __attribute__((warn_unused_result));

/* What delays orders now ("Connection refused"), or NULL. */
const char *sender_trouble(const struct sender *sender);

#endif
