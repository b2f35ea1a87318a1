/*
 * Files of one life are not continued by the next: a start opens a new one with its first letter.
 *
 * `barge replay` moves files away while the agent runs. A lock on the folder keeps the two apart:
 * the agent holds it from the first letter of a batch to its fsync, so what is moved is whole and
 * on disk; and under the lock it looks first whether its open files are still where it made them.
 *
 * A batch counts from dead_letters_sync on, or not at all: when that fails, what the batch wrote to
 * its open files is cut away again, so that letters written anew are not there twice. (Being there
 * twice does no harm beyond the room: they have one `_id`.)
 */
#include "outputs/dead_letters.h"

#include "agent/base/clock.h"
#include "agent/base/hash.h"
#include "agent/base/io.h"
#include "agent/base/log.h"
#include "agent/base/metrics.h"
#include "agent/base/strbuf.h"
#include "outputs/output.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define FILE_BYTES (8u << 20) /* a file is rolled when it has reached this, or daily */
#define DAY_S 86400
#define CHUNK (64u << 10)
#define MAX_OPEN 9
#define MAX_REASON 4096 /* bytes of a reason that are kept */
#define NAME_BYTES 128
#define INDEX_SEED 0x6261726765706b64u /* of the names of parked files */

enum folder { LETTERS, PARKED, REPLAY, FOLDERS };

static const char *const folder_names[FOLDERS] = {"dead-letters", "parked", "replay"};

struct letter_file {
    int fd; /* -1: none */
    char name[NAME_BYTES];
    ino_t inode;
    uint64_t key; /* hash of the index; 0 for LETTERS */
    time_t day;
    off_t size;
    off_t counted; /* of it, what dead_letters_sync said yes to */
    bool failed;   /* an fsync did, or a torn line could not be cut: what was added since counted
                      is not to count */
    uint64_t used;
};

struct dead_letters {
    struct dead_letter_settings settings;
    int dirs[FOLDERS];
    bool locked;
    bool names_owed[FOLDERS]; /* a file was made: the folder is to be fsynced */
    uint64_t next_number;
    uint64_t bytes; /* in LETTERS and PARKED */
    uint64_t uses;
    struct letter_file files[MAX_OPEN]; /* the first is that of LETTERS, the others are parked */
    struct strbuf line;
};

/* ---- folders ---- */

static int open_folder(int data, const char *name, const struct stat *owner, struct error *e)
{
    bool made = io_mkdir(data, name, 0700) == 0;
    int fd;

    if (!made && errno != EEXIST)
        return error_set(e, "folder %s cannot be made: %s", name, strerror(errno));
    fd = io_open(data, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0)
        return error_set(e, "folder %s cannot be opened: %s", name, strerror(errno));
    /* `barge replay` may be called by root for an agent that is not. */
    if (made && geteuid() == 0 && owner->st_uid != 0 &&
        fchown(fd, owner->st_uid, owner->st_gid) < 0)
        log_warn("a folder cannot be given to the owner of data_dir", LOG_STR("folder", name));
    return fd;
}

static void close_folders(int dirs[FOLDERS])
{
    for (size_t i = 0; i < FOLDERS; i++)
        if (dirs[i] >= 0)
            io_close(dirs[i]);
}

static int open_folders(const char *data_dir, int dirs[FOLDERS], struct error *e)
{
    static const enum folder order[FOLDERS] = {LETTERS, REPLAY, PARKED};
    int data = io_open(AT_FDCWD, data_dir, O_RDONLY | O_DIRECTORY, 0), rc = 0;
    struct stat owner;

    for (size_t i = 0; i < FOLDERS; i++)
        dirs[i] = -1;
    if (data < 0 || io_stat(data, &owner) < 0) {
        rc = error_set(e, "data_dir %s cannot be opened: %s", data_dir, strerror(errno));
    } else {
        for (size_t i = 0; i < FOLDERS && rc == 0; i++) {
            enum folder f = order[i];

            dirs[f] = open_folder(f == PARKED ? dirs[LETTERS] : data, folder_names[f], &owner, e);
            rc = dirs[f] < 0 ? -1 : 0;
        }
        /* Also when they were there: what made them may not have got further; and first the folder
         * that files may have been moved to. */
        if (rc == 0 &&
            (io_fsync(data) < 0 || io_fsync(dirs[REPLAY]) < 0 || io_fsync(dirs[LETTERS]) < 0))
            log_warn("the names of the dead letters' folders cannot be synced",
                     LOG_STR("data_dir", data_dir), LOG_STR("why", strerror(errno)));
    }
    if (data >= 0)
        io_close(data);
    if (rc < 0)
        close_folders(dirs);
    return rc;
}

