/*
 * gelf_region: memory of which the addresses are reserved at once and the pages are taken only when
 * they are touched: room for the largest message, paid for only by those who send one. Any thread;
 * one owner a region.
 */
#ifndef BARGE_GELF_REGION_H
#define BARGE_GELF_REGION_H

#include "agent/base/base.h"

struct gelf_region {
    char *p;
    size_t n;
};

/* Reserves n bytes, all zero. Dies when there is no address space. Small pages, so that one byte
 * does not cost 2 MiB. */
void gelf_region_init(struct gelf_region *r, size_t n);
void gelf_region_fini(struct gelf_region *r);

/* Gives the pages behind the first `keep` bytes back to the system when more than that were touched
 * (`used`). The contents behind keep are lost. */
void gelf_region_trim(struct gelf_region *r, size_t used, size_t keep);

#endif
