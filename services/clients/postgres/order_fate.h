/* What has become of orders: the row and the dead letters of one order, and news of many orders
 * that are waited for. */
#ifndef CLIENTS_POSTGRES_ORDER_FATE_H
#define CLIENTS_POSTGRES_ORDER_FATE_H

#include "proto/order.h"
#include "services/clients/postgres/connection.h"
#include "services/clients/postgres/fate.h"

/* `fate` lives during the callback; NULL unless DATABASE_OK. */
typedef void order_fate_fn(void *arg, const struct order_fate *fate,
                           const struct database_answer *answer);

/* Ask for all of it in one statement. Returns 0 or -1 as database_send(). */
int order_fate_ask(struct database *database, const struct order_id *id, order_fate_fn *on_done,
                   void *arg) __attribute__((warn_unused_result));

#define ORDER_NEWS_S 30 /* longer than a request waits */

/* Look for news of these orders (at least one): their rows, and of each the newest letter that died
 * at a stage, if it was archived in the last ORDER_NEWS_S seconds. The functions below read the
 * answer. Returns 0 or -1 as database_send(). */
int order_news_look(struct database *database, const struct order_id *ids, size_t count,
                    database_done_fn *on_done, void *arg) __attribute__((warn_unused_result));

/* How many pieces of news an answer has, which is DATABASE_OK. */
int order_news_count(const struct database_answer *answer);

enum order_news {
    ORDER_NEWS_NONE, /* a row that is no order */
    ORDER_NEWS_STORED,
    ORDER_NEWS_DIED,
};

/* The piece at `i`. Stored: *ret_order is the row. Died: only the id in *ret_order is set;
 * *ret_reason lives as long as the answer, and the letter was archived *ret_age_ms before the look,
 * by the database's clock. */
enum order_news order_news_read(const struct database_answer *answer, int i,
                                struct order *ret_order, const char **ret_reason,
                                int64_t *ret_age_ms);

#endif
