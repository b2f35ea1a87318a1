/*
 * The GELF input through real sockets on loopback, with an intake that writes down what it is
 * given.
 */
#include "agent/inputs/gelf.h"

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/metrics.h"
#include "parsers/timestamp.h"
#include "tests/unit/gelf_corpus.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define DEADLINE_MS 10000

/* ---- an intake and origins that write down ---- */

struct origin {
    char id[80], name[80], image[80], host[2000];
    char service[80];
};

struct taken {
    char *text;  /* unescaped */
    char *extra; /* key=value lines */
    struct origin origin;
    int stream, severity;
    unsigned tags, flags;
    bool labels;
    int64_t time_ns;
    uint32_t hash;
};

struct intake {
    struct taken *record;
    size_t n, cap;
    bool full;
    bool nearly_full; /* there is room, but not for any message */
    uint64_t dropped[BUFFER_DROP_KINDS];
};

static unsigned origins_alive, origins_made;

static void copy(char *to, size_t cap, struct bytes s)
{
    snprintf(to, cap, "%.*s", (int)s.n, s.p ? s.p : "");
}

struct origin *origin_create(const struct origin_facts *f)
{
    struct origin *o = base_calloc(1, sizeof *o);

    copy(o->id, sizeof o->id, f->container_id);
    copy(o->name, sizeof o->name, f->container_name);
    copy(o->image, sizeof o->image, f->image_name);
    copy(o->host, sizeof o->host, f->host_name);
    copy(o->service, sizeof o->service, f->service_guess);
    origins_alive++;
    origins_made++;
    return o;
}

void origin_free(struct origin *o)
{
    origins_alive--;
    free(o);
}

struct tally *origin_tally(const struct origin *o)
{
    (void)o;
    return NULL;
}

void origin_guess_service(struct origin_facts *f, struct bytes (*get)(void *arg, const char *label),
                          void *arg)
{
    f->service_guess = get(arg, "com.docker.compose.service");
}

struct formats *intake_formats(struct intake *in)
{
    (void)in;
    return NULL;
}

bool intake_has_room(struct intake *in, enum buffer_class class, size_t n)
{
    assert_int_equal(class, BUFFER_CANNOT_WAIT);
    return !in->full && !(in->nearly_full && n > 10);
}

void intake_count_drop(struct intake *in, enum buffer_drop kind, uint64_t n)
{
    in->dropped[kind] += n;
}

enum intake_result intake_message_record(struct intake *in, struct record *r, uint32_t hash,
                                         unsigned flags)
{
    struct taken *t;
    struct strbuf extra = {0};
    size_t n;

    if (in->full)
        return INTAKE_FULL;
    if (in->n == in->cap) {
        in->cap = in->cap ? 2 * in->cap : 64;
        in->record = base_realloc(in->record, in->cap * sizeof *in->record);
    }
    t = &in->record[in->n++];
    t->text = base_alloc(r->text.n + 33);
    n = r->text.n;
    if (r->text_form == TEXT_ESCAPED)
        n = json_unescape(r->text, t->text);
    else
        memcpy(t->text, r->text.p, r->text.n);
    assert_int_not_equal(n, SIZE_MAX);
    t->text[n] = '\0';
    /* Flags may say too much (of a line end that was taken off), never too little. */
    if (r->text_form == TEXT_ESCAPED && r->text.n && memchr(r->text.p, '\\', r->text.n))
        assert_true(r->text_flags & JSON_VALUE_ESCAPED);
    strbuf_add_str(&extra, "");
    for (size_t i = 0; i < r->n_extra; i++)
        strbuf_printf(&extra, "%.*s=%.*s\n", (int)r->extra[i].key.n, r->extra[i].key.p,
                      (int)r->extra[i].value.n, r->extra[i].value.p);
    t->extra = extra.p ? extra.p : base_strdup("");
    assert_non_null(r->origin);
    t->origin = *r->origin;
    t->stream = r->stream;
    t->severity = r->severity;
    t->tags = r->tags;
    t->flags = flags;
    t->labels = r->extra_are_labels;
    t->time_ns = r->time_ns;
    t->hash = hash;
    return INTAKE_TAKEN;
}

static void intake_forget(struct intake *in)
{
    for (size_t i = 0; i < in->n; i++) {
        free(in->record[i].text);
        free(in->record[i].extra);
    }
    free(in->record);
    *in = (struct intake){0};
}

/* ---- a running input ---- */

struct scene {
    struct loop *loop;
    struct intake in;
    struct gelf_input *input;
    struct gelf_settings settings;
    char udp[40], tcp[40];
    uint16_t udp_port, tcp_port;
    int client; /* sends datagrams */
    uint64_t deadline;
    bool (*done)(struct scene *s);
    uint64_t want;
    uint64_t metric[METRIC_COUNT]; /* at the start */
};

static uint64_t figure(const struct scene *s, enum metric m)
{
    return metric_get(m) - s->metric[m];
}

static uint16_t free_port(int type)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, type, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    close(fd);
    return ntohs(a.sin_port);
}

