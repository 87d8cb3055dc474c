/* Trace Context (W3C Recommendation, Level 1): which trace an order belongs to. Its header
 * `traceparent` names the trace and the last step of it, `tracestate` is what tracing systems add
 * for each other. A service that is given neither begins a trace. */
#ifndef PROTO_TRACE_CONTEXT_H
#define PROTO_TRACE_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRACE_ID_TEXT_LEN 32     /* lower-case hexadecimal digits */
#define TRACEPARENT_LEN 55       /* of version 00, the only one that is written */
#define TRACESTATE_MAX_BYTES 512 /* that everybody must propagate (section 3.3.1.5) */

struct trace_id {
    uint8_t bytes[16]; /* not all zero, else there is none */
};

struct trace_context {
    struct trace_id id;
    uint8_t parent_id[8];
    bool sampled;
    const char *state; /* tracestate, without a NUL; whose it is, the function that sets it says */
    size_t state_len;  /* 0: none */
};

/* Begin a trace: new ids, not sampled, without tracestate. */
struct trace_context trace_context_begin(void);

/* Take the trace of these headers on. Without a valid traceparent a trace is begun, and tracestate
 * does not count; an invalid tracestate alone is left out. Headers that are not there have length
 * 0. The result's `state` points into `tracestate`. */
struct trace_context trace_context_read(const char *traceparent, size_t traceparent_len,
                                        const char *tracestate, size_t tracestate_len);

/* This process takes part in the trace: what it sends has a parent id of its own. */
void trace_context_take_part(struct trace_context *trace);

/* `text` of TRACEPARENT_LEN + 1, with a NUL. */
void traceparent_format(const struct trace_context *trace, char text[TRACEPARENT_LEN + 1]);

/* `text` of TRACE_ID_TEXT_LEN + 1, with a NUL. Empty when there is none. */
void trace_id_format(const struct trace_id *id, char text[TRACE_ID_TEXT_LEN + 1]);

/* Parse a traceparent into the ids and `sampled` of *ret_trace; its tracestate becomes none.
 * Versions above 00 are read as far as 00 goes (section 4.3, "Versioning of traceparent"). Returns
 * 0, or -1 with *ret_trace untouched. */
int traceparent_parse(const char *text, size_t len, struct trace_context *ret_trace)
    __attribute__((warn_unused_result));

/* Whether it is a list of 1 to 32 members (empty ones apart) of at most TRACESTATE_MAX_BYTES. */
bool tracestate_valid(const char *text, size_t len);

#endif
