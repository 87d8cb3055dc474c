/* A line of the header Prefer. Found is a wait of a number in its bounds, and in every list that
 * this line begins. */
#include "services/gateway/prefer.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char longer[4096];
    static const char more[] = ", wait=1";
    unsigned wait_s = 77, again_s = 77;
    if (size + sizeof(more) > sizeof(longer))
        return 0;
    memcpy(longer, data, size);
    memcpy(longer + size, more, sizeof(more));
    bool found = prefer_line_wait_s((const char *)data, size, &wait_s);
    REQUIRE(found ? wait_s <= PREFER_WAIT_MAX_S : wait_s == 77);
    if (found && wait_s > 0)
        REQUIRE(prefer_line_wait_s(longer, size + sizeof(more) - 1, &again_s) && again_s == wait_s);
    return 0;
}
