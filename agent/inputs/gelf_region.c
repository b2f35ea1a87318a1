#include "agent/inputs/gelf_region.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

void gelf_region_init(struct gelf_region *r, size_t n)
{
    void *p =
        mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        base_die("cannot reserve %zu bytes: %s", n, strerror(errno));
    madvise(p, n, MADV_NOHUGEPAGE); /* refused where the kernel knows no huge pages: fine */
    r->p = p;
    r->n = n;
}

void gelf_region_fini(struct gelf_region *r)
{
    if (r->p)
        munmap(r->p, r->n);
    *r = (struct gelf_region){NULL, 0};
}

void gelf_region_trim(struct gelf_region *r, size_t used, size_t keep)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    if (used <= keep)
        return;
    keep = (keep + page - 1) / page * page;
    if (keep < r->n)
        madvise(r->p + keep, r->n - keep, MADV_DONTNEED);
}
