/*
 * tail_scan: from the names in a log's folder to its files in their order. Docker renames
 * while we look, so a scan trusts only descriptors: what is open is recognised by its inode, which
 * cannot be used again meanwhile; what is not open, by what stands in it. One thread.
 */
#ifndef BARGE_TAIL_SCAN_H
#define BARGE_TAIL_SCAN_H

#include "agent/inputs/tail_log.h"

#define TAIL_MAX_NAMES 1000   /* files of one log that are looked at */
#define TAIL_MISSING_MS 10000 /* before a file found under no name counts as gone */

/* Looks at the folder `name` in folder (a descriptor): opens what is new, notices what was renamed,
 * removed or compressed. False when that folder is not there. */
bool tail_scan(struct tail_log *log, int folder, const char *name);

/* Takes a live log file that docker_holder opened; closes it when it is known. */
void tail_scan_adopt(struct tail_log *log, int fd);

#endif