struct listing {
    struct entry {
        char name[NAME_BYTES];
        struct stat st;
    } * list;
    size_t n;
    int error; /* there may be more: the folder could not be listed to its end */
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static bool ends_in(const char *name, const char *suffix)
{
    size_t n = strlen(name), k = strlen(suffix);

    return n > k && strcmp(name + n - k, suffix) == 0;
}

static bool is_letter_name(const char *name)
{
    return strlen(name) < NAME_BYTES && name[0] != '.' &&
           (ends_in(name, ".ndjson") || ends_in(name, ".seg"));
}

bool dead_letter_stretch_parse(const char *name, struct dead_letter_stretch *s)
{
    unsigned long long key, segment, first, last, records;

    if (!ends_in(name, ".seg") || sscanf(name, "%16llx-%16llx-%16llx-%16llx-%16llx", &key, &segment,
                                         &first, &last, &records) != 5)
        return false;
    *s = (struct dead_letter_stretch){
        .key = key, .segment = segment, .first = first, .last = last, .records = records};
    return true;
}

static uint64_t index_key(struct bytes index)
{
    uint64_t key = hash_64(INDEX_SEED, index.p, index.n);

    return key ? key : 1;
}

bool dead_letter_stretch_has(const struct dead_letter_stretch *s, const struct buffer_record *r)
{
    return r->seq >= s->first && r->seq <= s->last &&
           (s->key == 0 || s->key == index_key(r->index));
}

/* The files of a folder, oldest (by name) first. What cannot be looked at is left out. */
static struct listing list_folder(int dir)
{
    struct listing l = {0};
    DIR *d = io_list(dir);
    struct dirent *found;
    int more = -1;

