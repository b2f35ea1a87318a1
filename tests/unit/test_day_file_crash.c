/*
 * A daily file over lives that end by kill -9 or by loss of power, at any call, on a disk that
 * fails now and then. A record whose flush succeeded is there; after every record from the buffer's
 * frontier on was handed out again, each is there once.
 * DAY_SEED=n runs one seed, DAY_SEEDS=n as many.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "outputs/file/day_file.h"
#include "outputs/output.h"
#include "tests/unit/buffer_fixture.h"
#include "tests/unit/io_crash.h"

#include "agent/base/log.h"

#define MAX_RECORDS 4096
#define LIVES 10

static struct {
    uint64_t added;            /* records below were handed out */
    _Atomic uint64_t frontier; /* … and below this one finished */
    uint64_t promised;         /* as of the end */
    uint64_t batch_n;          /* of the last batch */
} m;

static void note_end(void)
{
    m.promised = m.frontier;
}

static void id_of(uint64_t k, uint8_t id[BUFFER_ID_BYTES])
{
    memset(id, 0x33, BUFFER_ID_BYTES);
    memcpy(id, &k, sizeof k);
}

static size_t document_of(uint64_t k, char to[1200])
{
    size_t padding = (size_t)(k * 7919 % 900);

    return (size_t)sprintf(to, "{\"n\":%llu,\"x\":\"%0*d\"}", (unsigned long long)k,
                           (int)padding + 1, 0);
}

/* How often each record has a whole line in the file. */
static void count_lines(const char *path, unsigned count[MAX_RECORDS])
{
    FILE *f = fopen(path, "r");
    char *line = NULL, document[1200], want[1300];
    size_t cap = 0;
    ssize_t n;

    memset(count, 0, MAX_RECORDS * sizeof *count);
    while (f && (n = getline(&line, &cap, f)) > 0) {
        uint8_t id[BUFFER_ID_BYTES];
        uint64_t k;

        if (n < 40 || line[n - 1] != '\n' || !output_id_parse(bytes_of(line + 8, 24), id))
            continue;
        memcpy(&k, id, sizeof k);
        if (k >= MAX_RECORDS)
            continue;
        document_of(k, document);
        snprintf(want, sizeof want, "{\"_id\":\"%.24s\",%s\n", line + 8, document + 1);
        count[k] += (size_t)n == strlen(want) && !memcmp(line, want, (size_t)n);
    }
    free(line);
    if (f)
        fclose(f);
}

/* Hands out a batch from the frontier on, as the output does. false when it is to give up. */
static bool batch(struct day_file *f, bool faults)
{
    static const enum crash_call kinds[] = {CRASH_WRITE,    CRASH_SYNC, CRASH_TRUNCATE,
                                            CRASH_DIR_SYNC, CRASH_LOOK, CRASH_STAT};
    uint64_t first = m.frontier, n = 1 + crash_random(30), tries = 0;
    char document[1200];
    struct error e;

    if (first + n >= MAX_RECORDS)
        return false;
    for (uint64_t k = first; k < first + n; k++) {
        uint8_t id[BUFFER_ID_BYTES];

        id_of(k, id);
        if (!day_file_has(f, id))
            day_file_add(f, id, bytes_of(document, document_of(k, document)));
    }
    if (faults && crash_random(3) == 0) {
        crash_fail(kinds[crash_random(6)], 1, crash_random(2) ? EIO : ENOSPC, crash_random(2));
        pthread_mutex_lock(&crash.lock);
        crash.short_writes = crash_random(2);
        pthread_mutex_unlock(&crash.lock);
    }
    while (day_file_flush(f, &e) < 0) {
        assert_true(faults && e.text[0]);
        if (++tries > 3)
            crash_no_faults();
        if (crash_stopped() || tries > 6)
            return false;
    }
    m.batch_n = n;
    m.added = MAX(m.added, first + n);
    m.frontier = first + n;
    return true;
}

static void live(const char *path, bool faults)
{
    unsigned turns = (unsigned)crash_random(20);
    struct day_file f;
    struct error e;

    if (day_file_open(&f, path, &e) < 0) {
        fail_msg("%s", e.text);
        return;
    }
    while (turns-- > 0 && !crash_stopped() && batch(&f, faults))
        ;
    crash_no_faults();
    day_file_close(&f);
}

static void check_end(const char *path)
{
    static unsigned count[MAX_RECORDS];

    count_lines(path, count);
    for (uint64_t k = 0; k < m.promised; k++)
        if (!count[k])
            fail_msg("record %llu of %llu is lost from %s", (unsigned long long)k,
                     (unsigned long long)m.promised, path);
}

static void check_exact(const char *path)
{
    static unsigned count[MAX_RECORDS];

    count_lines(path, count);
    for (uint64_t k = 0; k < m.frontier; k++)
        if (count[k] != 1)
            fail_msg("record %llu is there %u times in %s", (unsigned long long)k, count[k], path);
}

static void run_seed(uint64_t seed, bool faults)
{
    static const enum crash_kind kinds[] = {CRASH_SOME_KEPT, CRASH_NOTHING_KEPT, CRASH_ALL_KEPT,
                                            CRASH_KILLED, CRASH_KILLED};
    char *dir = fixture_dir(), next[256], path[300];

    memset(&m, 0, sizeof m);
    crash_seed(seed);
    mkdir(dir, 0700);
    snprintf(path, sizeof path, "%s/out/2026/all.ndjson", dir);
    snprintf(next, sizeof next, "%.200s-next", dir);
    crash.on_stop = note_end;
    crash_start(dir);
    for (int life = 0; life < LIVES; life++) {
        enum crash_kind kind = kinds[crash_random(5)];
        bool killed = kind == CRASH_KILLED;

        if (life == 0) /* the calls of a beginning, one by one */
            crash_stop_at(1 + seed % 16, crash_random(2), next, kind);
        else if (crash_random(4))
            crash_stop_at(1 + crash_random(40), crash_random(2), next, kind);
        live(path, faults);
        if (!crash_was_stopped()) {
            if (killed && crash_untold())
                kind = CRASH_ALL_KEPT;
            note_end();
            check_exact(path);
            crash_cut(next, kind);
        }
        files_remove(dir);
        assert_int_equal(rename(next, dir), 0);
        crash_go_on(dir, kind);
        check_end(path);
        /* The frontier that is found may be older. */
        m.frontier = m.promised;
        if (killed)
            m.frontier -= crash_random(2) ? MIN(m.batch_n, m.promised) : 0;
        else
            m.frontier -= crash_random(MIN(m.promised, 100u) + 1);
        m.batch_n = 0;
    }
    crash.on_stop = NULL;
    fixture_done(dir);
}

static void test_lives(void **state)
{
    (void)state;
    crash_run_seeds("DAY_SEED", "DAY_SEEDS", 60, run_seed, false);
}

static void test_lives_on_a_failing_disk(void **state)
{
    (void)state;
    crash_run_seeds("DAY_SEED", "DAY_SEEDS", 60, run_seed, true);
}

static void test_all_points_were_met(void **state)
{
    static const char *const points[] = {
        "mkdir out",   "mkdir 2026",  "open ndjson",  "write ndjson",    "sync ndjson",
        "dirsync top", "dirsync out", "dirsync 2026", "truncate ndjson",
    };
    (void)state;

    crash_assert_stops(points, sizeof points / sizeof points[0], "DAY_SEED");
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
