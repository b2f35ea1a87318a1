/* Dead letters on their way back: over a real buffer and a real loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/inputs/replay.h"
#include "outputs/dead_letters.h"
#include "outputs/output.h"
#include "tests/unit/buffer_fixture.h"

/* io.h over the real calls, with a disk that can be made to hang. */
#define io_fdatasync real_fdatasync
#include "agent/base/io.c"
#undef io_fdatasync

static _Atomic bool disk_hangs;

int io_fdatasync(int fd);

int io_fdatasync(int fd)
{
    while (disk_hangs)
        usleep(1000);
    return real_fdatasync(fd);
}

#define PATIENCE_MS 30000

struct stage {
    char top[200], buffer_dir[220], replay[220];
    uint64_t max_bytes, sync_ms;
    struct buffer *buffer;
    struct intake *intake;
    struct loop *loop;
    struct loop_timer *look;
    struct replay_input *input;
    bool (*done)(struct stage *s);
    uint64_t until_ms;
    bool late;
    unsigned turns, max_turns; /* 0: no limit */
};

static struct loop *live_loop;

static void on_room(void *arg)
{
    (void)arg;
    if (live_loop)
        loop_wake(live_loop);
}

/* What the agent does at the end of each round. */
static bool turn(void *arg)
{
    struct stage *s = arg;
    bool more;

    replay_input_room(s->input);
    more = replay_input_turn(s->input);
    assert_int_equal(buffer_commit(s->buffer), 0);
    replay_input_committed(s->input);
    s->turns++;
    if (s->done(s) || (s->max_turns && s->turns >= s->max_turns))
        loop_stop(s->loop);
    return more;
}

static void look(void *arg)
{
    struct stage *s = arg;

    s->late = clock_mono_ms() > s->until_ms;
    if (s->late)
        loop_stop(s->loop);
    loop_timer_set(s->look, 2);
}

static void start(struct stage *s)
{
    struct error e = {""};
    bool newer;

    s->buffer = buffer_open(&(struct buffer_options){.dir = s->buffer_dir,
                                                     .max_bytes = s->max_bytes,
                                                     .sync_ms = s->sync_ms,
                                                     .on_room = on_room},
                            &newer, &e);
    assert_non_null(s->buffer);
    s->intake =
        intake_create(&(struct intake_options){.buffer = s->buffer, .index_pattern = ""}, &e);
    assert_non_null(s->intake);
    s->loop = live_loop = loop_create();
    s->look = loop_timer_add(s->loop, look, s);
    loop_timer_set(s->look, 2);
    loop_set_turn(s->loop, turn, s);
    s->input = replay_input_start(s->top, s->loop, s->intake, &e);
    if (!s->input)
        fail_msg("%s", e.text);
}

static void stop(struct stage *s)
{
    live_loop = NULL;
    replay_input_stop(s->input);
    loop_timer_remove(&s->look);
    loop_destroy(s->loop);
    intake_free(s->intake);
    buffer_close(s->buffer);
}

static void make_stage(struct stage *s)
{
    char *dir = fixture_dir();

    *s = (struct stage){.max_bytes = 64 << 20, .sync_ms = 1};
    disk_hangs = false;
    snprintf(s->top, sizeof s->top, "%s", dir);
    free(dir);
    assert_int_equal(mkdir(s->top, 0700), 0);
    snprintf(s->buffer_dir, sizeof s->buffer_dir, "%s/buffer", s->top);
    snprintf(s->replay, sizeof s->replay, "%s/replay", s->top);
    start(s);
}

static void end_stage(struct stage *s)
{
    stop(s);
    *strrchr(s->top, '/') = '\0';
    files_remove(s->top);
}

static void run_until(struct stage *s, bool (*done)(struct stage *s))
{
    s->done = done;
    s->until_ms = clock_mono_ms() + PATIENCE_MS;
    s->turns = 0;
    loop_run(s->loop);
    assert_false(s->late);
}

/* ---- letters ---- */

