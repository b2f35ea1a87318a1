/* Dead letters on a disk that can be made to fail, and beside a `barge replay`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* io.h over the real calls; those that are made to fail are below. */
#define io_pwrite_all real_pwrite_all
#define io_fdatasync real_fdatasync
#define io_fsync real_fsync
#define io_truncate real_truncate
#define io_list_next real_list_next
#include "agent/base/io.c"
#include "agent/base/io_all.c"
#include "agent/base/io_look.c"
#undef io_pwrite_all
#undef io_fdatasync
#undef io_fsync
#undef io_truncate
#undef io_list_next

int io_pwrite_all(int fd, const void *from, size_t n, off_t at, size_t *done);
int io_fdatasync(int fd);
int io_fsync(int fd);
int io_truncate(int fd, off_t n);
int io_list_next(DIR *list, struct dirent **entry);

#include "outputs/dead_letters.h"
#include "tests/unit/buffer_fixture.h"

#include <errno.h>
#include <sys/file.h>
#include <time.h>
#include <utime.h>
#include <yajl/yajl_tree.h>

/* ---- a disk that fails: io.h over the real calls ---- */

static struct {
    int sync_errors; /* this many fdatasync calls say EIO */
    off_t room;      /* bytes that may still be written; -1: no limit */
    int fsyncs_of_folders;
    ino_t synced[16]; /* those folders, the first ones */
    int truncate_errors;
    int list_errors; /* this many listings end in EIO */
} disk;

int io_pwrite_all(int fd, const void *from, size_t n, off_t at, size_t *done)
{
    size_t may = disk.room >= 0 && (off_t)n > disk.room ? (size_t)disk.room : n;

    assert_int_equal(real_pwrite_all(fd, from, may, at, done), 0);
    if (disk.room >= 0)
        disk.room -= (off_t)may;
    errno = ENOSPC;
    return may == n ? 0 : -1;
}

int io_fdatasync(int fd)
{
    if (disk.sync_errors == 0)
        return real_fdatasync(fd);
    disk.sync_errors--;
    errno = EIO;
    return -1;
}

int io_fsync(int fd)
{
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    if (disk.fsyncs_of_folders < (int)ARRAY_LEN(disk.synced))
        disk.synced[disk.fsyncs_of_folders] = st.st_ino;
    disk.fsyncs_of_folders++;
    return real_fsync(fd);
}

int io_truncate(int fd, off_t n)
{
    if (disk.truncate_errors == 0)
        return real_truncate(fd, n);
    disk.truncate_errors--;
    errno = EIO;
    return -1;
}

int io_list_next(DIR *list, struct dirent **entry)
{
    if (disk.list_errors == 0)
        return real_list_next(list, entry);
    disk.list_errors--;
    errno = EIO;
    return -1;
}

/* ---- a folder ---- */

static char data[200];

static int make_folder(void **state)
{
    char *dir = fixture_dir();

    (void)state;
    memset(&disk, 0, sizeof disk);
    disk.room = -1;
    snprintf(data, sizeof data, "%s", dir);
    free(dir);
    return mkdir(data, 0700);
}

static int remove_folder(void **state)
{
    (void)state;
    *strrchr(data, '/') = '\0';
    files_remove(data);
    return 0;
}

static struct dead_letters *open_with(uint64_t max_bytes)
{
    struct error e = {""};
    struct dead_letters *d = dead_letters_open(
        data,
        &(struct dead_letter_settings){.max_bytes = max_bytes, .max_age_ms = 30ull * 86400000}, &e);

    if (!d)
        fail_msg("%s", e.text);
    return d;
}

/* Record k: its id is k, its document says so. document: scratch. */
static struct buffer_record record(uint64_t k, const char *index, char document[64])
{
    struct buffer_record r = {.index = bytes_str(index)};

    memset(r.id, 0x11, sizeof r.id);
    memcpy(r.id, &k, sizeof k);
    snprintf(document, 64, "{\"n\":%llu,\"s\":\"}\\\"{\"}", (unsigned long long)k);
    r.document = bytes_str(document);
    return r;
}