static int client_to(int type, uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    static const int on = 1;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    if (type == SOCK_STREAM)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static bool on_turn(void *arg)
{
    struct scene *s = arg;

    if (s->done(s) || clock_mono_ms() > s->deadline)
        loop_stop(s->loop);
    return true;
}

/* Sets up everything but the input itself. */
static void scene_init(struct scene *s)
{
    *s = (struct scene){.loop = loop_create(),
                        .settings = {.udp = s->udp,
                                     .tcp = s->tcp,
                                     .tcp_when_full_ms = 60000,
                                     .receive_buffer_bytes = 1 << 20,
                                     .max_message_bytes = 8 << 20,
                                     .max_pending_bytes = 32 << 20}};
    s->udp_port = free_port(SOCK_DGRAM);
    s->tcp_port = free_port(SOCK_STREAM);
    snprintf(s->udp, sizeof s->udp, "127.0.0.1:%u", s->udp_port);
    snprintf(s->tcp, sizeof s->tcp, "127.0.0.1:%u", s->tcp_port);
    loop_set_turn(s->loop, on_turn, s);
}

static struct gelf_input *open_and_start(struct scene *s, gelf_origin_fn origin, void *arg,
                                         struct error *e)
{
    struct gelf_sockets sockets;

    if (gelf_sockets_open(&s->settings, &sockets, e) < 0)
        return NULL;
    return gelf_input_start(&s->settings, &sockets, s->loop, &s->in, origin, arg, e);
}

static void scene_start(struct scene *s, gelf_origin_fn origin, void *arg)
{
    struct error e;

    for (int m = 0; m < METRIC_COUNT; m++)
        s->metric[m] = metric_get((enum metric)m);
    s->input = open_and_start(s, origin, arg, &e);
    if (!s->input)
        fail_msg("%s", e.text);
    s->client = client_to(SOCK_DGRAM, s->udp_port);
}

static void scene_stop(struct scene *s)
{
    gelf_input_stop(s->input);
    s->input = NULL;
}

static void scene_fini(struct scene *s)
{
    if (s->input)
        scene_stop(s);
    close(s->client);
    loop_destroy(s->loop);
    intake_forget(&s->in);
    assert_int_equal(origins_alive, 0);
}

static void run_until(struct scene *s, bool (*done)(struct scene *s), uint64_t want)
{
    s->done = done;
    s->want = want;
    s->deadline = clock_mono_ms() + DEADLINE_MS;
    loop_wake(s->loop); /* it may be so already */
    loop_run(s->loop);
    if (clock_mono_ms() > s->deadline)
        fail_msg("what was waited for did not come: %zu records, %llu datagrams", s->in.n,
                 (unsigned long long)figure(s, M_GELF_DATAGRAMS));
}

static bool have_datagrams(struct scene *s)
{
    return figure(s, M_GELF_DATAGRAMS) >= s->want;
}

static bool have_records(struct scene *s)
{
    return s->in.n >= s->want;
}

static bool have_bytes(struct scene *s)
{
    return figure(s, M_GELF_BYTES) >= s->want;
}

static bool have_connections(struct scene *s)
{
    return metric_get(M_GELF_CONNECTIONS) == s->want;
}

static uint64_t all_drops(const struct scene *s)
{
    return s->in.dropped[0] + s->in.dropped[1] + s->in.dropped[2];
}

static bool have_drops(struct scene *s)
{
    return all_drops(s) >= s->want;
}

static void send_datagram(struct scene *s, struct bytes d)
{
    assert_int_equal(send(s->client, d.p, d.n, 0), d.n);
}

/* Sends one message and returns its record. */
static struct taken *ask(struct scene *s, const char *json)
{
    send_datagram(s, bytes_str(json));
    run_until(s, have_records, s->in.n + 1);
    return &s->in.record[s->in.n - 1];
}

/* ---- what becomes of a message ---- */

#define DOCKER(id, level, time, text, more)                                                        \
    "{\"version\":\"1.1\",\"host\":\"vm\",\"short_message\":\"" text "\",\"timestamp\":" time      \
    ",\"level\":" level ",\"_command\":\"sh\",\"_container_id\":\"" id                             \
    "\",\"_container_name\":\"web-1\",\"_created\":\"2026-11-23T03:56:43Z\",\"_image_id\":"        \
    "\"sha256:1\","                                                                                \
    "\"_image_name\":\"nginx\"" more "}"

static void fields_of_docker(void **state)
{
    struct scene s;
    const struct taken *t;

    (void)state;
    scene_init(&s);
    scene_start(&s, NULL, NULL);
    t = ask(&s, DOCKER("c1", "6", "1795406203.568", "out",
                       ",\"_tag\":\"c1\",\"_com.docker.compose.service\":\"api\""));
    assert_string_equal(t->text, "out");
    assert_int_equal(t->time_ns, 1795406203568000000);
    assert_int_equal(t->stream, STREAM_STDOUT);
    assert_int_equal(t->severity, -1);
    assert_true(t->labels);
    assert_string_equal(t->origin.id, "c1");
    assert_string_equal(t->origin.name, "web-1");
    assert_string_equal(t->origin.image, "nginx");
    assert_string_equal(t->origin.host, ""); /* Docker's is the agent's own */
    assert_string_equal(t->origin.service, "api");
    assert_string_equal(t->extra, "com.docker.compose.service=\"api\"\n");
    assert_int_equal(t->tags, 0);
    assert_int_equal(t->flags, 0);
    t = ask(&s, DOCKER("c1", "3", "1795406203.569", "err\\n", ",\"_tag\":\"blue\""));
    assert_int_equal(t->stream, STREAM_STDERR);
    assert_string_equal(t->text, "err");
    assert_string_equal(t->extra, "tag=\"blue\"\n");
    scene_fini(&s);
}

static void fields_of_others(void **state)
{
    static const struct {
        const char *json, *text, *extra;
    } c[] = {
        {"{\"short_message\":\"s\",\"full_message\":\"f\\r\\n\",\"_k\":1}", "f",
         "k=1\ngelf.short_message=\"s\"\n"},
        {"{\"short_message\":\"same\",\"full_message\":\"same\"}", "same", ""},
        {"{\"short_message\":\"s\",\"full_message\":\" \\n\\t \"}", "s", NULL},
        {"{\"short_message\":\"s\",\"full_message\":\"\"}", "s", NULL},
        {"{\"short_message\":\"two\\n\\n\"}", "two\n", ""},
        {"{\"short_message\":\"raw\n\"}", "raw", ""},
        {"{\"short_message\":\"back\\\\n\"}", "back\\n", ""},
        {"{\"short_message\":\"back\\\\\\n\"}", "back\\", ""},
        {"{\"short_message\":\"n\"}", "n", ""},
        {"{\"short_message\":\"\\n\"}", "", ""},
        {"{\"short_message\":\"\\ud83d\\ude80\"}", "\xf0\x9f\x9a\x80", ""},
    };
    struct scene s;
    const struct taken *t;
    int64_t before;

    (void)state;
    scene_init(&s);
    scene_start(&s, NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(c); i++) {
        t = ask(&s, c[i].json);
        assert_string_equal(t->text, c[i].text);
        if (c[i].extra)
            assert_string_equal(t->extra, c[i].extra);
        assert_int_equal(t->stream, STREAM_NONE);
        assert_false(t->labels);
    }
    t = ask(&s,
            "{\"host\":\"a\\u00e9\",\"short_message\":\"m\",\"level\":6,\"timestamp\":\"12.25\"}");
    assert_int_equal(t->severity, 6);
    assert_int_equal(t->time_ns, 12250000000);
    assert_string_equal(t->origin.host, "a\xc3\xa9");
    before = clock_wall_ns();
    t = ask(&s, "{\"host\":\"h\",\"short_message\":\"m\",\"timestamp\":1e999}");
    assert_true(t->time_ns >= before && t->time_ns <= clock_wall_ns());
    assert_int_equal(t->severity, -1);
    t = ask(&s, "{\"host\":\"h\",\"short_message\":\"m\"}");
    assert_true(t->time_ns >= before && t->time_ns <= clock_wall_ns());
    scene_fini(&s);
}

/* Beyond what the scanner cuts up: whole, as text. */
static void too_many_members(void **state)
{
    struct strbuf many = {0}, deep = {0};
    struct scene s;

    (void)state;
    strbuf_add_str(&many, "{\"short_message\":\"m\"");
    for (int i = 0; i < 1100; i++)
        strbuf_printf(&many, ",\"_k%d\":%d", i, i);
    strbuf_add_str(&many, "}");
    strbuf_add_str(&deep, "{\"short_message\":\"m\",\"_k\":");
    for (int i = 0; i < 100; i++)
        strbuf_add_str(&deep, "[");
    for (int i = 0; i < 100; i++)
        strbuf_add_str(&deep, "]");
    strbuf_add_str(&deep, "}");
    scene_init(&s);
    scene_start(&s, NULL, NULL);
    assert_string_equal(ask(&s, many.p)->text, many.p);
    assert_string_equal(ask(&s, deep.p)->text, deep.p);
    assert_int_equal(all_drops(&s), 0);
    strbuf_fini(&many);
    strbuf_fini(&deep);
    scene_fini(&s);
}

static const struct origin *find_origin(void *arg, struct bytes id)
{
    return bytes_is(id, "known") ? arg : NULL;
}

static void origins(void **state)
{
    struct origin folder = {.name = "from the folder"};
    struct scene s;
    const struct taken *t;

    (void)state;
    scene_init(&s);
    scene_start(&s, find_origin, &folder);
    origins_made = 0;
    t = ask(&s, DOCKER("known", "6", "1.5", "m", ""));
    assert_string_equal(t->origin.name, "from the folder");
    t = ask(&s, DOCKER("other", "6", "1.5", "m", ""));
    assert_string_equal(t->origin.name, "web-1");
    assert_int_equal(origins_made, 1);
    /* One a host, made once; the least used are forgotten beyond 1,024. */
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 1300; i++) {
            char json[100], want[20];

            snprintf(want, sizeof want, "h%d", round < 2 ? i % 1000 : i);
            snprintf(json, sizeof json, "{\"host\":\"%s\",\"short_message\":\"m\"}", want);
            t = ask(&s, json);
            assert_string_equal(t->origin.host, want);
        }
        if (round == 1)
            assert_int_equal(origins_made, 1001);
    }
    assert_int_equal(origins_alive, 1024);
    scene_fini(&s);
}

