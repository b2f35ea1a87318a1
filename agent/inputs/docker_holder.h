/*
 * docker_holder: opens a container's live log file at the moment it is made, in a thread of its
 * own.
 *
 * A container that logs 50 MB/s with max-size=1m and max-file=3 leaves each of its files a name for
 * 60 ms. The intake thread looks between two stretches of parsing, and on a busy machine it also
 * waits for its turn on a CPU behind everything else that computes; a thread that sleeps until a
 * file is made and then does four system calls is run at once. What it has opened cannot be lost
 * any more: the descriptors wait here until the intake thread takes them.
 *
 * It has an inotify instance of its own that tells of new files only, so that writing costs it
 * nothing. All functions are for the intake thread, but wake(arg) is called from the holder's.
 */
#ifndef BARGE_DOCKER_HOLDER_H
#define BARGE_DOCKER_HOLDER_H

#include "agent/inputs/docker_container.h"

#define DOCKER_HOLDER_FILES 8 /* opened at one look, of one container */

struct docker_holder;

/* What happened in one container's folder. */
struct docker_held {
    char hex[DOCKER_HEX_BYTES + 1]; /* "" when events were lost (fs.inotify.max_queued_events) */
    unsigned made;                  /* live files that were made since the last one of these */
    unsigned n;                     /* of fds, which may be of files that are known */
    int fds[DOCKER_HOLDER_FILES];   /* the newest first */
    int config; /* its config.v2.json, once, with the first file: a container that is removed at
                   once takes it along; else -1 */
};

/* While the process still has all its rights: gives the calling thread the lowest real-time
 * priority, if it may have that, for docker_holder_start to pass on. Without it said in the log. */
void docker_holder_prepare(void);

/* The holder's thread goes first if the calling one does, which stops doing so.
 * wake(arg) is called from the holder's thread when there is something to take. NULL, said in the
 * log, when inotify or a thread is not to be had: then files are opened by tail_scan alone. */
struct docker_holder *docker_holder_start(void (*wake)(void *arg), void *arg);
/* Closes what was not taken. NULL is nothing. */
void docker_holder_stop(struct docker_holder *h);

/* Watches a container's folder. A number for docker_holder_unwatch, or -1 with errno. */
int docker_holder_watch(struct docker_holder *h, const char *path, const char *hex);
void docker_holder_unwatch(struct docker_holder *h, int watch);

/* Closes what was not taken out of it. */
void docker_held_close(const struct docker_held *held);

/* The next thing that happened, in the order of events; its descriptors are the caller's. False
 * when there is none, which costs no system call. */
bool docker_holder_take(struct docker_holder *h, struct docker_held *to);

#endif
