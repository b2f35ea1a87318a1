/*
 * tail_scan: from the names in a container's folder to its files in their order. Docker renames
 * while we look, so a scan trusts only descriptors: what is open is recognised by its inode, which
 * cannot be used again meanwhile; what is not open, by what stands in it. One thread.
 */
#ifndef BARGE_TAIL_SCAN_H
#define BARGE_TAIL_SCAN_H

#include "agent/inputs/docker_container.h"

#define TAIL_MAX_NAMES 1000   /* log files of one container that are looked at */
#define TAIL_MISSING_MS 10000 /* before a file found under no name counts as gone */

/* Looks at the container's folder: opens what is new, notices what was renamed, removed or
 * compressed. folder: descriptor of the containers folder. */
void tail_scan(struct docker_container *c, int folder);

/* Takes a live log file that docker_holder opened; closes it when it is known. */
void tail_scan_adopt(struct docker_container *c, int fd);

/* Whether name is one of the container's log files: *index 0 for the live one, N for .N;
 * *compressed for .gz. */
bool tail_scan_is_log(const struct docker_container *c, const char *name, uint32_t *index,
                      bool *compressed);

#endif
