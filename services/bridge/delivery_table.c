/* The deliveries in flight. Slots are allocated once. A delivery is always in `by_tag` and in its
 * hash chain; its state says in which one other list it is, or in the heap of deadlines. */
#include "services/bridge/delivery_table.h"
#include "services/base/memory.h"
#include "services/clients/rabbitmq/content.h"
#include <assert.h>
#include <stdlib.h>

void delivery_table_init(struct delivery_table *table, size_t capacity)
{
    *table = (struct delivery_table){.capacity = capacity};
    size_t buckets = 1;
    while (buckets < capacity)
        buckets *= 2;
    table->bucket_mask = buckets - 1;
    table->buckets = memory_new_array(buckets, sizeof table->buckets[0]);
    table->slots = memory_new_array(capacity, sizeof table->slots[0]);
    table->heap = memory_new_array(capacity, sizeof table->heap[0]);
    TAILQ_INIT(&table->by_tag);
    TAILQ_INIT(&table->dead_waiting);
    TAILQ_INIT(&table->done);
    for (size_t i = 0; i < STAGES; i++)
        TAILQ_INIT(&table->waiting[i]);
    TAILQ_INIT(&table->free);
    for (size_t i = 0; i < capacity; i++)
        TAILQ_INSERT_TAIL(&table->free, &table->slots[i], by_state);
}

void delivery_table_release(struct delivery_table *table)
{
    delivery_table_clear(table);
    free(table->buckets);
    free(table->slots);
    free(table->heap);
}

/* The heap of deadlines: a binary heap whose entries know their place. */

static void heap_place(struct delivery_table *table, size_t index, struct deadline deadline)
{
    table->heap[index] = deadline;
    deadline.delivery->heap_index = index;
}

static void heap_sift_up(struct delivery_table *table, size_t index)
{
    struct deadline moved = table->heap[index];
    while (index > 0 && moved.at_ms < table->heap[(index - 1) / 2].at_ms) {
        heap_place(table, index, table->heap[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    heap_place(table, index, moved);
}

static void heap_sift_down(struct delivery_table *table, size_t index)
{
    struct deadline moved = table->heap[index];
    for (;;) {
        size_t child = 2 * index + 1;
        if (child >= table->heap_count)
            break;
        if (child + 1 < table->heap_count &&
            table->heap[child + 1].at_ms < table->heap[child].at_ms)
            child++;
        if (table->heap[child].at_ms >= moved.at_ms)
            break;
        heap_place(table, index, table->heap[child]);
        index = child;
    }
    heap_place(table, index, moved);
}

static void heap_insert(struct delivery_table *table, struct delivery *delivery)
{
    assert(table->heap_count < table->capacity);
    heap_place(table, table->heap_count++, (struct deadline){delivery->deadline_ms, delivery});
    heap_sift_up(table, delivery->heap_index);
}

static void heap_remove(struct delivery_table *table, struct delivery *delivery)
{
    size_t index = delivery->heap_index;
    assert(index < table->heap_count && table->heap[index].delivery == delivery);
    struct deadline last = table->heap[--table->heap_count];
    if (index == table->heap_count)
        return;
    heap_place(table, index, last);
    heap_sift_up(table, index);
    heap_sift_down(table, last.delivery->heap_index);
}

struct delivery *delivery_first_deadline(const struct delivery_table *table)
{
    return table->heap_count > 0 ? table->heap[0].delivery : NULL;
}

static struct delivery **bucket(const struct delivery_table *table, uint64_t tag)
{
    return &table->buckets[tag & table->bucket_mask];
}

struct delivery *delivery_find(const struct delivery_table *table, uint64_t tag)
{
    struct delivery *delivery = *bucket(table, tag);
    while (delivery != NULL && delivery->tag != tag)
        delivery = delivery->hash_next;
    return delivery;
}

/* The list that the state of a delivery implies, or NULL. */
static struct delivery_list *list_of(struct delivery_table *table, const struct delivery *delivery)
{
    switch (delivery->state) {
    case DELIVERY_WAITING:
        return &table->waiting[delivery->stage];
    case DELIVERY_DEAD_WAITING:
        return &table->dead_waiting;
    case DELIVERY_DONE:
        return &table->done;
    case DELIVERY_PUSHED:
    case DELIVERY_HELD:
    case DELIVERY_DEAD_SENT:
    case DELIVERY_FREE:
        break;
    }
    return NULL;
}

static bool has_deadline(const struct delivery *delivery)
{
    return delivery->state == DELIVERY_PUSHED || delivery->state == DELIVERY_HELD;
}

static void enter(struct delivery_table *table, struct delivery *delivery)
{
    struct delivery_list *list = list_of(table, delivery);
    table->in_state[delivery->state][delivery->stage]++;
    if (has_deadline(delivery))
        heap_insert(table, delivery);
    else if (list != NULL)
        TAILQ_INSERT_TAIL(list, delivery, by_state);
}

static void leave(struct delivery_table *table, struct delivery *delivery)
{
    struct delivery_list *list = list_of(table, delivery);
    table->in_state[delivery->state][delivery->stage]--;
    if (has_deadline(delivery))
        heap_remove(table, delivery);
    else if (list != NULL)
        TAILQ_REMOVE(list, delivery, by_state);
}

struct delivery *delivery_add(struct delivery_table *table, uint64_t tag, struct content *content,
                              int64_t now_ms)
{
    struct delivery *delivery = TAILQ_FIRST(&table->free);
    if (delivery == NULL || tag <= table->last_tag)
        return NULL;
    TAILQ_REMOVE(&table->free, delivery, by_state);
    *delivery = (struct delivery){
        .tag = tag,
        .state = DELIVERY_WAITING,
        .stage = STAGE_FIRST,
        .content = content,
        .delivered_ms = now_ms,
        .hash_next = *bucket(table, tag),
    };
    *bucket(table, tag) = delivery;
    TAILQ_INSERT_TAIL(&table->by_tag, delivery, by_tag);
    table->last_tag = tag;
    table->count++;
    enter(table, delivery);
    return delivery;
}

struct verdict *delivery_failure(struct delivery *delivery)
{
    if (delivery->failure == NULL)
        delivery->failure = memory_new(sizeof *delivery->failure);
    return delivery->failure;
}

static void release(struct delivery_table *table, struct delivery *delivery)
{
    struct delivery **at = bucket(table, delivery->tag);
    while (*at != delivery)
        at = &(*at)->hash_next;
    *at = delivery->hash_next;
    TAILQ_REMOVE(&table->by_tag, delivery, by_tag);
    TAILQ_INSERT_HEAD(&table->free, delivery, by_state);
    table->count--;
    content_unref(delivery->content);
    delivery->content = NULL;
    free(delivery->failure);
    delivery->failure = NULL;
}

void delivery_set_state(struct delivery_table *table, struct delivery *delivery,
                        enum delivery_state state, enum stage stage)
{
    assert(delivery->state != DELIVERY_FREE);
    leave(table, delivery);
    delivery->state = state;
    delivery->stage = stage;
    if (state == DELIVERY_FREE)
        release(table, delivery);
    else
        enter(table, delivery);
}

void delivery_table_clear(struct delivery_table *table)
{
    struct delivery *delivery;
    while ((delivery = TAILQ_FIRST(&table->by_tag)) != NULL)
        delivery_set_state(table, delivery, DELIVERY_FREE, delivery->stage);
    table->last_tag = 0;
}
