/* The Docker input against a folder in which the test plays the engine: every line exactly once,
 * through every rotation. */
#include "tests/unit/docker_stage.h"

static void test_a_file_is_followed(void **state)
{
    (void)state;
    play_create(stage_id, "web");
    play_line(stage_id, "one");
    stage_start();
    stage_run_to(1);
    assert_text(0, "one");
    assert_string_equal(stage.records[0].name, "web");
    assert_string_equal(stage.records[0].container, stage_id);
    assert_int_equal(stage.records[0].stream, STREAM_STDOUT);
    assert_string_equal(stage.records[0].time_text, "2026-11-23T04:00:00.000000007Z");
    assert_true(stage.records[0].time_ns == 1795406400000000007);
    play_line(stage_id, "two");
    stage_run_to(2);
    assert_text(1, "two");
    assert_int_equal(stage.records[0].position, 0);
    assert_true(stage.records[0].source == stage.records[1].source);
    stage_end();
    stage_start();
    play_line(stage_id, "three");
    stage_run_to(3);
    assert_text(2, "three");
    stage_run_rounds(20);
    assert_int_equal(stage.n, 3);
}

/* ---- a random play ---- */

struct said {
    int stream;
    char *text;
    size_t n;
};

static struct {
    unsigned max_file;
    bool compress;
    bool removes; /* old files vanish: only while the input holds them */
    struct said *said;
    size_t n;
    /* What of a long line is still to be written, per stream. */
    struct {
        char *text;
        size_t n, at;
        uint64_t time;
    } rest[2];
    unsigned seed, began;
} play;

static unsigned random_below(unsigned n)
{
    play.seed = play.seed * 1103515245u + 12345u;
    return (play.seed >> 8) % n;
}

static bool live_is_held(void)
{
    return play_is_held(stage_id);
}

/* One record of the engine; now and then in two writes, and the input looks in between. */
static void play_record(int stream, const char *text, size_t n, bool ends, uint64_t time)
{
    char *line = base_alloc(n + 200);
    char *escaped = base_alloc(n + 8);
    size_t length;

    memcpy(escaped, text, n);
    strcpy(escaped + n, ends ? "\\n" : "");
    length = engine_line(line, escaped, stream ? "stderr" : "stdout", time);
    if (random_below(4) == 0) {
        size_t cut = random_below((unsigned)length);

        play_append(stage_id, "", line, cut);
        if (stage_input && random_below(2) == 0)
            stage_run_rounds(3);
        play_append(stage_id, "", line + cut, length - cut);
    } else {
        play_append(stage_id, "", line, length);
    }
    free(escaped);
    free(line);
}

static void say(int stream, char *text, size_t n)
{
    play.said = base_realloc(play.said, (play.n + 1) * sizeof *play.said);
    play.said[play.n++] = (struct said){.stream = stream, .text = text, .n = n};
}

/* Begins or goes on with a line of the process on a stream. */
static void play_some(int stream)
{
    if (!play.rest[stream].text) {
        static const unsigned sizes[] = {40, 300, 16383, 16384, 16385, 32768, 50000};
        size_t n = sizes[random_below(7)] + (random_below(2) ? 0 : random_below(30));
        char *text = base_alloc(n + 1);

        n = (size_t)snprintf(text, n + 1, "line %zu of stream %d", play.n, stream) > n ? n : n;
        for (size_t i = strlen(text); i < n; i++)
            text[i] = (char)('a' + (i + play.n) % 26);
        play.rest[stream].text = text;
        play.rest[stream].n = n;
        play.rest[stream].at = 0;
        play.rest[stream].time = play_clock++;
    }
    char *text = play.rest[stream].text;
    size_t n = play.rest[stream].n, at = play.rest[stream].at;
    size_t piece = MIN(n - at, (size_t)16384);
    bool last_word = random_below(12) == 0; /* the process ends without a newline */

    if (n - at >= 16384 && !(last_word && n - at == 16384)) {
        play_record(stream, text + at, 16384, false, play.rest[stream].time);
        play.rest[stream].at += 16384;
        return;
    }
    if (piece || !last_word)
        play_record(stream, text + at, piece, !last_word, play.rest[stream].time);
    say(stream, text, n);
    play.rest[stream].text = NULL;
}

