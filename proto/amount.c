/* Exact conversions between cents, doubles and decimal text. */
#include "proto/amount.h"
#include <math.h>
#include <stdbool.h>

/* A double carries 15 decimal digits, and the widest amount has 12: so each amount has a double of
 * its own, and the double nearest to cents/100 is what any correct parser makes of the amount's
 * text. Hence the test: nearest cent, then back, and nothing may have changed. */
int amount_from_double(double value, int64_t *ret_cents)
{
    static const double limit = (double)AMOUNT_MAX_CENTS / 100.0;

    if (!(value >= -limit && value <= limit)) /* NaN fails too */
        return -1;
    int64_t cents = (int64_t)llround(value * 100.0);
    if ((double)cents / 100.0 != value)
        return -1;
    *ret_cents = cents;
    return 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

int amount_from_decimal(const char *text, size_t len, int64_t *ret_cents)
{
    const char *p = text, *const end = text + len;
    bool negative = p < end && *p == '-';
    if (negative)
        p++;

    if (p == end || !is_digit(*p))
        return -1;
    int64_t cents = 0;
    for (; p < end && is_digit(*p); p++) {
        cents = cents * 10 + (*p - '0');
        if (cents > AMOUNT_MAX_CENTS)
            return -1;
    }
    cents *= 100;

    if (p < end) {
        if (*p++ != '.' || p == end)
            return -1;
        int64_t unit = 10;
        for (; p < end; p++) {
            if (!is_digit(*p) || (unit == 0 && *p != '0'))
                return -1;
            cents += (*p - '0') * unit;
            unit /= 10;
        }
    }
    if (cents > AMOUNT_MAX_CENTS)
        return -1;
    *ret_cents = negative ? -cents : cents;
    return 0;
}

size_t amount_format(int64_t cents, char text[AMOUNT_TEXT_SIZE])
{
    char reversed[AMOUNT_TEXT_SIZE];
    size_t n = 0;
    uint64_t rest = cents < 0 ? -(uint64_t)cents : (uint64_t)cents;

    unsigned hundredths = (unsigned)(rest % 100);
    rest /= 100;
    if (hundredths % 10 != 0)
        reversed[n++] = (char)('0' + hundredths % 10);
    if (hundredths != 0) {
        reversed[n++] = (char)('0' + hundredths / 10);
        reversed[n++] = '.';
    }
    do {
        reversed[n++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest != 0 && n < sizeof reversed - 2);
    if (cents < 0)
        reversed[n++] = '-';

    for (size_t i = 0; i < n; i++)
        text[i] = reversed[n - 1 - i];
    text[n] = '\0';
    return n;
}
