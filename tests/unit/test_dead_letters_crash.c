/*
 * Dead letters over lives that end by kill -9 or by loss of power, between calls and at any of
 * them, on a disk that fails now and then. What dead_letters_sync said yes to is there, whole, in
 * one of the folders; what was in an index's parked files when it was unparked lies among the
 * replayed.
 * LETTERS_SEED=n runs one seed, LETTERS_SEEDS=n as many.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "outputs/dead_letters.h"
#include "tests/unit/buffer_fixture.h"
#include "tests/unit/io_crash.h"

#include "agent/base/log.h"

#define MAX_RECORDS 20000
#define INDICES 3

static struct {
    _Atomic uint64_t next;
    _Atomic bool promised_now[MAX_RECORDS];
    uint64_t batch; /* first record of the batch */
    /* … and as of the end. */
    bool promised[MAX_RECORDS];
} m;

static struct buffer_record record(uint64_t k, char document[64], char index[16])
{
    struct buffer_record r = {0};

    snprintf(index, 16, "logs-%u", (unsigned)(k % INDICES));
    snprintf(document, 64, "{\"n\":%llu,\"s\":\"}\\\"{\"}", (unsigned long long)k);
    memcpy(r.id, &k, sizeof k);
    r.index = bytes_str(index);
    r.document = bytes_str(document);
    return r;
}

static void note_end(void)
{
    for (uint64_t k = 0; k < m.next; k++)
        m.promised[k] = m.promised_now[k];
}

static struct dead_letters *open_it(const char *dir, struct error *e)
{
    return dead_letters_open(
        dir, &(struct dead_letter_settings){.max_bytes = 16 << 20, .max_age_ms = 86400000}, e);
}

/* One batch, as the delivery does it: after a failure the same records come again. */
static void batch(struct dead_letters *d)
{
    uint64_t first = m.batch, n = 1 + crash_random(6), k;
    bool parked = crash_random(2), ok = true;

    for (k = first; ok && k < first + n && k < MAX_RECORDS; k++) {
        char document[64], index[16];
        struct buffer_record r = record(k, document, index);

        if (m.next <= k)
            m.next = k + 1;
        if ((parked ? dead_letters_park(d, &r, BYTES_LITERAL("closed"))
                    : dead_letters_add(d, &r, BYTES_LITERAL("mapper"))) < 0) {
            ok = false;
            break;
        }
    }
    if (dead_letters_sync(d) < 0)
        return;
    /* Those that were added before one failed count, too. */
    for (uint64_t i = first; i < k; i++)
        m.promised_now[i] = true;
    m.batch = k;
}

static void random_fault(void)
{
    static const enum crash_call kinds[] = {CRASH_WRITE, CRASH_SYNC,   CRASH_DIR_SYNC,
                                            CRASH_OPEN,  CRASH_RENAME, CRASH_TRUNCATE,
                                            CRASH_LIST,  CRASH_STAT};
    static const int errors[] = {ENOSPC, EIO, EDQUOT, EROFS};

    crash_fail(kinds[crash_random(sizeof kinds / sizeof kinds[0])], 1 + crash_random(3),
               errors[crash_random(4)], crash_random(3) == 0);
    pthread_mutex_lock(&crash.lock);
    crash.short_writes = crash_random(2);
    pthread_mutex_unlock(&crash.lock);
}

static void look_for(const char *dir, const char *folder, bool *found)
{
    char path[512], names[256][64];
    size_t n;

    snprintf(path, sizeof path, "%s/%s", dir, folder);
    n = fixture_list(path, ".ndjson", names);
    for (size_t i = 0; i < n; i++) {
        char *line = NULL;
        size_t cap = 0;
        ssize_t got;
        FILE *f;

        snprintf(path, sizeof path, "%s/%s/%s", dir, folder, names[i]);
        f = fopen(path, "r");
        assert_non_null(f);
        while ((got = getline(&line, &cap, f)) > 0) {
            struct dead_letter letter;
            char document[64], index[16];
            struct buffer_record r;
            uint64_t k;

            /* What never counted may be torn. */
            if (line[got - 1] != '\n' ||
                !dead_letter_parse(bytes_of(line, (size_t)got - 1), &letter))
                continue;
            memcpy(&k, letter.id, sizeof k);
            if (k >= m.next)
                continue;
            r = record(k, document, index);
            if (bytes_equal(letter.document, r.document) && bytes_equal(letter.index, r.index))
                found[k] = true;
        }
        free(line);
        fclose(f);
    }
}

