/* Where the members and items of a JSON text stand, for a reader that needs a value as it was
 * written. Only for texts that the parser has taken (RFC 8259): the grammar is not checked again.
 * Never reads past a span, never blocks. */
#ifndef PROTO_JSON_SPAN_H
#define PROTO_JSON_SPAN_H

#include <stdbool.h>
#include <stddef.h>

/* A part of a JSON text, whose bytes are its owner's. */
struct json_span {
    const char *text;
    size_t len;
};

/* The value of the member `name` of the object `object`, without white space around it; len 0 when
 * there is none. `name` has letters, digits and '_' only; the object may have escaped any of
 * them. */
struct json_span json_span_member(struct json_span object, const char *name);

/* Takes the next member or item off an object or array. The first call gets the object or array,
 * the others what is left of it. Returns false after the last one. */
bool json_span_next(struct json_span *rest, struct json_span *ret_entry);

#endif