static int add(struct dead_letters *d, uint64_t k)
{
    char document[64];
    struct buffer_record r = record(k, "logs-1", document);

    return dead_letters_add(d, &r, BYTES_LITERAL("mapper [a] of \"b\"\n"));
}

static int park(struct dead_letters *d, uint64_t k, const char *index)
{
    char document[64];
    struct buffer_record r = record(k, index, document);

    return dead_letters_park(d, &r, BYTES_LITERAL("closed"));
}

/* ---- reading it back ---- */

struct found {
    size_t files;
    uint64_t n; /* letters */
    uint64_t bytes;
    uint64_t numbers[10000];
};

static void read_letters(const char *path, struct found *f)
{
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    struct stat st;

    assert_non_null(file);
    assert_int_equal(fstat(fileno(file), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    f->bytes += (uint64_t)st.st_size;
    while ((n = getline(&line, &cap, file)) > 0) {
        yajl_val v = yajl_tree_parse(line, NULL, 0);
        const char *const number[] = {"document", "n", NULL};
        struct dead_letter letter;
        uint64_t k;

        assert_int_equal(line[n - 1], '\n');
        assert_non_null(v);
        assert_true(dead_letter_parse(bytes_of(line, (size_t)n - 1), &letter));
        memcpy(&k, letter.id, sizeof k);
        assert_int_equal(YAJL_GET_INTEGER(yajl_tree_get(v, (const char **)number, yajl_t_number)),
                         k);
        f->numbers[f->n++] = k;
        yajl_tree_free(v);
    }
    free(line);
    fclose(file);
    f->files++;
}

static struct found *letters_in(const char *folder)
{
    struct found *f = calloc(1, sizeof *f);
    char dir[300], path[600], names[256][64];
    size_t n;

    snprintf(dir, sizeof dir, "%s/%s", data, folder);
    n = fixture_list(dir, ".ndjson", names);
    for (size_t i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        read_letters(path, f);
    }
    return f;
}

/* The letters in a folder are the numbers from first on, n of them, in order. */
static void check_letters(const char *folder, uint64_t first, uint64_t n)
{
    struct found *f = letters_in(folder);

    assert_int_equal(f->n, n);
    for (uint64_t i = 0; i < n; i++)
        assert_int_equal(f->numbers[i], first + i);
    free(f);
}

/* ---- tests ---- */

static void letters_are_written_and_read_again(void **state)
{
    struct dead_letters *d = open_with(1 << 20);
    char path[300], line[1000] = "", id[25] = {0};
    struct found *found;
    struct stat st;
    FILE *f;

    (void)state;
    assert_int_equal(add(d, 0), 0);
    assert_int_equal(add(d, 1), 0);
    assert_int_equal(dead_letters_sync(d), 0);
    assert_true(disk.fsyncs_of_folders > 0);
    check_letters("dead-letters", 0, 2);
    snprintf(path, sizeof path, "%s/dead-letters", data);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    found = letters_in("dead-letters");
    assert_int_equal(metric_get(M_DEAD_BYTES), found->bytes);
    free(found);

    /* The very bytes of the first line, behind its time: 8 bytes 00 and 10 bytes 11, in base 64 of
     * -0-9A-Z_a-z
     */
    strcat(path, "/000000000001.ndjson");
    f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    fclose(f);
    assert_int_equal(strncmp(line, "{\"@timestamp\":\"2", 16), 0);
    sscanf(strstr(line, "\"_id\":\"") + 7, "%24[^\"]", id);
    assert_string_equal(id, "-----------G3G3G3G3G3G3G");
    assert_non_null(strstr(line, "\"index\":\"logs-1\",\"_id\":"));
    assert_non_null(strstr(line, "\",\"reason\":\"mapper [a] of \\\"b\\\"\\n\","
                                 "\"document\":{\"n\":0,\"s\":\"}\\\"{\"}}\n"));
    dead_letters_close(d);
}

static void lives_follow_each_other(void **state)
{
    (void)state;
    for (uint64_t life = 0; life < 3; life++) {
        struct dead_letters *d = open_with(1 << 20);

        add(d, 2 * life);
        add(d, 2 * life + 1);
        assert_int_equal(dead_letters_sync(d), 0);
        dead_letters_close(d);
    }
    check_letters("dead-letters", 0, 6);
}

static void torn_line_is_cut(void **state)
{
    struct dead_letters *d = open_with(1 << 20);
    char path[300];
    FILE *f;

    (void)state;
    add(d, 0);
    park(d, 1, "a");
    dead_letters_sync(d);
    dead_letters_close(d);
    snprintf(path, sizeof path, "%s/dead-letters/000000000001.ndjson", data);
    f = fopen(path, "a");
    fprintf(f, "{\"@timestamp\":\"20");
    fclose(f);
    snprintf(path, sizeof path, "%s/dead-letters/parked/0000000000000007-000000000009.ndjson",
             data);
    f = fopen(path, "w");
    fprintf(f, "{");
    fclose(f);
    chmod(path, 0600);
    d = open_with(1 << 20);
    check_letters("dead-letters", 0, 1);
    check_letters("dead-letters/parked", 1, 1);
    dead_letters_close(d);
}

static void files_are_rolled_by_size_and_day(void **state)
{
    struct dead_letters *d = open_with(64 << 20);
    char *big = malloc(3 << 20);
    struct buffer_record r;
    char document[64];
    struct found *f;

    (void)state;
    r = record(0, "logs-1", document);
    memset(big, ' ', 3 << 20);
    memcpy(big, "{\"n\":0", 6);
    big[(3 << 20) - 1] = '}';
    r.document = bytes_of(big, 3 << 20);
    for (int i = 0; i < 5; i++) { /* two fit into 8 MiB */
        assert_int_equal(dead_letters_add(d, &r, BYTES_NONE), 0);
        assert_int_equal(dead_letters_sync(d), 0);
    }
    f = letters_in("dead-letters");
    assert_int_equal(f->files, 3);
    assert_int_equal(f->n, 5);
    free(f);
    free(big);
    dead_letters_close(d);
}

/* Letters of 40 days ago make room; those of today, and parked ones of any age, do not. */
static void full_is_told_and_old_ones_make_room(void **state)
{
    struct dead_letters *d = open_with(1 << 20);
    struct utimbuf old = {.actime = time(NULL) - 40 * 86400, .modtime = time(NULL) - 40 * 86400};
    char path[300];
    uint64_t k, expired = metric_get(M_DEAD_EXPIRED), first;
    struct found *f;

    (void)state;
    park(d, 7, "parked");
    for (k = 0; add(d, k) == 0; k++)
        assert_true(k < 10000);
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(dead_letters_sync(d), 0);
    assert_true(k > 3000); /* some 200 bytes each */
    assert_int_equal(add(d, k), -1);
    assert_int_equal(errno, ENOSPC);
    dead_letters_sync(d);
    dead_letters_close(d);
    f = letters_in("dead-letters");
    assert_int_equal(f->n, k);
    free(f);

    snprintf(path, sizeof path, "%s/dead-letters/000000000002.ndjson", data);
    assert_int_equal(utime(path, &old), 0);
    f = letters_in("dead-letters/parked");
    assert_int_equal(f->n, 1);
    free(f);
    snprintf(path, sizeof path, "%s/dead-letters/parked", data);
    {
        char names[256][64], one[400];

        assert_int_equal(fixture_list(path, ".ndjson", names), 1);
        snprintf(one, sizeof one, "%s/%s", path, names[0]);
        assert_int_equal(utime(one, &old), 0);
    }
    d = open_with(1 << 20);
    assert_int_equal(metric_get(M_DEAD_EXPIRED) - expired, k);
    first = k;
    assert_int_equal(add(d, first), 0);
    assert_int_equal(dead_letters_sync(d), 0);
    check_letters("dead-letters", first, 1);
    check_letters("dead-letters/parked", 7, 1);
    dead_letters_close(d);
}

static void disk_full_leaves_whole_lines(void **state)
{
    struct dead_letters *d = open_with(1 << 20);

    (void)state;
    add(d, 0);
    assert_int_equal(dead_letters_sync(d), 0);
    disk.room = 50;
    assert_int_equal(add(d, 1), -1);
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(dead_letters_sync(d), 0);
    check_letters("dead-letters", 0, 1);
    disk.room = -1;
    assert_int_equal(add(d, 1), 0);
    assert_int_equal(dead_letters_sync(d), 0);
    check_letters("dead-letters", 0, 2);
    dead_letters_close(d);
}

/* Where it cannot be cut away, nothing goes behind it, and the batch does not count: what it wrote
 * there before is not on disk. */
static void a_torn_letter_that_stays_takes_the_batch_along(void **state)
{
    struct dead_letters *d = open_with(1 << 20);

    (void)state;
    assert_int_equal(add(d, 0), 0);
    disk.room = 50;
    disk.truncate_errors = 1;
    assert_int_equal(add(d, 1), -1);
    assert_int_equal(errno, ENOSPC);
    disk.room = -1;
    assert_int_equal(add(d, 1), -1);
    assert_int_equal(dead_letters_sync(d), -1);
    check_letters("dead-letters", 0, 0);
    assert_int_equal(add(d, 0), 0);
    assert_int_equal(add(d, 1), 0);
    assert_int_equal(dead_letters_sync(d), 0);
    check_letters("dead-letters", 0, 2);
    dead_letters_close(d);
}

/* Nothing of a batch whose fsync failed counts or stays, in any of its files; what counted before
 * stays, and the fsync is never asked again for that file. */
static void failed_fsync_takes_the_batch_back(void **state)
{
    struct dead_letters *d = open_with(1 << 20);
    struct found *f;

    (void)state;
    add(d, 0);
    assert_int_equal(dead_letters_sync(d), 0);
    disk.sync_errors = 1;
    add(d, 1);
    park(d, 2, "a");
    assert_int_equal(dead_letters_sync(d), -1);
    assert_int_equal(errno, EIO);
    check_letters("dead-letters", 0, 1);
    check_letters("dead-letters/parked", 0, 0);
    add(d, 1);
    park(d, 2, "a");
    assert_int_equal(dead_letters_sync(d), 0);
    check_letters("dead-letters", 0, 2);
    check_letters("dead-letters/parked", 2, 1);
    f = letters_in("dead-letters");
    assert_int_equal(f->files, 2);
    free(f);
    dead_letters_close(d);
}

static void parked_ones_go_by_index(void **state)
{
    static const char *const hostile[] = {"../../etc/x", "a/b", "..", "with \"quotes\""};
    struct dead_letters *d = open_with(1 << 20);
    char index[64];
    struct found *f;

    (void)state;
    for (uint64_t k = 0; k < 40; k++) { /* more indices than files may be open */
        snprintf(index, sizeof index, "logs-%u", (unsigned)(k % 20));
        assert_int_equal(park(d, k, index), 0);
    }
    assert_int_equal(dead_letters_sync(d), 0);
    assert_int_equal(dead_letters_unpark(d, BYTES_LITERAL("logs-3")), 0);
    assert_int_equal(dead_letters_unpark(d, BYTES_LITERAL("logs-33")), 0);
    f = letters_in("replay");
    assert_int_equal(f->n, 2);
    assert_int_equal(f->numbers[0], 3);
    assert_int_equal(f->numbers[1], 23);
    free(f);
    f = letters_in("dead-letters/parked");
    assert_int_equal(f->n, 38);
    free(f);
    /* … and go on being parked */
    assert_int_equal(park(d, 3, "logs-3"), 0);
    assert_int_equal(dead_letters_sync(d), 0);
    assert_int_equal(dead_letters_unpark(d, BYTES_LITERAL("logs-3")), 0);
    f = letters_in("replay");
    assert_int_equal(f->n, 3);
    free(f);
    dead_letters_close(d);
    /* No name of an index becomes a name of a file. */
    d = open_with(1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
        char document[64], names[256][64], dir[300];
        struct buffer_record r = record(100 + i, hostile[i], document);
        size_t n;

        assert_int_equal(dead_letters_park(d, &r, BYTES_NONE), 0);
        snprintf(dir, sizeof dir, "%s/dead-letters/parked", data);
        n = fixture_list(dir, "", names);
        for (size_t k = 0; k < n; k++)
            assert_int_equal(strspn(names[k], "0123456789abcdef-.nsjo"), strlen(names[k]));
    }
    dead_letters_sync(d);
    dead_letters_close(d);
}

static void replay_moves_what_is_named(void **state)
{
    struct dead_letters *d = open_with(1 << 20);
    char path[300];
    struct error e;

    (void)state;
    add(d, 0);
    dead_letters_sync(d);
    dead_letters_close(d);
    d = open_with(1 << 20);
    add(d, 1);
    dead_letters_sync(d);
    snprintf(path, sizeof path, "%s/dead-letters/000000000001.ndjson", data);
    assert_int_equal(dead_letters_replay(data, (char *[]){path, NULL}, &e), 1);
    check_letters("replay", 0, 1);
    check_letters("dead-letters", 1, 1);
    assert_int_equal(dead_letters_replay(data, (char *[]){path, NULL}, &e), -1);
    assert_non_null(strstr(e.text, "000000000001.ndjson"));
    assert_int_equal(dead_letters_replay(data, (char *[]){"../data", NULL}, &e), -1);

    /* All: also the file that the agent has open. It goes on in another. */
    assert_int_equal(dead_letters_replay(data, NULL, &e), 1);
    check_letters("replay", 0, 2);
    assert_int_equal(add(d, 2), 0);
    assert_int_equal(dead_letters_sync(d), 0);
    check_letters("replay", 0, 2);
    check_letters("dead-letters", 2, 1);
    assert_int_equal(dead_letters_replay(data, NULL, &e), 1);
    assert_int_equal(dead_letters_replay(data, NULL, &e), 0);
    check_letters("replay", 0, 3);
    dead_letters_close(d);
}

/* A name that is taken in the replay folder is not written over. */
static ino_t inode_of(const char *folder)
{
    char path[400];
    struct stat st;

    snprintf(path, sizeof path, "%.200s/%s", data, folder);
    assert_int_equal(stat(path, &st), 0);
    return st.st_ino;
}

static bool all_durable(void *arg)
{
    struct buffer_point d = buffer_durable(arg), end = buffer_end(arg);

    return d.segment == end.segment && d.offset >= end.offset;
}

/* What is moved is fsynced where it went to, and then where it came from: between the two a loss of
 * power leaves it a name. */
static void replay_moves_durably(void **state)
{
    struct dead_letters *d = open_with(1 << 20);
    struct error e;
    ino_t want[3];

    (void)state;
    add(d, 0);
    assert_int_equal(dead_letters_sync(d), 0);
    dead_letters_close(d);
    disk.fsyncs_of_folders = 0;
    assert_int_equal(dead_letters_replay(data, NULL, &e), 1);
    want[0] = inode_of("replay");
    want[1] = inode_of("dead-letters");
    want[2] = inode_of("dead-letters/parked");
    /* Three when the folders are opened, and these. */
    assert_int_equal(disk.fsyncs_of_folders, 6);
    assert_memory_equal(disk.synced + 3, want, sizeof want);
}

/* The same for what is unparked, after the letters themselves. */
static void unparking_moves_durably(void **state)
{
    struct dead_letters *d = open_with(1 << 20);
    ino_t want[2];

    (void)state;
    assert_int_equal(park(d, 0, "a"), 0);
    disk.sync_errors = 1;
    assert_int_equal(dead_letters_unpark(d, BYTES_LITERAL("a")), -1);
    check_letters("replay", 0, 0);
    assert_int_equal(dead_letters_sync(d), -1);
    assert_int_equal(park(d, 0, "a"), 0);
    assert_int_equal(dead_letters_sync(d), 0);
    disk.fsyncs_of_folders = 0;
    assert_int_equal(dead_letters_unpark(d, BYTES_LITERAL("a")), 0);
    check_letters("replay", 0, 1);
    want[0] = inode_of("replay");
    want[1] = inode_of("dead-letters/parked");
    assert_int_equal(disk.fsyncs_of_folders, 2);
    assert_memory_equal(disk.synced, want, sizeof want);
    dead_letters_close(d);
}

/* A segment that is kept counts when its new name is on the disk. */
static void keeping_a_segment_syncs_its_name(void **state)
{
    struct dead_letters *d = open_with(1 << 20);
    char dir[300];
    struct buffer *b;
    struct dead_letter_stretch stretch = {.first = 0, .last = 5, .records = 6};
    bool synced = false;

    (void)state;
    snprintf(dir, sizeof dir, "%.200s/buffer", data);
    b = fixture_open(dir, 16 << 20, 1000);
    stretch.segment = buffer_end(b).segment;
    for (uint64_t k = 0; k < 30; k++) {
        assert_true(fixture_append(b, BUFFER_CANNOT_WAIT, 0, k, 400));
        assert_int_equal(buffer_commit(b), 0);
    }
    assert_true(fixture_wait(all_durable, b));
    disk.fsyncs_of_folders = 0;
    assert_int_equal(dead_letters_keep(d, b, &stretch), 0);
    for (int i = 0; i < MIN(disk.fsyncs_of_folders, (int)ARRAY_LEN(disk.synced)); i++)
        synced = synced || disk.synced[i] == inode_of("dead-letters");
    assert_true(synced);
    buffer_close(b);
    dead_letters_close(d);
}

/* A folder that cannot be listed to its end is not taken for an empty one. */
static void replay_of_what_cannot_be_listed_is_told(void **state)
{
    struct dead_letters *d = open_with(1 << 20);
    struct error e;

    (void)state;
    add(d, 0);
    assert_int_equal(park(d, 1, "a"), 0);
    assert_int_equal(dead_letters_sync(d), 0);
    disk.list_errors = 1;
    assert_int_equal(dead_letters_unpark(d, BYTES_LITERAL("a")), -1);
    assert_int_equal(dead_letters_unpark(d, BYTES_LITERAL("a")), 0);
    dead_letters_close(d);
    disk.list_errors = 1;
    assert_int_equal(dead_letters_replay(data, NULL, &e), -1);
    assert_non_null(strstr(e.text, "cannot be listed"));
    assert_int_equal(dead_letters_replay(data, NULL, &e), 1);
}

/* The file that is written to is not removed for its age: its last letter may be from yesterday. */
static void the_open_file_does_not_expire(void **state)
{
    struct dead_letters *d = open_with(1024);
    struct utimbuf long_ago = {1000000000, 1000000000};
    char path[400], names[256][64];

    (void)state;
    assert_int_equal(add(d, 0), 0);
    assert_int_equal(dead_letters_sync(d), 0);
    snprintf(path, sizeof path, "%.200s/dead-letters", data);
    assert_int_equal(fixture_list(path, ".ndjson", names), 1);
    snprintf(path, sizeof path, "%.200s/dead-letters/%s", data, names[0]);
    assert_int_equal(utime(path, &long_ago), 0);
    /* The next one that does not fit looks for what is old. */
    for (uint64_t k = 1; add(d, k) == 0; k++) {
        assert_int_equal(dead_letters_sync(d), 0);
        assert_int_equal(utime(path, &long_ago), 0);
        assert_true(k < 100);
    }
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(access(path, F_OK), 0);
    dead_letters_close(d);
}

static void replay_overwrites_nothing(void **state)
{
    struct error e;

    (void)state;
    for (uint64_t k = 0; k < 3; k++) {
        struct dead_letters *d;
        char dir[300], names[256][64], from[400], to[400];

        d = open_with(1 << 20);
        add(d, k);
        dead_letters_sync(d);
        dead_letters_close(d);
        snprintf(dir, sizeof dir, "%s/dead-letters", data);
        assert_int_equal(fixture_list(dir, ".ndjson", names), 1);
        snprintf(from, sizeof from, "%s/%s", dir, names[0]);
        snprintf(to, sizeof to, "%s/000000000001.ndjson", dir);
        assert_int_equal(rename(from, to), 0);
        assert_int_equal(dead_letters_replay(data, NULL, &e), 1);
    }
    {
        struct found *f = letters_in("replay");

        assert_int_equal(f->n, 3);
        assert_int_equal(f->files, 3);
        free(f);
    }
}

/* While a batch is open, nobody can take its file away. */
static void replay_waits_for_the_batch(void **state)
{
    struct dead_letters *d = open_with(1 << 20);
    char path[300];
    int fd;

    (void)state;
    snprintf(path, sizeof path, "%s/dead-letters", data);
    fd = open(path, O_RDONLY);
    add(d, 0);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), -1);
    assert_int_equal(dead_letters_sync(d), 0);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    close(fd);
    dead_letters_close(d);
}

