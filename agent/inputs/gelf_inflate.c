#include "agent/inputs/gelf_inflate.h"

#include "agent/inputs/gelf_region.h"

#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

#define FREE_RATIO 32
#define BUDGET_MAX (UINT64_C(16) << 20)
#define BUDGET_PER_S (UINT64_C(4) << 20)
#define FILL_MS (BUDGET_MAX * 1000 / BUDGET_PER_S)
#define KEEP_BYTES (1u << 20)

struct gelf_inflater {
    z_stream z;
    struct gelf_region to;
    size_t max;
    size_t used; /* of `to`, by the last message */
    uint64_t budget, filled_ms;
};

struct gelf_inflater *gelf_inflater_create(size_t max_message)
{
    struct gelf_inflater *f = base_calloc(1, sizeof *f);

    f->max = MIN(max_message, (size_t)UINT_MAX - 1);
    /* One byte more than allowed, so that exactly max_message bytes can be told from more. */
    gelf_region_init(&f->to, f->max + 1);
    f->budget = BUDGET_MAX;
    if (inflateInit2(&f->z, 15 + 32) != Z_OK) /* 32: gzip or zlib by the header */
        base_die("out of memory");
    return f;
}

void gelf_inflater_free(struct gelf_inflater *f)
{
    if (!f)
        return;
    inflateEnd(&f->z);
    gelf_region_fini(&f->to);
    free(f);
}

static void refill(struct gelf_inflater *f, uint64_t now_ms)
{
    uint64_t passed = now_ms > f->filled_ms ? MIN(now_ms - f->filled_ms, FILL_MS) : 0;

    f->budget = MIN(f->budget + passed * BUDGET_PER_S / 1000, BUDGET_MAX);
    f->filled_ms = now_ms;
}

bool gelf_inflate(struct gelf_inflater *f, struct bytes in, uint64_t now_ms, struct bytes *out)
{
    size_t n, allowed, free_bytes = in.n * FREE_RATIO;
    int result;

    gelf_region_trim(&f->to, f->used, KEEP_BYTES);
    f->used = 0;
    if (in.n > UINT_MAX)
        return false;
    refill(f, now_ms);
    allowed = MIN(f->max, free_bytes + (size_t)f->budget);
    inflateReset(&f->z);
    f->z.next_in = (Bytef *)(uintptr_t)in.p;
    f->z.avail_in = (uInt)in.n;
    f->z.next_out = (Bytef *)f->to.p;
    f->z.avail_out = (uInt)allowed + 1;
    /* All output in one call: zlib then copies no window. */
    result = inflate(&f->z, Z_FINISH);
    n = (size_t)allowed + 1 - f->z.avail_out;
    f->used = n;
    if (n > free_bytes)
        f->budget -= MIN(f->budget, n - free_bytes);
    if (result != Z_STREAM_END || f->z.avail_in > 0 || n > allowed)
        return false;
    *out = bytes_of(f->to.p, n);
    return true;
}
