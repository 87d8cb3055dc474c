/* order_cache by commands of Redis, one for each operation but confirm, which may need two.
 *
 * An accepted order whose entry could not be written, because Redis was away, is a debt: the
 * cache keeps it (at most DEBT_MAX of them, the oldest are given up) and writes it when Redis is
 * back, so that reads find the order although it is not in the store yet. Until all caches of the
 * process have paid, an entry that is not there proves nothing: get() answers "unavailable". */
#include "services/gateway/adapters/redis_cache.h"
#include "services/base/log.h"
#include "services/base/memory.h"
#include "services/base/metrics.h"
#include "services/clients/redis/redis_login.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_LEN (sizeof(REDIS_KEY_PREFIX) - 1 + ORDER_ID_TEXT_LEN)
#define DEBT_MAX 10000
#define DEBT_AT_ONCE 64 /* written before the answers are awaited */
#define DEBT_RETRY_MS 100

#define TEXT_(number) #number
#define TEXT(number) TEXT_(number)
#define PROVISIONAL_S REDIS_WORD(TEXT(ORDER_CACHE_PROVISIONAL_S))

struct debt {
    struct debt *next;
    struct order_id id;
    size_t json_len;
    char json[];
};

struct redis_cache {
    struct order_cache port;
    struct redis_connection *connection;
    char ttl[24]; /* seconds, as text */
    struct debt *debts, **debts_end;
    unsigned debt_count;
    atomic_uint *owed; /* the debts of all caches of the process */
    unsigned paying;   /* debts being written: the first so many of `debts` */
    bool payment_failed;
    struct loop_timer *debt_timer;
};

static struct metric_counter *debts_total, *debts_lost_total;

void redis_cache_register_metrics(void)
{
    debts_total = metric_counter("order_cache_debts_total", NULL,
                                 "Accepted orders whose entry had to be written later");
    debts_lost_total = metric_counter("order_cache_debts_lost_total", NULL,
                                      "Of these, orders given up because there were too many");
}

/* ---- commands ---- */

/* The order's key, in the caller's buffer. */
static struct redis_word key_of(const struct order_id *id, char key[KEY_LEN + 1])
{
    memcpy(key, REDIS_KEY_PREFIX, sizeof(REDIS_KEY_PREFIX) - 1);
    order_id_format(id, key + sizeof(REDIS_KEY_PREFIX) - 1);
    return (struct redis_word){key, KEY_LEN};
}

static void on_error(void *arg, const char *error)
{
    /* All loops meet an error of the server's at once, and none is told of it again. */
    static struct log_limit of_server = {.period_ms = 100}, of_command;
    (void)arg;
    log_warn_limited(redis_error_is_the_servers(error) ? &of_server : &of_command,
                     "redis answers an error", log_text("error", error));
}

/* Whether there is a reply, and no error. */
static bool succeeded(const redisReply *reply)
{
    return reply != NULL && reply->type != REDIS_REPLY_ERROR;
}

struct operation {
    struct redis_cache *cache;
    enum order_cache_status otherwise; /* than an entry, an error or nothing in time */
    order_cache_done_fn *on_done;
    void *arg;
    const struct order_id *id; /* put, confirm: the order, which is the caller's */
    const char *json;
    size_t json_len;
};

static struct operation *operation_new(struct redis_cache *cache, enum order_cache_status otherwise,
                                       order_cache_done_fn *on_done, void *arg)
{
    struct operation *operation = memory_new(sizeof(*operation));
    operation->cache = cache;
    operation->otherwise = otherwise;
    operation->on_done = on_done;
    operation->arg = arg;
    return operation;
}

static void end(struct operation *operation, enum order_cache_status status,
                const redisReply *reply)
{
    order_cache_done_fn *on_done = operation->on_done;
    void *arg = operation->arg;
    free(operation);
    bool found = status == ORDER_CACHE_FOUND;
    on_done(arg, status, found ? reply->str : NULL, found ? (size_t)reply->len : 0);
}

/* The reply of reserve, remove and get. An empty entry is the probe's (redis_login.h), no order. */
static void on_reply(void *arg, const redisReply *reply)
{
    struct operation *operation = arg;
    if (!succeeded(reply))
        end(operation, ORDER_CACHE_UNAVAILABLE, NULL);
    else if (reply->type == REDIS_REPLY_STRING && reply->len > 0)
        end(operation, ORDER_CACHE_FOUND, reply);
    else
        end(operation, operation->otherwise, NULL);
}

/* The reply of what hands no entry over. */
static void on_status(void *arg, const redisReply *reply)
{
    end(arg, succeeded(reply) ? ORDER_CACHE_OK : ORDER_CACHE_UNAVAILABLE, NULL);
}

static int submit(struct operation *operation, const struct redis_word *words, size_t count,
                  redis_done_fn *on_done)
{
    if (redis_connection_send(operation->cache->connection, words, count, on_done, operation) == 0)
        return 0;
    free(operation);
    return -1;
}

