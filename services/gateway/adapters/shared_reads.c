/* The first reader of an order asks the store, on its own loop, and becomes the leader of a read in
 * the table. Readers who want the same order before the answer comes join that read. The answer
 * goes to every reader on the reader's own loop. */
#include "services/gateway/adapters/shared_reads.h"
#include "services/base/memory.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024 /* a power of two */

struct shared_reads {
    struct order_reader port;
    struct order_reader *store;
    struct read_table *table;
    h2o_multithread_receiver_t receiver;
};

/* Also the message that brings the answer to its loop. */
struct reader {
    h2o_multithread_message_t message; /* first */
    struct reader *next;
    struct shared_reads *home;
    order_store_found_fn *on_done;
    void *arg;
    enum order_store_status status;
    struct order *order; /* a copy for another loop, or NULL */
};

struct read {
    struct read *next; /* in its bucket */
    struct order_id id;
    struct shared_reads *leader;
    struct reader *readers;
};

struct read_table {
    pthread_mutex_t mutex; /* held for a few instructions */
    struct read *buckets[BUCKETS];
};

static struct read **find_slot(struct read_table *table, const struct order_id *id)
{
    uint32_t hash; /* the end of an id is random in UUIDv7, and no worse than the rest in v5 */
    memcpy(&hash, id->bytes + 12, sizeof(hash));
    struct read **slot = &table->buckets[hash & (BUCKETS - 1)];
    while (*slot != NULL && !order_id_equal(&(*slot)->id, id))
        slot = &(*slot)->next;
    return slot;
}

/* Take the read out of the table: from now on nobody joins it. Returns its readers. */
static struct reader *close_read(struct read_table *table, struct read *read)
{
    pthread_mutex_lock(&table->mutex);
    *find_slot(table, &read->id) = read->next;
    pthread_mutex_unlock(&table->mutex);
    struct reader *readers = read->readers;
    free(read);
    return readers;
}

static void reader_free(struct reader *reader)
{
    free(reader->order);
    free(reader);
}

static void on_messages(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    (void)receiver;
    while (!h2o_linklist_is_empty(messages)) {
        struct reader *reader = H2O_STRUCT_FROM_MEMBER(struct reader, message.link, messages->next);
        h2o_linklist_unlink(&reader->message.link);
        reader->on_done(reader->arg, reader->status, reader->order);
        reader_free(reader);
    }
}

static void give(struct shared_reads *leader, struct reader *readers,
                 enum order_store_status status, const struct order *order)
{
    struct reader *next;
    for (struct reader *reader = readers; reader != NULL; reader = next) {
        next = reader->next;
        if (reader->home == leader) {
            reader->on_done(reader->arg, status, order);
            reader_free(reader);
            continue;
        }
        reader->status = status;
        if (order != NULL)
            reader->order = (struct order *)memory_copy(order, order_size(order));
        h2o_multithread_send_message(&reader->home->receiver, &reader->message);
    }
}

static void on_found(void *arg, enum order_store_status status, const struct order *order)
{
    struct read *read = arg;
    struct shared_reads *leader = read->leader;
    give(leader, close_read(leader->table, read), status, order);
}

static int find(void *self, const struct order_id *id, order_store_found_fn *on_done, void *arg)
{
    struct shared_reads *shared = self;
    struct read_table *table = shared->table;
    struct reader *reader = memory_new(sizeof(*reader));
    reader->home = shared;
    reader->on_done = on_done;
    reader->arg = arg;

    pthread_mutex_lock(&table->mutex);
    struct read **slot = find_slot(table, id), *read = *slot;
    bool first = read == NULL;
    if (first) {
        read = *slot = memory_new(sizeof(*read));
        read->id = *id;
        read->leader = shared;
    }
    reader->next = read->readers;
    read->readers = reader;
    pthread_mutex_unlock(&table->mutex);

    if (!first || shared->store->find(shared->store->self, id, on_found, read) == 0)
        return 0;

    /* Refused at once: so are the readers of other loops that have joined meanwhile. */
    struct reader **link, *readers = close_read(table, read);
    for (link = &readers; *link != reader; link = &(*link)->next)
        ;
    *link = reader->next;
    free(reader);
    give(shared, readers, ORDER_STORE_UNAVAILABLE, NULL);
    return -1;
}

struct order_reader *shared_reads_new(struct read_table *table, struct order_reader *store,
                                      h2o_multithread_queue_t *queue)
{
    struct shared_reads *shared = memory_new(sizeof(*shared));
    shared->port = (struct order_reader){.self = shared, .find = find};
    shared->store = store;
    shared->table = table;
    h2o_multithread_register_receiver(queue, &shared->receiver, on_messages);
    return &shared->port;
}

void shared_reads_free(struct order_reader *port)
{
    if (port == NULL)
        return;
    struct shared_reads *shared = port->self;
    while (!h2o_linklist_is_empty(&shared->receiver._messages)) {
        struct reader *reader =
            H2O_STRUCT_FROM_MEMBER(struct reader, message.link, shared->receiver._messages.next);
        h2o_linklist_unlink(&reader->message.link);
        reader_free(reader);
    }
    h2o_multithread_unregister_receiver(shared->receiver.queue, &shared->receiver);
    free(shared);
}

struct read_table *read_table_new(void)
{
    struct read_table *table = memory_new(sizeof(*table));
    pthread_mutex_init(&table->mutex, NULL);
    return table;
}

void read_table_free(struct read_table *table)
{
    if (table == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        while (table->buckets[i] != NULL) {
            struct read *read = table->buckets[i];
            table->buckets[i] = read->next;
            while (read->readers != NULL) {
                struct reader *reader = read->readers;
                read->readers = reader->next;
                free(reader);
            }
            free(read);
        }
    }
    pthread_mutex_destroy(&table->mutex);
    free(table);
}