static void add_letter(struct strbuf *to, uint64_t k, size_t padding)
{
    uint8_t id[BUFFER_ID_BYTES];
    char text[OUTPUT_ID_CHARS];

    fixture_id(k, id);
    output_id_text(id, text);
    strbuf_printf(to, "{\"@timestamp\":\"2026-01-01T00:00:00Z\",\"index\":\"logs-%llu\",\"_id\":\"",
                  (unsigned long long)(k % 3));
    strbuf_add(to, text, sizeof text);
    strbuf_printf(to, "\",\"reason\":\"x\",\"document\":{\"n\":%llu,\"p\":\"",
                  (unsigned long long)k);
    memset(strbuf_room(to, padding), 'p', padding);
    to->n += padding;
    strbuf_add_str(to, "\"}}\n");
}

/* Puts a file into the replay folder as `barge replay` does: by rename, whole. */
static void put(const struct stage *s, const char *name, const struct strbuf *text)
{
    char from[300], to[300];
    FILE *f;

    snprintf(from, sizeof from, "%s/tmp", s->top);
    snprintf(to, sizeof to, "%s/%s", s->replay, name);
    f = fopen(from, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text->p, 1, text->n, f), text->n);
    fclose(f);
    assert_int_equal(rename(from, to), 0);
}

static void put_letters(const struct stage *s, const char *name, uint64_t first, uint64_t n,
                        size_t padding)
{
    struct strbuf text = {0};

    for (uint64_t k = first; k < first + n; k++)
        add_letter(&text, k, padding);
    put(s, name, &text);
    strbuf_fini(&text);
}

static bool is_there(const struct stage *s, const char *name)
{
    char path[300];

    snprintf(path, sizeof path, "%s/%s", s->replay, name);
    return access(path, F_OK) == 0;
}

static void count_position(void *arg, struct bytes key, struct bytes value)
{
    (void)key;
    (void)value;
    ++*(unsigned *)arg;
}

static bool all_gone(struct stage *s)
{
    char names[256][64];
    unsigned positions = 0;

    buffer_position_each(s->buffer, count_position, &positions);
    return fixture_list(s->replay, ".ndjson", names) == 0 && positions == 0;
}

static bool never(struct stage *s)
{
    (void)s;
    return false;
}

/* The buffer holds exactly the numbers first … first+n-1, in order, as they were. */
static void check_buffer(struct stage *s, uint64_t first, uint64_t n, size_t padding)
{
    struct buffer_cursor c = buffer_frontier(s->buffer);
    size_t cap = 8 << 20, got, need;
    char *to = malloc(cap);
    uint64_t k = first, lost;

    while ((got = buffer_read(s->buffer, &c, to, cap, &lost, &need)) > 0) {
        struct buffer_record r;
        size_t at = 0;

        while (buffer_next(to, got, &at, &r)) {
            struct strbuf letter = {0};
            char index[32];
            uint8_t id[BUFFER_ID_BYTES];
            size_t document;

            add_letter(&letter, k, padding);
            document = (size_t)(strstr(letter.p, "\"document\":") + 11 - letter.p);
            assert_int_equal(r.document.n, letter.n - 2 - document);
            assert_memory_equal(r.document.p, letter.p + document, r.document.n);
            strbuf_fini(&letter);
            snprintf(index, sizeof index, "logs-%llu", (unsigned long long)(k % 3));
            assert_true(bytes_is(r.index, index));
            fixture_id(k, id);
            assert_memory_equal(r.id, id, sizeof id);
            k++;
        }
    }
    assert_int_equal(lost, 0);
    assert_int_equal(k, first + n);
    free(to);
}

/* ---- tests ---- */

static void letters_go_in_and_the_file_goes(void **state)
{
    struct stage s;

    (void)state;
    make_stage(&s);
    put_letters(&s, "000000000002.ndjson", 3, 4, 10);
    put_letters(&s, "000000000001.ndjson", 0, 3, 10);
    run_until(&s, all_gone);
    check_buffer(&s, 0, 7, 10);
    end_stage(&s);
}

