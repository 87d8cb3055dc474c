/* A short list, searched from its beginning. */
#include "services/clients/rabbitmq/queue_arguments.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct queue_argument *queue_arguments_find(const struct queue_arguments *arguments,
                                                  const char *name)
{
    for (int i = 0; i < arguments->count; i++)
        if (strcmp(arguments->items[i].name, name) == 0)
            return &arguments->items[i];
    return NULL;
}

void queue_arguments_remove(struct queue_arguments *arguments, const char *name)
{
    const struct queue_argument *found = queue_arguments_find(arguments, name);
    if (found != NULL)
        arguments->items[found - arguments->items] = arguments->items[--arguments->count];
}

static void set(struct queue_arguments *arguments, const struct queue_argument *argument)
{
    queue_arguments_remove(arguments, argument->name);
    if (arguments->count < QUEUE_ARGUMENTS_MAX)
        arguments->items[arguments->count++] = *argument;
}

void queue_arguments_set_text(struct queue_arguments *arguments, const char *name, const char *text)
{
    struct queue_argument argument = {.kind = QUEUE_ARGUMENT_TEXT};
    (void)snprintf(argument.name, sizeof argument.name, "%s", name);
    (void)snprintf(argument.text, sizeof argument.text, "%s", text);
    set(arguments, &argument);
}

void queue_arguments_set_number(struct queue_arguments *arguments, const char *name, int64_t number)
{
    struct queue_argument argument = {.kind = QUEUE_ARGUMENT_NUMBER, .number = number};
    (void)snprintf(argument.name, sizeof argument.name, "%s", name);
    set(arguments, &argument);
}

/* Copy what stands in the text between `before` and `after`. Returns where `after` begins, or NULL
 * when there is no such text, or too much of it. */
static const char *copy_between(const char *text, const char *before, const char *after, char *ret,
                                size_t size)
{
    const char *begin = strstr(text, before);
    const char *end = begin != NULL ? strstr(begin + strlen(before), after) : NULL;
    if (end == NULL)
        return NULL;
    begin += strlen(before);
    if ((size_t)(end - begin) >= size)
        return NULL;
    memcpy(ret, begin, (size_t)(end - begin));
    ret[end - begin] = '\0';
    return end;
}

bool queue_arguments_learn(struct queue_arguments *arguments, const char *words)
{
    struct queue_argument argument = {.kind = QUEUE_ARGUMENT_TEXT};
    char type[16];
    const char *rest = copy_between(words, "inequivalent arg '", "' for queue '", argument.name,
                                    sizeof argument.name);
    if (rest == NULL)
        return false;
    const char *typed = copy_between(rest, "current is the value '", "' of type '", argument.text,
                                     sizeof argument.text);
    if (typed != NULL) {
        if (copy_between(typed, "' of type '", "'", type, sizeof type) == NULL)
            return false;
        if (strcmp(type, "bool") == 0) {
            argument.kind = QUEUE_ARGUMENT_BOOLEAN;
        } else if (strcmp(type, "longstr") != 0) {
            argument.kind = QUEUE_ARGUMENT_NUMBER;
            argument.number = strtoll(argument.text, NULL, 10);
        }
        set(arguments, &argument);
        return true;
    }
    /* A queue's type is told without a type: "received 'quorum' but current is 'classic'". */
    if (copy_between(rest, "current is '", "'", argument.text, sizeof argument.text) != NULL) {
        set(arguments, &argument);
        return true;
    }
    if (strstr(rest, "current is none") == NULL)
        return false;
    queue_arguments_remove(arguments, argument.name);
    return true;
}

amqp_table_t queue_arguments_table(const struct queue_arguments *arguments,
                                   amqp_table_entry_t entries[QUEUE_ARGUMENTS_MAX])
{
    for (int i = 0; i < arguments->count; i++) {
        const struct queue_argument *argument = &arguments->items[i];
        entries[i] = (amqp_table_entry_t){.key = amqp_cstring_bytes(argument->name)};
        amqp_field_value_t *value = &entries[i].value;
        switch (argument->kind) {
        case QUEUE_ARGUMENT_TEXT:
            value->kind = AMQP_FIELD_KIND_UTF8;
            value->value.bytes = amqp_cstring_bytes(argument->text);
            break;
        case QUEUE_ARGUMENT_NUMBER:
            value->kind = AMQP_FIELD_KIND_I64;
            value->value.i64 = argument->number;
            break;
        case QUEUE_ARGUMENT_BOOLEAN:
            value->kind = AMQP_FIELD_KIND_BOOLEAN;
            value->value.boolean = strcmp(argument->text, "true") == 0;
            break;
        }
    }
    return (amqp_table_t){.num_entries = arguments->count, .entries = entries};
}
