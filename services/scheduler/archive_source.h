/* One dead-letter queue that the archive consumes, over a connection of its own. It keeps letters
 * until they are settled, and never gives one back: what is not settled is delivered again when the
 * connection ends. One thread; never blocks. */
#ifndef SCHEDULER_ARCHIVE_SOURCE_H
#define SCHEDULER_ARCHIVE_SOURCE_H

#include "services/clients/rabbitmq/content_reader.h"
#include "services/clients/rabbitmq/link.h"
#include "services/scheduler/archive_policy.h"

struct archive_source_options {
    struct broker_options broker; /* these strings and `queue` must outlive the source */
    const char *queue;            /* the order queue */
    enum queue_type queue_type;
    uint16_t prefetch;
    struct content_budget *budget; /* shared with other sources */
    void (*on_change)(void *arg);  /* it stands otherwise, or letters have come */
    void *arg;
};

struct archive_source;

struct archive_source *archive_source_new(struct event_loop *loop,
                                          const struct archive_source_options *options);
void archive_source_free(struct archive_source *source);

/* Set what the source knows: refused, rabbitmq_…, delivery_limited, limit_unseen, counted,
 * consumers, schedulers. */
void archive_source_look(const struct archive_source *source, struct archive_standing *ret);

/* Consume, or no more. Does nothing while the connection is down. Letters that are held are kept.
 */
void archive_source_consume(struct archive_source *source, bool wanted);
/* It does not consume, holds nothing, and has acknowledged all that was settled. */
bool archive_source_idle(const struct archive_source *source);

/* A letter that is held: the oldest one is number 0. */
struct archive_held {
    struct content *content;
    uint64_t delivery_tag;
    bool may_be_stored; /* to be set by the user; kept with the letter */
};
size_t archive_source_held(const struct archive_source *source);
struct archive_held *archive_source_letter(struct archive_source *source, size_t number);

/* What PostgreSQL has refused of the letters that are held. The user sets it; it is forgotten with
 * them. */
struct archive_refusal {
    size_t singly;    /* letters that go one by one */
    char sqlstate[6]; /* not "": the next letter goes in a plain form, because of this */
    char words[200];  /* not "": it was refused in its plainest form, too, with these */
    int64_t next_ms;  /* no letter is tried before this */
};
struct archive_refusal *archive_source_refusal(struct archive_source *source);

/* When the connection is lost, all that is held is forgotten, and this number changes. */
uint64_t archive_source_epoch(const struct archive_source *source);

/* The oldest `count` letters are stored: acknowledge and forget them. */
void archive_source_settle(struct archive_source *source, size_t count);

/* Memory may have become free: read on where a large letter waited for it. */
void archive_source_go_on(struct archive_source *source);

#endif