static void files_that_come_later_are_seen(void **state)
{
    struct stage s;

    (void)state;
    make_stage(&s);
    run_until(&s, all_gone);
    for (uint64_t i = 0; i < 3; i++) {
        put_letters(&s, "000000000001.ndjson", i, 1, 10); /* a name that comes again */
        run_until(&s, all_gone);
    }
    check_buffer(&s, 0, 3, 10);
    end_stage(&s);
}

/* Ended after any number of turns, and begun again where the buffer says. */
static void restarts_lose_and_repeat_nothing(void **state)
{
    struct stage s;
    unsigned lives = 0;

    (void)state;
    make_stage(&s);
    put_letters(&s, "a.ndjson", 0, 3000, 1000);
    put_letters(&s, "b.ndjson", 3000, 100, 1000);
    for (bool over = false; !over && lives < 100; lives++) {
        s.max_turns = 1 + lives % 3;
        run_until(&s, all_gone);
        over = all_gone(&s);
        stop(&s);
        start(&s);
    }
    assert_true(lives > 3);
    check_buffer(&s, 0, 3100, 1000);
    end_stage(&s);
}

/* A life that was killed: its buffer is as it was when it was copied. */
static void killed_lives_lose_and_repeat_nothing(void **state)
{
    struct stage s;
    char copy[240];

    (void)state;
    make_stage(&s);
    snprintf(copy, sizeof copy, "%s/copy", s.top);
    put_letters(&s, "a.ndjson", 0, 1000, 1000);
    for (unsigned turns = 1; turns < 4; turns++) {
        s.max_turns = turns;
        run_until(&s, never);
        fixture_copy(s.buffer_dir, copy);
        stop(&s);
        files_remove(s.buffer_dir);
        assert_int_equal(rename(copy, s.buffer_dir), 0);
        start(&s);
    }
    s.max_turns = 0;
    run_until(&s, all_gone);
    check_buffer(&s, 0, 1000, 1000);
    end_stage(&s);
}

static void the_file_stays_until_its_records_are_on_disk(void **state)
{
    struct stage s;

    (void)state;
    make_stage(&s);
    disk_hangs = true;
    put_letters(&s, "a.ndjson", 0, 3, 10);
    s.max_turns = 20;
    run_until(&s, all_gone);
    check_buffer(&s, 0, 3, 10);
    assert_true(is_there(&s, "a.ndjson"));
    disk_hangs = false;
    s.max_turns = 0;
    run_until(&s, all_gone);
    check_buffer(&s, 0, 3, 10);
    end_stage(&s);
}

static void what_is_no_letter_is_kept(void **state)
{
    struct stage s;
    struct strbuf text = {0};
    char link[300];

    (void)state;
    make_stage(&s);
    add_letter(&text, 0, 10);
    strbuf_add_str(&text, "nonsense\n\n");
    add_letter(&text, 1, 10);
    text.n--; /* without its line feed */
    put(&s, "a.ndjson", &text);
    strbuf_clear(&text);
    strbuf_add_str(&text, "x");
    put(&s, "b.ndjson", &text);
    strbuf_clear(&text);
    put(&s, "c.ndjson", &text); /* empty */
    put_letters(&s, "d.ndjson", 2, 1, 10);
    put_letters(&s, "notes.txt", 3, 1, 10);
    snprintf(link, sizeof link, "%s/e.ndjson", s.replay);
    assert_int_equal(symlink("notes.txt", link), 0); /* leads nowhere by rule */
    run_until(&s, all_gone);
    check_buffer(&s, 0, 3, 10);
    assert_true(is_there(&s, "a.ndjson.invalid"));
    assert_true(is_there(&s, "b.ndjson.invalid"));
    assert_false(is_there(&s, "c.ndjson"));
    assert_false(is_there(&s, "d.ndjson"));
    assert_true(is_there(&s, "e.ndjson.invalid"));
    assert_true(is_there(&s, "notes.txt"));
    strbuf_fini(&text);
    end_stage(&s);
}

static void large_documents_pass(void **state)
{
    struct stage s;

    (void)state;
    make_stage(&s);
    put_letters(&s, "a.ndjson", 0, 3, 5 << 20);
    run_until(&s, all_gone);
    check_buffer(&s, 0, 3, 5 << 20);
    end_stage(&s);
}

