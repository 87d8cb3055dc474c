#include "services/base/json_text.h"
#include "tests/fuzz/fuzz.h"
#include <jansson.h>
#include <stdlib.h>

/* Whatever comes in, what goes out is the inside of a JSON string, in one line. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t room = size > 0 && data[0] % 2 ? JSON_TEXT_SIZE(size) : size / 2 + 1;
    char *buffer = malloc(room + 4);
    REQUIRE(buffer != NULL);
    buffer[0] = '[';
    buffer[1] = '"';
    size_t len = json_text_escape((const char *)data, size, buffer + 2, room);
    REQUIRE(len < room);
    for (size_t i = 0; i < len; i++)
        REQUIRE((unsigned char)buffer[2 + i] >= 0x20);
    buffer[2 + len] = '"';
    buffer[3 + len] = ']';
    json_t *json = json_loadb(buffer, len + 4, JSON_ALLOW_NUL, NULL);
    REQUIRE(json != NULL);
    json_decref(json);
    free(buffer);
    return 0;
}