static void check_said(void)
{
    size_t at[2] = {0, 0};

    for (size_t i = 0; i < stage.n; i++) {
        const struct kept *k = &stage.records[i];
        int stream = k->stream == STREAM_STDERR;

        while (at[stream] < play.n && play.said[at[stream]].stream != stream)
            at[stream]++;
        assert_true(at[stream] < play.n);
        if (!bytes_equal(bytes_of(k->text, k->n),
                         bytes_of(play.said[at[stream]].text, play.said[at[stream]].n)))
            fail_msg("seed %u: record %zu is \"%.40s\" (%zu), not \"%.40s\" (%zu)", play.began, i,
                     k->text, k->n, play.said[at[stream]].text, play.said[at[stream]].n);
        assert_int_equal(k->tags, 0);
        at[stream]++;
        for (size_t j = 0; j < i; j++)
            assert_false(stage.records[j].source == k->source &&
                         stage.records[j].position == k->position);
    }
    assert_int_equal(stage.n, play.n);
}

static void play_action(void)
{
    switch (random_below(12)) {
    case 0:
        if (stage_input && play.removes)
            stage_run(live_is_held);
        play_rotate(stage_id, play.max_file, play.compress);
        break;
    case 1:
        if (stage_input)
            stage_run_rounds(random_below(8));
        break;
    case 2:
        /* The intake gets full in the middle of something. */
        stage.room = random_below(4);
        if (stage_input)
            stage_run_rounds(4);
        stage.room = UINT64_MAX;
        if (stage_input)
            docker_input_room(stage_input);
        break;
    case 3:
        if (play.removes)
            break;
        if (!stage_input) {
            stage_start();
            break;
        }
        stage.no_commit = random_below(2);
        stage_run_rounds(random_below(4));
        stage_crash();
        stage.no_commit = false;
        break;
    case 4:
        stage_skew_ms += random_below(3000);
        break;
    default:
        play_some((int)random_below(2));
        break;
    }
}

static void play_randomly(unsigned seed, unsigned max_file, bool compress, bool removes)
{
    memset(&play, 0, sizeof play);
    play.seed = play.began = seed;
    play.max_file = max_file;
    play.compress = compress;
    play.removes = removes;
    stage_setup(NULL);
    play_create(stage_id, "random");
    play_host_config(stage_id, "json-file", compress);
    play_touch(stage_id, "");
    stage_start();
    for (int i = 0; i < 150; i++)
        play_action();
    while (play.rest[0].text)
        play_some(0);
    while (play.rest[1].text)
        play_some(1);
    play_config(stage_id, "random", false, "");
    if (!stage_input)
        stage_start();
    stage_run_to(play.n);
    stage_run_rounds(10);
    check_said();
    stage_end();
    stage_start();
    stage_run_rounds(10);
    assert_int_equal(stage.n, play.n);
    for (size_t i = 0; i < play.n; i++)
        free(play.said[i].text);
    free(play.said);
    stage_teardown(NULL);
}

/* SEEDS=N plays more of them. */
static unsigned play_seeds(void)
{
    const char *n = getenv("SEEDS");

    return n ? (unsigned)atoi(n) : 40;
}

static void test_random_restarts(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= play_seeds(); seed++)
        play_randomly(seed, 60, seed % 2, false);
}

static void test_random_removals(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= play_seeds(); seed++)
        play_randomly(seed, 1 + seed % 4, seed % 3 == 0, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_file_is_followed, stage_setup, stage_teardown),
        cmocka_unit_test(test_random_restarts),
        cmocka_unit_test(test_random_removals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
