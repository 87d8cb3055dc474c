/* Hexadecimal digits. */
#ifndef PROTO_HEX_H
#define PROTO_HEX_H

/* The value of a digit, of either case, or -1. */
static inline int hex_digit(char c)
{
    static const signed char one_more[256] = {
        ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,
        ['6'] = 7,  ['7'] = 8,  ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12,
        ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16, ['A'] = 11, ['B'] = 12,
        ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
    };
    return one_more[(unsigned char)c] - 1;
}

#endif
