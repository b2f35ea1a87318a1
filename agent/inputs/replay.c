/*
 * One file at a time, in the order of names: open, read lines, hand in; at its end wait until the
 * buffer has all of it on disk; remove it; the next.
 *
 * A position is kept under a hash of the file's name and its first line, because names come again:
 * dead letters are numbered from what lies there. Lines that are no dead letters are not thrown
 * away: the file is kept under another name, which is told.
 */
#include "agent/inputs/replay.h"

#include "agent/base/hash.h"
#include "agent/base/io.h"
#include "agent/base/log.h"
#include "agent/base/strbuf.h"
#include "outputs/dead_letters.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#define TURN_BYTES (256u << 10)
#define CHUNK (64u << 10)
#define MAX_LINE (BUFFER_MAX_RECORD + (64u << 10)) /* a document, and what a dead letter adds */
#define HEAD_BYTES 4096                            /* of a file, for its hash */
#define RESCAN_MS 2000 /* while the folder cannot be watched, or a file cannot be removed */
#define KEY_PREFIX "replay:"
#define KEY_BYTES (sizeof KEY_PREFIX - 1 + 16)
#define HASH_SEED 0x7265706c6179u

struct replay_input {
    struct intake *in;
    struct loop *loop;
    int dir;
    int inotify; /* -1: the timer alone */
    struct loop_io *watch;
    struct loop_timer *rescan;
    bool look;    /* there may be files */
    bool waiting; /* for room in the buffer */

    /* The file that is being read; fd -1: none. */
    int fd;
    char name[256];
    char key[KEY_BYTES + 1];
    off_t offset;      /* of the first line that was not handed in */
    struct strbuf buf; /* the file's bytes from offset on */
    size_t searched;   /* of buf: no line feed in them */
    /* A segment of the buffer instead of lines; NULL: lines. */
    struct buffer_segment_file *segment;
    struct dead_letter_stretch stretch;
    bool at_end;             /* everything was handed in; */
    struct buffer_point end; /* … and this is where it ends in the buffer, once committed */
    bool end_known;
    uint64_t records, invalid;
};

/* ---- positions ---- */

static void put_position(struct replay_input *r)
{
    uint64_t offset = (uint64_t)r->offset;

    buffer_position_set(intake_buffer(r->in), bytes_of(r->key, KEY_BYTES),
                        bytes_of(&offset, sizeof offset));
}

static void remove_position(struct replay_input *r)
{
    buffer_position_set(intake_buffer(r->in), bytes_of(r->key, KEY_BYTES), BYTES_NONE);
}

static void collect_key(void *arg, struct bytes key, struct bytes value)
{
    (void)value;
    if (key.n == KEY_BYTES && bytes_starts_with(key, BYTES_LITERAL(KEY_PREFIX)))
        strbuf_add_bytes(arg, key);
}

/* With no files there, positions of files that somebody removed are of no use any more. */
static void forget_positions(struct replay_input *r)
{
    struct strbuf keys = {0};

    buffer_position_each(intake_buffer(r->in), collect_key, &keys);
    for (size_t i = 0; i < keys.n; i += KEY_BYTES)
        buffer_position_set(intake_buffer(r->in), bytes_of(keys.p + i, KEY_BYTES), BYTES_NONE);
    strbuf_fini(&keys);
}

struct lookup {
    const char *key;
    uint64_t offset;
};

static void compare_position(void *arg, struct bytes key, struct bytes value)
{
    struct lookup *l = arg;

    if (bytes_equal(key, bytes_of(l->key, KEY_BYTES)) && value.n == sizeof l->offset)
        memcpy(&l->offset, value.p, sizeof l->offset);
}

/* What was read of this file in an earlier life. */
static off_t position_of(struct replay_input *r)
{
    struct lookup l = {.key = r->key};

    buffer_position_each(intake_buffer(r->in), compare_position, &l);
    return (off_t)l.offset;
}

/* ---- files ---- */

