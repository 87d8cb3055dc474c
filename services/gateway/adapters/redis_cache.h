/* order_cache on Redis 7: order:<uuid> = the order in JSON. */
#ifndef GATEWAY_ADAPTERS_REDIS_CACHE_H
#define GATEWAY_ADAPTERS_REDIS_CACHE_H

#include "services/clients/redis/redis_connection.h"
#include "services/gateway/ports/order_cache.h"
#include <stdatomic.h>

/* Register the metrics; before threads start. */
void redis_cache_register_metrics(void);

/* `ttl_s` is the life of an accepted order's entry. `owed`: how many entries all caches of the
 * process have still to write; it must outlive them. */
struct order_cache *redis_cache_new(struct event_loop *events, const struct redis_options *options,
                                    int64_t ttl_s, atomic_uint *owed);
void redis_cache_free(struct order_cache *cache);

/* Write the commands that were given; at the end of each turn of the loop. */
void redis_cache_flush(struct order_cache *cache);

#endif
