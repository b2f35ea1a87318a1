/*
 * folder: makes folders so that they last. Any thread.
 */
#ifndef BARGE_FOLDER_H
#define BARGE_FOLDER_H

#include "agent/base/base.h"

#include <sys/types.h>

/* Makes the folder path and those above it that are not there. What this returns 0 for is there
 * after a loss of power as well: each is fsynced into its parent before the next is made; of those
 * that were there the lowest, for a crash may have come between its making and that fsync. -1 with
 * *e: which one, and why. A parent that may not be opened for reading is left unsynced. */
int folder_make(const char *path, mode_t mode, struct error *e);

/* fsyncs the folder that path lies in, so that its name lasts; one that may not be opened for
 * reading is left unsynced. 0, or -1 with errno. */
int folder_sync_name(const char *path);

#endif