static bool is_letter_name(const char *name)
{
    size_t n = strlen(name);

    return n > 7 && name[0] != '.' &&
           (strcmp(name + n - 7, ".ndjson") == 0 || strcmp(name + n - 4, ".seg") == 0);
}

/* The first name in the folder, in byte order: 1, 0 when there is none, -1 when that cannot be
 * told. */
static int first_name(const struct replay_input *r, char *name)
{
    DIR *d = io_list(r->dir);
    struct dirent *entry;
    int rc = -1;

    name[0] = '\0';
    while (d && (rc = io_list_next(d, &entry)) > 0)
        if (is_letter_name(entry->d_name) && (!name[0] || strcmp(entry->d_name, name) < 0))
            snprintf(name, sizeof r->name, "%s", entry->d_name);
    if (d)
        io_list_end(d);
    return rc < 0 ? -1 : name[0] != '\0';
}

static void close_file(struct replay_input *r)
{
    buffer_segment_file_close(r->segment);
    r->segment = NULL;
    if (r->fd >= 0)
        io_close(r->fd);
    r->fd = -1;
    strbuf_fini(&r->buf);
    r->at_end = r->end_known = false;
    r->records = r->invalid = 0;
    r->offset = 0;
    r->searched = 0;
}

/* Out of the way, but not lost: a name that is not read. */
static bool set_aside(struct replay_input *r, const char *why)
{
    char to[sizeof r->name + 32];
    struct stat st;

    snprintf(to, sizeof to, "%s.invalid", r->name);
    for (unsigned i = 1; io_stat_at(r->dir, to, &st, AT_SYMLINK_NOFOLLOW) == 0; i++)
        snprintf(to, sizeof to, "%s.invalid-%u", r->name, i);
    if (io_rename(r->dir, r->name, r->dir, to) < 0) {
        log_warn("a file of dead letters can neither be read nor renamed", LOG_STR("file", r->name),
                 LOG_STR("why", why));
        return false;
    }
    log_warn("a file of dead letters is kept for you to look at", LOG_STR("file", to),
             LOG_STR("why", why));
    return true;
}

static uint64_t hash_of_file(const char *name, const char *head, size_t n)
{
    const char *feed = memchr(head, '\n', n);

    return hash_64(hash_64(HASH_SEED, name, strlen(name)), head, feed ? (size_t)(feed - head) : n);
}

static bool open_file(struct replay_input *r)
{
    char head[HEAD_BYTES];
    struct stat st;
    ssize_t n = -1;

    r->fd = io_open(r->dir, r->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
    if (r->fd >= 0 && io_stat(r->fd, &st) == 0 && S_ISREG(st.st_mode))
        n = io_pread(r->fd, head, sizeof head, 0);
    if (r->fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM)) {
        log_warn("a file of dead letters cannot be opened, trying again", LOG_STR("file", r->name),
                 LOG_STR("why", strerror(errno)));
        loop_timer_set(r->rescan, RESCAN_MS);
        return false;
    }
    if (n < 0) {
        set_aside(r, r->fd < 0 ? strerror(errno) : "it is no regular file");
        close_file(r);
        return false;
    }
    snprintf(r->key, sizeof r->key, KEY_PREFIX "%016llx",
             (unsigned long long)hash_of_file(r->name, head, (size_t)n));
    r->offset = position_of(r);
    if (dead_letter_stretch_parse(r->name, &r->stretch) &&
        (r->segment = buffer_segment_file_open(r->fd)) == NULL) {
        set_aside(r, "it does not begin as a segment of a buffer");
        close_file(r);
        return false;
    }
    return true;
}

/* ---- lines ---- */

/* Hands one line in. false when there is no room. */
static bool take_line(struct replay_input *r, struct bytes line)
{
    struct dead_letter letter;

    if (line.n == 0)
        return true;
    if (!dead_letter_parse(line, &letter)) {
        r->invalid++;
        return true;
    }
    if (intake_document(r->in, letter.id, letter.index, letter.document) == INTAKE_FULL)
        return false;
    r->records++;
    return true;
}