static int send_set(struct redis_cache *cache, const struct order_id *id, const char *json,
                    size_t json_len, redis_done_fn *on_done, void *arg)
{
    char key[KEY_LEN + 1];
    const struct redis_word words[] = {REDIS_WORD("SET"),
                                       key_of(id, key),
                                       {json, json_len},
                                       REDIS_WORD("EX"),
                                       redis_word(cache->ttl)};
    return redis_connection_send(cache->connection, words, 5, on_done, arg);
}

/* ---- debts ---- */

static void pay_debts(struct redis_cache *cache);

static void drop_first_debt(struct redis_cache *cache)
{
    struct debt *debt = cache->debts;
    cache->debts = debt->next;
    if (cache->debts == NULL)
        cache->debts_end = &cache->debts;
    cache->debt_count--;
    atomic_fetch_sub(cache->owed, 1);
    free(debt);
}

static void add_debt(struct redis_cache *cache, const struct order_id *id, const char *json,
                     size_t json_len)
{
    if (cache->debt_count >= DEBT_MAX) {
        metric_add(debts_lost_total, 1);
        if (cache->paying > 0)
            return; /* the first ones are under way, so it is this one */
        drop_first_debt(cache);
    }
    metric_add(debts_total, 1);
    struct debt *debt = memory_new(sizeof(*debt) + json_len);
    debt->id = *id;
    debt->json_len = json_len;
    memcpy(debt->json, json, json_len);
    *cache->debts_end = debt;
    cache->debts_end = &debt->next;
    cache->debt_count++;
    atomic_fetch_add(cache->owed, 1);
    if (!loop_timer_running(cache->debt_timer))
        loop_timer_start(cache->debt_timer, DEBT_RETRY_MS);
}

/* Answers come in the order of the commands. After a failure the rest of the round is kept as well:
 * writing an entry twice does no harm. */
static void on_debt_paid(void *arg, const redisReply *reply)
{
    struct redis_cache *cache = arg;
    cache->paying--;
    if (!succeeded(reply))
        cache->payment_failed = true;
    else if (!cache->payment_failed)
        drop_first_debt(cache);
    if (cache->paying > 0 || cache->debts == NULL)
        return;
    if (cache->payment_failed)
        loop_timer_start(cache->debt_timer, DEBT_RETRY_MS);
    else
        pay_debts(cache);
}

static void pay_debts(struct redis_cache *cache)
{
    cache->payment_failed = false;
    for (const struct debt *debt = cache->debts; debt != NULL && cache->paying < DEBT_AT_ONCE;
         debt = debt->next) {
        if (send_set(cache, &debt->id, debt->json, debt->json_len, on_debt_paid, cache) != 0)
            break;
        cache->paying++;
    }
    if (cache->paying == 0)
        loop_timer_start(cache->debt_timer, DEBT_RETRY_MS);
}

static void on_debt_timer(void *arg)
{
    struct redis_cache *cache = arg;
    if (cache->paying == 0 && cache->debts != NULL)
        pay_debts(cache);
}

/* ---- reserve, remove, get, fill ---- */

static int reserve(void *self, const struct order_id *id, const char *json, size_t json_len,
                   order_cache_done_fn *on_done, void *arg)
{
    char key[KEY_LEN + 1];
    const struct redis_word words[] = {REDIS_WORD("SET"), key_of(id, key),   {json, json_len},
                                       REDIS_WORD("NX"),  REDIS_WORD("GET"), REDIS_WORD("EX"),
                                       PROVISIONAL_S};
    return submit(operation_new(self, ORDER_CACHE_CREATED, on_done, arg), words, 7, on_reply);
}

static int remove_entry(void *self, const struct order_id *id, order_cache_done_fn *on_done,
                        void *arg)
{
    char key[KEY_LEN + 1];
    const struct redis_word words[] = {REDIS_WORD("EVAL"), redis_word(redis_remove_script),
                                       REDIS_WORD("1"), key_of(id, key), PROVISIONAL_S};
    return submit(operation_new(self, ORDER_CACHE_OK, on_done, arg), words, 5, on_reply);
}

static int replace(void *self, const struct order_id *id, const char *json, size_t json_len,
                   order_cache_done_fn *on_done, void *arg)
{
    char key[KEY_LEN + 1];
    const struct redis_word words[] = {
        REDIS_WORD("SET"), key_of(id, key), {json, json_len}, REDIS_WORD("EX"), PROVISIONAL_S};
    return submit(operation_new(self, ORDER_CACHE_OK, on_done, arg), words, 5, on_status);
}

static int keep(void *self, const struct order_id *id, const char *json, size_t json_len,
                order_cache_done_fn *on_done, void *arg)
{
    struct redis_cache *cache = self;
    char key[KEY_LEN + 1];
    const struct redis_word words[] = {REDIS_WORD("EVAL"), redis_word(redis_keep_script),
                                       REDIS_WORD("1"),    key_of(id, key),
                                       {json, json_len},   redis_word(cache->ttl)};
    return submit(operation_new(cache, ORDER_CACHE_OK, on_done, arg), words, 6, on_status);
}

