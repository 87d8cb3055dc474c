/* Exact conversions between cents and decimal text. No double is involved: it would take
 * 1.0000000000000000001 for 1 and 1e-400 for 0. */
#include "proto/amount.h"
#include <stdbool.h>

/* Beyond any exponent that the digits of a text in memory can make up for. */
#define EXPONENT_LIMIT (INT64_MAX / 100)

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A number being read: `digits` × 10^`exponent`. `digits` has no zeros at its end: those that came
 * since the last other digit are counted in `zeros`. */
struct mantissa {
    int64_t digits, zeros, exponent;
};

/* Reads digits from `p` on; each adds `exponent_step` to the exponent. Returns the place after
 * them, or NULL when there is no digit or too many of them. */
static const char *read_digits(const char *p, const char *end, int exponent_step,
                               struct mantissa *number)
{
    struct mantissa read = *number;
    const char *const first = p;
    for (; p < end && is_digit(*p); p++) {
        read.exponent += exponent_step;
        read.zeros++;
        if (*p == '0')
            continue;
        for (; read.digits > 0 && read.zeros > 0; read.zeros--)
            if ((read.digits *= 10) > AMOUNT_MAX_CENTS)
                return NULL;
        read.digits += *p - '0';
        read.zeros = 0;
    }
    *number = read;
    return p > first ? p : NULL;
}

/* Reads what stands after "e"; a huge exponent becomes one beyond EXPONENT_LIMIT. Returns the same
 * as above. */
static const char *read_exponent(const char *p, const char *end, struct mantissa *number)
{
    bool negative = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+'))
        p++;
    const char *const first = p;
    int64_t exponent = 0;
    for (; p < end && is_digit(*p); p++)
        if (exponent < EXPONENT_LIMIT)
            exponent = exponent * 10 + (*p - '0');
    number->exponent += negative ? -exponent : exponent;
    return p > first ? p : NULL;
}

int amount_from_decimal(const char *text, size_t len, int64_t *ret_cents)
{
    const char *p = text, *const end = text + len;
    bool negative = p < end && *p == '-';
    if (negative)
        p++;

    struct mantissa number = {0, 0, 0};
    p = read_digits(p, end, 0, &number);
    if (p != NULL && p < end && *p == '.')
        p = read_digits(p + 1, end, -1, &number);
    if (p != NULL && p < end && (*p == 'e' || *p == 'E'))
        p = read_exponent(p + 1, end, &number);
    if (p != end)
        return -1;

    /* The last digit is not zero, so a power below zero is a fraction of a cent. */
    int64_t cents = number.digits, power = number.exponent + number.zeros + 2;
    if (cents != 0 && power < 0)
        return -1;
    for (; cents != 0 && power > 0; power--)
        if ((cents *= 10) > AMOUNT_MAX_CENTS)
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
