#include "parsers/put.h"

#include <endian.h>

char *put_bytes(char *to, struct bytes s)
{
    return put(to, s.p, s.n);
}

char *put_string(char *to, struct bytes inside)
{
    *to++ = '"';
    to = put(to, inside.p, inside.n);
    *to++ = '"';
    return to;
}

/* Eight digits of v < 10^8 as the bytes of a number, the first in the lowest byte, each 0..9.
 * Divides all of them at once: by 10^4, then pairs of four digits by 100, then four pairs by 10. */
static uint64_t eight_digits(uint32_t v)
{
    uint64_t fours = v / 10000 | (uint64_t)(v % 10000) << 32;
    uint64_t hundreds = fours * 10486 >> 20 & 0x0000007f0000007f;
    uint64_t pairs = hundreds | (fours - 100 * hundreds) << 16;
    uint64_t tens = pairs * 103 >> 10 & 0x000f000f000f000f;

    return tens | (pairs - 10 * tens) << 8;
}

static char *put_digits(char *to, uint64_t digits, unsigned skip)
{
    digits = htole64((digits | 0x3030303030303030) >> 8 * skip);
    memcpy(to, &digits, 8);
    return to + 8 - skip;
}

char *put_decimal(char *to, uint64_t v)
{
    uint64_t digits;

    if (v >= 100000000)
        return put_digits(put_decimal(to, v / 100000000), eight_digits((uint32_t)(v % 100000000)),
                          0);
    digits = eight_digits((uint32_t)v);
    return put_digits(to, digits, v ? (unsigned)__builtin_ctzll(digits) / 8 : 7);
}
