/*
 * A datagram against detection and inflating: whatever comes, nothing beyond the cap, and a sound
 * message afterwards inflates.
 */
#include "agent/inputs/gelf_inflate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    /* {"short_message":"s"} in zlib format, as Python's zlib.compress makes it. */
    static const unsigned char sound[] = {
        0x78, 0x9c, 0xab, 0x56, 0x2a, 0xce, 0xc8, 0x2f, 0x2a, 0x89, 0xcf, 0x4d, 0x2d, 0x2e, 0x4e,
        0x4c, 0x4f, 0x55, 0xb2, 0x52, 0x2a, 0x56, 0xaa, 0x05, 0x00, 0x58, 0xd2, 0x07, 0xa2};
    static struct gelf_inflater *f;
    static uint64_t now;
    struct bytes in = bytes_of(data, n), out;
    bool fine;

    if (!f)
        f = gelf_inflater_create(64 << 10);
    now += 1000; /* a full budget for each input, so that it alone decides */
    if (gelf_inflate_is_compressed(in) && gelf_inflate(f, in, now, &out))
        ASSERT(out.n <= 64 << 10);
    fine = gelf_inflate(f, bytes_of(sound, sizeof sound), now, &out);
    ASSERT(fine && out.n == 21 && memcmp(out.p, "{\"short_message\":\"s\"}", 21) == 0);
    return 0;
}
