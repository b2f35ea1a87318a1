/*
 * tail_log: one log: the file that is written to and those that it was before, rotated, compressed
 * or removed; what is known of it, and what is to be done about it. tail_scan finds the files,
 * tail_files keeps them with their positions and descriptors, tail_reading reads them from the
 * oldest to the newest. What a log is of (a container, a path) and what its lines look like is an
 * input's own affair: it embeds this struct as its first member. One thread.
 */
#ifndef BARGE_TAIL_LOG_H
#define BARGE_TAIL_LOG_H

#include "agent/base/metrics.h"
#include "agent/inputs/docker_frame.h"
#include "agent/inputs/tail_file.h"
#include "agent/pipeline/intake.h"

#define TAIL_RETRY_MS 1000 /* after a file could not be opened or read */

#define TAIL_DENIED "permission denied"
/* Unread, of removed files: what an input holds that has no setting for it. */
#define TAIL_MAX_HELD_BYTES (1ull << 30)
#define TAIL_MAX_HELD_TEXT "1GiB"

/* What an input's logs have in common. */
struct tail_kind {
    const char *what; /* "container": the key under which a log's name stands in the agent's log */
    const char *start_knob, *max_held_knob;
    /* Whether name (in the log's folder) is one of its files. *index: 0 for the live file, the
     * higher the older; *compressed: .gz. */
    bool (*is_log)(const struct tail_log *log, const char *name, uint64_t *index, bool *compressed);
    /* The offset of the first line that is not older than since_ns; NULL: only a whole file's last
     * change tells. */
    uint64_t (*since)(struct tail_file *f, int64_t since_ns, char *scratch);
    /* Why the log cannot be read, NULL when it can or need not; *name: as what it is shown. NULL:
     * for no other reason than that we have no right to. */
    const char *(*unreadable)(struct tail_log *log, const char **name);
    const char *unreadable_names; /* the figure in which they stand */
    bool by_content;              /* files are told from each other by tail_identity.h */
    bool announced;               /* each live file is announced as it is made (docker_holder) */
    struct {
        enum metric lines, bytes, skipped, invalid, at_risk, let_go, missed;
        enum metric logs, files, lag, held; /* gauges of tail_log_show */
        enum metric unreadable;
    } metrics;
};

/* What all logs of one input share. */
struct tail_shared {
    const struct tail_kind *kind;
    uint64_t max_held_bytes;
    struct tail_orphans *orphans; /* by_content: positions whose logs have not turned up */
    uint64_t boot;                /* by_content: what this boot of the machine is called, never 0 */
    struct intake *intake;
    struct buffer *buffer;
    char *scratch; /* TAIL_SCRATCH_BYTES */
    struct docker_line_work *work;
    uint64_t now_ms; /* set before each call from outside */
    /* Linked by next_all, next_ready, next_visit. */
    struct tail_log *all;
    struct tail_log *ready, *ready_last;   /* something to read */
    struct tail_log *visits, *visits_last; /* something is wanted */
    struct tail_file *removed;             /* removed files that are still open, the oldest first */
    int spare_from; /* descriptors from this number on are for sockets and the buffer */
    size_t gz_readers;
    size_t join_bytes;         /* memory of all frames' joins */
    bool owe_sync, owe_urgent; /* after the next commit */
    bool attention;            /* something waits for the clock: a tick is due within a second */
    bool lines_wait;           /* tail_reading_silence is due within TAIL_SILENCE_TICK_MS */
    bool changed;              /* figures may have moved */
    bool unreadable_changed;
};

