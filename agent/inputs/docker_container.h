/*
 * docker_container: one container: what is known of it, its log files from the oldest to the
 * newest, reading them in that order so that pieces join across rotations, and its positions.
 * docker_scan.c finds the files; the framing is docker_frame's.
 *
 * Files. Each existing file is opened as soon as it is seen and held until it was read to its end
 * after its rotation was noticed; a removed one also until what was read from it is on disk. A file
 * without a descriptor is known by its first line (docker_file.h) and its position entry, so that
 * .gz and late finds continue where reading stopped. One thread.
 */
#ifndef BARGE_DOCKER_CONTAINER_H
#define BARGE_DOCKER_CONTAINER_H

#include "agent/config/config.h"
#include "agent/inputs/docker_config.h"
#include "agent/inputs/docker_file.h"
#include "agent/inputs/docker_frame.h"
#include "agent/pipeline/intake.h"
#include "parsers/document.h"

#define DOCKER_HEX_BYTES 64
#define DOCKER_MAX_GZ_READERS 4 /* at a time: each takes up to 1.2 MiB */
#define DOCKER_MAX_NAMES 1000   /* log files of one container that are looked at */
#define DOCKER_MAX_JOIN_BYTES                                                                      \
    (64u << 20) /* pieces of unfinished lines in memory, all containers together */
#define DOCKER_CONFIG_WAIT_MS 2000 /* for config.v2.json, which may come after the first line */
#define DOCKER_TAIL_WAIT_MS                                                                        \
    2000 /* before an unended last line of a rotated file counts as its last record */
#define DOCKER_STOPPED_MS 5000  /* a container that has stopped writes nothing more after this */
#define DOCKER_QUIET_MS 5000    /* a rotated file stays open this long after its last growth */
#define DOCKER_MISSING_MS 10000 /* before a file found under no name counts as gone */
#define DOCKER_RETRY_MS 1000    /* after a file could not be opened or read */

/* What all containers of one input share. */
struct docker_shared {
    const struct docker_settings *settings;
    struct intake *intake;
    struct buffer *buffer;
    char *scratch;                               /* DOCKER_SCRATCH_BYTES */
    uint64_t now_ms;                             /* set before each call into this module */
    struct docker_container *all;                /* by next_all */
    struct docker_container *ready, *ready_last; /* something to read; by next_ready */
    struct docker_container *visits,
        *visits_last;            /* docker_container_visit is due; by next_visit */
    struct docker_file *removed; /* removed files that are still open, the oldest first */
    uint64_t rotated_ms;         /* the last time a live file was made */
    int spare_from; /* descriptors with this number or a higher one are for others: sockets, the
                       buffer */
    size_t gz_readers;
    size_t join_bytes;
    bool owe_sync, owe_urgent; /* after the next commit */
    bool
        attention; /* something waits for the clock: docker_container_tick is due within a second */
    bool changed;  /* figures may have moved */
    bool unreadable_changed;
};

enum docker_follow {
    DOCKER_FOLLOWED,
    DOCKER_EXCLUDED,
    DOCKER_ELSEWHERE, /* another log driver, whose logs barge does not get */
    DOCKER_NO_FILE,   /* GELF, which comes in by its own way; or none */
    DOCKER_OWN        /* the agent's own */
};

struct docker_container {
    struct docker_container *next_all, *next_ready, *next_visit, *next_bucket;
    struct docker_shared *shared;
    struct docker_folder *folder; /* where it lies; NULL when gone */
    uint8_t id[DOCKER_ID_BYTES];
    char hex[DOCKER_HEX_BYTES + 1];
    int watch; /* inotify descriptor of its folder, -1: it is polled */
    enum docker_follow follow;
    struct docker_config config;
    struct origin *origin;
    char *log_driver;                /* owned; when DOCKER_ELSEWHERE */
    int64_t created_ns, finished_ns; /* finished: of its last run, INT64_MIN before there was one */
    bool has_config, created_known;
    bool stopped;    /* the config says that it does not run */
    bool gone;       /* the folder is */
    bool first_seen; /* inputs.docker.start applies to the files that the first scan finds */
    bool has_own_entry;
    bool is_ready, wants_visit, wants_scan, wants_config;
    bool rewound; /* framing was set back to save memory; older files are to be read again first */
    bool uses_gz; /* compressed files were seen */
    uint64_t gone_since_ms;
    uint64_t config_until_ms; /* reading waits for the config until then; 0 when it does not */
    uint64_t retry_ms;        /* 0, or when to look again */
    uint64_t active_ms;       /* the last time something was read */
    uint64_t scan;            /* number of the last one */
    int64_t created_unseen;   /* live files that were announced minus those that were found */
    struct docker_inode config_inode; /* as it was read */
    struct docker_frame frame;
    struct docker_file *files; /* the oldest first */
    struct docker_file
        *known; /* found under no name (yet): position entries and what became of them */
};

/* hex: 64 lower-case hex digits. Joins shared->all. */
struct docker_container *docker_container_create(struct docker_shared *s, const char *hex);
/* Closes and forgets; the positions stay. Leaves shared->all and the queues. */
void docker_container_free(struct docker_container *c);

/* Takes a position entry of an earlier life. Before the first visit. */
void docker_container_restore(struct docker_container *c, uint64_t source,
                              const struct docker_position *p);

/* Puts it on the list for docker_container_visit. */
void docker_container_want_scan(struct docker_container *c);
void docker_container_want_config(struct docker_container *c);

/* An inotify event of its folder: mask and the name (may be empty). */
void docker_container_event(struct docker_container *c, uint32_t mask, const char *name);

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

/* The newest file may have grown. */
void docker_container_wake(struct docker_container *c);

enum docker_turn { DOCKER_TURN_IDLE, DOCKER_TURN_MORE, DOCKER_TURN_FULL };

/* Reads one stretch of the oldest file that has something. *n is increased by the bytes read. */
enum docker_turn docker_container_turn(struct docker_container *c, size_t *n);

/* What waits for the clock: tails, retries, quiet files, missing ones. Sets shared->attention when
 * more waits. */
void docker_container_tick(struct docker_container *c);

/* Of all containers: after a commit, or when the durable mark moved: sees which removed files may
 * be closed. */
void docker_shared_committed(struct docker_shared *s);
/* Lets the oldest removed files go while more than settings->max_held_bytes of them are unread. */
void docker_shared_limit_held(struct docker_shared *s);

/* Puts it into the queue of docker_container_turn. */
void docker_container_set_ready(struct docker_container *c);

/* ---- between docker_container.c and docker_scan.c ---- */

/* Looks at the folder of its log files. */
void docker_scan(struct docker_container *c, int folder);
/* Whether name is one of the container's log files: *index 0 for the live one, *compressed for .gz.
 */
bool docker_scan_is_log(const struct docker_container *c, const char *name, uint32_t *index,
                        bool *compressed);
void docker_container_mark_removed(struct docker_file *f);
/* Forgets the file and its entry. It is in c->files or c->known. */
void docker_container_drop_file(struct docker_file *f);
/* Takes the file out of its list (c->files or c->known), and puts it into c->known. */
void docker_container_unlist(struct docker_file *f);
void docker_container_set_aside(struct docker_file *f);
/* Opens a log file (or, with O_DIRECTORY, a folder) for reading; when descriptors run out, one that
 * is idle is given back. -1 with errno. */
int docker_container_open(struct docker_container *c, int dir, const char *name, int flags);

#endif