/* ---- the captures ---- */

static void replay_by_udp(const struct corpus_capture *c, void *arg)
{
    struct scene s;
    struct strbuf sent = {0}, taken = {0};
    size_t long_ones = 0, joined = 0;

    (void)arg;
    scene_init(&s);
    scene_start(&s, NULL, NULL);
    for (size_t i = 0; i < c->n_datagrams; i++) {
        send_datagram(&s, strbuf_bytes(&c->datagram[i]));
        if (i % 16 == 15)
            run_until(&s, have_datagrams, i + 1);
    }
    run_until(&s, have_datagrams, c->n_datagrams);
    scene_stop(&s);
    assert_int_equal(figure(&s, M_GELF_KERNEL_DROPPED), 0);
    assert_int_equal(figure(&s, M_GELF_INCOMPLETE), 0);
    assert_int_equal(figure(&s, M_GELF_BAD_CHUNK), 0);
    assert_int_equal(figure(&s, M_GELF_UNDECODABLE), 0);
    assert_int_equal(figure(&s, M_GELF_MESSAGES), s.in.n);
    assert_int_equal(all_drops(&s), 0);
    for (size_t i = 0; i < c->n_decoded; i++) {
        yajl_val m = corpus_member(c->decoded[i], "msg");
        yajl_val full = corpus_member(m, "full_message");
        const char *text = YAJL_GET_STRING(full ? full : corpus_member(m, "short_message"));
        const char *time = YAJL_GET_NUMBER(corpus_member(m, "timestamp"));
        int64_t ns = (int64_t)(strtod(time, NULL) * 1e6 + 0.5) * 1000;

        long_ones += strlen(text) >= 16384;
        strbuf_add_str(&sent, text);
        if (long_ones == 0) {
            const struct taken *t = &s.in.record[i];
            yajl_val id = corpus_member(m, "_container_id");

            assert_true(i < s.in.n);
            if (!corpus_same_text(t->text, text))
                fail_msg("%s: message %zu is not the one that was sent", c->name, i);
            assert_int_equal(t->time_ns, ns);
            if (id)
                assert_string_equal(t->origin.id, YAJL_GET_STRING(id));
        }
    }
    if (long_ones == 0)
        assert_int_equal(s.in.n, c->n_decoded);
    for (size_t i = 0; i < s.in.n; i++) {
        strbuf_add_str(&taken, s.in.record[i].text);
        joined += (s.in.record[i].tags & TAG_GELF_JOINED) != 0;
        assert_int_equal(s.in.record[i].flags,
                         s.in.record[i].tags & TAG_GELF_JOINED ? BUFFER_DURABLE_FIRST : 0);
    }
    if (!corpus_same_text(taken.p, sent.p))
        fail_msg("%s: the text taken is not what was sent", c->name);
    if (strstr(c->name, "rnd_40000"))
        assert_true(s.in.n == 1 && joined == 1);
    if (strstr(c->name, "long_json"))
        assert_true(s.in.n == 2 && joined == 1);
    if (strstr(c->name, "long_utf8split")) /* characters were cut: pieces came as longer ones */
        assert_true(s.in.n == 6 && joined == 6);
    if (strstr(c->name, "/long") &&
        !strchr(strstr(c->name, "/long") + 1, '_')) /* 11 lines, two as one */
        assert_true(s.in.n == 10 && joined == 6);
    strbuf_fini(&sent);
    strbuf_fini(&taken);
    scene_fini(&s);
}

static void captured_datagrams(void **state)
{
    (void)state;
    assert_int_equal(corpus_each(replay_by_udp, NULL), 36);
}

static void check_stream(const struct scene *s, struct bytes stream)
{
    size_t n = 0;
    struct strbuf sent = {0}, taken = {0};

    for (const char *p = stream.p, *nul; (nul = memchr(p, 0, stream.n - (size_t)(p - stream.p)));
         p = nul + 1, n++) {
        yajl_val m = corpus_json(bytes_of(p, (size_t)(nul - p)));
        yajl_val full = corpus_member(m, "full_message");

        strbuf_add_str(&sent, YAJL_GET_STRING(full ? full : corpus_member(m, "short_message")));
        yajl_tree_free(m);
    }
    for (size_t i = 0; i < s->in.n; i++)
        strbuf_add_str(&taken, s->in.record[i].text);
    assert_int_equal(taken.n, sent.n);
    assert_memory_equal(taken.p, sent.p, sent.n);
    assert_int_equal(s->in.n + (n == 3 ? 2 : 0), n); /* the one of three pieces is one line */
    strbuf_fini(&sent);
    strbuf_fini(&taken);
}

