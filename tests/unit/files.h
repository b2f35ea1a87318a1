/*
 * What the tests need of files: one as it is, and a folder taken away with all that is in it.
 */
#ifndef BARGE_TEST_FILES_H
#define BARGE_TEST_FILES_H

#include "agent/base/strbuf.h"

#include <ftw.h>
#include <stdio.h>

/* Ends the test's program when there is none. */
static inline struct strbuf files_read(const char *path)
{
    struct strbuf b = {0};
    FILE *f = fopen(path, "rb");
    size_t n;

    if (!f)
        base_die("cannot read %s: run the tests from the top of the repository", path);
    do {
        n = fread(strbuf_room(&b, 65536), 1, 65536, f);
        b.n += n;
    } while (n > 0);
    fclose(f);
    return b;
}

static inline int files_remove_one(const char *path, const struct stat *st, int flag,
                                   struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

/* 0, or -1 with errno. */
static inline int files_remove(const char *folder)
{
    return nftw(folder, files_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
