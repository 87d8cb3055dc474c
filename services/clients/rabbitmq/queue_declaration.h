/* The one place that declares the order queue and its dead-letter queue, for gateway and bridge
 * alike. */
#ifndef CLIENTS_RABBITMQ_QUEUE_DECLARATION_H
#define CLIENTS_RABBITMQ_QUEUE_DECLARATION_H

#include "services/clients/rabbitmq/connection.h"

enum queue_type { QUEUE_QUORUM, QUEUE_CLASSIC };

#define QUEUE_NAME_SIZE 256 /* AMQP's short string and a NUL */

/* The pause between the loss of a deleted queue and its new declaration. RabbitMQ 3.10 needs some
 * 50 ms to tell the consumers of a deleted quorum queue. When a queue of that name exists again
 * earlier, RabbitMQ never tells them, or gives them messages that never arrive. */
#define QUEUE_GONE_PAUSE_MS 1000

/* How a queue that exists differs from what would be declared; it is kept as it is. Only arguments
 * can be seen, no policy, and only by a user with the permission to configure the queue. */
struct queue_difference {
    bool differs;
    bool unseen;         /* the user may not see its arguments */
    bool drops_messages; /* by a maximum length or a time to live */
    /* The server is RabbitMQ 4 or later, where a quorum queue dead-letters a message after 20
     * deliveries, and the queue was not declared without such a limit. */
    bool delivery_limited;
    struct error words; /* about one argument, mostly RabbitMQ's */
};

struct queue_differences {
    struct queue_difference orders, letters; /* of the queue and of its dead-letter queue */
};

/* Declare `queue` and `queue`.dead, both durable, passively first: one that exists with another
 * type (or other arguments) wins; then *ret_differences tells. A quorum queue dead-letters into
 * `queue`.dead. Opens the channel again when the broker closed it: confirms and consumers must be
 * set up afterwards. Several programs may declare at once. Blocks at most 5 s. Returns 0, or -1
 * with `err` set: then disconnect. */
int queue_declare(struct broker_connection *connection, const char *queue, enum queue_type type,
                  struct queue_differences *ret_differences, struct error *err)
    __attribute__((warn_unused_result));

/* Declare one queue, durable, that dead-letters nowhere; one that exists is taken as it is.
 * Otherwise as queue_declare(). */
int queue_declare_alone(struct broker_connection *connection, const char *queue,
                        enum queue_type type, struct error *err)
    __attribute__((warn_unused_result));

/* The label of metrics about an order queue and its dead-letter queue: queue="order_queue". A
 * process may know several queues, and groups of services have one each. */
#define QUEUE_LABEL_SIZE (sizeof("queue=\"\"") + 2 * (size_t)(QUEUE_NAME_SIZE - 1))
void queue_label(const char *queue, char ret_label[QUEUE_LABEL_SIZE]);

/* Set the metrics order_queue_delivery_limited and dead_letter_queue_delivery_limited, and write a
 * warning about the worst of the differences. Returns false when there is none. */
bool queue_differences_report(const struct queue_differences *differences, const char *queue,
                              struct error *ret_warning);

/* Ask how a queue stands, without waiting for the answer: queue.declare-ok with the counts of its
 * messages and consumers, or, when there is no such queue, channel.close. It blocks when the socket
 * is not writable. Returns 0, or -1 with `err` set: then the connection is lost. */
int queue_ask(struct broker_connection *connection, const char *queue, struct error *err)
    __attribute__((warn_unused_result));

/* "order_queue.dead.archive", which every scheduler consumes that consumes the dead-letter queue:
 * its consumers are those of the dead-letter queue that are schedulers. No message goes there. */
void archive_queue_name(const char *queue, char ret_name[QUEUE_NAME_SIZE]);

/* "order_queue.dead". A name too long for it is cut; queue_declare() has refused it before. */
void dead_letter_queue_name(const char *queue, char ret_name[QUEUE_NAME_SIZE]);

/* For config_option.validate. */
int queue_name_validate(const char *value, struct error *err);

#endif
