#include "outputs/output.h"

#include <endian.h>

/* In byte order, so that ids sort as the bytes do. */
static const char alphabet[64 + 1] =
    "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";

/* Both characters of twelve bits at once: ids are written for every record, and this is half of one
 * at a time's cost. */
static char pairs[1 << 12][2];

__attribute__((constructor)) static void pairs_fill(void)
{
    for (unsigned i = 0; i < ARRAY_LEN(pairs); i++) {
        pairs[i][0] = alphabet[i >> 6];
        pairs[i][1] = alphabet[i & 63];
    }
}

void output_id_text(const uint8_t id[BUFFER_ID_BYTES], char to[OUTPUT_ID_CHARS])
{
    for (size_t i = 0, o = 0; i < BUFFER_ID_BYTES; i += 6, o += 8) {
        uint64_t v;
        uint32_t high;
        uint16_t low;

        memcpy(&high, id + i, sizeof high);
        memcpy(&low, id + i + sizeof high, sizeof low);
        v = (uint64_t)be32toh(high) << 16 | be16toh(low);
        memcpy(to + o, pairs[v >> 36], 2);
        memcpy(to + o + 2, pairs[v >> 24 & 0xfff], 2);
        memcpy(to + o + 4, pairs[v >> 12 & 0xfff], 2);
        memcpy(to + o + 6, pairs[v & 0xfff], 2);
    }
}

static int sextet(char c)
{
    if (c == '-')
        return 0;
    if (c >= '0' && c <= '9')
        return 1 + c - '0';
    if (c >= 'A' && c <= 'Z')
        return 11 + c - 'A';
    if (c == '_')
        return 37;
    if (c >= 'a' && c <= 'z')
        return 38 + c - 'a';
    return -1;
}

bool output_id_parse(struct bytes text, uint8_t id[BUFFER_ID_BYTES])
{
    if (text.n != OUTPUT_ID_CHARS)
        return false;
    for (size_t i = 0, o = 0; o < OUTPUT_ID_CHARS; i += 3, o += 4) {
        uint32_t v = 0;

        for (size_t k = 0; k < 4; k++) {
            int s = sextet(text.p[o + k]);

            if (s < 0)
                return false;
            v = v << 6 | (uint32_t)s;
        }
        id[i] = (uint8_t)(v >> 16);
        id[i + 1] = (uint8_t)(v >> 8);
        id[i + 2] = (uint8_t)v;
    }
    return true;
}
