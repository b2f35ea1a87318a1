/* The small parts of the Docker input: configs, places, positions, compressed files, names of
 * containers to leave out. */
#include "agent/base/io.h"
#include "agent/base/wildcard.h"
#include "agent/inputs/docker_config.h"
#include "agent/inputs/docker_places.h"
#include "agent/inputs/tail_files.h"
#include "agent/inputs/tail_gz.h"
#include "agent/inputs/tail_position.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"

/* ---- config.v2.json ---- */

static void test_config_of_a_real_engine(void **state)
{
    static const char folder[] = "tests/corpus/docker26/json-file/app-json/"
                                 "66c2f32013174875881fc6819890c2f13fb48a9182c27f22242c16972b347347";
    int dir = open(folder, O_RDONLY | O_DIRECTORY);
    struct docker_host_config h;
    struct docker_config c;
    struct error e;
    char *text;
    size_t n;

    (void)state;
    assert_true(dir >= 0);
    assert_int_equal(docker_config_load(dir, "config.v2.json", &text, &n, &e), 0);
    assert_int_equal(docker_config_parse(bytes_of(text, n), &c, &e), 0);
    free(text);
    assert_string_equal(c.image, "bb:1");
    assert_true(c.name[0] != '/' && c.name[0] != '\0');
    assert_false(c.running);
    assert_true(bytes_is(docker_config_label(&c, "com.docker.compose.service"), "api"));
    assert_true(bytes_is(docker_config_label(&c, "com.docker.swarm.service.name"), "shop_api"));
    assert_null(docker_config_label(&c, "com.docker.compose").p);
    docker_config_fini(&c);
    assert_int_equal(docker_config_load(dir, "hostconfig.json", &text, &n, &e), 0);
    assert_int_equal(docker_host_config_parse(bytes_of(text, n), &h, &e), 0);
    free(text);
    assert_string_equal(h.log_driver, "json-file");
    assert_false(h.compress);
    docker_host_config_fini(&h);
    assert_int_equal(docker_config_load(dir, "nothing.json", &text, &n, &e), -1);
    close(dir);
}

static void test_config_takes_only_its_own_paths(void **state)
{
    /* The names that matter, at depths where they do not. */
    static const char json[] =
        "{\"State\":{\"Running\":true,\"Health\":{\"Running\":false,\"Name\":\"/x\"}},"
        "\"Config\":{\"Name\":\"/"
        "y\",\"Labels\":{\"a.b\":\"1\",\"Image\":\"z\",\"long-label-name-of-more-than-32-bytes\":"
        "\"2\"},"
        "\"Image\":\"shop/web:1\",\"Env\":[\"Image\",{\"Image\":\"no\"}]},"
        "\"Args\":[{\"Name\":\"/no\"}],\"Image\":\"sha256:no\",\"Name\":\"/"
        "web\",\"Created\":\"2026-11-23T00:00:00Z\"}";
    struct docker_config c;
    struct error e;

    (void)state;
    assert_int_equal(docker_config_parse(BYTES_LITERAL(json), &c, &e), 0);
    assert_string_equal(c.name, "web");
    assert_string_equal(c.image, "shop/web:1");
    assert_string_equal(c.created, "2026-11-23T00:00:00Z");
    assert_true(c.running);
    assert_int_equal(c.n_labels, 3);
    assert_true(bytes_is(docker_config_label(&c, "Image"), "z"));
    assert_true(bytes_is(docker_config_label(&c, "long-label-name-of-more-than-32-bytes"), "2"));
    docker_config_fini(&c);
}

static void test_config_that_is_none(void **state)
{
    static const char *const texts[] = {"", "[]", "{\"Name\":\"/we", "null", "{} x", "\"Name\""};
    struct docker_config c;
    struct error e;
    char *deep = base_alloc(200001);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        assert_int_equal(docker_config_parse(bytes_str(texts[i]), &c, &e), -1);
    /* Depth costs no stack. */
    memset(deep, '[', 200000);
    deep[200000] = '\0';
    assert_int_equal(docker_config_parse(bytes_str(deep), &c, &e), -1);
    free(deep);
}

static void test_compress_is_read(void **state)
{
    struct docker_host_config h;
    struct error e;

    (void)state;
    assert_int_equal(
        docker_host_config_parse(
            BYTES_LITERAL(
                "{\"LogConfig\":{\"Type\":\"json-file\",\"Config\":{\"compress\":\"true\"}}}"),
            &h, &e),
        0);
    assert_true(h.compress);
    docker_host_config_fini(&h);
}