static bool is_full(struct stage *s)
{
    return !intake_has_room(s->intake, BUFFER_CAN_WAIT, 2000);
}

/* The buffer fills, is emptied by a reader, and all letters come through once. */
static void full_buffer_is_waited_for(void **state)
{
    struct stage s;
    struct buffer_cursor c;
    size_t cap = 1 << 20, got, need;
    char *to = malloc(cap);
    uint64_t k = 0, lost;

    (void)state;
    make_stage(&s);
    stop(&s);
    s.max_bytes = 4 << 20;
    start(&s);
    put_letters(&s, "a.ndjson", 0, 6000, 1000);
    run_until(&s, is_full);
    assert_true(is_there(&s, "a.ndjson"));
    c = buffer_frontier(s.buffer);
    while (k < 6000) {
        struct buffer_record r;
        size_t at = 0;
        uint64_t before = k;

        got = buffer_read(s.buffer, &c, to, cap, &lost, &need);
        while (got && buffer_next(to, got, &at, &r))
            assert_int_equal(fixture_number(&r), k++);
        if (got)
            buffer_advance(s.buffer, c, &(struct buffer_outcome){.delivered = k - before});
        s.max_turns = 1;
        run_until(&s, never);
    }
    s.max_turns = 0;
    run_until(&s, all_gone);
    free(to);
    end_stage(&s);
}

/* ---- segments that became dead letters ---- */

#define KEPT_RECORDS 3000
#define KEPT_INDICES 5

/* A buffer with records 0 … of five indices in turn, in segments of 256 KiB; where each lies. */
static struct buffer *source(const char *dir, uint64_t segments[KEPT_RECORDS])
{
    struct error e;
    bool newer;
    struct buffer *b = buffer_open(
        &(struct buffer_options){
            .dir = dir, .max_bytes = 8 << 20, .segment_bytes = 256 << 10, .sync_ms = 1},
        &newer, &e);
    struct buffer_cursor c = buffer_frontier(b);
    size_t cap = 8 << 20, got, need, n = 0;
    char *to = malloc(cap);
    uint64_t lost;

    for (uint64_t k = 0; k < KEPT_RECORDS; k++) {
        char *room = buffer_reserve(b, BUFFER_CAN_WAIT, 1000), index[32];
        uint8_t id[BUFFER_ID_BYTES];

        assert_non_null(room);
        memset(room, 'd', 1000);
        room[snprintf(room, 1000, "%llu", (unsigned long long)k)] = ' ';
        fixture_id(k, id);
        snprintf(index, sizeof index, "logs-%llu", (unsigned long long)(k % KEPT_INDICES));
        buffer_append(b, BUFFER_CAN_WAIT, id, bytes_str(index), BUFFER_OWES_SYNC, 1000);
        if (k % 50 == 49)
            assert_int_equal(buffer_commit(b), 0);
    }
    while ((got = buffer_read(b, &c, to, cap, &lost, &need)) > 0) {
        struct buffer_record r;
        size_t at = 0;

        while (buffer_next(to, got, &at, &r))
            segments[n++] = r.at.segment;
    }
    assert_int_equal(n, KEPT_RECORDS);
    free(to);
    while (buffer_durable(b).segment < segments[n - 1])
        usleep(1000);
    return b;
}

/* First and last record in the second segment of the source. */
static void second(const uint64_t segments[KEPT_RECORDS], struct dead_letter_stretch *s)
{
    for (s->first = 0; segments[s->first] == segments[0];)
        s->first++;
    s->segment = segments[s->first];
    for (s->last = s->first; segments[s->last + 1] == s->segment;)
        s->last++;
}

struct parked {
    unsigned files;
    uint64_t records;
    char index[32];
    uint64_t number;
};

static void count_parked(void *arg, const struct buffer_record *one, uint64_t records)
{
    struct parked *p = arg;

    p->files++;
    p->records += records;
    snprintf(p->index, sizeof p->index, "%.*s", (int)one->index.n, one->index.p);
    p->number = fixture_number(one);
}

