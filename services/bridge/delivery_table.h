/* The deliveries in flight: everything that the broker has handed out and that is not settled yet.
 * Fixed room; every operation is O(1), but for deadlines, O(log n). Keeps the lists that the states
 * of a delivery imply, so that no event ever scans the window. Knows nothing of why. */
#ifndef BRIDGE_DELIVERY_TABLE_H
#define BRIDGE_DELIVERY_TABLE_H

#include "proto/reply.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

enum delivery_state {
    DELIVERY_FREE,         /* an unused slot */
    DELIVERY_WAITING,      /* to be pushed to its stage, first come first served */
    DELIVERY_PUSHED,       /* at a worker; hangs at its deadline */
    DELIVERY_HELD,         /* its stage could not; waits again from its deadline on */
    DELIVERY_DEAD_WAITING, /* to be handed to the dead-letter publisher */
    DELIVERY_DEAD_SENT,    /* the dead-letter publisher has it, unconfirmed */
    DELIVERY_DONE,         /* finished, its ack not sent yet */
};
#define DELIVERY_STATES 7

struct delivery {
    uint64_t tag;
    enum delivery_state state;
    enum stage stage;
    struct content *content;
    int64_t deadline_ms; /* while PUSHED or HELD */
    uint32_t attempt;    /* pushes so far, in all stages; a reply must carry it */
    uint32_t retries;    /* "retry" answers of this stage while it was up */
    uint32_t strikes;    /* retries that came while the stage took other orders */
    uint64_t dones_seen; /* of the stage, when it last failed here or was reached */
    int64_t delivered_ms, first_push_ms, pushed_ms, done_ms;
    int64_t at_workers_ms; /* at workers before pushed_ms, since the last answer "retry" */
    /* the table's own */
    size_t heap_index;
    struct delivery *hash_next;
    TAILQ_ENTRY(delivery) by_tag, by_state;
    struct verdict *failure; /* of the last attempt, or why it is dead; NULL: it never failed */
};

TAILQ_HEAD(delivery_list, delivery);

struct deadline {
    int64_t at_ms;
    struct delivery *delivery;
};

struct delivery_table {
    size_t capacity, count;
    uint64_t last_tag;
    struct delivery_list by_tag; /* all in flight, oldest first */
    struct delivery_list free, dead_waiting, done;
    struct delivery_list waiting[STAGES];
    size_t in_state[DELIVERY_STATES][STAGES]; /* how many */
    struct deadline *heap;                    /* earliest first */
    size_t heap_count;
    struct delivery **buckets; /* chains by tag; tags are consecutive, so they hardly collide */
    size_t bucket_mask;
    struct delivery *slots;
};

void delivery_table_init(struct delivery_table *table, size_t capacity);
void delivery_table_release(struct delivery_table *table);

/* Take a slot for `tag`, in state WAITING for STAGE_FIRST, owning the reference to the content.
 * NULL when the table is full or the tag is not above all before. */
struct delivery *delivery_add(struct delivery_table *table, uint64_t tag, struct content *content,
                              int64_t now_ms) __attribute__((warn_unused_result));
struct delivery *delivery_find(const struct delivery_table *table, uint64_t tag);

/* Move to another state or stage, leaving and entering the lists; a deadline is set before entering
 * PUSHED or HELD. DELIVERY_FREE gives the slot and the reference back. */
void delivery_set_state(struct delivery_table *table, struct delivery *delivery,
                        enum delivery_state state, enum stage stage);

/* Its failure, to be set; most deliveries need no room for one. */
struct verdict *delivery_failure(struct delivery *delivery);

/* The delivery with the earliest deadline, or NULL. */
struct delivery *delivery_first_deadline(const struct delivery_table *table);

/* Forget all; tags start again from 1. */
void delivery_table_clear(struct delivery_table *table);

#endif
