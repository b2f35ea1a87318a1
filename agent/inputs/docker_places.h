/*
 * docker_places: where Docker may keep its containers on this machine, and which container the
 * agent itself runs in. Reads files of the system only; any thread.
 */
#ifndef BARGE_DOCKER_PLACES_H
#define BARGE_DOCKER_PLACES_H

#include "agent/base/base.h"

#define DOCKER_PLACES_MAX 64
#define DOCKER_OWN_IDS_MAX 4

/* The containers folders that `containers: auto` means, whether they are there or not: data-root of
 * /etc/docker/daemon.json, the usual, rootless and snap places, and user-namespaced ones below
 * these. Owned strings in paths; returns how many. */
size_t docker_places_find(char *paths[DOCKER_PLACES_MAX]);

/* data-root in the text of a daemon.json: owned, NULL when it names none. */
char *docker_places_data_root(struct bytes json);

/* Ids (64 hex digits and a NUL) of the container that this process runs in, from the texts of
 * /proc/self/mountinfo and /proc/self/cgroup. Only mounts that Docker makes for a container's own
 * view count: on a host other containers' mounts stand there too. */
size_t docker_places_own(struct bytes mountinfo, struct bytes cgroup,
                         char ids[DOCKER_OWN_IDS_MAX][65]);
/* The same from the files. */
size_t docker_places_own_ids(char ids[DOCKER_OWN_IDS_MAX][65]);

/* What stands behind the id in the name of a container's log. */
#define DOCKER_PLACES_LOG_SUFFIX "-json.log"

/* Whether name is a log file of the container with this id (64 hex digits): *index 0 for the live
 * one, N for .N; *compressed for .gz. */
bool docker_places_is_log(const char *hex, const char *name, uint64_t *index, bool *compressed);

/* Whether the container's folder lies in a containers folder that the setting (a folder, or auto)
 * means. */
bool docker_places_holds(const char *setting, const char *folder);

/* Whether s has 64 lower-case hex digits and nothing else. */
bool docker_places_is_id(const char *s);

#endif
