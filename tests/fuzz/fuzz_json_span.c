#include "proto/json_span.h"
#include "tests/fuzz/fuzz.h"
#include <jansson.h>
#include <string.h>

/* What the scanner finds in a text that the parser has taken is what the parser finds. */
static void require_same(json_t *value, struct json_span span)
{
    REQUIRE((span.len > 0) == (value != NULL));
    json_t *again = json_loadb(span.text, span.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    REQUIRE(value == NULL || json_equal(value, again));
    json_decref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (memchr(data, '\0', size) != NULL)
        return 0;
    const struct json_span text = {(const char *)data, size};
    json_t *root = json_loadb(text.text, text.len, JSON_REJECT_DUPLICATES, NULL);
    struct json_span rest = text, entry;
    size_t entries = 0;
    for (; json_span_next(&rest, &entry); entries++)
        if (json_is_array(root))
            require_same(json_array_get(root, entries), entry);
    if (root == NULL) /* whatever was found: it was looked for within the text */
        (void)json_span_member(text, "amount");
    else
        REQUIRE(entries == (json_is_array(root) ? json_array_size(root) : json_object_size(root)));
    if (json_is_object(root))
        require_same(json_object_get(root, "amount"), json_span_member(text, "amount"));
    json_decref(root);
    return 0;
}
