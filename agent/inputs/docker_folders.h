/*
 * docker_folders: the folders in which Docker keeps its containers, and the containers in them.
 * inotify tells what happens; a rescan is the net under it, and polling stands in where no watches
 * are left. Several engines (rootful, rootless, snap) are several folders.
 *
 * A container whose folder has gone is kept for some minutes, so that its name and labels can still
 * be asked for. Intake thread.
 */
#ifndef BARGE_DOCKER_FOLDERS_H
#define BARGE_DOCKER_FOLDERS_H

#include "agent/inputs/docker_holder.h"
#include "agent/loop/loop.h"

#define DOCKER_MAX_CONTAINERS 65536

struct docker_folders;

/* Takes the positions of earlier lives from the buffer, looks at the folders and begins to watch.
 * changed(arg) is called after events were handled: there may be something in shared->ready. */
struct docker_folders *docker_folders_start(struct tail_shared *s,
                                            const struct docker_settings *settings,
                                            struct loop *loop, struct docker_holder *holder,
                                            void (*changed)(void *arg), void *arg);
void docker_folders_stop(struct docker_folders *d);

/* Does what docker_container_want_* asked for. */
void docker_folders_visit(struct docker_folders *d);

/* Takes the log files that were opened as they were made (docker_holder.h), if there are any. */
void docker_folders_take_held(struct docker_folders *d);

/* To be called every second or so while shared->attention or docker_folders_polls, else every ten:
 * polls what has no watch, rescans, waits for folders, forgets containers that are gone. */
void docker_folders_tick(struct docker_folders *d);
bool docker_folders_polls(const struct docker_folders *d);

/* By 64 hex digits, or a beginning of at least 12 that only one has. NULL when there is none. */
struct docker_container *docker_folders_container(struct docker_folders *d, struct bytes id);

#endif