static void lines_are_parsed(void **state)
{
#define ID "\"_id\":\"------------------------\""
    static const struct {
        const char *line, *document; /* NULL: no dead letter */
    } cases[] = {
        {"{\"index\":\"a\"," ID ",\"document\":{}}", "{}"},
        {"{\"document\":{\"x\":[1,{\"y\":\"}\"}]}," ID ",\"index\":\"a\",\"reason\":null}",
         "{\"x\":[1,{\"y\":\"}\"}]}"},
        {" { \"index\" : \"a\" , " ID " , \"n\" : -1.5e3 , \"document\" : { } } ", "{ }"},
        {"", NULL},
        {"{}", NULL},
        {"[]", NULL},
        {"{\"index\":\"a\"," ID "}", NULL},
        {"{\"index\":\"a\",\"_id\":\"short\",\"document\":{}}", NULL},
        {"{\"index\":\"\"," ID ",\"document\":{}}", NULL},
        {"{\"index\":\"a\\u002f\"," ID ",\"document\":{}}", NULL},
        {"{\"index\":\"a\"," ID ",\"document\":\"{}\"}", NULL},
        {"{\"index\":\"a\"," ID ",\"document\":{}", NULL},
        {"{\"index\":\"a\"," ID ",\"document\":{]}", NULL},
        {"{\"index\":\"a\"," ID ",\"document\":{}}x", NULL},
        {"{\"index\":\"a\"," ID ",\"document\":{\"a\":\"}", NULL},
        {"{\"index\":\"a\"," ID ",\"document\":", NULL},
        {"{\"index\":\"a\"," ID ",\"document\"", NULL},
        {"{\"index\":\"a\\", NULL},
        {"{\"", NULL},
    };
    struct dead_letter letter;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        /* On the heap, to its very end: what reads further is seen by a sanitizer. */
        size_t n = strlen(cases[i].line);
        char *line = malloc(n ? n : 1);
        bool ok;

        memcpy(line, cases[i].line, n);
        ok = dead_letter_parse(bytes_of(line, n), &letter);
        assert_int_equal(ok, cases[i].document != NULL);
        if (ok) {
            assert_true(bytes_is(letter.document, cases[i].document));
            assert_true(bytes_is(letter.index, "a"));
        }
        free(line);
    }
}

int main(void)
{
#define LETTERS_TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        LETTERS_TEST(letters_are_written_and_read_again),
        LETTERS_TEST(lives_follow_each_other),
        LETTERS_TEST(torn_line_is_cut),
        LETTERS_TEST(files_are_rolled_by_size_and_day),
        LETTERS_TEST(full_is_told_and_old_ones_make_room),
        LETTERS_TEST(disk_full_leaves_whole_lines),
        LETTERS_TEST(a_torn_letter_that_stays_takes_the_batch_along),
        LETTERS_TEST(failed_fsync_takes_the_batch_back),
        LETTERS_TEST(parked_ones_go_by_index),
        LETTERS_TEST(replay_moves_what_is_named),
        LETTERS_TEST(replay_moves_durably),
        LETTERS_TEST(unparking_moves_durably),
        LETTERS_TEST(keeping_a_segment_syncs_its_name),
        LETTERS_TEST(replay_of_what_cannot_be_listed_is_told),
        LETTERS_TEST(the_open_file_does_not_expire),
        LETTERS_TEST(replay_overwrites_nothing),
        LETTERS_TEST(replay_waits_for_the_batch),
        LETTERS_TEST(lines_are_parsed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
