/* What became of a message that was given to RabbitMQ. */
#ifndef CLIENTS_RABBITMQ_PUBLISH_RESULT_H
#define CLIENTS_RABBITMQ_PUBLISH_RESULT_H

enum publish_result {
    PUBLISH_CONFIRMED, /* durably in the queue */
    PUBLISH_REFUSED,   /* nacked or returned as unroutable, or never sent: it is certainly not in
                          the queue */
    PUBLISH_UNKNOWN,   /* sent, and no confirm until the deadline (or a refusal of the second of two
                          sendings): it may or may not be in the queue */
};

#endif
