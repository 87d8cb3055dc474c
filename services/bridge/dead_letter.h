/* What a dead letter says beside the original body. It keeps the original content type and
 * message_id, and has each of these headers:
 *   x-reason                     why, stable: malformed, unacceptable, too_large,
 *                                message_id_mismatch, retries_exhausted, or the worker's code
 *   x-detail                     why, for a person; ends in "..." when it was cut
 *   x-stage                      where it died: persist, index; intake when it reached no worker
 *   x-attempts                   how often it was given to a worker
 *   x-first-attempt, x-last-attempt   when, RFC 3339; without attempts when it was refused
 *   x-original-size              of the body, bytes
 *   x-original-exchange, x-original-routing-key
 *   x-redelivered                true, when the message had been delivered before: there may be
 *                                another letter about it; else absent
 *   x-replay-of                  the same header of the message, when it has that as an integer:
 *                                it is the replay of an archived letter
 *   x-original-properties        a table of its other properties, its own headers as "headers"
 *   traceparent, tracestate      which trace it belongs to (the latter only when there is one)
 *   x-cut                        what of it is not here, separated by commas: "body" (over 1 MiB:
 *                                only its beginning is kept), "headers" (with more than 64 KiB of
 *                                properties), "properties" (all: they could not be read); else
 *                                empty */
#ifndef BRIDGE_DEAD_LETTER_H
#define BRIDGE_DEAD_LETTER_H

#include "services/bridge/flow.h"
#include "services/clients/rabbitmq/amqp.h"

struct dead_letter {
    const char *content_type;
    const char *message_id; /* or NULL */
    amqp_table_t headers;
    amqp_pool_t pool; /* owns what the members above point to, but for parts of the content */
};

/* The report is copied; the content must outlive the letter. `now_ms` (on the report's clock) and
 * `now_us` (since 1970) are the same instant. */
void dead_letter_init(struct dead_letter *letter, const struct content *content,
                      const struct dead_letter_report *report, int64_t now_ms, int64_t now_us);
void dead_letter_release(struct dead_letter *letter);

#endif