/* Numbers of what is in the stage's buffer, each with its own bytes. */
static size_t numbers_in(struct stage *s, uint64_t numbers[KEPT_RECORDS])
{
    struct buffer_cursor c = buffer_frontier(s->buffer);
    size_t cap = 8 << 20, got, need, n = 0;
    char *to = malloc(cap), wanted[32];
    uint64_t lost;

    while ((got = buffer_read(s->buffer, &c, to, cap, &lost, &need)) > 0) {
        struct buffer_record r;
        size_t at = 0;

        while (buffer_next(to, got, &at, &r)) {
            numbers[n] = fixture_number(&r);
            snprintf(wanted, sizeof wanted, "%llu ", (unsigned long long)numbers[n]);
            assert_int_equal(r.document.n, 1000);
            assert_memory_equal(r.document.p, wanted, strlen(wanted));
            snprintf(wanted, sizeof wanted, "logs-%llu",
                     (unsigned long long)(numbers[n++] % KEPT_INDICES));
            assert_true(bytes_is(r.index, wanted));
        }
    }
    free(to);
    return n;
}

static bool no_segments(struct stage *s)
{
    char names[256][64];

    return fixture_list(s->replay, ".seg", names) == 0 && all_gone(s);
}

/* A segment is kept for one index, the buffer deletes its own name, the index accepts again:
 * exactly that index's records of that stretch come back, over restarts too. */
