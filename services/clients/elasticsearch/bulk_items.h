/* What the answer to a _bulk request says of each item of the request. */
#ifndef CLIENTS_ELASTICSEARCH_BULK_ITEMS_H
#define CLIENTS_ELASTICSEARCH_BULK_ITEMS_H

#include "proto/error.h"
#include "proto/order.h"
#include "services/clients/elasticsearch/server_error.h"
#include <stdbool.h>
#include <stddef.h>

/* The query that limits an answer to what is read here: ids and statuses in the order of the
 * request, and why. An item that is stored takes some 80 bytes, any other one up to some hundred.
 */
#define BULK_ITEMS_FILTER                                                                          \
    "filter_path=items.*._id,items.*.status,items.*.error.type,items.*.error.reason,error.type,"   \
    "error.reason"

/* Whether an answer with status 200 is the usual one: every order of the request, which were
 * written by bulk_request_write(), is stored. False says nothing. It costs a 70th of reading the
 * answer as JSON, so ask this first. */
bool bulk_items_all_stored(const struct order *const orders[], size_t count, const char *body,
                           size_t len_bytes);

struct bulk_items;

struct bulk_item {
    const char *id; /* belongs to the items */
    size_t id_len;
    long status;               /* 100 to 599 */
    bool stored;               /* the document is as asked: 2xx, or 409 */
    bool about_the_document;   /* refused for what it is; any other refusal may end by itself,
                                  or by a change of the server or of the index */
    struct server_error error; /* unless 2xx */
};

/* Read an answer with status 200 to a request of `count` items with the same action ("index",
 * "delete"; it stays the caller's). Returns NULL with `err` set unless the answer has so many items
 * of it, each with an id and a status. */
struct bulk_items *bulk_items_new(const char *action, const char *body, size_t len_bytes,
                                  size_t count, struct error *err)
    __attribute__((warn_unused_result));
void bulk_items_free(struct bulk_items *items);

/* Whether each item has the id of the order in its place. Believe an answer that is wrong about one
 * order about none. */
bool bulk_items_are_of(const struct bulk_items *items, const struct order *const orders[]);

void bulk_items_get(const struct bulk_items *items, size_t place, struct bulk_item *ret_item);

/* In front of what is said about a refused _bulk or item, name the privilege that is missing. */
void bulk_items_name_privilege(struct server_error *error, long status);

#endif
