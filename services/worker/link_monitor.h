/* Watches a socket of a link: what becomes of its connections, and what their peers have sent that
 * nobody has taken. Metrics: link_cut_connections_total. */
#ifndef WORKER_LINK_MONITOR_H
#define WORKER_LINK_MONITOR_H

#include "services/loop/event_loop.h"
#include <czmq.h>
#include <stdbool.h>
#include <stddef.h>

struct link_monitor;

struct link_monitor_options {
    struct event_loop *loop;
    zsock_t *socket; /* neither bound nor connected yet; stays the caller's */
    bool tcp;        /* else there are no limits on what peers send */
    bool encrypted;  /* with a link_key */
    /* An event of zmq_socket_monitor(3) and its value. */
    void (*on_event)(void *arg, int event, int value);
    void *arg;
};

/* Aborts when out of memory or sockets. */
struct link_monitor *link_monitor_new(const struct link_monitor_options *options);
void link_monitor_free(struct link_monitor *monitor); /* before its socket; NULL is legal */

/* Hand over the events that are there. They also come by themselves, from the loop. */
void link_monitor_read(struct link_monitor *monitor);

/* Receive a frame of the socket as zmq_msg_recv() does, without waiting. All frames must be
 * received here: what a peer has sent and was not received is held against it. */
bool link_monitor_receive(struct link_monitor *monitor, zmq_msg_t *frame);

#endif
