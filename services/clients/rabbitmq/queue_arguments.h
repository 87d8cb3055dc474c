/* The arguments of a queue.declare, and what RabbitMQ says about those of a queue that exists. */
#ifndef CLIENTS_RABBITMQ_QUEUE_ARGUMENTS_H
#define CLIENTS_RABBITMQ_QUEUE_ARGUMENTS_H

#include "services/clients/rabbitmq/amqp.h"
#include <stdbool.h>
#include <stdint.h>

#define QUEUE_ARGUMENTS_MAX 16

struct queue_argument {
    char name[64];
    enum { QUEUE_ARGUMENT_TEXT, QUEUE_ARGUMENT_NUMBER, QUEUE_ARGUMENT_BOOLEAN } kind;
    char text[256]; /* also of a boolean: "true" or "false" */
    int64_t number;
};

struct queue_arguments {
    struct queue_argument items[QUEUE_ARGUMENTS_MAX];
    int count;
};

/* Set an argument, new or not. Nothing happens when there is no room. */
void queue_arguments_set_text(struct queue_arguments *arguments, const char *name,
                              const char *text);
void queue_arguments_set_number(struct queue_arguments *arguments, const char *name,
                                int64_t number);
void queue_arguments_remove(struct queue_arguments *arguments, const char *name);

/* NULL: it is not there. */
const struct queue_argument *queue_arguments_find(const struct queue_arguments *arguments,
                                                  const char *name);

/* Take over the one argument that differs from the queue's, from the words with which RabbitMQ
 * refuses a declaration: "… inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received
 * none but current is the value '10' of type 'signedint'". Returns false, and nothing changes, when
 * the words are others. */
bool queue_arguments_learn(struct queue_arguments *arguments, const char *words)
    __attribute__((warn_unused_result));

/* As AMQP wants them; the table lives as long as both. */
amqp_table_t queue_arguments_table(const struct queue_arguments *arguments,
                                   amqp_table_entry_t entries[QUEUE_ARGUMENTS_MAX]);

#endif
