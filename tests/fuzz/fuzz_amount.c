#include "proto/amount.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t cents, back;
    if (amount_from_decimal((const char *)data, size, &cents) != 0)
        return 0;
    REQUIRE(cents >= -AMOUNT_MAX_CENTS && cents <= AMOUNT_MAX_CENTS);
    char text[AMOUNT_TEXT_SIZE];
    size_t len = amount_format(cents, text);
    REQUIRE(amount_from_decimal(text, len, &back) == 0 && back == cents);
    REQUIRE(amount_from_double(strtod(text, NULL), &back) == 0 && back == cents);
    return 0;
}