static void kept_segments_are_replayed(void **state)
{
    static uint64_t segments[KEPT_RECORDS], numbers[KEPT_RECORDS];
    struct dead_letter_stretch part = {.index = BYTES_LITERAL("logs-3")}, whole, other;
    char dir[240], parked[240], names[256][64];
    struct parked found = {0};
    struct dead_letters *d;
    struct buffer *b;
    struct error e;
    struct stage s;
    size_t n, want = 0;

    (void)state;
    make_stage(&s);
    snprintf(dir, sizeof dir, "%s/source", s.top);
    snprintf(parked, sizeof parked, "%s/dead-letters/parked", s.top);
    b = source(dir, segments);
    d = dead_letters_open(
        s.top, &(struct dead_letter_settings){.max_bytes = 600 << 10, .max_age_ms = 1000000}, &e);
    assert_non_null(d);
    second(segments, &part);
    whole = part;
    /* In two steps: the second makes the stretch longer, under one name. */
    part.last = part.first + 20;
    part.records = 4;
    assert_int_equal(dead_letters_keep(d, b, &part), 0);
    part.last = whole.last - 7;
    part.first = part.last - 30;
    part.records = 6;
    assert_int_equal(dead_letters_keep(d, b, &part), 0);
    assert_int_equal(fixture_list(parked, ".seg", names), 1);
    /* The same file for another index is no byte more; another segment is too much for the quota;
     * the last one is still written to. */
    other = whole;
    other.index = BYTES_LITERAL("logs-1");
    other.records = 1;
    assert_int_equal(dead_letters_keep(d, b, &other), 0);
    assert_int_equal(fixture_list(parked, ".seg", names), 2);
    other.first = whole.last + 1;
    other.last = whole.last + KEPT_INDICES;
    other.segment = segments[other.first];
    assert_int_equal(dead_letters_keep(d, b, &other), 0);
    other.segment++;
    assert_int_equal(dead_letters_keep(d, b, &other), -1);
    assert_int_equal(errno, ENOSPC);
    other.segment = MAX(segments[KEPT_RECORDS - 1], buffer_end(b).segment);
    assert_int_equal(dead_letters_keep(d, b, &other), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(fixture_list(parked, ".seg", names), 3);
    /* Everything is finished: the buffer deletes what is its own. */
    buffer_advance(b, (struct buffer_cursor){buffer_end(b), KEPT_RECORDS},
                   &(struct buffer_outcome){.delivered = KEPT_RECORDS - 10, .dead_lettered = 10});
    while (fixture_list(dir, ".seg", names) > 1) {
        assert_int_equal(buffer_commit(b), 0);
        usleep(1000);
    }
    buffer_close(b);
    dead_letters_close(d);
    /* The next life. */
    d = dead_letters_open(
        s.top, &(struct dead_letter_settings){.max_bytes = 1 << 20, .max_age_ms = 1000000}, &e);
    dead_letters_parked(d, count_parked, &found);
    assert_int_equal(found.files, 3);
    assert_int_equal(found.records, 4 + 6 + 2);
    assert_int_equal(dead_letters_unpark(d, BYTES_LITERAL("logs-3")), 0);
    assert_int_equal(fixture_list(parked, ".seg", names), 2);
    dead_letters_close(d);
    for (unsigned lives = 0; lives < 3; lives++) {
        s.max_turns = 1;
        run_until(&s, never);
        stop(&s);
        start(&s);
    }
    s.max_turns = 0;
    run_until(&s, no_segments);
    n = numbers_in(&s, numbers);
    for (uint64_t k = whole.first; k <= whole.last - 7; k++)
        if (k % KEPT_INDICES == 3)
            assert_true(want < n && numbers[want++] == k);
    assert_int_equal(n, want);
    end_stage(&s);
}

/* Refused records of a segment: their stretch, whatever the index; by the command of a person. What
 * is no segment, or a damaged one, stops nothing. */
static void kept_segments_of_refused_records(void **state)
{
    static uint64_t segments[KEPT_RECORDS], numbers[KEPT_RECORDS];
    struct dead_letter_stretch some = {0};
    struct strbuf text = {0};
    char dir[240], path[300], names[256][64];
    struct dead_letters *d;
    struct buffer *b;
    struct error e;
    struct stage s;
    size_t n;
    int fd;

    (void)state;
    make_stage(&s);
    snprintf(dir, sizeof dir, "%s/source", s.top);
    b = source(dir, segments);
    d = dead_letters_open(
        s.top, &(struct dead_letter_settings){.max_bytes = 8 << 20, .max_age_ms = 1000000}, &e);
    second(segments, &some);
    some.first += 10;
    some.last = some.first + 9;
    some.records = 2;
    assert_int_equal(dead_letters_keep(d, b, &some), 0);
    dead_letters_close(d);
    buffer_close(b);
    /* A byte of the fourth of them is flipped. */
    snprintf(path, sizeof path, "%s/dead-letters", s.top);
    assert_int_equal(fixture_list(path, ".seg", names), 1);
    snprintf(path, sizeof path, "%s/dead-letters/%s", s.top, names[0]);
    fd = open(path, O_RDWR);
    {
        static char bytes[300 << 10];
        ssize_t size = pread(fd, bytes, sizeof bytes, 0);
        char wanted[32];
        char *at;

        snprintf(wanted, sizeof wanted, "%llu dd", (unsigned long long)some.first + 3);
        at = memmem(bytes, (size_t)size, wanted, strlen(wanted));
        assert_non_null(at);
        at[500] ^= 1;
        assert_int_equal(pwrite(fd, bytes, (size_t)size, 0), size);
    }
    close(fd);
    strbuf_add_str(&text, "no segment");
    put(&s, "0000000000000000-1-0-9-9.seg", &text);
    put(&s, "nonsense.seg", &text);
    assert_int_equal(dead_letters_replay(s.top, NULL, &e), 1);
    run_until(&s, no_segments);
    n = numbers_in(&s, numbers);
    assert_int_equal(n, 9);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(numbers[i], some.first + i + (i >= 3));
    assert_true(is_there(&s, "0000000000000000-1-0-9-9.seg.invalid"));
    assert_true(is_there(&s, "nonsense.seg.invalid"));
    strbuf_fini(&text);
    end_stage(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_segments_are_replayed),
        cmocka_unit_test(kept_segments_of_refused_records),
        cmocka_unit_test(letters_go_in_and_the_file_goes),
        cmocka_unit_test(files_that_come_later_are_seen),
        cmocka_unit_test(restarts_lose_and_repeat_nothing),
        cmocka_unit_test(killed_lives_lose_and_repeat_nothing),
        cmocka_unit_test(the_file_stays_until_its_records_are_on_disk),
        cmocka_unit_test(what_is_no_letter_is_kept),
        cmocka_unit_test(large_documents_pass),
        cmocka_unit_test(full_buffer_is_waited_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
