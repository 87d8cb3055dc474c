/* The body of a _bulk request: for each order a line with the action and a line with the document
 * (NDJSON, the last line ends with a newline too; Elasticsearch reference, "Bulk API").
 * The action is "index" rather than "create": an order indexed again, after a redelivery, replaces
 * its document by the same content; and a document that was damaged or written by another program
 * is put right. */
#ifndef CLIENTS_ELASTICSEARCH_BULK_REQUEST_H
#define CLIENTS_ELASTICSEARCH_BULK_REQUEST_H

#include "proto/order.h"
#include <stddef.h>

#define BULK_REQUEST_MAX_BYTES (2 * 1024 * 1024)

/* A buffer used again and again. */
struct bulk_request {
    size_t len_bytes;
    char body[BULK_REQUEST_MAX_BYTES];
};

/* Write the first of `count` orders, as many as are sure to fit, but at least one; returns how
 * many. */
size_t bulk_request_write(struct bulk_request *request, const struct order *const orders[],
                          size_t count);

#endif
