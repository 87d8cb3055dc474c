/* Waiters stand in an array in no order. A turn ends the waits whose time is over, and looks at the
 * orders that are due. Instants at which orders are due are multiples of the interval, so that many
 * orders share a look. */
#include "services/gateway/adapters/stored_waiters.h"
#include "services/base/clock.h"
#include "services/base/memory.h"
#include "services/clients/postgres/order_fate.h"
#include <stdlib.h>
#include <string.h>

/* How often it is looked for an order, by how long ago it was confirmed. */
#define SOON_MS 100
#define SOON_INTERVAL_MS 10
#define LATER_MS 1000
#define LATER_INTERVAL_MS 50
#define LATE_INTERVAL_MS 250
#define LOOK_TIMEOUT_MS 2000

enum waiter_state { WAITER_WAITING, WAITER_LOOKED_FOR, WAITER_ENDED };

struct waiter {
    enum waiter_state state;
    enum order_wait_result result; /* WAITER_ENDED */
    char *reason;                  /* of ORDER_WAIT_DIED */
    int64_t began_ms, confirmed_ms, due_ms, ends_ms;
    struct order *order;
    order_wait_done_fn *on_done;
    void *arg;
};

struct stored_waiters {
    struct order_waits port; /* the first member: free() gets it back */
    struct database *database;
    struct loop_timer *timer;
    atomic_uint *waiting;
    struct waiter *waiters;
    size_t count, capacity;
    bool looking, stopped;
    int64_t looked_ms; /* when the look under way was sent */
    int64_t turn_ms;   /* when the timer fires; INT64_MAX: it does not */
};

static int64_t next_look_ms(const struct waiter *waiter, int64_t now_ms)
{
    int64_t age_ms = now_ms - waiter->confirmed_ms;
    int64_t interval_ms = age_ms < SOON_MS    ? SOON_INTERVAL_MS
                          : age_ms < LATER_MS ? LATER_INTERVAL_MS
                                              : LATE_INTERVAL_MS;
    return (now_ms / interval_ms + 1) * interval_ms;
}

/* When something is to be done for a waiter. Nothing is looked for while a look is under way. */
static int64_t next_turn_ms(const struct stored_waiters *waiters, const struct waiter *waiter)
{
    return waiters->looking || waiter->due_ms > waiter->ends_ms ? waiter->ends_ms : waiter->due_ms;
}

static void set_turn(struct stored_waiters *waiters, int64_t turn_ms)
{
    waiters->turn_ms = turn_ms;
    int64_t now_ms = clock_monotonic_ms();
    if (turn_ms == INT64_MAX)
        loop_timer_stop(waiters->timer);
    else
        loop_timer_start(waiters->timer, turn_ms > now_ms ? turn_ms - now_ms : 0);
}

static void end(struct waiter *waiter, enum order_wait_result result, const char *reason)
{
    waiter->state = WAITER_ENDED;
    waiter->result = result;
    free(waiter->reason);
    waiter->reason = reason != NULL ? memory_copy_text(reason) : NULL;
}

static void waiter_release(struct stored_waiters *waiters, struct waiter *waiter)
{
    atomic_fetch_sub_explicit(waiters->waiting, 1, memory_order_relaxed);
    free(waiter->order);
    free(waiter->reason);
}

/* Take those whose wait has ended out of the array, and only then tell them. */
static void answer_all(struct stored_waiters *waiters)
{
    size_t ended_count = 0;
    for (size_t i = 0; i < waiters->count; i++)
        ended_count += waiters->waiters[i].state == WAITER_ENDED;
    if (ended_count == 0)
        return;
    struct waiter *ended = memory_new_array(ended_count, sizeof *ended);
    ended_count = 0;
    for (size_t i = 0; i < waiters->count;) {
        if (waiters->waiters[i].state != WAITER_ENDED) {
            i++;
            continue;
        }
        ended[ended_count++] = waiters->waiters[i];
        waiters->waiters[i] = waiters->waiters[--waiters->count];
    }
    for (size_t i = 0; i < ended_count; i++) {
        ended[i].on_done(ended[i].arg, ended[i].result, ended[i].reason);
        waiter_release(waiters, &ended[i]);
    }
    free(ended);
}

/* ---- looking ---- */

static database_done_fn on_looked;

static void look(struct stored_waiters *waiters, int64_t now_ms)
{
    size_t due = 0;
    for (size_t i = 0; i < waiters->count; i++)
        due += waiters->waiters[i].due_ms <= now_ms;
    if (due == 0)
        return;
    struct order_id *ids = memory_new_array(due, sizeof *ids);
    due = 0;
    for (size_t i = 0; i < waiters->count; i++)
        if (waiters->waiters[i].due_ms <= now_ms)
            ids[due++] = waiters->waiters[i].order->id;
    waiters->looked_ms = now_ms;
    waiters->looking = order_news_look(waiters->database, ids, due, on_looked, waiters) == 0;
    free(ids);
    for (size_t i = 0; i < waiters->count; i++) {
        struct waiter *waiter = &waiters->waiters[i];
        if (waiter->due_ms > now_ms)
            continue;
        if (waiters->looking)
            waiter->state = WAITER_LOOKED_FOR;
        else
            waiter->due_ms = next_look_ms(waiter, now_ms); /* there is no connection */
    }
}

static void turn(struct stored_waiters *waiters)
{
    int64_t now_ms = clock_monotonic_ms(), turn_ms = INT64_MAX;
    for (size_t i = 0; i < waiters->count; i++)
        if (waiters->waiters[i].state != WAITER_ENDED && waiters->waiters[i].ends_ms <= now_ms)
            end(&waiters->waiters[i], ORDER_WAIT_OVER, NULL);
    answer_all(waiters);
    if (!waiters->looking)
        look(waiters, now_ms);
    for (size_t i = 0; i < waiters->count; i++) {
        int64_t next_ms = next_turn_ms(waiters, &waiters->waiters[i]);
        turn_ms = next_ms < turn_ms ? next_ms : turn_ms;
    }
    set_turn(waiters, turn_ms);
}

