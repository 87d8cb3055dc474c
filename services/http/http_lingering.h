/* Sockets that linger before they are closed. Closing a socket while its peer still sends makes the
 * kernel reset the connection, and the reset takes the last answer from the peer (RFC 9112, 9.6).
 * So the writing side is closed first, and what comes is read and dropped for a while. One thread.
 */
#ifndef HTTP_LINGERING_H
#define HTTP_LINGERING_H

#include "services/loop/event_loop.h"

#define HTTP_LINGERING_MAX 64 /* sockets; a further one ends the oldest */

struct http_lingering;

struct http_lingering *http_lingering_new(struct event_loop *events);
void http_lingering_free(struct http_lingering *lingering); /* closes what still lingers */

/* Let `fd` linger until the peer has closed, at most 1 s and 64 KiB. It becomes the callee's. */
void http_lingering_add(struct http_lingering *lingering, int fd);

unsigned http_lingering_count(const struct http_lingering *lingering);

#endif
