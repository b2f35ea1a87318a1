#include "agent/base/startup_pages.h"

#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static long resident_file_kib(void)
{
    FILE *f = fopen("/proc/self/status", "re");
    char line[256];
    long kib = -1;

    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "RssFile: %ld", &kib) == 1)
            break;
    fclose(f);
    return kib;
}

struct touched {
    unsigned long sum;
    long kib;
};

/* Reads every page of the program's code, and sums it up. */
static int touch(struct dl_phdr_info *object, size_t size, void *arg)
{
    struct touched *t = arg;

    (void)size;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *s = &object->dlpi_phdr[i];
        const volatile unsigned char *p = (const unsigned char *)(object->dlpi_addr + s->p_vaddr);

        if (s->p_type != PT_LOAD || (s->p_flags & (PF_W | PF_X)) != PF_X)
            continue;
        for (size_t at = 0; at < s->p_memsz; at += 4096) {
            t->sum += p[at];
            t->kib += 4;
        }
    }
    return 1; /* the first object is the program: others may be mapped so that they cannot be read
               */
}

static void test_code_goes_and_comes_back(void **state)
{
    struct touched before = {0}, after = {0};
    long full, less;

    (void)state;
    dl_iterate_phdr(touch, &before);
    full = resident_file_kib();
    startup_pages_release();
    less = resident_file_kib();
    assert_true(before.kib > 0);
    if (full - less < before.kib / 2)
        fail_msg("%ld KiB before, %ld KiB after, of which %ld are the program's code", full, less,
                 before.kib);
    dl_iterate_phdr(touch, &after);
    assert_true(before.sum == after.sum);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_code_goes_and_comes_back)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
