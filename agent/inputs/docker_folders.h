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
#include "agent/inputs/tail_turns.h"

#define DOCKER_MAX_CONTAINERS 65536

struct docker_folders;

/* Takes the positions of earlier lives from the buffer, looks at the folders and begins to watch.
 * changed(arg) is called after events were handled: there may be something in shared->ready. */
struct docker_folders *docker_folders_start(struct tail_shared *s,
                                            const struct docker_settings *settings,
                                            struct loop *loop, struct docker_holder *holder,
                                            void (*changed)(void *arg), void *arg);
void docker_folders_stop(struct docker_folders *d);

/* How the turns and the clock go through them; arg: the struct docker_folders. */
extern const struct tail_folders docker_folders_turns;

/* By 64 hex digits, or a beginning of at least 12 that only one has. NULL when there is none. */
struct docker_container *docker_folders_container(struct docker_folders *d, struct bytes id);

#endif