/* A debt is paid before it is taken off, so what counts is how many there were at the sending. */
static int get(void *self, const struct order_id *id, order_cache_done_fn *on_done, void *arg)
{
    const struct redis_cache *cache = self;
    char key[KEY_LEN + 1];
    const struct redis_word words[] = {REDIS_WORD("GET"), key_of(id, key)};
    enum order_cache_status otherwise =
        atomic_load(cache->owed) == 0 ? ORDER_CACHE_ABSENT : ORDER_CACHE_UNAVAILABLE;
    return submit(operation_new(self, otherwise, on_done, arg), words, 2, on_reply);
}

static void on_filled(void *arg, const redisReply *reply)
{
    (void)arg;
    (void)reply; /* after a failure the next read fills the entry */
}

static void fill(void *self, const struct order_id *id, const char *json, size_t json_len)
{
    struct redis_cache *cache = self;
    char key[KEY_LEN + 1];
    const struct redis_word words[] = {REDIS_WORD("SET"), key_of(id, key),  {json, json_len},
                                       REDIS_WORD("NX"),  REDIS_WORD("EX"), redis_word(cache->ttl)};
    /* When it is not sent, the next read fills the entry. */
    (void)!redis_connection_send(cache->connection, words, 6, on_filled, NULL);
}

/* ---- put, confirm ---- */

/* It was not written, or nobody knows. */
static void owe(struct operation *operation)
{
    add_debt(operation->cache, operation->id, operation->json, operation->json_len);
    end(operation, ORDER_CACHE_UNAVAILABLE, NULL);
}

static void on_set(void *arg, const redisReply *reply)
{
    if (succeeded(reply))
        end(arg, ORDER_CACHE_OK, NULL);
    else
        owe(arg);
}

static void on_expire(void *arg, const redisReply *reply)
{
    struct operation *operation = arg;
    if (!succeeded(reply)) {
        owe(operation);
    } else if (reply->type == REDIS_REPLY_INTEGER && reply->integer == 1) {
        end(operation, ORDER_CACHE_OK, NULL);
    } else { /* there is no such key (any more) */
        if (send_set(operation->cache, operation->id, operation->json, operation->json_len, on_set,
                     operation) != 0)
            owe(operation);
    }
}

/* The operation that writes an accepted order's entry. */
static struct operation *writing_new(struct redis_cache *cache, const struct order_id *id,
                                     const char *json, size_t json_len,
                                     order_cache_done_fn *on_done, void *arg)
{
    struct operation *operation = operation_new(cache, ORDER_CACHE_OK, on_done, arg);
    operation->id = id;
    operation->json = json;
    operation->json_len = json_len;
    return operation;
}

/* The operation begins with a command that was not sent. */
static int owe_at_once(struct operation *operation)
{
    add_debt(operation->cache, operation->id, operation->json, operation->json_len);
    free(operation);
    return -1;
}

static int put(void *self, const struct order_id *id, const char *json, size_t json_len,
               order_cache_done_fn *on_done, void *arg)
{
    struct operation *operation = writing_new(self, id, json, json_len, on_done, arg);
    if (send_set(self, id, json, json_len, on_set, operation) != 0)
        return owe_at_once(operation);
    return 0;
}

static int confirm(void *self, const struct order_id *id, const char *json, size_t json_len,
                   order_cache_done_fn *on_done, void *arg)
{
    struct redis_cache *cache = self;
    char key[KEY_LEN + 1];
    const struct redis_word words[] = {REDIS_WORD("EXPIRE"), key_of(id, key),
                                       redis_word(cache->ttl)};
    struct operation *operation = writing_new(cache, id, json, json_len, on_done, arg);
    if (redis_connection_send(cache->connection, words, 3, on_expire, operation) != 0)
        return owe_at_once(operation);
    return 0;
}

/* ---- life ---- */

struct order_cache *redis_cache_new(struct event_loop *events, const struct redis_options *options,
                                    int64_t ttl_s, atomic_uint *owed)
{
    struct redis_cache *cache = memory_new(sizeof(*cache));
    cache->port = (struct order_cache){
        .self = cache,
        .reserve = reserve,
        .put = put,
        .confirm = confirm,
        .remove = remove_entry,
        .replace = replace,
        .keep = keep,
        .get = get,
        .fill = fill,
    };
    snprintf(cache->ttl, sizeof(cache->ttl), "%lld", (long long)ttl_s);
    cache->owed = owed;
    cache->debts_end = &cache->debts;
    cache->debt_timer = event_loop_timer(events, on_debt_timer, cache);
    struct redis_options own = *options;
    own.on_error = on_error;
    cache->connection = redis_connection_new(events, &own); /* copies them */
    return &cache->port;
}

void redis_cache_flush(struct order_cache *port)
{
    struct redis_cache *cache = port->self;
    redis_connection_flush(cache->connection);
}

void redis_cache_free(struct order_cache *port)
{
    if (port == NULL)
        return;
    struct redis_cache *cache = port->self;
    redis_connection_free(cache->connection);
    loop_timer_free(cache->debt_timer);
    while (cache->debts != NULL)
        drop_first_debt(cache);
    free(cache);
}
