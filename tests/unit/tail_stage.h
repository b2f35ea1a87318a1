/*
 * A stage for an input that follows files: a folder of its own, an intake, a buffer and a clock of
 * the test's. The intake keeps what it is given; what was not committed is lost in a crash,
 * positions included. The clock can be moved, so no test waits for time to pass.
 */
#ifndef BARGE_TEST_TAIL_STAGE_H
#define BARGE_TEST_TAIL_STAGE_H

#include "agent/base/hash.h"
#include "agent/base/metrics.h"
#include "agent/inputs/tail_turns.h"
#include "parsers/json.h"
#include "tests/unit/files.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "agent/base/clock.h"

#define STAGE_DEADLINE_MS 20000 /* of real time */
#define STAGE_CLOCK_SPEED 8     /* the module's waits are a fraction of a second, but many */

/* ---- clock ---- */

static uint64_t stage_skew_ms;
static bool stage_clock_stands; /* but for what the test moves it by */

static uint64_t real_ns(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
    uint64_t real = stage_clock_stands ? 1000000000 : real_ns(CLOCK_MONOTONIC);

    return real * STAGE_CLOCK_SPEED + stage_skew_ms * 1000000;
}

uint64_t clock_mono_ms(void)
{
    return clock_mono_ns() / 1000000;
}

int64_t clock_wall_ns(void)
{
    return (int64_t)(real_ns(CLOCK_REALTIME) + stage_skew_ms * 1000000);
}

/* ---- watches, which may be used up, or tell nothing ---- */

static bool stage_no_watches, stage_deaf;

int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
    if (stage_no_watches) {
        errno = ENOSPC;
        return -1;
    }
    return (int)syscall(SYS_inotify_add_watch, fd, path, stage_deaf ? IN_DELETE_SELF : mask);
}

/* ---- what the intake was given ---- */

struct origin {
    char id[65], name[128], image[128], compose[128];
};

struct kept {
    uint64_t source, position;
    uint32_t hash;
    unsigned flags, tags;
    uint8_t stream, form;
    int64_t time_ns;
    char time_text[64], container[65], name[128], attrs[256];
    char *text;
    size_t n;
};

struct entry {
    char key[64], value[256];
    size_t key_n, value_n;
};

struct map {
    struct entry *entries;
    size_t n;
};

static struct {
    struct kept *records;
    size_t n, committed;
    struct map positions, uncommitted; /* committed ones, and how they will be */
    bool full;
    uint64_t room; /* records that are still taken; SIZE_MAX: any number */
    uint64_t end;  /* bytes committed, for buffer_point */
    uint64_t durable;
    bool sync_at_once;
    bool no_commit; /* turns end without a commit: what they did will be lost */
    unsigned owed, owed_urgent;
} stage = {.room = UINT64_MAX, .sync_at_once = true};

static void copy_text(char *to, size_t cap, struct bytes s)
{
    size_t n = MIN(s.n, cap - 1);

    if (n)
        memcpy(to, s.p, n);
    to[n] = '\0';
}

struct origin *origin_create(const struct origin_facts *facts)
{
    struct origin *o = base_calloc(1, sizeof *o);

    copy_text(o->id, sizeof o->id, facts->container_id);
    copy_text(o->name, sizeof o->name, facts->container_name);
    copy_text(o->image, sizeof o->image, facts->image_name);
    copy_text(o->compose, sizeof o->compose, facts->service_guess);
    return o;
}

void origin_free(struct origin *o)
{
    free(o);
}

struct tally *origin_tally(const struct origin *o)
{
    (void)o;
    return NULL;
}

void origin_guess_service(struct origin_facts *facts, struct bytes (*get)(void *arg, const char *),
                          void *arg)
{
    facts->service_guess = get(arg, "com.docker.compose.service");
}

static struct formats *stage_formats;

struct formats *intake_formats(struct intake *in)
{
    (void)in;
    return stage_formats;
}

bool intake_has_room(struct intake *in, enum buffer_class class, size_t n)
{
    (void)in, (void)class, (void)n;
    return !stage.full;
}

enum intake_result intake_file_record(struct intake *in, struct record *r, uint64_t source,
                                      uint64_t position, uint32_t hash, unsigned flags)
{
    struct kept *k;

    (void)in;
    if (stage.full || stage.room == 0)
        return INTAKE_FULL;
    if (stage.room != UINT64_MAX)
        stage.room--;
    assert_true(source >> 56 == 0);
    if ((stage.n & (stage.n - 1)) == 0)
        stage.records = base_realloc(stage.records, MAX(stage.n * 2, 1) * sizeof *stage.records);
    k = &stage.records[stage.n++];
    *k = (struct kept){.source = source,
                       .position = position,
                       .hash = hash,
                       .flags = flags,
                       .tags = r->tags,
                       .stream = r->stream,
                       .form = r->text_form,
                       .time_ns = r->time_ns};
    copy_text(k->time_text, sizeof k->time_text, r->time_text);
    copy_text(k->attrs, sizeof k->attrs, r->attrs);
    copy_text(k->container, sizeof k->container, bytes_str(r->origin->id));
    copy_text(k->name, sizeof k->name, bytes_str(r->origin->name));
    k->text = base_alloc(r->text.n + 32);
    if (r->text_form == TEXT_ESCAPED) {
        k->n = json_unescape(r->text, k->text);
        assert_true(k->n != SIZE_MAX);
    } else {
        memcpy(k->text, r->text.p, r->text.n);
        k->n = r->text.n;
    }
    return INTAKE_TAKEN;
}

struct buffer *intake_buffer(struct intake *in)
{
    return (struct buffer *)(void *)in;
}