static void captured_streams(void **state)
{
    static const char *const pattern[] = {CORPUS "docker26/gelf/tcp/*/conn01.bin",
                                          CORPUS "gelf-npm/gelf-pro-tcp/*.bin"};
    size_t n = 0;

    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(pattern); k++) {
        glob_t found;

        assert_int_equal(glob(pattern[k], 0, NULL, &found), 0);
        for (size_t i = 0; i < found.gl_pathc; i++, n++) {
            struct strbuf b = files_read(found.gl_pathv[i]);
            struct scene s;
            int fd;

            scene_init(&s);
            scene_start(&s, NULL, NULL);
            fd = client_to(SOCK_STREAM, s.tcp_port);
            for (size_t at = 0, part = 1; at < b.n; at += part) {
                part = MIN((part * 7 + 3) % 9001, b.n - at);
                assert_int_equal(send(fd, b.p + at, part, 0), part);
                run_until(&s, have_bytes, at + part);
            }
            close(fd);
            run_until(&s, have_connections, 0);
            scene_stop(&s);
            check_stream(&s, strbuf_bytes(&b));
            scene_fini(&s);
            strbuf_fini(&b);
        }
        globfree(&found);
    }
    assert_int_equal(n, 10);
}

/* ---- streams ---- */

static void send_stream(int fd, const void *p, size_t n)
{
    assert_int_equal(send(fd, p, n, MSG_NOSIGNAL), n);
}

static void split_at_each_byte(void **state)
{
    struct strbuf b = files_read(CORPUS "docker26/gelf/tcp/t-short/conn01.bin");
    struct scene s;
    int fd;

    (void)state;
    scene_init(&s);
    scene_start(&s, NULL, NULL);
    fd = client_to(SOCK_STREAM, s.tcp_port);
    for (size_t at = 0; at <= b.n; at++) {
        send_stream(fd, b.p, at);
        run_until(&s, have_bytes, at * b.n + at);
        send_stream(fd, b.p + at, b.n - at);
        run_until(&s, have_bytes, (at + 1) * b.n);
        assert_int_equal(s.in.n, 2 * (at + 1));
        assert_string_equal(s.in.record[2 * at].text, "out line");
        assert_string_equal(s.in.record[2 * at + 1].text, s.in.record[1].text);
    }
    close(fd);
    assert_int_equal(all_drops(&s), 0);
    strbuf_fini(&b);
    scene_fini(&s);
}

static void framing(void **state)
{
    static const char frames[] =
        "{\"short_message\":\"a\"}\n\0\0 \n\0\r\n {\"short_message\":\"b\"} \0"
        "no gelf\0{\"short_message\":\"last\"}\n";
    struct scene s;
    int fd;

    (void)state;
    scene_init(&s);
    scene_start(&s, NULL, NULL);
    fd = client_to(SOCK_STREAM, s.tcp_port);
    send_stream(fd, frames, sizeof frames - 1);
    run_until(&s, have_records, 3);
    close(fd);
    run_until(&s, have_records, 4);
    assert_string_equal(s.in.record[0].text, "a");
    assert_string_equal(s.in.record[1].text, "b");
    assert_string_equal(s.in.record[2].text, "no gelf");
    assert_string_equal(s.in.record[3].text, "last");
    assert_int_equal(s.in.record[2].tags, TAG_JSON_INVALID);
    assert_int_equal(s.in.record[3].tags, 0);
    /* One that is torn by the end is what came of it. */
    fd = client_to(SOCK_STREAM, s.tcp_port);
    send_stream(fd, "{\"short_message\":\"to", 20);
    close(fd);
    run_until(&s, have_records, 5);
    assert_string_equal(s.in.record[4].text, "{\"short_message\":\"to");
    assert_int_equal(s.in.record[4].tags, TAG_JSON_INVALID);
    assert_int_equal(s.in.dropped[BUFFER_DROP_INVALID], 0);
    scene_fini(&s);
}

static void too_large_on_a_stream(void **state)
{
    struct scene s;
    char big[5000];
    int fd;

    (void)state;
    memset(big, 'x', sizeof big);
    scene_init(&s);
    s.settings.max_message_bytes = 1000;
    scene_start(&s, NULL, NULL);
    fd = client_to(SOCK_STREAM, s.tcp_port);
    for (int i = 0; i < 3; i++) {
        send_stream(fd, big, i == 2 ? 1001 : sizeof big);
        if (i == 0)
            run_until(&s, have_bytes, sizeof big); /* beyond the limit before its NUL */
        send_stream(fd, "\0{\"short_message\":\"next\"}\0", 26);
        run_until(&s, have_records, (uint64_t)i + 1);
        assert_int_equal(s.in.dropped[BUFFER_DROP_TOO_LARGE], i + 1);
        assert_string_equal(s.in.record[i].text, "next");
    }
    memcpy(big, "{\"short_message\":\"", 18);
    memcpy(big + 998, "\"}", 3);
    send_stream(fd, big, 1001); /* with its NUL: exactly 1,000 */
    run_until(&s, have_records, 4);
    assert_int_equal(s.in.dropped[BUFFER_DROP_TOO_LARGE], 3);
    close(fd);
    scene_fini(&s);
}

/* Streams that never end their messages hold all that may be held: each gives its own up, largest
 * first, and a small one is not in the way of its own. */
static void streams_share_what_may_be_held(void **state)
{
    enum { N = 20 };
    static const char head[] = "{\"short_message\":\"honest\",\"_pad\":\"";
    struct scene s;
    char part[30000];
    int fd[N], honest;
    uint64_t sent = 0, given_up, next = 0;

    (void)state;
    memset(part, 'x', sizeof part);
    scene_init(&s);
    s.settings.max_pending_bytes = 256 << 10;
    scene_start(&s, NULL, NULL);
    honest = client_to(SOCK_STREAM, s.tcp_port);
    for (int i = 0; i < N; i++) {
        fd[i] = client_to(SOCK_STREAM, s.tcp_port);
        send_stream(fd[i], part, sizeof part);
        run_until(&s, have_bytes, sent += sizeof part);
        send_stream(honest, head, sizeof head - 1);
        run_until(&s, have_bytes, sent += sizeof head - 1);
        send_stream(honest, part, 5000);
        run_until(&s, have_bytes, sent += 5000);
        send_stream(honest, "\"}", 3);
        run_until(&s, have_records, (uint64_t)i + 1);
        sent += 3;
        assert_string_equal(s.in.record[i].text, "honest");
    }
    /* 30,000 bytes take 32 KiB, and the honest one may need 16: seven at most are left. */
    assert_true(s.in.dropped[BUFFER_DROP_TOO_LARGE] >= N - 7);
    assert_true(s.in.dropped[BUFFER_DROP_TOO_LARGE] <= N);
    /* A message given up is skipped to its end, and the next one is whole. */
    for (int i = 0; i < N; i++)
        send_stream(fd[i], "\0{\"short_message\":\"next\"}\0", 26);
    given_up = all_drops(&s);
    run_until(&s, have_records, 3 * N - given_up);
    for (uint64_t i = N; i < 3 * N - given_up; i++)
        next += strcmp(s.in.record[i].text, "next") == 0;
    /* Those that were kept had no JSON, and are shipped as the text that they are. */
    assert_int_equal(next, N);
    assert_int_equal(all_drops(&s), given_up);
    for (int i = 0; i < N; i++)
        close(fd[i]);
    close(honest);
    scene_fini(&s);
}

