#include "services/gateway/routes/message_json.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>
#include <string.h>

/* Whatever the properties are, what goes out is an object that JSON's readers take. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *json = message_json(data, size);
    char *text = json_dumps(json, JSON_COMPACT);
    REQUIRE(text != NULL);
    json_t *again = json_loads(text, 0, NULL);
    REQUIRE(again != NULL);
    json_decref(again);
    json_decref(json);
    free(text);
    return 0;
}
