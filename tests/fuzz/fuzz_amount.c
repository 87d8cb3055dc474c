#include "proto/amount.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>

/* The exact value of a text that is taken is that of its cents, so both have the same double. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t cents, back;
    if (amount_from_decimal((const char *)data, size, &cents) != 0)
        return 0;
    REQUIRE(cents >= -AMOUNT_MAX_CENTS && cents <= AMOUNT_MAX_CENTS);
    char text[AMOUNT_TEXT_SIZE];
    size_t len = amount_format(cents, text);
    REQUIRE(amount_from_decimal(text, len, &back) == 0 && back == cents);

    char *ended = malloc(size + 1), *end;
    REQUIRE(ended != NULL);
    memcpy(ended, data, size);
    ended[size] = '\0';
    REQUIRE(strtod(ended, &end) == (double)cents / 100.0 && end == ended + size);
    free(ended);
    return 0;
}
