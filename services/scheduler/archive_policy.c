/* The first fault that holds is told. */
#include "services/scheduler/archive_policy.h"
#include <inttypes.h>
#include <stddef.h>

enum archive_fault archive_judge(const struct archive_standing *standing)
{
    if (!standing->postgres_up)
        return ARCHIVE_NO_POSTGRES;
    if (standing->refused != NULL)
        return ARCHIVE_REFUSED;
    if (!standing->rabbitmq_up)
        return standing->rabbitmq_reason[0] != '\0' ? ARCHIVE_NO_RABBITMQ : ARCHIVE_UNCOUNTED;
    /* A consumer that is lost counts as a delivery of each letter that it had. Past the limit
     * RabbitMQ drops a letter, because its queue has no dead-letter queue. */
    if ((standing->delivery_limited || standing->limit_unseen) && !standing->unlimited)
        return ARCHIVE_DELIVERY_LIMIT;
    if (standing->bytes >= standing->max_bytes)
        return ARCHIVE_FULL;
    if (!standing->counted)
        return ARCHIVE_UNCOUNTED;
    if (standing->consumers > standing->schedulers)
        return ARCHIVE_FOREIGN_CONSUMER;
    return ARCHIVE_WELL;
}

const char *archive_fault_name(enum archive_fault fault)
{
    switch (fault) {
    case ARCHIVE_WELL:
    case ARCHIVE_UNCOUNTED:
        return NULL;
    case ARCHIVE_NO_POSTGRES:
        return "no_postgres";
    case ARCHIVE_NO_RABBITMQ:
        return "no_rabbitmq";
    case ARCHIVE_REFUSED:
        return "refused";
    case ARCHIVE_DELIVERY_LIMIT:
        return "delivery_limit";
    case ARCHIVE_FULL:
        return "full";
    case ARCHIVE_FOREIGN_CONSUMER:
        return "foreign_consumer";
    }
    return NULL;
}

void archive_fault_tell(enum archive_fault fault, const struct archive_standing *standing,
                        struct error *ret_words)
{
    const char *queue = standing->queue;
    switch (fault) {
    case ARCHIVE_WELL:
    case ARCHIVE_UNCOUNTED:
        ret_words->message[0] = '\0';
        return;
    case ARCHIVE_NO_POSTGRES:
        error_set(ret_words, "no connection to PostgreSQL");
        return;
    case ARCHIVE_NO_RABBITMQ:
        error_set(ret_words, "%.80s.dead: no connection to RabbitMQ: %.160s", queue,
                  standing->rabbitmq_reason);
        return;
    case ARCHIVE_REFUSED:
        error_set(ret_words, "PostgreSQL refuses dead letters: %.160s", standing->refused);
        return;
    case ARCHIVE_DELIVERY_LIMIT:
        error_set(ret_words,
                  "%.80s.dead: RabbitMQ %s a letter that was delivered 20 times; when a policy "
                  "lifts that limit, set DEAD_LETTER_ARCHIVE=unlimited",
                  queue, standing->delivery_limited ? "drops" : "may drop");
        return;
    case ARCHIVE_FULL:
        error_set(ret_words,
                  "the archive has %" PRId64 " bytes, and DEAD_LETTER_ARCHIVE_MAX is %" PRId64,
                  standing->bytes, standing->max_bytes);
        return;
    case ARCHIVE_FOREIGN_CONSUMER:
        error_set(ret_words, "%.80s.dead: %u of its %u consumers are no schedulers", queue,
                  standing->consumers - standing->schedulers, standing->consumers);
        return;
    }
}
