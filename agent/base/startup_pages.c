#include "agent/base/startup_pages.h"

#include "agent/base/base.h"

#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

/* The whole pages of the segments that are not written to. What was relocated lies in writable
 * ones. */
static int release(struct dl_phdr_info *object, size_t size, void *page)
{
    uintptr_t mask = *(const uintptr_t *)page - 1;

    (void)size;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        uintptr_t begin = (object->dlpi_addr + segment->p_vaddr + mask) & ~mask;
        uintptr_t end = (object->dlpi_addr + segment->p_vaddr + segment->p_memsz) & ~mask;

        if (segment->p_type == PT_LOAD && !(segment->p_flags & PF_W) && begin < end)
            madvise((void *)begin, end - begin, MADV_DONTNEED);
    }
    return 0;
}

void startup_pages_release(void)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

    dl_iterate_phdr(release, &page);
}