static void map_copy(struct map *to, const struct map *from)
{
    to->entries = base_realloc(to->entries, (from->n + 1) * sizeof *to->entries);
    if (from->n)
        memcpy(to->entries, from->entries, from->n * sizeof *to->entries);
    to->n = from->n;
}

void buffer_position_set(struct buffer *b, struct bytes key, struct bytes value)
{
    struct map *m = &stage.uncommitted;
    size_t i = 0;

    (void)b;
    assert_in_range(key.n, 1, 64);
    assert_true(value.n <= 256);
    while (i < m->n && !bytes_equal(key, bytes_of(m->entries[i].key, m->entries[i].key_n)))
        i++;
    if (value.n == 0) {
        if (i < m->n)
            m->entries[i] = m->entries[--m->n];
        return;
    }
    if (i == m->n) {
        m->entries = base_realloc(m->entries, (m->n + 1) * sizeof *m->entries);
        m->n++;
    }
    memcpy(m->entries[i].key, key.p, key.n);
    memcpy(m->entries[i].value, value.p, value.n);
    m->entries[i].key_n = key.n;
    m->entries[i].value_n = value.n;
}

void buffer_position_each(struct buffer *b,
                          void (*fn)(void *arg, struct bytes key, struct bytes value), void *arg)
{
    (void)b;
    for (size_t i = 0; i < stage.positions.n; i++) {
        const struct entry *e = &stage.positions.entries[i];

        fn(arg, bytes_of(e->key, e->key_n), bytes_of(e->value, e->value_n));
    }
}

void buffer_owe_sync(struct buffer *b, bool urgent)
{
    (void)b;
    stage.owed++;
    stage.owed_urgent += urgent;
    if (stage.sync_at_once)
        stage.durable = stage.end;
}

struct buffer_point buffer_end(struct buffer *b)
{
    (void)b;
    return (struct buffer_point){.segment = 1, .offset = stage.end};
}

struct buffer_point buffer_durable(const struct buffer *b)
{
    (void)b;
    return (struct buffer_point){.segment = 1, .offset = stage.durable};
}

/* ---- running the input ---- */

static struct loop *stage_loop;
static struct tail_turns *stage_turns; /* of the input that is run */
static char stage_dir[64];
static bool (*stage_until)(void);
static uint64_t stage_deadline;

static void stage_commit(void)
{
    if (stage.n > stage.committed) {
        stage.end += stage.n - stage.committed;
        stage.committed = stage.n;
    }
    map_copy(&stage.positions, &stage.uncommitted);
}

static bool stage_turn(void *arg)
{
    bool more = tail_turns_run(stage_turns);

    (void)arg;
    if (!stage.no_commit) {
        stage_commit();
        tail_turns_committed(stage_turns);
    }
    if (stage_until())
        loop_stop(stage_loop);
    else if (real_ns(CLOCK_MONOTONIC) > stage_deadline)
        fail_msg("deadline passed: %zu records, first not seen", stage.n);
    return more;
}

static struct loop_timer *stage_poll;

static void stage_wake(void *arg)
{
    (void)arg;
    loop_timer_set(stage_poll, 2);
}

/* Runs the input until the condition holds. */
static void stage_run(bool (*until)(void))
{
    stage_poll = loop_timer_add(stage_loop, stage_wake, NULL);
    stage_until = until;
    stage_deadline = real_ns(CLOCK_MONOTONIC) + STAGE_DEADLINE_MS * (uint64_t)1000000;
    loop_timer_set(stage_poll, 2);
    loop_set_turn(stage_loop, stage_turn, NULL);
    loop_run(stage_loop);
    loop_timer_remove(&stage_poll);
}

static size_t stage_want;
static bool stage_has_records(void)
{
    return stage.n >= stage_want;
}

static void stage_run_to(size_t records)
{
    stage_want = records;
    stage_run(stage_has_records);
}

static unsigned stage_rounds;
static bool stage_rounds_over(void)
{
    return stage_rounds-- == 0;
}

/* Some turns, whatever happens in them. */
static void stage_run_rounds(unsigned rounds)
{
    stage_rounds = rounds;
    stage_run(stage_rounds_over);
}

static void stage_forget_record(struct kept *k)
{
    free(k->text);
}

/* What was not committed never happened. */
static void stage_forget_uncommitted(void)
{
    while (stage.n > stage.committed)
        stage_forget_record(&stage.records[--stage.n]);
}

/* ---- setup ---- */

static void stage_set_up(void)
{
    snprintf(stage_dir, sizeof stage_dir, "/tmp/barge-tail-XXXXXX");
    assert_non_null(mkdtemp(stage_dir));
    stage.sync_at_once = true;
    stage.full = false;
    stage.room = UINT64_MAX;
    stage.no_commit = false;
    stage_no_watches = stage_deaf = stage_clock_stands = false;
    stage_skew_ms = 0;
    for (size_t i = 0; i < METRIC_COUNT; i++)
        metric_set((enum metric)i, 0);
}

static void stage_tear_down(void)
{
    formats_free(stage_formats);
    stage_formats = NULL;
    files_remove(stage_dir);
    while (stage.n)
        stage_forget_record(&stage.records[--stage.n]);
    free(stage.records);
    free(stage.positions.entries);
    free(stage.uncommitted.entries);
    memset(&stage, 0, sizeof stage);
}

static void assert_text(size_t i, const char *text)
{
    assert_true(i < stage.n);
    if (!bytes_equal(bytes_of(stage.records[i].text, stage.records[i].n), bytes_str(text)))
        fail_msg("record %zu is \"%.*s\", not \"%s\"", i, (int)stage.records[i].n,
                 stage.records[i].text, text);
}

#endif