static bool have_turned(struct scene *s)
{
    return s->want-- == 0;
}

static void stream_waits_for_room(void **state)
{
    struct scene s;
    char message[100];
    int fd, other;

    (void)state;
    scene_init(&s);
    scene_start(&s, NULL, NULL);
    fd = client_to(SOCK_STREAM, s.tcp_port);
    other = client_to(SOCK_STREAM, s.tcp_port);
    send_stream(other, "{\"short_", 8);
    send_stream(fd, "{\"short_message\":\"first\"}\0", 26);
    run_until(&s, have_records, 1);
    s.in.full = true;
    for (int i = 0; i < 1000; i++) {
        int n = snprintf(message, sizeof message, "{\"short_message\":\"%d\"}", i);

        send_stream(fd, message, (size_t)n + 1);
    }
    close(fd);
    send_stream(other, "message\":\"other\"}", 17);
    close(other);
    run_until(&s, have_turned, 200);
    assert_int_equal(s.in.n, 1);
    assert_int_equal(all_drops(&s), 0);
    s.in.full = false;
    gelf_input_room(s.input);
    run_until(&s, have_records, 1002);
    run_until(&s, have_connections, 0);
    assert_int_equal(all_drops(&s), 0);
    for (int i = 0, k = 0; i < 1001; i++) {
        if (strcmp(s.in.record[i + 1].text, "other") == 0)
            continue;
        snprintf(message, sizeof message, "%d", k++);
        assert_string_equal(s.in.record[i + 1].text, message);
    }
    scene_fini(&s);
}

static void stream_gives_up_waiting(void **state)
{
    struct scene s;
    int fd;

    (void)state;
    scene_init(&s);
    s.settings.tcp_when_full_ms = 100;
    scene_start(&s, NULL, NULL);
    fd = client_to(SOCK_STREAM, s.tcp_port);
    s.in.full = true;
    for (int i = 0; i < 10; i++)
        send_stream(fd, "{\"short_message\":\"gone\"}\0", 25);
    run_until(&s, have_drops, 10);
    assert_int_equal(s.in.dropped[BUFFER_DROP_FULL], 10);
    /* From now on without waiting, until there is room again. */
    send_stream(fd, "{\"short_message\":\"gone\"}\0", 25);
    run_until(&s, have_drops, 11);
    s.in.full = false;
    send_stream(fd, "{\"short_message\":\"kept\"}\0", 25);
    run_until(&s, have_records, 1);
    assert_string_equal(s.in.record[0].text, "kept");
    assert_int_equal(all_drops(&s), 11);
    close(fd);
    scene_fini(&s);
}

/* A message of which a part is held already finds too little room: it stays whole. */
static void held_part_waits_with_the_rest(void **state)
{
    struct scene s;
    int fd;

    (void)state;
    scene_init(&s);
    scene_start(&s, NULL, NULL);
    fd = client_to(SOCK_STREAM, s.tcp_port);
    send_stream(fd, "{\"short_message\":", 17);
    run_until(&s, have_bytes, 17);
    s.in.nearly_full = true;
    send_stream(fd, "\"kept\"}\0{\"short_message\":\"next\"}\0", 33);
    run_until(&s, have_bytes, 17 + 33);
    run_until(&s, have_turned, 20);
    assert_int_equal(s.in.n, 0);
    s.in.nearly_full = false;
    gelf_input_room(s.input);
    run_until(&s, have_records, 2);
    assert_string_equal(s.in.record[0].text, "kept");
    assert_string_equal(s.in.record[1].text, "next");
    close(fd);
    scene_fini(&s);
}

/* Each stream waits for as long as it may by itself. */
static void streams_give_up_one_by_one(void **state)
{
    struct scene s;
    uint64_t began;
    int fd[3];

    (void)state;
    scene_init(&s);
    s.settings.tcp_when_full_ms = 150;
    scene_start(&s, NULL, NULL);
    for (int i = 0; i < 3; i++)
        fd[i] = client_to(SOCK_STREAM, s.tcp_port);
    run_until(&s, have_connections, 3);
    s.in.full = true;
    for (int i = 0; i < 3; i++) {
        send_stream(fd[i], "{\"short_message\":\"gone\"}\0", 25);
        began = clock_mono_ms();
        /* The next one begins to wait while this one does. */
        while (i < 2 && clock_mono_ms() < began + 50)
            run_until(&s, have_turned, 1);
        if (i < 2)
            assert_int_equal(all_drops(&s), 0);
    }
    run_until(&s, have_drops, 3);
    assert_true(clock_mono_ms() >= began + 150);
    for (int i = 0; i < 3; i++)
        close(fd[i]);
    scene_fini(&s);
}

/* At the end streams that wait are read to their end: into the buffer when it has room, else
 * counted. */
static void stop_takes_what_waits(void **state)
{
    (void)state;
    for (int full = 0; full < 2; full++) {
        struct scene s;
        int open, closed;

        scene_init(&s);
        scene_start(&s, NULL, NULL);
        open = client_to(SOCK_STREAM, s.tcp_port);
        closed = client_to(SOCK_STREAM, s.tcp_port);
        run_until(&s, have_connections, 2);
        s.in.nearly_full = true;
        send_stream(open, "{\"short_message\":\"a\"}\0{\"short_message\":\"b\"}\0", 44);
        send_stream(closed, "{\"short_message\":\"c\"}", 21);
        close(closed);
        run_until(&s, have_bytes, 44 + 21);
        run_until(&s, have_turned, 20);
        assert_int_equal(s.in.n, 0);
        send_stream(open, "{\"short_message\":\"d\"}\0", 22);
        s.in.nearly_full = full;
        scene_stop(&s);
        assert_int_equal(s.in.n, full ? 0 : 4);
        assert_int_equal(s.in.dropped[BUFFER_DROP_FULL], full ? 4 : 0);
        assert_int_equal(metric_get(M_GELF_CONNECTIONS), 0);
        close(open);
        scene_fini(&s);
    }
}