/* Drops the first n bytes of what was read: they were handed in. */
static void consume(struct replay_input *r, size_t n)
{
    if (n == 0)
        return;
    memmove(r->buf.p, r->buf.p + n, r->buf.n - n);
    r->buf.n -= n;
    r->offset += (off_t)n;
    r->searched = 0;
}

/* Reads more of the file behind what is there. Returns how much; 0 at its end. */
static size_t read_more(struct replay_input *r)
{
    ssize_t n;

    if (r->buf.n >= MAX_LINE) {
        /* No dead letter is that long: what follows is looked at as a line of its own. */
        r->invalid++;
        consume(r, r->buf.n);
    }
    n = io_pread(r->fd, strbuf_room(&r->buf, CHUNK), CHUNK, r->offset + (off_t)r->buf.n);
    if (n < 0) {
        log_warn("a file of dead letters cannot be read on", LOG_STR("file", r->name),
                 LOG_STR("why", strerror(errno)));
        r->invalid++;
        return 0;
    }
    r->buf.n += (size_t)n;
    return (size_t)n;
}

/* Hands in the whole lines that are there. false when there is no room. */
static bool take_lines(struct replay_input *r)
{
    size_t done = 0, searched = r->searched;
    bool room = true;

    while (room) {
        const char *line = r->buf.p + done;
        const char *feed = memchr(line + searched, '\n', r->buf.n - done - searched);

        searched = 0;
        if (!feed)
            break;
        room = take_line(r, bytes_of(line, (size_t)(feed - line)));
        if (room)
            done = (size_t)(feed - r->buf.p) + 1;
    }
    consume(r, done);
    r->searched = room ? r->buf.n : 0;
    return room;
}

/* Hands in what is kept of a segment, a bounded part of it. */
static void take_records(struct replay_input *r)
{
    uint64_t began = (uint64_t)r->offset, at = began;
    struct buffer_record record;

    while (at < began + TURN_BYTES) {
        if (!buffer_segment_file_next(r->segment, &at, &record)) {
            r->at_end = true;
            return;
        }
        if (dead_letter_stretch_has(&r->stretch, &record)) {
            if (intake_document(r->in, record.id, record.index, record.document) == INTAKE_FULL) {
                r->waiting = true;
                return;
            }
            r->records++;
        }
        r->offset = (off_t)at;
    }
}

/* Reads a bounded part of the file. */
static void read_file(struct replay_input *r)
{
    off_t began = r->offset;
    size_t n = 1;

    if (r->segment != NULL) {
        take_records(r);
        if (r->offset != began)
            put_position(r);
        return;
    }
    for (size_t total = 0; n > 0 && total < TURN_BYTES && !r->waiting; total += n) {
        if (r->buf.n > r->searched && !take_lines(r)) {
            r->waiting = true;
            break;
        }
        n = read_more(r);
    }
    /* The last line may have been saved without a line feed. */
    if (n == 0) {
        r->waiting = !take_line(r, strbuf_bytes(&r->buf));
        r->at_end = !r->waiting;
        if (r->at_end)
            consume(r, r->buf.n);
    }
    if (r->offset != began)
        put_position(r);
}

/* ---- the end of a file ---- */

static void finish(struct replay_input *r)
{
    if (r->invalid ? !set_aside(r, "some of its lines are no dead letters")
                   : io_unlink(r->dir, r->name) < 0 && errno != ENOENT) {
        log_warn("a replayed file cannot be removed", LOG_STR("file", r->name),
                 LOG_STR("why", strerror(errno)));
        loop_timer_set(r->rescan, RESCAN_MS);
        return;
    }
    log_info("dead letters were replayed", LOG_STR("file", r->name), LOG_U64("records", r->records),
             LOG_U64("invalid", r->invalid));
    /* Only behind a name that is gone for good the position may go. */
    if (io_fsync(r->dir) < 0)
        log_warn("the replay folder cannot be synced", LOG_STR("why", strerror(errno)));
    else
        remove_position(r);
    close_file(r);
    loop_timer_set(r->rescan, 0); /* for the next one */
}

