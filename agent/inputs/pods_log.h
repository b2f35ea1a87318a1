/*
 * pods_log: one run of a pod's container: its live file and what the kubelet's rotation made of it,
 * or, behind a link, the log of a Docker container. One thread.
 */
#ifndef BARGE_PODS_LOG_H
#define BARGE_PODS_LOG_H

#include "agent/inputs/pods_name.h"
#include "agent/inputs/tail_tree.h"
#include "parsers/document.h"

extern const struct tail_kind pods_log_kind;

/* A link in a log's place that leads to a Docker container's log. */
struct pods_link {
    struct tail_tree_link in;
    char *from; /* the folder in which it stands */
    uint64_t run;
};

struct pods_log {
    struct tail_tree_log in;
    char *path;           /* owned: of the live file, or of the link */
    const char *place;    /* the end of path: pod's folder, container, file */
    struct pods_name pod; /* slices of path */
    struct bytes container, node;
    uint64_t run;
    char hex[65]; /* of the Docker container behind a link; else "" */
    struct origin *origin;
};

static inline struct pods_log *pods_log_of(struct tail_log *log)
{
    return (struct pods_log *)(void *)log;
}

/* What a name says, in a container's folder or in a Docker container's: for struct tail_tree_use.
 */
bool pods_log_parse(const char *name, struct tail_name *to);

/* Where the link leads, when it stands in the place of a run's log and leads to one of Docker's;
 * else NULL. */
struct tail_tree_link *pods_log_follow(int dir, const char *folder, const char *name);
void pods_log_free_link(struct tail_tree_link *link);

/* The pod whose container's folder this is; into slices of folder. false when it is none. */
bool pods_log_place(const char *folder, struct pods_name *pod, struct bytes *container);

/* The log stem in folder, or behind link. node: the node's name or none; borrowed. A newer run ends
 * the older ones of its container. NULL when these are no names of the kubelet's. Joins s->all. */
struct pods_log *pods_log_create(struct tail_shared *s, const char *folder, const char *stem,
                                 const struct pods_link *link, struct bytes node);
/* Makes its origin anew: the intake has other formats. */
void pods_log_make_origin(struct pods_log *l);
/* Closes and forgets; the positions stay. */
void pods_log_free(struct pods_log *l);

#endif
