/* Bytes of a json-file log: framing them in life, with refusals and restarts, gives what framing
 * them at one go gives. */
#include "tests/unit/docker_frames.h"

#include "agent/base/hash.h"

#define MOST_PIECES 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Pieces are long and inputs are short: a byte 0xF8 stands for 16,384 letters. */
static struct bytes expand(const uint8_t *data, size_t n)
{
    char *p = base_alloc(n + MOST_PIECES * (size_t)DOCKER_PIECE_BYTES);
    size_t at = 0, pieces = 0;

    for (size_t i = 0; i < n; i++) {
        if (data[i] == 0xF8 && pieces++ < MOST_PIECES) {
            memset(p + at, 'x', DOCKER_PIECE_BYTES);
            at += DOCKER_PIECE_BYTES;
        } else {
            p[at++] = (char)data[i];
        }
    }
    return bytes_of(p, at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct bytes file = expand(data, n);
    struct frames whole = frames_of(file), life = frames_in_life(file, hash_64(1, data, n));

    ASSERT(frames_differ(&whole, &life) == SIZE_MAX);
    for (size_t i = 0; i < whole.n; i++)
        ASSERT(whole.list[i].position < file.n);
    frames_fini(&whole);
    frames_fini(&life);
    free((void *)(uintptr_t)file.p);
    return 0;
}