void replay_input_committed(struct replay_input *r)
{
    struct buffer_point durable;

    if (!r->at_end)
        return;
    if (!r->end_known) {
        r->end = buffer_end(intake_buffer(r->in));
        r->end_known = true;
    }
    durable = buffer_durable(intake_buffer(r->in));
    if (durable.segment > r->end.segment ||
        (durable.segment == r->end.segment && durable.offset >= r->end.offset))
        finish(r);
}

/* ---- the folder ---- */

static void on_rescan(void *arg)
{
    struct replay_input *r = arg;

    r->look = true;
    if (r->inotify < 0)
        loop_timer_set(r->rescan, RESCAN_MS);
    if (r->at_end)
        replay_input_committed(r);
}

static void on_inotify(void *arg, uint32_t events)
{
    struct replay_input *r = arg;
    char buf[4096];

    (void)events;
    while (io_read(r->inotify, buf, sizeof buf) > 0)
        r->look = true;
}

bool replay_input_turn(struct replay_input *r)
{
    if (r->waiting || r->at_end)
        return false;
    if (r->fd < 0) {
        if (!r->look)
            return false;
        r->look = false;
        switch (first_name(r, r->name)) {
        case 0:
            return r->look;
        case 1:
            if (open_file(r))
                break;
            return r->look;
        default:
            log_warn("the replay folder cannot be listed", LOG_STR("why", strerror(errno)));
            loop_timer_set(r->rescan, RESCAN_MS);
            return false;
        }
    }
    read_file(r);
    return !r->waiting && !r->at_end;
}

void replay_input_room(struct replay_input *r)
{
    r->waiting = false;
}

static void watch(struct replay_input *r, const char *path)
{
    r->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (r->inotify >= 0 &&
        inotify_add_watch(r->inotify, path, IN_MOVED_TO | IN_CLOSE_WRITE | IN_ONLYDIR) >= 0) {
        r->watch = loop_io_add(r->loop, r->inotify, EPOLLIN, on_inotify, r);
        if (r->watch)
            return;
    }
    log_warn("the replay folder cannot be watched and is looked at every two seconds",
             LOG_STR("why", strerror(errno)),
             LOG_STR("knob", "fs.inotify.max_user_watches, fs.inotify.max_user_instances"));
    if (r->inotify >= 0)
        close(r->inotify);
    r->inotify = -1;
    loop_timer_set(r->rescan, RESCAN_MS);
}

struct replay_input *replay_input_start(const char *data_dir, struct loop *loop, struct intake *in,
                                        struct error *e)
{
    struct replay_input *r;
    struct strbuf path = {0};
    int dir = -1;

    strbuf_printf(&path, "%s/replay", data_dir);
    if (io_mkdir(AT_FDCWD, path.p, 0700) == 0 || errno == EEXIST)
        dir = io_open(AT_FDCWD, path.p, O_RDONLY | O_DIRECTORY, 0);
    if (dir < 0) {
        error_set(e, "folder %s cannot be had: %s", path.p, strerror(errno));
        strbuf_fini(&path);
        return NULL;
    }
    r = base_calloc(1, sizeof *r);
    r->in = in;
    r->loop = loop;
    r->dir = dir;
    r->fd = -1;
    r->look = true;
    r->rescan = loop_timer_add(loop, on_rescan, r);
    if (first_name(r, r->name) == 0)
        forget_positions(r);
    watch(r, path.p);
    strbuf_fini(&path);
    return r;
}

void replay_input_stop(struct replay_input *r)
{
    if (!r)
        return;
    close_file(r);
    loop_io_remove(&r->watch);
    loop_timer_remove(&r->rescan);
    if (r->inotify >= 0)
        close(r->inotify);
    io_close(r->dir);
    free(r);
}
