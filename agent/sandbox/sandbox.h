/*
 * sandbox: gives up what the agent does not need, for the time when a fault in it is somebody
 * else's tool: capabilities, new privileges, core dumps, system calls (seccomp), files (Landlock).
 * To be entered once, by the only thread, before there are others: capabilities and Landlock belong
 * to a thread and are inherited. What is open stays open. What a kernel lacks is left out and told;
 * nothing here makes a start fail.
 */
#ifndef BARGE_SANDBOX_H
#define BARGE_SANDBOX_H

#include "agent/base/base.h"

struct sandbox;

/* Nothing may be read or written yet but what every program needs: the system's libraries and
 * settings, /proc, /sys, /run. Owned. */
struct sandbox *sandbox_create(void);

/* path, a file or a folder with all that ever stands below it, may be read. What is not there
 * cannot be named: false, and nothing has changed. The rule stays with what path is now; one that
 * is made anew in its place is a stranger, so name its parent. */
bool sandbox_may_read(struct sandbox *s, const char *path);

/* The same for reading, writing, making, renaming and removing. */
bool sandbox_may_write(struct sandbox *s, const char *path);

/* The folder that path stands in, and the one that it leads to by links, may be read: for a file
 * that is read again after somebody has replaced it. At the root of the file system only the file
 * itself. */
void sandbox_may_reread(struct sandbox *s, const char *path);

/* Everything may be read: for what cannot be named yet. */
void sandbox_may_read_all(struct sandbox *s);

/* Files of others may be written, where the process has that right (CAP_DAC_OVERRIDE). */
void sandbox_keep_override(struct sandbox *s);

/* From here on: no new privileges, no capability but CAP_DAC_READ_SEARCH, no core dump, system
 * calls outside the list fail with ENOSYS or EPERM, files outside the rules with EACCES. One line
 * of log says what is on and what is lacking. Frees s. */
void sandbox_enter(struct sandbox *s);

#endif