static void check(const char *dir)
{
    static bool found[MAX_RECORDS];

    memset(found, 0, sizeof found);
    look_for(dir, "dead-letters", found);
    look_for(dir, "dead-letters/parked", found);
    look_for(dir, "replay", found);
    for (uint64_t k = 0; k < m.next; k++)
        if (m.promised[k] && !found[k])
            fail_msg("letter %llu is lost below %s", (unsigned long long)k, dir);
}

static void no_more_than_said(void *arg, const struct buffer_record *one, uint64_t records)
{
    (void)arg;
    assert_true(one->index.n > 0 && records > 0);
}

static void live(const char *dir, bool faults)
{
    struct error e = {""};
    struct dead_letters *d = open_it(dir, &e);
    unsigned turns = (unsigned)crash_random(40);

    if (!d) {
        assert_true(crash.any_failed || faults);
        return;
    }
    dead_letters_parked(d, no_more_than_said, NULL);
    while (turns-- > 0 && !crash_stopped()) {
        if (faults && crash_random(6) == 0)
            random_fault();
        if (faults && crash_random(4) == 0)
            crash_no_faults();
        batch(d);
        if (crash_random(10) == 0) {
            char index[16];

            snprintf(index, sizeof index, "logs-%u", (unsigned)crash_random(INDICES));
            dead_letters_unpark(d, bytes_str(index));
        }
        if (crash_random(15) == 0)
            dead_letters_replay(dir, NULL, &e);
    }
    dead_letters_close(d);
}

static void run_seed(uint64_t seed, bool faults)
{
    static const enum crash_kind kinds[] = {CRASH_SOME_KEPT, CRASH_NOTHING_KEPT, CRASH_ALL_KEPT,
                                            CRASH_KILLED};
    char *dir = fixture_dir(), next[256];

    memset(&m, 0, sizeof m);
    crash_seed(seed);
    mkdir(dir, 0700);
    crash.on_stop = note_end;
    crash_start(dir);
    snprintf(next, sizeof next, "%.200s-next", dir);
    for (int life = 0; life < 10; life++) {
        enum crash_kind kind = kinds[crash_random(4)];

        if (crash_random(3))
            crash_stop_at(1 + crash_random(120), crash_random(2), next, kind);
        live(dir, faults);
        crash_no_faults();
        if (!crash_was_stopped()) {
            note_end();
            crash_cut(next, kind);
        }
        /* What the process did after its end does not count. */
        for (uint64_t k = 0; k < m.next; k++)
            m.promised_now[k] = m.promised[k];
        files_remove(dir);
        assert_int_equal(rename(next, dir), 0);
        crash_go_on(dir, kind);
        check(dir);
    }
    crash.on_stop = NULL;
    fixture_done(dir);
}

static void test_lives(void **state)
{
    (void)state;
    crash_run_seeds("LETTERS_SEED", "LETTERS_SEEDS", 100, run_seed, false);
}

static void test_lives_on_a_failing_disk(void **state)
{
    (void)state;
    crash_run_seeds("LETTERS_SEED", "LETTERS_SEEDS", 100, run_seed, true);
}

static void test_all_points_were_met(void **state)
{
    static const char *const points[] = {
        "mkdir dead-letters", "mkdir parked",         "mkdir replay",    "open ndjson",
        "write ndjson",       "sync ndjson",          "rename ndjson",   "dirsync parked",
        "dirsync replay",     "dirsync dead-letters", "truncate ndjson",
    };
    (void)state;

    crash_assert_stops(points, sizeof points / sizeof points[0], "LETTERS_SEED");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lives),
        cmocka_unit_test(test_lives_on_a_failing_disk),
        cmocka_unit_test(test_all_points_were_met),
    };

    log_init((enum log_level)(LOG_ERROR + 1), LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
