/* The askers: gateways that have asked for a refresh and wait for it, over ZeroMQ (PROTOCOL.md,
 * "Refresh"). Accepts, keeps alive, answers; when to refresh is not decided here. */
#ifndef SCHEDULER_REFRESH_REQUESTS_H
#define SCHEDULER_REFRESH_REQUESTS_H

#include "proto/error.h"
#include "proto/refresh_message.h"
#include "services/loop/event_loop.h"
#include <czmq.h>
#include <stddef.h>
#include <stdint.h>

#define REFRESH_REQUESTS_MAX 10000 /* waiting at once; more are declined */

struct refresh_requests;

/* A request has arrived; returns the number of the attempt that will serve it. */
typedef uint64_t refresh_requested_fn(void *arg);

/* Bind `endpoint`. Returns NULL with `err` set when it cannot be had. Registers metrics. */
struct refresh_requests *refresh_requests_new(struct event_loop *loop, const char *endpoint,
                                              refresh_requested_fn *on_request, void *arg,
                                              struct error *err);
void refresh_requests_free(struct refresh_requests *requests);

size_t refresh_requests_waiting(const struct refresh_requests *requests);

/* Give the final answer to all that belong to attempt `last` or an earlier one. */
void refresh_requests_answer(struct refresh_requests *requests, uint64_t last,
                             enum refresh_state state, const char *detail);

/* The service is stopping: decline what comes from now on. */
void refresh_requests_close(struct refresh_requests *requests);

#endif