static bool have_drops_though_told_of_room(struct scene *s)
{
    gelf_input_room(s->input);
    return have_drops(s);
}

/* Being told of room that is not enough does not make the wait longer. */
static void room_that_is_not_enough(void **state)
{
    struct scene s;
    int fd;

    (void)state;
    scene_init(&s);
    s.settings.tcp_when_full_ms = 100;
    scene_start(&s, NULL, NULL);
    fd = client_to(SOCK_STREAM, s.tcp_port);
    s.in.nearly_full = true;
    send_stream(fd, "{\"short_message\":\"gone\"}\0", 25);
    run_until(&s, have_drops_though_told_of_room, 1);
    assert_int_equal(s.in.dropped[BUFFER_DROP_FULL], 1);
    close(fd);
    scene_fini(&s);
}

static void many_streams(void **state)
{
    enum { N = 300 };
    struct scene s;
    int fd[N];

    (void)state;
    scene_init(&s);
    scene_start(&s, NULL, NULL);
    for (int i = 0; i < N; i++) {
        fd[i] = client_to(SOCK_STREAM, s.tcp_port);
        if (i % 50 == 49) /* the backlog is short */
            run_until(&s, have_connections, (uint64_t)i + 1);
        send_stream(fd[i], "{\"short_message\":", 17);
    }
    for (int i = N - 1; i >= 0; i--)
        send_stream(fd[i], "\"m\"}\0", 5);
    run_until(&s, have_records, N);
    for (int i = 0; i < N; i++)
        close(fd[i]);
    run_until(&s, have_connections, 0);
    scene_fini(&s);
}

/* Beyond 1,024 streams a new one is closed at once; when one ends there is room again. */
static void too_many_streams(void **state)
{
    enum { N = 1024 };
    struct rlimit before, all;
    struct scene s;
    int *fd = base_calloc(N + 1, sizeof *fd);
    char byte;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    all = before;
    all.rlim_cur = all.rlim_max;
    setrlimit(RLIMIT_NOFILE, &all);
    if (all.rlim_cur < 2 * N + 100)
        skip();
    scene_init(&s);
    scene_start(&s, NULL, NULL);
    for (int i = 0; i < N; i++) {
        fd[i] = client_to(SOCK_STREAM, s.tcp_port);
        if (i % 50 == 49)
            run_until(&s, have_connections, (uint64_t)i + 1);
    }
    run_until(&s, have_connections, N);
    fd[N] = client_to(SOCK_STREAM, s.tcp_port);
    run_until(&s, have_turned, 20);
    assert_int_equal(recv(fd[N], &byte, 1, MSG_DONTWAIT), 0);
    close(fd[N]);
    close(fd[0]);
    run_until(&s, have_connections, N - 1);
    fd[0] = client_to(SOCK_STREAM, s.tcp_port);
    send_stream(fd[0], "{\"short_message\":\"m\"}\0", 22);
    run_until(&s, have_records, 1);
    for (int i = 0; i < N; i++)
        close(fd[i]);
    run_until(&s, have_connections, 0);
    scene_fini(&s);
    setrlimit(RLIMIT_NOFILE, &before);
    free(fd);
}