static void test_patterns(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool matches;
    } cases[] = {
        {"web", "web", true},   {"web", "web-1", false},  {"web*", "web-1", true},
        {"*-1", "web-1", true}, {"*", "", true},          {"", "", true},
        {"", "x", false},       {"a*b*c", "aXbYc", true}, {"a*b*c", "aXbY", false},
        {"**x", "x", true},     {"a*a", "a", false},      {"*ab", "aab", true},
        {"we?", "web", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (wildcard_matches(cases[i].pattern, bytes_str(cases[i].text)) != cases[i].matches)
            fail_msg("%s against %s", cases[i].pattern, cases[i].text);
    /* The end of a pattern is no byte of it. */
    assert_false(wildcard_matches("", bytes_of("\0", 1)));
    assert_false(wildcard_matches("a", bytes_of("a\0", 2)));
    assert_true(wildcard_matches("a*", bytes_of("a\0", 2)));
}

/* ---- places ---- */

static void test_data_root(void **state)
{
    char *root =
        docker_places_data_root(BYTES_LITERAL("{\"debug\":true,\"data-root\":\"/data/docker\"}"));

    (void)state;
    assert_string_equal(root, "/data/docker");
    free(root);
    assert_null(docker_places_data_root(BYTES_LITERAL("{\"data-root\":\"relative\"}")));
    assert_null(docker_places_data_root(BYTES_LITERAL("{}")));
    assert_null(docker_places_data_root(BYTES_LITERAL("{\"data-root\"")));
    assert_null(docker_places_data_root(BYTES_NONE));
}

static void test_own_container(void **state)
{
    /* As a container sees its own files. */
    static const char inside[] =
        "1 0 0:1 / / rw - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/" OTHER "/diff\n"
        "2 1 8:1 /var/lib/docker/containers/" ID
        "/resolv.conf /etc/resolv.conf rw - ext4 /dev/sda1 rw\n"
        "3 1 8:1 /var/lib/docker/containers/" ID "/hostname /etc/hostname rw - ext4 /dev/sda1 rw\n";
    /* A host sees those of others. */
    static const char outside[] =
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "2 1 0:45 / /var/lib/docker/overlay2/" OTHER "/merged rw - overlay overlay rw\n"
        "3 1 0:46 / /var/lib/docker/containers/" OTHER "/mounts/shm rw - tmpfs shm rw";
    char ids[DOCKER_OWN_IDS_MAX][65];

    (void)state;
    assert_int_equal(docker_places_own(BYTES_LITERAL(inside), BYTES_LITERAL("0::/\n"), ids), 1);
    assert_string_equal(ids[0], ID);
    assert_int_equal(docker_places_own(BYTES_LITERAL(outside),
                                       BYTES_LITERAL("0::/system.slice/barge.service\n"), ids),
                     0);
    assert_int_equal(
        docker_places_own(BYTES_NONE,
                          BYTES_LITERAL("12:memory:/docker/" ID "\n3:cpu:/docker/" ID "\n"), ids),
        1);
    assert_int_equal(
        docker_places_own(BYTES_NONE, BYTES_LITERAL("0::/system.slice/docker-" ID ".scope\n"), ids),
        1);
    assert_int_equal(docker_places_own(BYTES_NONE, BYTES_LITERAL("0::/" ID "0\n"), ids), 0);
}

static void test_ids(void **state)
{
    (void)state;
    assert_true(docker_places_is_id(ID));
    assert_false(docker_places_is_id(ID "0"));
    assert_false(docker_places_is_id("0123"));
    assert_false(
        docker_places_is_id("0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef"));
}

/* ---- positions ---- */

/* By what the setting leads to, whatever it is called. */
static void test_whose_a_folder_is(void **state)
{
    char base[] = "/tmp/barge-places-XXXXXX", path[4][128];
    static const char *const below[] = {"/containers", "/other", "/also", ("/containers/" ID)};

    (void)state;
    assert_non_null(mkdtemp(base));
    for (size_t i = 0; i < 4; i++)
        snprintf(path[i], sizeof path[i], "%s%s", base, below[i]);
    assert_int_equal(mkdir(path[0], 0700) | mkdir(path[1], 0700) | symlink("containers", path[2]),
                     0);
    assert_true(docker_places_holds(path[0], path[3]));
    assert_true(docker_places_holds(path[2], path[3]));
    assert_false(docker_places_holds(path[1], path[3]));
    assert_false(docker_places_holds("/not/there", path[3]));
    assert_false(docker_places_holds(path[0], "/not/there/" ID));
    assert_false(docker_places_holds("auto", path[3]));
    unlink(path[2]);
    rmdir(path[1]);
    rmdir(path[0]);
    rmdir(base);
}

static void test_position_ids(void **state)
{
    struct tail_id hex, text, other, back;
    char key[TAIL_KEY_BYTES];
    uint64_t source = 0x01020304050607;
    bool has_source;

    (void)state;
    tail_position_id_hex(&hex, TAIL_ID_CONTAINER, ID);
    assert_int_equal(tail_position_key(&hex, NULL, key), TAIL_ID_BYTES);
    for (size_t i = 0; i < TAIL_ID_BYTES; i++) {
        char two[3];

        snprintf(two, sizeof two, "%02x", (unsigned)(uint8_t)key[i]);
        assert_memory_equal(two, &ID[2 * i], 2);
    }
    tail_position_id(&text, TAIL_ID_POD, "a/b");
    tail_position_id(&other, TAIL_ID_POD, "a/c");
    assert_memory_not_equal(text.bytes, other.bytes, TAIL_ID_BYTES);
    assert_int_equal(tail_position_key(&text, &source, key), TAIL_KEY_BYTES);
    assert_int_equal(key[0], 'p');
    assert_true(tail_position_key_read(bytes_of(key, TAIL_KEY_BYTES), &back, &has_source, &source));
    assert_int_equal(back.kind, TAIL_ID_POD);
    assert_memory_equal(back.bytes, text.bytes, TAIL_ID_BYTES);
    assert_true(has_source && source == 0x01020304050607);
    key[0] = 'q';
    assert_false(
        tail_position_key_read(bytes_of(key, TAIL_KEY_BYTES), &back, &has_source, &source));
}

static void test_position_codec(void **state)
{
    struct tail_position p = {.resume = 0x0102030405060708,
                              .done = 0x1112131415161718,
                              .made = 2,
                              .complete = true,
                              .time_known = true,
                              .time_ns = -2,
                              .marker = 0xa1a2a3a4,
                              .marker_n = 64},
                         back;
    /* Laid out by hand from the header's table. */
    static const char expected[] = "\x01\x05\x02\x40\x08\x07\x06\x05\x04\x03\x02\x01"
                                   "\x18\x17\x16\x15\x14\x13\x12\x11"
                                   "\xfe\xff\xff\xff\xff\xff\xff\xff\xa4\xa3\xa2\xa1";
    char value[TAIL_POSITION_BYTES], key[TAIL_KEY_BYTES];
    struct tail_id id = {.bytes = {7, 8, 9}}, id_back;
    uint64_t source = 0x01020304050607;
    bool has_source;
    size_t n = sizeof expected - 1;

    (void)state;
    assert_int_equal(tail_position_write(&p, value), n);
    assert_memory_equal(value, expected, n);
    assert_true(tail_position_read(bytes_of(value, n), &back));
    assert_true(back.resume == p.resume && back.done == p.done && back.made == 2 && back.complete &&
                !back.in_long_line && back.time_known && back.time_ns == -2 &&
                back.marker == p.marker && back.marker_n == 64 && back.head_n == 0);
    assert_false(tail_position_read(bytes_of(value, n - 1), &back));
    value[0] = 2;
    assert_false(tail_position_read(bytes_of(value, n), &back));
    value[0] = 1;
    memset(value + 12, 0, 8); /* done before resume */
    assert_false(tail_position_read(bytes_of(value, n), &back));

    p.by_stream = true;
    p.from[1] = 0x2122232425262728;
    p.from[2] = 7;
    assert_int_equal(tail_position_write(&p, value), 56);
    assert_int_equal(value[0], 2);
    assert_memory_equal(value + 1, expected + 1, 31);
    assert_memory_equal(value + 32,
                        "\0\0\0\0\0\0\0\0\x28\x27\x26\x25\x24\x23\x22\x21\7\0\0\0\0\0\0\0", 24);
    assert_true(tail_position_read(bytes_of(value, 56), &back));
    assert_true(back.by_stream && back.from[0] == 0 && back.from[1] == p.from[1] &&
                back.from[2] == 7 && back.head_n == 0 && back.done == p.done);
    assert_false(tail_position_read(bytes_of(value, 55), &back));
    p.head_n = 3;
    p.head = p.inode = 9;
    assert_int_equal(tail_position_write(&p, value), TAIL_POSITION_BYTES);
    assert_true(tail_position_read(bytes_of(value, TAIL_POSITION_BYTES), &back));
    assert_true(back.by_stream && back.from[2] == 7 && back.head_n == 3 && back.inode == 9);

    assert_int_equal(tail_position_key(&id, &source, key), 39);
    assert_memory_equal(key + 32, "\1\2\3\4\5\6\7", 7);
    assert_true(tail_position_key_read(bytes_of(key, 39), &id_back, &has_source, &source));
    assert_true(has_source && source == 0x01020304050607);
    assert_memory_equal(&id, &id_back, sizeof id);
    assert_true(tail_position_key_read(bytes_of(key, 32), &id_back, &has_source, &source));
    assert_false(has_source);
    assert_false(tail_position_key_read(bytes_of(key, 33), &id_back, &has_source, &source));
    assert_false(tail_position_key_read(bytes_of(key, 40), &id_back, &has_source, &source));
}

/* Of a file that its source alone does not tell. */
static void test_position_of_a_path(void **state)
{
    static const struct tail_position p = {.resume = 9,
                                           .done = 9,
                                           .drawn = true,
                                           .head_n = 0x0201,
                                           .head = 0x1817161514131211,
                                           .inode = 0x2827262524232221};
    static const char tail[] = "\x01\x02\x11\x12\x13\x14\x15\x16\x17\x18"
                               "\x21\x22\x23\x24\x25\x26\x27\x28";
    struct tail_id id = {.kind = TAIL_ID_PATH, .bytes = {7}}, id_back;
    char value[TAIL_POSITION_BYTES], key[TAIL_KEY_BYTES];
    struct tail_position back;
    uint64_t source = 5;
    bool has_source;

    (void)state;
    assert_int_equal(tail_position_write(&p, value), 32 + sizeof tail - 1);
    assert_memory_equal(value + 32, tail, sizeof tail - 1);
    assert_true(tail_position_read(bytes_of(value, sizeof value), &back));
    assert_true(back.drawn && back.head_n == p.head_n && back.head == p.head &&
                back.inode == p.inode && back.done == 9);
    assert_int_equal(tail_position_key(&id, NULL, key), 33);
    assert_int_equal(key[0], 'f');
    assert_true(tail_position_key_read(bytes_of(key, 33), &id_back, &has_source, &source));
    assert_false(has_source);
    assert_memory_equal(&id, &id_back, sizeof id);
}

/* ---- compressed files ---- */

static char gz_path[] = "/tmp/barge-gz-XXXXXX";

static int gz_file(const char *text, size_t n, unsigned members)
{
    int fd;

    strcpy(gz_path + sizeof gz_path - 7, "XXXXXX");
    fd = mkstemp(gz_path);
    assert_true(fd >= 0);
    for (unsigned i = 0; i < members; i++) {
        size_t from = n * i / members, to = n * (i + 1) / members;
        gzFile gz = gzopen(gz_path, i ? "ab" : "wb");

        assert_int_equal(gzwrite(gz, text + from, (unsigned)(to - from)), (int)(to - from));
        gzclose(gz);
    }
    unlink(gz_path);
    return fd;
}

static char *letters(size_t n)
{
    char *p = base_alloc(n);
    uint32_t x = 1;

    for (size_t i = 0; i < n; i++) {
        x = x * 1664525 + 1013904223;
        p[i] = (char)('a' + (x >> 24) % 16);
    }
    return p;
}

static ssize_t patient_pread(struct tail_gz *gz, void *to, size_t n, uint64_t at)
{
    ssize_t got;

    do
        got = tail_gz_pread(gz, to, n, at);
    while (got < 0 && errno == EAGAIN);
    return got;
}

static void test_gz_reads_like_a_plain_file(void **state)
{
    enum { N = 5000000 };
    char *text = letters(N), *got = base_alloc(N);
    int fd = gz_file(text, N, 3);
    struct tail_gz *gz = tail_gz_open(fd);
    uint32_t x = 7;

    (void)state;
    for (int i = 0; i < 60; i++) {
        size_t at, n;

        x = x * 1664525 + 1013904223;
        at = x % (N + 1000);
        x = x * 1664525 + 1013904223;
        n = x % 300000;
        n = i % 7 ? n : 1200000;
        assert_int_equal(patient_pread(gz, got, n, at), at >= N ? 0 : MIN(n, N - at));
        if (at < N)
            assert_memory_equal(got, text + at, MIN(n, N - at));
    }
    assert_int_equal(patient_pread(gz, got, N, 0), N);
    assert_int_equal(patient_pread(gz, got, 10, N), 0);
    assert_false(tail_gz_broken(gz));
    tail_gz_close(gz);
    close(fd);
    free(text);
    free(got);
}

/* Cut anywhere, what there is does not depend on how it is read: a decompressor may hold back
 * output when its input ends. */
static void test_gz_cut_at_each_byte(void **state)
{
    enum { N = 3000 };
    char text[N], at_once[N], single[N];
    off_t size;
    int fd;

    (void)state;
    for (size_t i = 0; i < N; i++) /* long matches */
        text[i] = i % 700 < 500 ? 'x' : (char)('a' + i % 7);
    fd = gz_file(text, N, 1);
    size = lseek(fd, 0, SEEK_END);
    for (off_t cut = size - 1; cut > 0; cut--) {
        struct tail_gz *gz;
        ssize_t n, k = 0;

        assert_int_equal(ftruncate(fd, cut), 0);
        gz = tail_gz_open(fd);
        n = patient_pread(gz, at_once, N, 0);
        assert_in_range(n, 0, N);
        assert_memory_equal(at_once, text, (size_t)n);
        assert_true(n == N || tail_gz_broken(gz));
        tail_gz_close(gz);
        gz = tail_gz_open(fd);
        while (k < N && patient_pread(gz, &single[k], 1, (uint64_t)k) == 1)
            k++;
        assert_int_equal(k, n);
        assert_memory_equal(single, text, (size_t)n);
        tail_gz_close(gz);
    }
    close(fd);
}

static void test_gz_that_is_cut_off(void **state)
{
    enum { N = 1000000 };
    char *text = letters(N), *got = base_alloc(N);
    int fd = gz_file(text, N, 2);
    off_t size = lseek(fd, 0, SEEK_END);
    struct tail_gz *gz;
    ssize_t n;

    (void)state;
    assert_int_equal(ftruncate(fd, size * 3 / 4), 0);
    gz = tail_gz_open(fd);
    n = patient_pread(gz, got, N, 0);
    assert_in_range(n, N / 2, N - 1);
    assert_memory_equal(got, text, (size_t)n);
    assert_true(tail_gz_broken(gz));
    tail_gz_close(gz);
    /* And one whose end is damaged: what stands before it is good. */
    assert_int_equal(pwrite(fd, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, size / 2 + 40), 8);
    gz = tail_gz_open(fd);
    n = patient_pread(gz, got, N, 0);
    assert_in_range(n, N / 2, N - 1);
    assert_memory_equal(got, text, N / 2);
    assert_true(tail_gz_broken(gz));
    tail_gz_close(gz);
    close(fd);
    free(text);
    free(got);
}

/* Whoever swaps a log for a link between the look at it and its opening gets nothing. */
static void links_are_not_opened(void **state)
{
    char folder[] = "/tmp/barge-links-XXXXXX";
    struct tail_shared shared = {.spare_from = 1024};
    struct tail_log c = {.shared = &shared};
    int dir, fd;

    (void)state;
    assert_non_null(mkdtemp(folder));
    dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(dir >= 0);
    assert_int_equal(symlinkat("/etc/passwd", dir, "file"), 0);
    assert_int_equal(symlinkat("/etc", dir, "folder"), 0);
    fd = openat(dir, "real", O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(tail_files_open(&c, dir, "file", 0), -1);
    assert_int_equal(errno, ELOOP);
    assert_int_equal(tail_files_open(&c, dir, "folder", O_DIRECTORY), -1);
    assert_true(errno == ELOOP || errno == ENOTDIR);
    fd = tail_files_open(&c, dir, "real", 0);
    assert_true(fd >= 0);
    close(fd);
    unlinkat(dir, "file", 0);
    unlinkat(dir, "folder", 0);
    unlinkat(dir, "real", 0);
    close(dir);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(links_are_not_opened),
        cmocka_unit_test(test_config_of_a_real_engine),
        cmocka_unit_test(test_config_takes_only_its_own_paths),
        cmocka_unit_test(test_config_that_is_none),
        cmocka_unit_test(test_compress_is_read),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_data_root),
        cmocka_unit_test(test_own_container),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_whose_a_folder_is),
        cmocka_unit_test(test_position_ids),
        cmocka_unit_test(test_position_codec),
        cmocka_unit_test(test_position_of_a_path),
        cmocka_unit_test(test_gz_reads_like_a_plain_file),
        cmocka_unit_test(test_gz_cut_at_each_byte),
        cmocka_unit_test(test_gz_that_is_cut_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
