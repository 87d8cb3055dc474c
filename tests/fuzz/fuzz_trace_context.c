/* The first line is a traceparent, the rest a tracestate. */
#include "proto/trace_context.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t zeros[16];
    const char *text = (const char *)data;
    const char *line_end = size > 0 ? memchr(text, '\n', size) : NULL;
    size_t parent_len = line_end != NULL ? (size_t)(line_end - text) : size;
    const char *state = line_end != NULL ? line_end + 1 : text + size;
    size_t state_len = (size_t)(text + size - state);

    struct trace_context parsed, back,
        trace = trace_context_read(text, parent_len, state, state_len);
    REQUIRE(memcmp(trace.id.bytes, zeros, sizeof trace.id.bytes) != 0);
    REQUIRE(memcmp(trace.parent_id, zeros, sizeof trace.parent_id) != 0);
    REQUIRE(trace.state_len <= TRACESTATE_MAX_BYTES);
    REQUIRE(trace.state_len == 0 || trace.state == state);

    char written[TRACEPARENT_LEN + 1], id[TRACE_ID_TEXT_LEN + 1];
    traceparent_format(&trace, written);
    trace_id_format(&trace.id, id);
    REQUIRE(strlen(written) == TRACEPARENT_LEN && strlen(id) == TRACE_ID_TEXT_LEN);
    REQUIRE(traceparent_parse(written, TRACEPARENT_LEN, &back) == 0);
    REQUIRE(memcmp(&back.id, &trace.id, sizeof back.id) == 0 && back.sampled == trace.sampled);
    if (traceparent_parse(text, parent_len, &parsed) == 0) {
        REQUIRE(memcmp(&parsed.id, &trace.id, sizeof parsed.id) == 0);
        REQUIRE(memcmp(text + 2, written + 2, TRACEPARENT_LEN - 4) == 0);
    }
    return 0;
}
