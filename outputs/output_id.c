#include "outputs/output.h"

/* In byte order, so that ids sort as the bytes do. */
static const char alphabet[64 + 1] =
    "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";

void output_id_text(const uint8_t id[BUFFER_ID_BYTES], char to[OUTPUT_ID_CHARS])
{
    for (size_t i = 0, o = 0; i < BUFFER_ID_BYTES; i += 3, o += 4) {
        uint32_t v = (uint32_t)id[i] << 16 | (uint32_t)id[i + 1] << 8 | id[i + 2];

        to[o] = alphabet[v >> 18];
        to[o + 1] = alphabet[v >> 12 & 63];
        to[o + 2] = alphabet[v >> 6 & 63];
        to[o + 3] = alphabet[v & 63];
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