/* Without a descriptor left a stream waits, and is taken a second later by itself. */
static void no_descriptors_left(void **state)
{
    struct rlimit before, few;
    struct scene s;
    int fd, next;

    (void)state;
    scene_init(&s);
    scene_start(&s, NULL, NULL);
    fd = client_to(SOCK_STREAM, s.tcp_port);
    send_stream(fd, "{\"short_message\":\"m\"}\0", 22);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    next = dup(0);
    assert_true(next >= 0);
    close(next);
    few.rlim_cur = (rlim_t)next;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    run_until(&s, have_turned, 20);
    assert_int_equal(s.in.n, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    run_until(&s, have_records, 1);
    close(fd);
    scene_fini(&s);
}

/* ---- datagrams ---- */

/* Whether one or two bytes are text: ASCII, or one character of two bytes. */
static bool are_text(const char *d, size_t n)
{
    unsigned char a = (unsigned char)d[0], b = (unsigned char)d[1];

    if (n == 1)
        return a > ' ' && a < 0x80;
    if (n != 2 || ((a & 15) == 8 && (a << 8 | b) % 31 == 0)) /* begins as zlib does */
        return false;
    if (a >= 0xc2 && a <= 0xdf)
        return b >= 0x80 && b <= 0xbf;
    return a < 0x80 && b < 0x80 && (a > ' ' || b > ' ') && (a >= ' ' || strchr("\t\n\r", a)) &&
           (b >= ' ' || strchr("\t\n\r", b)) && a && b;
}

/* Anything in the first bytes, any short length: shipped if it is text, else counted, and nothing
 * else. */
static void odd_datagrams(void **state)
{
    struct scene s;
    uint64_t sent = 0, texts = 0;
    char d[12] = "";

    (void)state;
    scene_init(&s);
    s.settings.receive_buffer_bytes = 8 << 20;
    scene_start(&s, NULL, NULL);
    for (unsigned first = 0; first < 65536; first++) {
        d[0] = (char)(first >> 8);
        d[1] = (char)first;
        texts += are_text(d, first % 13);
        send_datagram(&s, bytes_of(d, first % 13));
        if (++sent % 64 == 0)
            run_until(&s, have_datagrams, sent);
    }
    run_until(&s, have_datagrams, sent);
    assert_true(texts > 1000);
    assert_int_equal(s.in.n, texts);
    assert_int_equal(s.in.dropped[BUFFER_DROP_INVALID] + figure(&s, M_GELF_UNDECODABLE) +
                         figure(&s, M_GELF_BAD_CHUNK),
                     65536 - texts);
    assert_int_equal(s.in.dropped[BUFFER_DROP_FULL] + s.in.dropped[BUFFER_DROP_TOO_LARGE], 0);
    scene_fini(&s);
}

/* What chunks made, and what was inflated, is not looked at for chunks, or compression, again. */
static void nothing_is_unpacked_twice(void **state)
{
    static const char chunk_in_chunk[] = "\x1e\x0f"
                                         "12345678\x00\x01"
                                         "\x1e\x0f"
                                         "12345678\x00\x01"
                                         "{\"short_message\":\"deep\"}";
    /* Python: gzip.compress(gzip.compress(b'{"short_message":"deep"}', mtime=0), mtime=0) */
    static const unsigned char gzip_in_gzip[] = {
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0x93, 0xef, 0xe6,
        0x60, 0x00, 0x01, 0x26, 0xe6, 0xd5, 0x61, 0x5a, 0xe7, 0x4e, 0xe8, 0x6b, 0x75,
        0x9e, 0xf7, 0xd5, 0xd5, 0xf3, 0xf3, 0xf1, 0x0f, 0xdd, 0x14, 0xe4, 0xe5, 0xe9,
        0xab, 0x1b, 0xb0, 0x8a, 0x95, 0x61, 0xc6, 0x53, 0x53, 0x2b, 0x09, 0xa0, 0x1a,
        0x00, 0xb4, 0xee, 0x23, 0x70, 0x2c, 0x00, 0x00, 0x00};
    struct scene s;

    (void)state;
    scene_init(&s);
    scene_start(&s, NULL, NULL);
    send_datagram(&s, bytes_of(chunk_in_chunk, sizeof chunk_in_chunk - 1));
    send_datagram(&s, bytes_of(gzip_in_gzip, sizeof gzip_in_gzip));
    run_until(&s, have_drops, 2);
    assert_int_equal(s.in.dropped[BUFFER_DROP_INVALID], 2);
    assert_int_equal(s.in.n, 0);
    scene_fini(&s);
}

static void full_and_large_datagrams(void **state)
{
    struct scene s;
    char *big = base_alloc(65507);

    (void)state;
    scene_init(&s);
    s.settings.max_message_bytes = 65506;
    scene_start(&s, NULL, NULL);
    memset(big, 'x', 65507);
    memcpy(big, "{\"short_message\":\"", 18);
    memcpy(big + 65505, "\"}", 2);
    send_datagram(&s, bytes_of(big, 65507)); /* the largest there is */
    run_until(&s, have_drops, 1);
    assert_int_equal(s.in.dropped[BUFFER_DROP_TOO_LARGE], 1);
    memcpy(big + 65504, "\"}", 2);
    send_datagram(&s, bytes_of(big, 65506));
    run_until(&s, have_records, 1);
    assert_int_equal(strlen(s.in.record[0].text), 65506 - 20);
    s.in.full = true;
    send_datagram(&s, BYTES_LITERAL("{\"short_message\":\"m\"}"));
    run_until(&s, have_drops, 2);
    assert_int_equal(s.in.dropped[BUFFER_DROP_FULL], 1);
    free(big);
    scene_fini(&s);
}

/* More chunks than there is room for: counted, and told. */
static void chunks_without_room(void **state)
{
    struct scene s;
    char chunk[1400] = "\x1e\x0f";

    (void)state;
    scene_init(&s);
    s.settings.max_pending_bytes = 256 << 10;
    scene_start(&s, NULL, NULL);
    chunk[11] = 2;
    for (uint64_t i = 0; i < 500; i++) {
        memcpy(chunk + 2, &i, 8);
        send_datagram(&s, bytes_of(chunk, sizeof chunk));
        if (i % 32 == 31)
            run_until(&s, have_datagrams, i + 1);
    }
    run_until(&s, have_datagrams, 500);
    assert_true(figure(&s, M_GELF_EVICTED) > 300);
    assert_true(metric_get(M_GELF_PENDING_BYTES) <= 256 << 10);
    assert_int_equal(figure(&s, M_GELF_EVICTED) + metric_get(M_GELF_PENDING), 500);
    scene_stop(&s);
    assert_int_equal(figure(&s, M_GELF_EVICTED) + figure(&s, M_GELF_INCOMPLETE), 500);
    scene_fini(&s);
}

/* What the kernel drops is counted to the last datagram. */
static void kernel_drops(void **state)
{
    struct scene s;
    uint64_t sent = 0;

    (void)state;
    scene_init(&s);
    s.settings.receive_buffer_bytes = 4096;
    scene_start(&s, NULL, NULL);
    for (int burst = 0; burst < 5; burst++) {
        for (int i = 0; i < 1000; i++, sent++)
            send_datagram(&s, BYTES_LITERAL("{\"short_message\":\"m\"}"));
        run_until(&s, have_records, s.in.n + 1);
    }
    scene_stop(&s);
    assert_true(figure(&s, M_GELF_KERNEL_DROPPED) > 1000);
    assert_int_equal(figure(&s, M_GELF_DATAGRAMS) + figure(&s, M_GELF_KERNEL_DROPPED), sent);
    assert_int_equal(s.in.n, figure(&s, M_GELF_DATAGRAMS));
    scene_fini(&s);
}

/* A message of Docker's driver that looks like the first part of a line. */
static void docker_piece(struct strbuf *b)
{
    strbuf_add_str(b, "{\"short_message\":\"");
    for (int i = 0; i < 16384; i++)
        strbuf_add_char(b, 'p');
    strbuf_add_str(b,
                   "\",\"timestamp\":1.5,\"level\":6,\"_command\":\"sh\",\"_container_id\":\"c\","
                   "\"_container_name\":\"n\",\"_created\":\"x\",\"_image_id\":\"i\","
                   "\"_image_name\":\"n\"}");
}

/* The end takes what the sockets hold, hands on pieces of lines, gives up what is incomplete. */
static void stop_takes_what_is_there(void **state)
{
    static const char chunk[] = "\x1e\x0f"
                                "12345678\0\x02{\"short_";
    struct scene s;
    struct strbuf piece = {0};
    int fd;

    (void)state;
    docker_piece(&piece);
    scene_init(&s);
    scene_start(&s, NULL, NULL);
    fd = client_to(SOCK_STREAM, s.tcp_port);
    send_stream(fd, "{\"short_message\":\"stream\"}\0", 27);
    send_datagram(&s, bytes_of(chunk, sizeof chunk - 1));
    send_datagram(&s, strbuf_bytes(&piece));
    send_datagram(&s, BYTES_LITERAL("{\"short_message\":\"datagram\"}"));
    scene_stop(&s);
    assert_int_equal(s.in.n, 3);
    assert_string_equal(s.in.record[0].text, "datagram");
    assert_string_equal(s.in.record[1].text, "stream");
    assert_int_equal(strlen(s.in.record[2].text), 16384);
    assert_int_equal(s.in.record[2].tags, 0);
    assert_int_equal(figure(&s, M_GELF_INCOMPLETE), 1);
    assert_int_equal(metric_get(M_GELF_PENDING), 0);
    assert_int_equal(metric_get(M_GELF_CONNECTIONS), 0);
    close(fd);
    strbuf_fini(&piece);
    scene_fini(&s);
}

/* A lone piece goes when its second is over, without anything else coming in. A stream's like a
 * datagram's. */
static void a_lone_piece_goes(void **state)
{
    struct scene s;
    struct strbuf b = {0};
    int fd;

    (void)state;
    docker_piece(&b);
    strbuf_add_char(&b, '\0');
    scene_init(&s);
    scene_start(&s, NULL, NULL);
    fd = client_to(SOCK_STREAM, s.tcp_port);
    send_stream(fd, b.p, b.n);
    run_until(&s, have_bytes, b.n);
    assert_int_equal(s.in.n, 0);
    run_until(&s, have_records, 1);
    assert_int_equal(strlen(s.in.record[0].text), 16384);
    close(fd);
    strbuf_fini(&b);
    scene_fini(&s);
}

/* ---- addresses ---- */

static bool has_ipv6(void)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0;

    if (fd >= 0)
        close(fd);
    return has;
}

