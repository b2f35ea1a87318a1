/*
 * tail_tree: the folders that patterns of paths lead to, and the logs in them. inotify tells what
 * happens; looking again is the net under it, and polling stands in where no watches are left or
 * the file system is another machine's. Only the words of the operator may be links: what a * found
 * is opened without following any, unless the input knows where a link may lead, and /proc and its
 * like are left alone. What a log is, and which names are its files', is the input's to say. Intake
 * thread.
 */
#ifndef BARGE_TAIL_TREE_H
#define BARGE_TAIL_TREE_H

#include "agent/inputs/tail_log.h"
#include "agent/inputs/tail_name.h"
#include "agent/inputs/tail_turns.h"

#define TAIL_TREE_MAX_FOLDERS 16384
#define TAIL_TREE_MAX_LOGS 65536

struct tail_tree;
struct tail_tree_folder;

/* A log in a folder. An input embeds it as its first member. */
struct tail_tree_log {
    struct tail_log log;
    struct tail_tree_log *next; /* of its folder */
    struct tail_tree_folder *folder;
    const void *rule;
    const char *stem; /* the live file's name; the input's */
};

static inline struct tail_tree_log *tail_tree_log_of(struct tail_log *log)
{
    return (struct tail_tree_log *)(void *)log;
}

struct tail_tree_pattern {
    const char *path; /* absolute, with *, ? and [] */
    const void *rule; /* the input's */
};

/* Where a link leads that stands in a log's place. An input embeds it as its first member. */
struct tail_tree_link {
    char *folder; /* absolute */
    char *names;  /* pattern of the live file's name there */
};

/* What an input says of its logs. */
struct tail_tree_use {
    char id;             /* TAIL_ID_* */
    const char *polling; /* what is said where the kernel has no inotify for us */
    /* Undoes what rotation made of a name. false: it is no log's. */
    bool (*parse)(const char *name, struct tail_name *to);
    /* Whether a file of this folder is left out. NULL: none is. */
    bool (*is_excluded)(const void *rule, const char *folder, const char *name);
    /* The log of a rule; NULL: it is not to be read. link: how it was found, or NULL; lives longer
     * than the log. */
    struct tail_tree_log *(*create)(void *arg, const void *rule, const struct tail_tree_link *link,
                                    const char *folder, const char *stem);
    void (*free)(struct tail_tree_log *l);
    /* Where the link `name` in the folder (open as dir) leads; NULL: it is not followed. NULL as a
     * function: none is. The tree frees it by free_link. */
    struct tail_tree_link *(*follow)(void *arg, int dir, const char *folder, const char *name);
    void (*free_link)(struct tail_tree_link *link);
};

/* patterns: n of them, borrowed, in the order in which they count. changed(changed_arg) is called
 * after events were handled. */
struct tail_tree *tail_tree_start(struct tail_shared *s, const struct tail_tree_use *use, void *arg,
                                  const struct tail_tree_pattern *patterns, size_t n,
                                  struct loop *loop, void (*changed)(void *arg), void *changed_arg);
void tail_tree_stop(struct tail_tree *d);

/* How the turns and the clock go through it; arg: the struct tail_tree. */
extern const struct tail_folders tail_tree_turns;

/* The beginning of a pattern that has no wildcard: the folder that is opened by its name. Returns
 * its length in pattern, 1 for "/". */
size_t tail_tree_fixed(const char *pattern);

#endif