struct tail_log {
    struct tail_log *next_all, *next_ready, *next_visit;
    struct tail_shared *shared;
    const char *name; /* for the agent's own log; borrowed */
    struct tail_id id;
    uint64_t start_ms;  /* how far back to begin; 0 for the beginning, UINT64_MAX for the end */
    bool followed;      /* false: its files are not to be read */
    bool gone;          /* the folder is */
    bool denied;        /* we have no right to read it */
    bool first_seen;    /* `start` applies to the files that the first scan finds */
    bool has_own_entry; /* a position that says no more than that it has been seen */
    bool is_ready, wants_visit, wants_scan;
    bool rewound;   /* framing was set back to save memory; what was framed is to be read again */
    bool rereading; /* … and that has begun */
    bool uses_gz;   /* compressed files were seen, or are to be expected */
    bool stopped;   /* nobody is writing to it */
    bool over;      /* nobody ever will again: what waits is complete when all was read */
    bool silent;    /* the clock wants to end what is pending, once all was read */
    /* by_content: */
    bool same_boot;     /* the machine has not been started again since positions were stored */
    bool drawn;         /* some file's source is: its records must be on disk first */
    int64_t written_ns; /* the last change of the file that was read last */

    struct tally *tally;      /* what it brings is counted there; NULL: nowhere. Borrowed */
    int64_t finished_ns;      /* when the one before stopped, INT64_MIN before there was one */
    uint64_t hold_until_ms;   /* reading waits until then; 0 when it does not */
    uint64_t retry_ms;        /* 0, or when to look again */
    uint64_t active_ms;       /* the last time something was read */
    uint64_t grown_ms;        /* … that had not been read before */
    uint64_t scan;            /* number of the last one */
    int64_t created_unseen;   /* live files that were announced minus those that were found */
    int64_t watched_since_ns; /* by the wall clock: from then on files are announced */
    bool first_look;          /* the next scan is the first one since then */
    struct docker_frame frame;
    struct tail_file *files; /* the oldest first */
    struct tail_file *known; /* found under no name (yet) */
};

/* Joins shared->all. log is zeroed but for what its input has set: name, id, frame's emit. */
void tail_log_init(struct tail_log *log, struct tail_shared *s);
/* Closes and forgets; the positions stay. Leaves shared->all and the queues. */
void tail_log_fini(struct tail_log *log);

/* Which lines belong together; NULL: none. What is pending under an older rule ends. The pattern is
 * borrowed. Between turns. */
void tail_log_set_lines(struct tail_log *log, const struct multiline_rule *rule);
/* A position of an earlier life is one by stream: it counts, whatever the rule is now. Before its
 * file is read. */
void tail_log_count_by_stream(struct tail_log *log);

/* Puts it on the list of visits. */
void tail_log_want_visit(struct tail_log *log);
void tail_log_want_scan(struct tail_log *log);
/* Takes the first one from the list of visits, NULL when there is none. */
struct tail_log *tail_log_take_visit(struct tail_shared *s);

/* Puts it into the queue of tail_reading_turn. */
void tail_log_set_ready(struct tail_log *log);
struct tail_log *tail_log_take_ready(struct tail_shared *s);

/* The file of this index may have grown: 0 the live one. */
void tail_log_wake(struct tail_log *log, uint64_t index);

/* What inotify says of a name in its folder that is one of its files. */
void tail_log_event(struct tail_log *log, uint32_t mask, uint64_t index, bool compressed);

/* Looks at its files if that is wanted: folder and name are where they lie. False when that folder
 * is not there any more. */
bool tail_log_visit(struct tail_log *log, int folder, const char *name);

/* Its files are not to be read any more; the positions stay: it may be followed again. */
void tail_log_unfollow(struct tail_log *log);

/* Nobody will write to its files any more. */
void tail_log_set_over(struct tail_log *log);

/* The folder is gone: what is open is read to its end. It may be given up when tail_log_finished.
 */
void tail_log_set_gone(struct tail_log *log);
bool tail_log_finished(const struct tail_log *log);

/* Shows the input's gauges: logs, files, what is unread. shared->changed stays set while something
 * is. */
void tail_log_show(struct tail_shared *s);
/* Which logs cannot be read: their number, names and reasons. */
void tail_log_name_unreadable(struct tail_shared *s);

#endif