/* A machine without /etc/hosts knows no names. */
static bool has_name(const char *name)
{
    struct addrinfo *list = NULL;
    bool has = getaddrinfo(name, NULL, NULL, &list) == 0;

    if (has)
        freeaddrinfo(list);
    return has;
}

static void addresses(void **state)
{
    static const char *const good[] = {"127.0.0.1:%u", "localhost:%u", "[::1]:%u", "[::]:%u",
                                       "0.0.0.0:%u",   "*:%u",         ":%u"};
    struct scene s;
    struct error e = {""};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        if ((good[i][0] == '[' && !has_ipv6()) || (good[i][0] == 'l' && !has_name("localhost")))
            continue;
        scene_init(&s);
        snprintf(s.udp, sizeof s.udp, good[i], s.udp_port);
        snprintf(s.tcp, sizeof s.tcp, good[i], s.tcp_port);
        scene_start(&s, NULL, NULL);
        if (!strstr(good[i], "::1")) /* the others take IPv4 */
            ask(&s, "{\"short_message\":\"m\"}");
        scene_fini(&s);
    }
    scene_init(&s);
    snprintf(s.udp, sizeof s.udp, "192.0.2.1:9");
    assert_null(open_and_start(&s, NULL, NULL, &e));
    assert_non_null(strstr(e.text, "192.0.2.1:9"));
    snprintf(s.udp, sizeof s.udp, "noport");
    assert_null(open_and_start(&s, NULL, NULL, &e));
    assert_non_null(strstr(e.text, "noport"));
    s.udp[0] = s.tcp[0] = '\0';
    s.input = open_and_start(&s, NULL, NULL, &e);
    assert_non_null(s.input);
    s.client = dup(0);
    scene_fini(&s);
}

/* Chunks from IPv6 are put together by their own sender. */
static void chunks_over_ipv6(void **state)
{
    static const char text[] = "{\"short_message\":\"six\"}";
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct scene s;
    int fd[2];

    (void)state;
    if (!has_ipv6())
        skip();
    scene_init(&s);
    snprintf(s.udp, sizeof s.udp, "[::1]:%u", s.udp_port);
    scene_start(&s, NULL, NULL);
    a.sin6_port = htons(s.udp_port);
    for (int k = 0; k < 2; k++) {
        fd[k] = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd[k], (struct sockaddr *)&a, sizeof a), 0);
    }
    for (int index = 0; index < 2; index++)
        for (int k = 0; k < 2; k++) {
            char chunk[60] = "\x1e\x0f"
                             "samesame";

            chunk[10] = (char)index;
            chunk[11] = 2;
            memcpy(chunk + 12, text + index * 10, index ? sizeof text - 1 - 10 : 10);
            assert_true(send(fd[k], chunk, 12 + (index ? sizeof text - 1 - 10 : 10), 0) > 0);
        }
    run_until(&s, have_records, 2);
    assert_string_equal(s.in.record[0].text, "six");
    assert_string_equal(s.in.record[1].text, "six");
    close(fd[0]);
    close(fd[1]);
    scene_fini(&s);
}

/* Sockets of the service manager: what they held before the start is received. */
static void passed_sockets(void **state)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct scene s;
    char text[20];
    int udp = socket(AF_INET, SOCK_DGRAM, 0), tcp = socket(AF_INET, SOCK_STREAM, 0), fd;

    (void)state;
    scene_init(&s);
    a.sin_port = htons(s.udp_port);
    assert_int_equal(bind(udp, (struct sockaddr *)&a, sizeof a), 0);
    a.sin_port = htons(s.tcp_port);
    assert_int_equal(bind(tcp, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(tcp, 5), 0);
    snprintf(text, sizeof text, "%d", (int)getpid());
    setenv("LISTEN_PID", text, 1);
    snprintf(text, sizeof text, "%d", MAX(udp, tcp) - 3 + 1);
    setenv("LISTEN_FDS", text, 1);
    fd = client_to(SOCK_DGRAM, s.udp_port);
    assert_int_equal(send(fd, "{\"short_message\":\"early\"}", 25, 0), 25);
    close(fd);
    fd = client_to(SOCK_STREAM, s.tcp_port);
    send_stream(fd, "{\"short_message\":\"early\"}\0", 26);
    close(fd);
    scene_start(&s, NULL, NULL);
    assert_null(getenv("LISTEN_FDS"));
    run_until(&s, have_records, 2);
    scene_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_of_docker),
        cmocka_unit_test(fields_of_others),
        cmocka_unit_test(too_many_members),
        cmocka_unit_test(origins),
        cmocka_unit_test(captured_datagrams),
        cmocka_unit_test(captured_streams),
        cmocka_unit_test(split_at_each_byte),
        cmocka_unit_test(framing),
        cmocka_unit_test(too_large_on_a_stream),
        cmocka_unit_test(streams_share_what_may_be_held),
        cmocka_unit_test(stream_waits_for_room),
        cmocka_unit_test(stream_gives_up_waiting),
        cmocka_unit_test(held_part_waits_with_the_rest),
        cmocka_unit_test(streams_give_up_one_by_one),
        cmocka_unit_test(stop_takes_what_waits),
        cmocka_unit_test(room_that_is_not_enough),
        cmocka_unit_test(many_streams),
        cmocka_unit_test(too_many_streams),
        cmocka_unit_test(no_descriptors_left),
        cmocka_unit_test(odd_datagrams),
        cmocka_unit_test(nothing_is_unpacked_twice),
        cmocka_unit_test(full_and_large_datagrams),
        cmocka_unit_test(chunks_without_room),
        cmocka_unit_test(kernel_drops),
        cmocka_unit_test(stop_takes_what_is_there),
        cmocka_unit_test(a_lone_piece_goes),
        cmocka_unit_test(addresses),
        cmocka_unit_test(chunks_over_ipv6),
        cmocka_unit_test(passed_sockets),
    };

    log_init(LOG_ERROR, LOG_LOGFMT); /* every scene would tell of its sockets */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