    while (d && (more = io_list_next(d, &found)) > 0) {
        struct entry entry;

        if (!is_letter_name(found->d_name) ||
            io_stat_at(dir, found->d_name, &entry.st, AT_SYMLINK_NOFOLLOW) < 0 ||
            !S_ISREG(entry.st.st_mode))
            continue;
        snprintf(entry.name, sizeof entry.name, "%.*s", NAME_BYTES - 1, found->d_name);
        l.list = base_realloc(l.list, (l.n + 1) * sizeof *l.list);
        l.list[l.n++] = entry;
    }
    l.error = more < 0 ? errno : 0;
    if (d)
        io_list_end(d);
    if (l.n)
        qsort(l.list, l.n, sizeof *l.list, by_name);
    return l;
}

/* NNNNNNNNNNNN.ndjson, or the same behind HASH-. */
static uint64_t number_of(const char *name)
{
    const char *dash = strchr(name, '-');

    return strtoull(dash ? dash + 1 : name, NULL, 10);
}

/* Cuts a last line without its line feed: it was being written when its writer died, and never
 * counted. */
static int cut_torn(int dir, const struct entry *entry)
{
    int fd, rc = 0;
    off_t end = entry->st.st_size;
    char chunk[4096];

    if (ends_in(entry->name, ".seg"))
        return 0; /* whole, and not written by us */
    fd = io_open(dir, entry->name, O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    while (end > 0) {
        size_t n = (size_t)MIN(end, (off_t)sizeof chunk);
        const char *feed;

        if (io_pread(fd, chunk, n, end - (off_t)n) != (ssize_t)n) {
            rc = -1;
            break;
        }
        feed = memrchr(chunk, '\n', n);
        end = end - (off_t)n + (feed ? feed - chunk + 1 : 0);
        if (feed)
            break;
    }
    if (rc == 0 && end < entry->st.st_size)
        rc = io_truncate(fd, end);
    io_close(fd);
    return rc;
}

/* ---- the lock ---- */

static void recount(struct dead_letters *d)
{
    d->bytes = 0;
    for (size_t f = LETTERS; f <= PARKED; f++) {
        struct listing l = list_folder(d->dirs[f]);

        for (size_t i = 0; i < l.n; i++) {
            bool again = false;

            /* A segment may be kept under several names. */
            for (size_t k = 0; k < i && l.list[i].st.st_nlink > 1 && !again; k++)
                again = l.list[k].st.st_ino == l.list[i].st.st_ino;
            d->bytes += again ? 0 : (uint64_t)l.list[i].st.st_size;
        }
        free(l.list);
    }
    metric_set(M_DEAD_BYTES, d->bytes);
}

static void close_file(struct letter_file *f)
{
    if (f->fd >= 0)
        io_close(f->fd);
    *f = (struct letter_file){.fd = -1};
}

/* Whether the file was moved away by somebody; it is closed then. */
static bool has_gone(struct dead_letters *d, enum folder folder, struct letter_file *f)
{
    struct stat st;

    if (f->fd < 0 || (io_stat_at(d->dirs[folder], f->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                      st.st_ino == f->inode))
        return false;
    close_file(f);
    return true;
}

static void lock(struct dead_letters *d)
{
    bool gone = false;

    if (d->locked)
        return;
    io_lock(d->dirs[LETTERS], LOCK_EX);
    d->locked = true;
    for (size_t i = 0; i < MAX_OPEN; i++)
        gone |= has_gone(d, i == 0 ? LETTERS : PARKED, &d->files[i]);
    if (gone)
        recount(d);
}

static void unlock(struct dead_letters *d)
{
    if (d->locked)
        io_lock(d->dirs[LETTERS], LOCK_UN);
    d->locked = false;
}

/* ---- room ---- */

static uint64_t count_lines(int dir, const char *name)
{
    int fd = io_open(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    char *chunk = base_alloc(CHUNK);
    uint64_t lines = 0;
    ssize_t n;

    while (fd >= 0 && (n = io_read(fd, chunk, CHUNK)) > 0)
        for (const char *p = chunk; (p = memchr(p, '\n', (size_t)(chunk + n - p))) != NULL; p++)
            lines++;
    free(chunk);
    if (fd >= 0)
        io_close(fd);
    return lines;
}

static uint64_t count_records(int dir, const char *name)
{
    struct dead_letter_stretch stretch;

    return dead_letter_stretch_parse(name, &stretch) ? stretch.records : count_lines(dir, name);
}

/* Removes letters that are older than max_age, oldest first. Parked ones wait for their index,
 * however long it takes. */
static void expire(struct dead_letters *d)
{
    struct listing l = list_folder(d->dirs[LETTERS]);
    int64_t before_s = clock_wall_ns() / 1000000000 - (int64_t)(d->settings.max_age_ms / 1000);

    for (size_t i = 0; i < l.n; i++) {
        const struct entry *entry = &l.list[i];
        uint64_t lines;

        if (entry->st.st_mtim.tv_sec >= before_s ||
            (d->files[0].fd >= 0 && strcmp(entry->name, d->files[0].name) == 0))
            continue;
        lines = count_records(d->dirs[LETTERS], entry->name);
        if (io_unlink(d->dirs[LETTERS], entry->name) < 0)
            continue;
        metric_add(M_DEAD_EXPIRED, lines);
        log_info("dead letters are older than dead_letters.max_age and were removed",
                 LOG_STR("file", entry->name), LOG_U64("records", lines));
    }
    free(l.list);
    recount(d);
}

/* ---- files ---- */

/* Once this has failed for a file it always does: a second fsync would be told that all is well. */
static int sync_file(struct letter_file *f)
{
    if (f->fd < 0 || (f->size == f->counted && !f->failed))
        return 0;
    if (!f->failed && io_fdatasync(f->fd) == 0)
        return 0;
    if (f->failed)
        errno = EIO;
    f->failed = true;
    return -1;
}

static int make_file(struct dead_letters *d, enum folder folder, uint64_t key,
                     struct letter_file *f)
{
    struct stat st;

    *f = (struct letter_file){.fd = -1, .key = key};
    do {
        unsigned long long number = d->next_number++;

        if (folder == PARKED)
            snprintf(f->name, sizeof f->name, "%016llx-%012llu.ndjson", (unsigned long long)key,
                     number);
        else
            snprintf(f->name, sizeof f->name, "%012llu.ndjson", number);
        f->fd = io_open(d->dirs[folder], f->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    } while (f->fd < 0 && errno == EEXIST);
    if (f->fd < 0)
        return -1;
    if (io_stat(f->fd, &st) < 0) {
        close_file(f);
        return -1;
    }
    f->inode = st.st_ino;
    f->day = (time_t)(clock_wall_ns() / 1000000000 / DAY_S);
    d->names_owed[folder] = true;
    return 0;
}

static bool is_full(const struct letter_file *f, size_t n)
{
    return f->size > 0 && (f->size + (off_t)n > (off_t)FILE_BYTES ||
                           f->day != (time_t)(clock_wall_ns() / 1000000000 / DAY_S));
}

/* The open file for n bytes more. NULL with errno. */
static struct letter_file *file_for(struct dead_letters *d, enum folder folder, uint64_t key,
                                    size_t n)
{
    struct letter_file *f = &d->files[folder == LETTERS ? 0 : 1];

    for (size_t i = 1; i < MAX_OPEN && folder == PARKED; i++) {
        if (d->files[i].fd >= 0 && d->files[i].key == key) {
            f = &d->files[i];
            break;
        }
        if (d->files[i].used < f->used)
            f = &d->files[i];
    }
    if (f->fd < 0 || f->key != key || f->failed || is_full(f, n)) {
        /* What is in it must be safe before it is out of sight. */
        if (sync_file(f) < 0)
            return NULL;
        close_file(f);
        if (folder == LETTERS)
            expire(d);
        if (make_file(d, folder, key, f) < 0)
            return NULL;
    }
    f->used = ++d->uses;
    return f;
}

/* ---- letters ---- */

static void write_time(struct strbuf *to)
{
    int64_t ns = clock_wall_ns();
    time_t s = (time_t)(ns / 1000000000);
    struct tm tm;

    gmtime_r(&s, &tm);
    strbuf_printf(to, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
                  tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ns % 1000000000 / 1000000));
}

static void write_line(struct strbuf *to, const struct buffer_record *r, struct bytes reason)
{
    char id[OUTPUT_ID_CHARS];

    output_id_text(r->id, id);
    strbuf_clear(to);
    strbuf_add_str(to, "{\"@timestamp\":\"");
    write_time(to);
    strbuf_add_str(to, "\",\"index\":");
    strbuf_add_json(to, r->index);
    strbuf_add_str(to, ",\"_id\":\"");
    strbuf_add(to, id, sizeof id);
    strbuf_add_str(to, "\",\"reason\":");
    strbuf_add_json(to, bytes_of(reason.p, MIN(reason.n, (size_t)MAX_REASON)));
    strbuf_add_str(to, ",\"document\":");
    strbuf_add_bytes(to, r->document);
    strbuf_add_str(to, "}\n");
}

static int add(struct dead_letters *d, enum folder folder, uint64_t key,
               const struct buffer_record *r, struct bytes reason)
{
    struct letter_file *f;

    lock(d);
    write_line(&d->line, r, reason);
    if (d->bytes + d->line.n > d->settings.max_bytes) {
        expire(d);
        if (d->bytes + d->line.n > d->settings.max_bytes) {
            log_warn("the dead letters are full, refused records hold up their index; mend the "
                     "cause and `barge replay`, or raise the knob",
                     LOG_STR("knob", "dead_letters.max_size"));
            errno = ENOSPC;
            return -1;
        }
    }
    f = file_for(d, folder, key, d->line.n);
    if (!f)
        return -1;
    if (io_pwrite_all(f->fd, d->line.p, d->line.n, f->size, NULL) < 0) {
        int why = errno;

        /* Nothing goes behind a torn line. The batch is taken back as if its fsync had failed, for
         * what it wrote here before is not on disk yet. */
        if (io_truncate(f->fd, f->size) < 0)
            f->failed = true;
        errno = why;
        return -1;
    }
    f->size += (off_t)d->line.n;
    d->bytes += d->line.n;
    metric_set(M_DEAD_BYTES, d->bytes);
    return 0;
}

int dead_letters_add(struct dead_letters *d, const struct buffer_record *r, struct bytes reason)
{
    return add(d, LETTERS, 0, r, reason);
}

int dead_letters_park(struct dead_letters *d, const struct buffer_record *r, struct bytes reason)
{
    return add(d, PARKED, index_key(r->index), r, reason);
}

/* The names of new files, and of moved ones: first where they went to. Somebody who moved them may
 * have been killed before he saw to that, and a folder that they left, fsynced alone, would leave
 * them no name at all. */
static int sync_names(struct dead_letters *d)
{
    static const enum folder order[FOLDERS] = {REPLAY, LETTERS, PARKED};
    bool owed = false;

    for (size_t i = 0; i < FOLDERS; i++)
        owed |= d->names_owed[i];
    for (size_t i = 0; owed && i < FOLDERS; i++) {
        if (order[i] != REPLAY && !d->names_owed[order[i]])
            continue;
        if (io_fsync(d->dirs[order[i]]) < 0)
            return -1;
        d->names_owed[order[i]] = false;
    }
    return 0;
}

/* The name under which that segment is kept for that key already. */
static bool kept_name(int dir, const char *prefix, char name[NAME_BYTES])
{
    struct listing l = list_folder(dir);
    bool found = false;

    for (size_t i = 0; i < l.n && !found; i++) {
        found =
            strncmp(l.list[i].name, prefix, strlen(prefix)) == 0 && ends_in(l.list[i].name, ".seg");
        if (found)
            snprintf(name, NAME_BYTES, "%s", l.list[i].name);
    }
    free(l.list);
    return found;
}

int dead_letters_keep(struct dead_letters *d, struct buffer *b, const struct dead_letter_stretch *s)
{
    uint64_t key = s->index.n > 0 ? index_key(s->index) : 0;
    enum folder folder = key != 0 ? PARKED : LETTERS;
    struct dead_letter_stretch all = *s, before;
    char prefix[NAME_BYTES], old[NAME_BYTES], name[NAME_BYTES];
    bool was_locked = d->locked, known;
    int rc, why;

    lock(d);
    snprintf(prefix, sizeof prefix, "%016llx-%016llx-", (unsigned long long)key,
             (unsigned long long)s->segment);
    known = kept_name(d->dirs[folder], prefix, old) && dead_letter_stretch_parse(old, &before);
    if (known) {
        all.first = MIN(s->first, before.first);
        all.last = MAX(s->last, before.last);
        all.records = MIN(s->records + before.records, all.last - all.first + 1);
    }
    snprintf(name, sizeof name, "%s%llx-%llx-%llx.seg", prefix, (unsigned long long)all.first,
             (unsigned long long)all.last, (unsigned long long)all.records);
    /* A longer stretch of what is kept needs no entry more. */
    if (!known)
        rc = buffer_link_segment(b, s->segment, d->dirs[folder], name);
    else
        rc = strcmp(old, name) != 0 ? io_rename(d->dirs[folder], old, d->dirs[folder], name) : 0;
    if (rc == 0) {
        recount(d);
        if (!known && d->bytes > d->settings.max_bytes) {
            io_unlink(d->dirs[folder], name);
            recount(d);
            errno = ENOSPC;
            rc = -1;
        }
    }
    if (rc == 0) {
        d->names_owed[folder] = true;
        rc = sync_names(d);
    }
    why = errno;
    if (!was_locked)
        unlock(d);
    errno = why;
    return rc;
}

static void take_back(struct dead_letters *d)
{
    for (size_t i = 0; i < MAX_OPEN; i++) {
        struct letter_file *f = &d->files[i];

        if (f->fd < 0 || (f->size == f->counted && !f->failed))
            continue;
        if (io_truncate(f->fd, f->counted) < 0)
            log_warn("dead letters that do not count cannot be cut away", LOG_STR("file", f->name),
                     LOG_STR("why", strerror(errno)));
        close_file(f); /* whose fsync failed is not asked again */
    }
    recount(d);
}

int dead_letters_sync(struct dead_letters *d)
{
    int rc = 0, why = 0;

    for (size_t i = 0; i < MAX_OPEN && rc == 0; i++) {
        rc = sync_file(&d->files[i]);
        why = errno;
    }
    if (rc == 0) {
        rc = sync_names(d);
        why = errno;
    }
    if (rc == 0) {
        for (size_t i = 0; i < MAX_OPEN; i++)
            d->files[i].counted = d->files[i].size;
    } else {
        take_back(d);
    }
    unlock(d);
    errno = why;
    return rc;
}

/* ---- moving to the replay folder ---- */

/* Moves a file under a name that is free there. All who move hold the lock. */
static int move_to_replay(const int dirs[FOLDERS], enum folder from, const char *name)
{
    char to[NAME_BYTES + 16];
    struct stat st;

    snprintf(to, sizeof to, "%s", name);
    for (unsigned i = 1; io_stat_at(dirs[REPLAY], to, &st, AT_SYMLINK_NOFOLLOW) == 0; i++)
        snprintf(to, sizeof to, "%.*s-%u%s", (int)strcspn(name, "."), name, i, strchr(name, '.'));
    return io_rename(dirs[from], name, dirs[REPLAY], to);
}

static int sync_moves(const int dirs[FOLDERS], enum folder from)
{
    return io_fsync(dirs[REPLAY]) < 0 || io_fsync(dirs[from]) < 0 ? -1 : 0;
}

int dead_letters_unpark(struct dead_letters *d, struct bytes index)
{
    bool was_locked = d->locked;
    char prefix[NAME_BYTES];
    struct listing l;
    size_t moved = 0;
    int rc = 0;

    lock(d);
    snprintf(prefix, sizeof prefix, "%016llx-", (unsigned long long)index_key(index));
    for (size_t i = 1; i < MAX_OPEN && rc == 0; i++) {
        if (d->files[i].fd < 0 || d->files[i].key != index_key(index))
            continue;
        rc = sync_file(&d->files[i]);
        if (rc == 0)
            close_file(&d->files[i]);
    }
    l = list_folder(d->dirs[PARKED]);
    if (l.error)
        rc = -1;
    for (size_t i = 0; i < l.n && rc == 0; i++) {
        if (strncmp(l.list[i].name, prefix, strlen(prefix)) != 0)
            continue;
        rc = move_to_replay(d->dirs, PARKED, l.list[i].name);
        moved++;
    }
    free(l.list);
    if (moved) {
        d->names_owed[REPLAY] = d->names_owed[PARKED] = true;
        if (sync_names(d) < 0)
            rc = -1;
        recount(d);
    }
    if (!was_locked)
        unlock(d);
    return rc;
}

/* Moves one file by its name; a path's folder does not matter, for they all lie here. 0, or -1
 * with *e. */
static int replay_one(const int dirs[FOLDERS], const char *path, struct error *e)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

    for (enum folder f = LETTERS; f <= PARKED; f++) {
        struct entry entry;

        if (!is_letter_name(name) || io_stat_at(dirs[f], name, &entry.st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        snprintf(entry.name, sizeof entry.name, "%s", name);
        if (cut_torn(dirs[f], &entry) < 0 || move_to_replay(dirs, f, name) < 0)
            return error_set(e, "%s cannot be moved to the replay folder: %s", name,
                             strerror(errno));
        return 0;
    }
    return error_set(e, "%s is none of the files under data_dir/dead-letters", path);
}

static int replay_all(const int dirs[FOLDERS], struct error *e)
{
    struct listing l = list_folder(dirs[LETTERS]);
    int n = 0;

    if (l.error)
        n = error_set(e, "folder %s cannot be listed: %s", folder_names[LETTERS],
                      strerror(l.error));
    for (size_t i = 0; i < l.n && n >= 0; i++)
        n = replay_one(dirs, l.list[i].name, e) < 0 ? -1 : n + 1;
    free(l.list);
    return n;
}

int dead_letters_replay(const char *data_dir, char **files, struct error *e)
{
    int dirs[FOLDERS], n = 0;

    if (open_folders(data_dir, dirs, e) < 0)
        return -1;
    io_lock(dirs[LETTERS], LOCK_EX);
    if (!files)
        n = replay_all(dirs, e);
    for (; files && *files && n >= 0; files++)
        n = replay_one(dirs, *files, e) < 0 ? -1 : n + 1;
    if (sync_moves(dirs, LETTERS) < 0 || io_fsync(dirs[PARKED]) < 0)
        n = error_set(e, "%s cannot be synced: %s", data_dir, strerror(errno));
    close_folders(dirs);
    return n;
}

/* ---- open, close ---- */

struct dead_letters *dead_letters_open(const char *data_dir,
                                       const struct dead_letter_settings *settings, struct error *e)
{
    struct dead_letters *d = base_calloc(1, sizeof *d);

    d->settings = *settings;
    if (open_folders(data_dir, d->dirs, e) < 0) {
        free(d);
        return NULL;
    }
    for (size_t i = 0; i < MAX_OPEN; i++)
        d->files[i].fd = -1;
    d->names_owed[LETTERS] = true; /* should that just have failed */
    lock(d);
    d->next_number = 1;
    for (size_t f = 0; f < FOLDERS; f++) {
        struct listing l = list_folder(d->dirs[f]);

        for (size_t i = 0; i < l.n; i++) {
            if (ends_in(l.list[i].name, ".ndjson"))
                d->next_number =
                    MAX(d->next_number, number_of(l.list[i].name) % 1000000000000u + 1);
            if (f != REPLAY && cut_torn(d->dirs[f], &l.list[i]) < 0)
                log_warn("a file of dead letters cannot be looked at",
                         LOG_STR("file", l.list[i].name), LOG_STR("why", strerror(errno)));
        }
        free(l.list);
    }
    expire(d);
    unlock(d);
    return d;
}

void dead_letters_close(struct dead_letters *d)
{
    if (!d)
        return;
    unlock(d);
    for (size_t i = 0; i < MAX_OPEN; i++)
        close_file(&d->files[i]);
    close_folders(d->dirs);
    strbuf_fini(&d->line);
    free(d);
}

/* ---- reading ---- */

/* The end of the JSON string whose opening quote stands at p; NULL when it has none. */
static const char *string_end(const char *p, const char *end)
{
    for (p++; p < end; p++) {
        if (*p == '\\')
            p++;
        else if (*p == '"')
            return p + 1;
    }
    return NULL;
}

/* The end of the value at p, brackets paired; NULL when it is cut off. Elasticsearch judges the
 * rest. */
static const char *value_end(const char *p, const char *end)
{
    size_t depth = 0;

    while (p && p < end) {
        if (*p == '"') {
            p = string_end(p, end);
        } else if (*p == '{' || *p == '[') {
            depth++;
            p++;
        } else if (*p == '}' || *p == ']') {
            if (depth == 0)
                return p;
            depth--;
            p++;
        } else if (depth == 0 && (*p == ',' || *p == ' ')) {
            return p;
        } else {
            p++;
            continue;
        }
        if (depth == 0)
            return p;
    }
    return NULL;
}

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r'))
        p++;
    return p;
}

/* The inside of a string value; none for anything else. */
static struct bytes unquoted(struct bytes v)
{
    return v.n >= 2 && v.p[0] == '"' ? bytes_of(v.p + 1, v.n - 2) : BYTES_NONE;
}

static void take_member(struct bytes name, struct bytes value, struct dead_letter *out,
                        bool *has_id)
{
    if (bytes_is(name, "index"))
        out->index = unquoted(value);
    else if (bytes_is(name, "reason"))
        out->reason = unquoted(value);
    else if (bytes_is(name, "document") && value.p[0] == '{' && value.p[value.n - 1] == '}')
        out->document = value;
    else if (bytes_is(name, "_id"))
        *has_id = output_id_parse(unquoted(value), out->id);
}

bool dead_letter_parse(struct bytes line, struct dead_letter *out)
{
    const char *end = line.p + line.n, *p = skip_blanks(line.p, end);
    bool has_id = false;

    memset(out, 0, sizeof *out);
    if (p == end || *p != '{')
        return false;
    p = skip_blanks(p + 1, end);
    while (p < end && *p == '"') {
        const char *name = p, *name_end = string_end(p, end), *value;

        p = name_end ? skip_blanks(name_end, end) : end;
        if (p == end || *p != ':')
            return false;
        value = skip_blanks(p + 1, end);
        p = value_end(value, end);
        if (!p || p == value)
            return false;
        take_member(unquoted(bytes_of(name, (size_t)(name_end - name))),
                    bytes_of(value, (size_t)(p - value)), out, &has_id);
        p = skip_blanks(p, end);
        if (p < end && *p == ',')
            p = skip_blanks(p + 1, end);
    }
    /* A name with a backslash in it is no index that there could be. */
    return p < end && *p == '}' && skip_blanks(p + 1, end) == end && has_id && out->index.n > 0 &&
           out->index.n <= BUFFER_MAX_INDEX && !memchr(out->index.p, '\\', out->index.n) &&
           out->document.n >= 2;
}

/* The first line of a file, without its line feed. false when it is longer than a record may be, or
 * there is none. */
static bool first_line(int dir, const char *name, struct strbuf *to)
{
    int fd = io_open(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    const char *feed = NULL;
    ssize_t n = 1;

    strbuf_clear(to);
    while (fd >= 0 && feed == NULL && n > 0 && to->n <= BUFFER_MAX_RECORD) {
        char *room = strbuf_room(to, CHUNK);

        n = io_read(fd, room, CHUNK);
        if (n <= 0)
            break;
        feed = memchr(room, '\n', (size_t)n);
        to->n += feed != NULL ? (size_t)(feed - room) : (size_t)n;
    }
    if (fd >= 0)
        io_close(fd);
    return feed != NULL;
}

/* One record of a file: of the first line, or of what is kept of a segment. Its slices lie in line,
 * or in *f. */
static bool first_record(int dir, const char *name, struct strbuf *line, int *fd,
                         struct buffer_segment_file **f, struct buffer_record *r)
{
    struct dead_letter_stretch stretch;
    struct dead_letter letter;
    uint64_t at = 0;

    if (!dead_letter_stretch_parse(name, &stretch)) {
        if (!first_line(dir, name, line) || !dead_letter_parse(strbuf_bytes(line), &letter))
            return false;
        memcpy(r->id, letter.id, sizeof r->id);
        r->index = letter.index;
        r->document = letter.document;
        return true;
    }
    *fd = io_open(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    *f = *fd < 0 ? NULL : buffer_segment_file_open(*fd);
    while (*f != NULL && buffer_segment_file_next(*f, &at, r))
        if (dead_letter_stretch_has(&stretch, r))
            return true;
    return false;
}

void dead_letters_parked(struct dead_letters *d,
                         void (*fn)(void *arg, const struct buffer_record *one, uint64_t records),
                         void *arg)
{
    struct listing l = list_folder(d->dirs[PARKED]);
    struct strbuf line = {0};

    for (size_t i = 0; i < l.n; i++) {
        const char *name = l.list[i].name;
        struct buffer_segment_file *f = NULL;
        struct buffer_record r = {0};
        int fd = -1;

        if (first_record(d->dirs[PARKED], name, &line, &fd, &f, &r))
            fn(arg, &r, count_records(d->dirs[PARKED], name));
        buffer_segment_file_close(f);
        if (fd >= 0)
            io_close(fd);
    }
    strbuf_fini(&line);
    free(l.list);
}
