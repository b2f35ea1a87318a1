/*
 * docker_container: one container: its papers (config.v2.json, hostconfig.json), its folder, and
 * what of its log (tail_log.h) is Docker's own. One thread.
 */
#ifndef BARGE_DOCKER_CONTAINER_H
#define BARGE_DOCKER_CONTAINER_H

#include "agent/config/config.h"
#include "agent/inputs/docker_config.h"
#include "agent/inputs/tail_log.h"
#include "parsers/document.h"

#define DOCKER_HEX_BYTES 64
#define DOCKER_CONFIG_WAIT_MS 2000 /* for config.v2.json, which may come after the first line */

extern const struct tail_kind docker_container_kind;

struct docker_held; /* docker_holder.h */

enum docker_follow {
    DOCKER_FOLLOWED,
    DOCKER_EXCLUDED,
    DOCKER_ELSEWHERE, /* another log driver, whose logs barge does not get */
    DOCKER_NO_FILE,   /* GELF, which comes in by its own way; or none */
    DOCKER_OWN        /* the agent's own */
};

struct docker_container {
    struct tail_log log; /* id: the container's; held until its config is read */
    struct docker_container *next_bucket;
    struct docker_folder *folder;           /* where it lies; NULL when gone */
    const struct docker_settings *settings; /* borrowed */
    char hex[DOCKER_HEX_BYTES + 1];
    int watch;           /* of its folder (tail_events.h), -1: it is polled */
    uint32_t watch_mask; /* what for */
    int holder;          /* docker_holder's watch of it, -1: its events tell what is made */
    enum docker_follow follow;
    struct docker_config config;
    struct origin *origin;
    char *log_driver; /* owned; when DOCKER_ELSEWHERE */
    int64_t created_ns;
    bool has_config, created_known;
    bool elsewhere_said; /* that it is DOCKER_ELSEWHERE stands in the log */
    bool wants_config;
    uint64_t gone_since_ms;
    struct tail_inode config_inode; /* as it was read */
};

/* The container of a log, all of whose input's are containers'. */
static inline struct docker_container *docker_container_of(struct tail_log *log)
{
    return (struct docker_container *)(void *)log;
}

/* hex: 64 lower-case hex digits; settings: borrowed. Joins shared->all. */
struct docker_container *docker_container_create(struct tail_shared *s, const char *hex,
                                                 const struct docker_settings *settings);
/* Makes its origin anew: the intake has other formats. */
void docker_container_make_origin(struct docker_container *c);
/* Closes and forgets; the positions stay. Leaves shared->all and the queues. */
void docker_container_free(struct docker_container *c);

/* Puts it on the list for docker_container_visit. */
void docker_container_want_config(struct docker_container *c);

/* Follows its log, or does not. */
void docker_container_follow(struct docker_container *c, enum docker_follow how);

/* An inotify event of its folder: mask and the name (may be empty). */
void docker_container_event(struct docker_container *c, uint32_t mask, const char *name);

/* From now on live files are announced, by events of its folder or by docker_holder. */
void docker_container_count_anew(struct docker_container *c);

/* Takes what docker_holder has found in its folder: closes or keeps the descriptors. */
void docker_container_hold(struct docker_container *c, const struct docker_held *held);

/* Does what is wanted: reads the config, looks at the files. folder: descriptor of the containers
 * folder. */
void docker_container_visit(struct docker_container *c, int folder);

/* Looks cheaply (two calls) whether something happened: for those without a watch, and as a net
 * under the others. */
void docker_container_poll(struct docker_container *c, int folder);

/* The folder is gone: what is open is read to its end. It may be freed when tail_log_finished. */
void docker_container_set_gone(struct docker_container *c);

#endif