static void on_turn(void *arg)
{
    turn(arg);
}

static int compare_ids(const void *a, const void *b)
{
    const struct waiter *left = a, *right = b;
    return memcmp(left->order->id.bytes, right->order->id.bytes, sizeof left->order->id.bytes);
}

/* The first waiter of the sorted array whose id is not below `id`. */
static size_t first_of(const struct stored_waiters *waiters, const struct order_id *id)
{
    size_t low = 0, high = waiters->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (memcmp(waiters->waiters[middle].order->id.bytes, id->bytes, sizeof id->bytes) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* An order that was stored has not died, in whichever order an answer tells both. */
static void take_news(struct stored_waiters *waiters, const struct database_answer *answer, int i)
{
    struct order order;
    const char *reason;
    int64_t age_ms;
    enum order_news news = order_news_read(answer, i, &order, &reason, &age_ms);
    if (news == ORDER_NEWS_NONE)
        return;
    for (size_t at = first_of(waiters, &order.id); at < waiters->count; at++) {
        struct waiter *waiter = &waiters->waiters[at];
        if (!order_id_equal(&waiter->order->id, &order.id))
            break;
        if (news == ORDER_NEWS_STORED && order_same_payload(&order, waiter->order))
            end(waiter, ORDER_WAIT_STORED, NULL);
        else if (news == ORDER_NEWS_DIED && waiter->state != WAITER_ENDED &&
                 waiters->looked_ms - age_ms >= waiter->began_ms)
            end(waiter, ORDER_WAIT_DIED, reason);
    }
}

static void on_looked(void *arg, const struct database_answer *answer)
{
    struct stored_waiters *waiters = arg;
    int64_t now_ms = clock_monotonic_ms();
    waiters->looking = false;
    int count = answer->status == DATABASE_OK ? order_news_count(answer) : 0;
    if (count > 0)
        qsort(waiters->waiters, waiters->count, sizeof *waiters->waiters, compare_ids);
    for (int i = 0; i < count; i++)
        take_news(waiters, answer, i);
    for (size_t i = 0; i < waiters->count; i++) {
        struct waiter *waiter = &waiters->waiters[i];
        if (waiter->state != WAITER_LOOKED_FOR)
            continue;
        waiter->state = WAITER_WAITING;
        waiter->due_ms = next_look_ms(waiter, now_ms);
    }
    turn(waiters);
}

/* ---- waiting ---- */

static int wait_for_order(void *self, const struct order *order, int64_t began_ms, int64_t ends_ms,
                          order_wait_done_fn *on_done, void *arg)
{
    struct stored_waiters *waiters = self;
    if (waiters->stopped)
        return -1;
    if (atomic_fetch_add_explicit(waiters->waiting, 1, memory_order_relaxed) >=
        STORED_WAITERS_MAX) {
        atomic_fetch_sub_explicit(waiters->waiting, 1, memory_order_relaxed);
        return -1;
    }
    if (waiters->count == waiters->capacity) {
        waiters->capacity = waiters->capacity > 0 ? 2 * waiters->capacity : 64;
        waiters->waiters =
            memory_resize(waiters->waiters, waiters->capacity * sizeof *waiters->waiters);
    }
    int64_t now_ms = clock_monotonic_ms();
    struct waiter *waiter = &waiters->waiters[waiters->count++];
    *waiter = (struct waiter){
        .began_ms = began_ms,
        .confirmed_ms = now_ms,
        .ends_ms = ends_ms,
        .order = (struct order *)memory_copy(order, order_size(order)),
        .on_done = on_done,
        .arg = arg,
    };
    waiter->due_ms = next_look_ms(waiter, now_ms);
    if (next_turn_ms(waiters, waiter) < waiters->turn_ms)
        set_turn(waiters, next_turn_ms(waiters, waiter));
    return 0;
}

struct order_waits *stored_waiters_new(struct event_loop *loop,
                                       const struct stored_waiters_options *options)
{
    struct stored_waiters *waiters = memory_new(sizeof *waiters);
    waiters->port = (struct order_waits){.self = waiters, .wait = wait_for_order};
    waiters->waiting = options->waiting;
    waiters->turn_ms = INT64_MAX;
    waiters->timer = event_loop_timer(loop, on_turn, waiters);
    waiters->database = database_new(loop, &(struct database_options){
                                               .dsn = options->dsn,
                                               .application_name = "gateway waits",
                                               .max_in_flight = 1,
                                               .statement_timeout_ms = LOOK_TIMEOUT_MS,
                                               .uses = DATABASE_FINDS,
                                               .reads_only = true,
                                               .on_state = options->on_state,
                                               .arg = options->arg,
                                           });
    return &waiters->port;
}

void stored_waiters_stop(struct order_waits *port)
{
    struct stored_waiters *waiters = port->self;
    waiters->stopped = true;
    for (size_t i = 0; i < waiters->count; i++)
        end(&waiters->waiters[i], ORDER_WAIT_OVER, NULL);
    answer_all(waiters);
    set_turn(waiters, INT64_MAX);
}

void stored_waiters_free(struct order_waits *port)
{
    if (port == NULL)
        return;
    struct stored_waiters *waiters = port->self;
    database_free(waiters->database);
    loop_timer_free(waiters->timer);
    for (size_t i = 0; i < waiters->count; i++)
        waiter_release(waiters, &waiters->waiters[i]);
    free(waiters->waiters);
    free(waiters);
}
