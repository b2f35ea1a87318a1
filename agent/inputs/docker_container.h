/*
 * docker_container: one container: what is known of it, and what is to be done about it.
 * tail_scan finds its log files, tail_files keeps them with their positions and descriptors,
 * tail_reading reads them from the oldest to the newest, so that pieces join across rotations.
 * One thread.
 */
#ifndef BARGE_DOCKER_CONTAINER_H
#define BARGE_DOCKER_CONTAINER_H

#include "agent/config/config.h"
#include "agent/inputs/docker_config.h"
#include "agent/inputs/docker_frame.h"
#include "agent/inputs/tail_file.h"
#include "agent/pipeline/intake.h"
#include "parsers/document.h"

#define DOCKER_HEX_BYTES 64
#define DOCKER_CONFIG_WAIT_MS 2000 /* for config.v2.json, which may come after the first line */
#define TAIL_RETRY_MS 1000         /* after a file could not be opened or read */

/* What all containers of one input share. */
struct tail_shared {
    const struct docker_settings *settings;
    struct intake *intake;
    struct buffer *buffer;
    char *scratch; /* TAIL_SCRATCH_BYTES */
    struct docker_line_work *work;
    uint64_t now_ms; /* set before each call from outside */
    /* Linked by next_all, next_ready, next_visit. */
    struct docker_container *all;
    struct docker_container *ready, *ready_last;   /* something to read */
    struct docker_container *visits, *visits_last; /* docker_container_visit is due */
    struct tail_file *removed; /* removed files that are still open, the oldest first */
    int spare_from;            /* descriptors from this number on are for sockets and the buffer */
    size_t gz_readers;
    size_t join_bytes;         /* memory of all frames' joins */
    bool owe_sync, owe_urgent; /* after the next commit */
    bool attention;            /* something waits for the clock: a tick is due within a second */
    bool changed;              /* figures may have moved */
    bool unreadable_changed;
};

struct docker_held; /* docker_holder.h */

enum docker_follow {
    DOCKER_FOLLOWED,
    DOCKER_EXCLUDED,
    DOCKER_ELSEWHERE, /* another log driver, whose logs barge does not get */
    DOCKER_NO_FILE,   /* GELF, which comes in by its own way; or none */
    DOCKER_OWN        /* the agent's own */
};

struct docker_container {
    struct docker_container *next_all, *next_ready, *next_visit, *next_bucket;
    struct tail_shared *shared;
    struct docker_folder *folder; /* where it lies; NULL when gone */
    uint8_t id[DOCKER_ID_BYTES];
    char hex[DOCKER_HEX_BYTES + 1];
    int watch;  /* inotify descriptor of its folder, -1: it is polled */
    int holder; /* docker_holder's watch of it, -1: its events tell what is made */
    enum docker_follow follow;
    struct docker_config config;
    struct origin *origin;
    char *log_driver;                /* owned; when DOCKER_ELSEWHERE */
    int64_t created_ns, finished_ns; /* finished: of its last run, INT64_MIN before there was one */
    bool has_config, created_known;
    bool stopped;        /* the config says that it does not run */
    bool gone;           /* the folder is */
    bool elsewhere_said; /* that it is DOCKER_ELSEWHERE stands in the log */
    bool denied;         /* we have no right to read its log */
    bool first_seen;     /* inputs.docker.start applies to the files that the first scan finds */
    bool has_own_entry;  /* a position that says no more than that it has been seen */
    bool is_ready, wants_visit, wants_scan, wants_config;
    bool rewound; /* framing was set back to save memory; what was framed is to be read again */
    bool uses_gz; /* compressed files were seen, or are to be expected */
    uint64_t gone_since_ms;
    uint64_t config_until_ms; /* reading waits for the config until then; 0 when it does not */
    uint64_t retry_ms;        /* 0, or when to look again */
    uint64_t active_ms;       /* the last time something was read */
    uint64_t scan;            /* number of the last one */
    int64_t created_unseen;   /* live files that were announced minus those that were found */
    int64_t watched_since_ns; /* by the wall clock: from then on files are announced */
    bool first_look;          /* the next scan is the first one since then */
    struct tail_inode config_inode; /* as it was read */
    struct docker_frame frame;
    struct tail_file *files; /* the oldest first */
    struct tail_file *known; /* found under no name (yet) */
};

/* hex: 64 lower-case hex digits. Joins shared->all. */
struct docker_container *docker_container_create(struct tail_shared *s, const char *hex);
/* Closes and forgets; the positions stay. Leaves shared->all and the queues. */
void docker_container_free(struct docker_container *c);

/* Puts it on the list for docker_container_visit. */
void docker_container_want_scan(struct docker_container *c);
void docker_container_want_config(struct docker_container *c);

/* Puts it into the queue of tail_reading_turn. */
void docker_container_set_ready(struct docker_container *c);

/* The live file may have grown. */
void docker_container_wake(struct docker_container *c);

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

/* The folder is gone: what is open is read to its end. It may be freed when
 * docker_container_finished. */
void docker_container_set_gone(struct docker_container *c);
bool docker_container_finished(const struct docker_container *c);

#endif
