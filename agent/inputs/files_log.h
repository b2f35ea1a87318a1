/*
 * files_log: one log of inputs.files: a file whose path fits a rule, and what rotation made of it
 * in the same folder (files_name.h). One thread.
 */
#ifndef BARGE_FILES_LOG_H
#define BARGE_FILES_LOG_H

#include "agent/config/config.h"
#include "agent/inputs/tail_tree.h"
#include "parsers/document.h"
#include "parsers/format.h"

extern const struct tail_kind files_log_kind;

/* A rule of the configuration, and what its logs have in common. */
struct files_rule {
    const struct file_rule *settings; /* borrowed */
    struct format *format;            /* owned; NULL: JSON or text, as it comes */
};

struct files_log {
    struct tail_tree_log in; /* rule: a struct files_rule; stem: the end of path */
    char *path;              /* owned: of the live file */
    struct origin *origin;
};

static inline struct files_log *files_log_of(struct tail_log *log)
{
    return (struct files_log *)(void *)log;
}

/* folder: its path, without a slash at the end unless it is the root. Joins s->all. */
struct files_log *files_log_create(struct tail_shared *s, const struct files_rule *rule,
                                   const char *folder, const char *stem);
/* Closes and forgets; the positions stay. */
void files_log_free(struct files_log *l);

/* Whether a rule leaves this file out: one of its `exclude` fits the name or the whole path. */
bool files_log_is_excluded(const struct files_rule *rule, struct bytes folder, const char *name);

#endif
