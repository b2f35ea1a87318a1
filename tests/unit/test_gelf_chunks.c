#include "agent/inputs/gelf_chunks.h"

#include "agent/inputs/gelf_inflate.h"
#include "tests/unit/gelf_corpus.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MIB (1u << 20)

static struct gelf_sender sender(unsigned host, unsigned port)
{
    return (struct gelf_sender){.address = {[10] = 0xff,
                                            [11] = 0xff,
                                            [12] = 10,
                                            [14] = (uint8_t)(host >> 8),
                                            [15] = (uint8_t)host},
                                .port = (uint16_t)port};
}

static size_t make_chunk(char *to, uint64_t id, unsigned index, unsigned count, struct bytes data)
{
    to[0] = 0x1e;
    to[1] = 0x0f;
    memcpy(to + 2, &id, 8);
    to[10] = (char)index;
    to[11] = (char)count;
    if (data.n)
        memcpy(to + 12, data.p, data.n);
    return 12 + data.n;
}

static enum gelf_chunk_result add(struct gelf_chunks *c, struct gelf_sender from, uint64_t id,
                                  unsigned index, unsigned count, const char *data, uint64_t now,
                                  struct bytes *message)
{
    char room[512];

    return gelf_chunks_add(c, &from,
                           bytes_of(room, make_chunk(room, id, index, count, bytes_str(data))), now,
                           message);
}

static void assert_message(struct bytes m, const char *text)
{
    assert_int_equal(m.n, strlen(text));
    assert_memory_equal(m.p, text, m.n);
}

static void header_is_checked(void **state)
{
    static const struct {
        const char *d;
        size_t n;
    } bad[] = {
        {"\x1e\x0f", 2},
        {"\x1e\x0f"
         "12345678\0",
         11},
        {"\x1e\x0f"
         "12345678\0\0x",
         13}, /* count 0 */
        {"\x1e\x0f"
         "12345678\0\x81x",
         13}, /* count 129 */
        {"\x1e\x0f"
         "12345678\0\xffx",
         13}, /* count 255 */
        {"\x1e\x0f"
         "12345678\x02\x02x",
         13}, /* index == count */
        {"\x1e\x0f"
         "12345678\xff\x80x",
         13}, /* index 255 of 128 */
    };
    struct gelf_chunks *c = gelf_chunks_create(MIB);
    struct gelf_sender from = sender(1, 1);
    struct bytes m;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(gelf_chunks_add(c, &from, bytes_of(bad[i].d, bad[i].n), 0, &m),
                         GELF_CHUNK_BAD);
    assert_int_equal(gelf_chunks_stats(c)->chunks, 0);
    assert_int_equal(gelf_chunks_stats(c)->bytes, 0);
    gelf_chunks_free(c);
}

static void first_chunk_fixes_the_count(void **state)
{
    struct gelf_chunks *c = gelf_chunks_create(MIB);
    struct bytes m;

    (void)state;
    assert_int_equal(add(c, sender(1, 1), 7, 0, 2, "ab", 0, &m), GELF_CHUNK_WAITS);
    assert_int_equal(add(c, sender(1, 1), 7, 1, 3, "XX", 0, &m), GELF_CHUNK_BAD);
    assert_int_equal(add(c, sender(1, 1), 7, 0, 2, "ab", 0, &m), GELF_CHUNK_REPEATED);
    assert_int_equal(add(c, sender(1, 1), 7, 0, 2, "YY", 0, &m), GELF_CHUNK_REPEATED);
    assert_int_equal(gelf_chunks_stats(c)->chunks, 1);
    assert_int_equal(add(c, sender(1, 1), 7, 1, 2, "cd", 0, &m), GELF_CHUNK_COMPLETE);
    assert_message(m, "abcd");
    assert_int_equal(gelf_chunks_stats(c)->chunks, 0);
    assert_int_equal(gelf_chunks_stats(c)->bytes, 0);
    gelf_chunks_free(c);
}

static void one_of_one_is_whole(void **state)
{
    struct gelf_chunks *c = gelf_chunks_create(MIB);
    struct bytes m;

    (void)state;
    assert_int_equal(add(c, sender(1, 1), 7, 0, 1, "all", 0, &m), GELF_CHUNK_COMPLETE);
    assert_message(m, "all");
    gelf_chunks_free(c);
}

/* Docker announces one chunk too many when the payload is a multiple of 1,408 bytes, and sends it
 * empty. */
static void empty_chunks_count(void **state)
{
    struct gelf_chunks *c = gelf_chunks_create(MIB);
    struct bytes m;

    (void)state;
    assert_int_equal(add(c, sender(1, 1), 7, 0, 3, "ab", 0, &m), GELF_CHUNK_WAITS);
    assert_int_equal(add(c, sender(1, 1), 7, 1, 3, "cd", 0, &m), GELF_CHUNK_WAITS);
    assert_int_equal(add(c, sender(1, 1), 7, 2, 3, "", 0, &m), GELF_CHUNK_COMPLETE);
    assert_message(m, "abcd");
    gelf_chunks_free(c);
}

static void senders_do_not_mix(void **state)
{
    struct gelf_chunks *c = gelf_chunks_create(MIB);
    struct gelf_sender scoped = sender(1, 1);
    struct bytes m;

    (void)state;
    scoped.scope = 2;
    assert_int_equal(add(c, sender(1, 1), 7, 0, 2, "a", 0, &m), GELF_CHUNK_WAITS);
    assert_int_equal(add(c, sender(2, 1), 7, 1, 2, "X", 0, &m), GELF_CHUNK_WAITS);
    assert_int_equal(add(c, sender(1, 2), 7, 1, 2, "Y", 0, &m), GELF_CHUNK_WAITS);
    assert_int_equal(add(c, scoped, 7, 1, 2, "Z", 0, &m), GELF_CHUNK_WAITS);
    assert_int_equal(add(c, sender(1, 1), 7, 1, 2, "b", 0, &m), GELF_CHUNK_COMPLETE);
    assert_message(m, "ab");
    gelf_chunks_free(c);
}

static void five_seconds_from_the_first(void **state)
{
    struct gelf_chunks *c = gelf_chunks_create(MIB);
    uint64_t t = 1000000;
    struct bytes m;

    (void)state;
    assert_int_equal(gelf_chunks_next_ms(c), UINT64_MAX);
    add(c, sender(1, 1), 1, 0, 3, "a", t, &m);
    assert_int_equal(gelf_chunks_next_ms(c), t + 5000);
    add(c, sender(1, 1), 1, 1, 3, "b", t + 4000, &m);
    assert_int_equal(gelf_chunks_next_ms(c), t + 5000); /* from the first, not the last */
    assert_int_equal(add(c, sender(1, 1), 1, 2, 3, "c", t + 4999, &m), GELF_CHUNK_COMPLETE);
    assert_message(m, "abc");

    add(c, sender(1, 1), 2, 0, 2, "a", t, &m);
    add(c, sender(1, 1), 3, 0, 2, "a", t + 1, &m);
    gelf_chunks_expire(c, t + 5000);
    assert_int_equal(gelf_chunks_stats(c)->incomplete, 1);
    /* Too late, though nobody called expire: it begins a new message. */
    assert_int_equal(add(c, sender(1, 1), 3, 1, 2, "b", t + 5001, &m), GELF_CHUNK_WAITS);
    assert_int_equal(gelf_chunks_stats(c)->incomplete, 2);
    gelf_chunks_give_up(c);
    assert_int_equal(gelf_chunks_stats(c)->incomplete, 3);
    assert_int_equal(gelf_chunks_stats(c)->chunks, 0);
    assert_int_equal(gelf_chunks_stats(c)->bytes, 0);
    gelf_chunks_free(c);
}

static uint64_t rng = 88172645463325252u;

static uint64_t next_random(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng;
}

/* 500 messages of all counts and sizes at once, all their chunks shuffled, some of them twice. */
static void shuffled(uint64_t seed)
{
    enum { MESSAGES = 500 };
    struct one {
        unsigned message, index;
    } * order;
    struct strbuf body[MESSAGES] = {{0}};
    unsigned count[MESSAGES], got[MESSAGES] = {0};
    size_t part[MESSAGES], n = 0, whole = 0, repeated = 0;
    struct gelf_chunks *c = gelf_chunks_create(64 * MIB);
    char *room = base_alloc(70000);

    rng = seed * 0x9e3779b97f4a7c15u + 1;
    for (unsigned i = 0; i < MESSAGES; i++) {
        count[i] = i < 126 ? 2 + i + (i == 125) : 2 + (unsigned)(next_random() % 8);
        if (count[i] > 128)
            count[i] = 128;
        part[i] = i % 100 == 7 ? 1 + next_random() % 20000 : 1 + next_random() % 1408;
        for (size_t k = 0; k < (count[i] - 1) * part[i] + next_random() % part[i]; k++)
            strbuf_add_char(&body[i], (char)next_random());
        n += count[i];
    }
    order = base_calloc(n + n / 10, sizeof *order);
    n = 0;
    for (unsigned i = 0; i < MESSAGES; i++)
        for (unsigned k = 0; k < count[i]; k++)
            order[n++] = (struct one){i, k};
    for (size_t i = n - 1; i > 0; i--) {
        size_t k = seed == 0 ? n - 1 - i : next_random() % (i + 1); /* seed 0: reversed */
        struct one t = order[i];

        if (seed == 0 && k >= i)
            break;
        order[i] = order[k];
        order[k] = t;
    }
    for (size_t i = 0; i < n; i++) {
        unsigned k = order[i].message;
        size_t at = MIN(order[i].index * part[k], body[k].n);
        struct gelf_sender from = sender(k % 3, k % 5);
        struct bytes m,
            d = bytes_of(room, make_chunk(room, k / 15, order[i].index, count[k],
                                          bytes_of(body[k].p + at, MIN(part[k], body[k].n - at))));

        got[k]++;
        if (got[k] < count[k]) {
            assert_int_equal(gelf_chunks_add(c, &from, d, 1000, &m), GELF_CHUNK_WAITS);
            if (next_random() % 10 == 0) {
                assert_int_equal(gelf_chunks_add(c, &from, d, 1000, &m), GELF_CHUNK_REPEATED);
                repeated++;
            }
            continue;
        }
        assert_int_equal(gelf_chunks_add(c, &from, d, 1000, &m), GELF_CHUNK_COMPLETE);
        assert_int_equal(m.n, body[k].n);
        assert_memory_equal(m.p, body[k].p, m.n);
        whole++;
    }
    assert_int_equal(whole, MESSAGES);
    assert_true(repeated > 0);
    assert_int_equal(gelf_chunks_stats(c)->bytes, 0);
    assert_int_equal(gelf_chunks_stats(c)->evicted, 0);
    for (unsigned i = 0; i < MESSAGES; i++)
        strbuf_fini(&body[i]);
    free(order);
    free(room);
    gelf_chunks_free(c);
}

static void any_order(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 12; seed++)
        shuffled(seed);
}

static size_t resident_bytes(void)
{
    unsigned long all, resident;
    FILE *f = fopen("/proc/self/statm", "r");

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lu %lu", &all, &resident), 2);
    fclose(f);
    return resident * 4096;
}

/* A sender that only ever sends first chunks, a million of them; others send whole messages
 * meanwhile. */
static void flood(bool new_address_each, unsigned legit_gap, unsigned *delivered, unsigned *sent)
{
    const size_t cap = 4 * MIB;
    struct gelf_chunks *c = gelf_chunks_create(cap);
    char data[1409];
    size_t before = resident_bytes();
    struct bytes m;

    memset(data, 'x', sizeof data - 1);
    data[sizeof data - 1] = '\0';
    data[300] = '\0';
    *delivered = *sent = 0;
    for (unsigned i = 0; i < 1000000; i++) {
        struct gelf_sender flooder =
            new_address_each ? sender(100 + i % 60000, i / 60000 + 1) : sender(100, 1);
        unsigned step = i % legit_gap;

        add(c, flooder, i, 0, 2, data, i / 200, &m);
        /* A message of ten chunks, spread over the flood. */
        if (step < 10) {
            enum gelf_chunk_result r =
                add(c, sender(1, 1), 1000000 + i / legit_gap, step, 10, "part", i / 200, &m);

            *sent += step == 9;
            *delivered += r == GELF_CHUNK_COMPLETE;
        }
        assert_true(gelf_chunks_stats(c)->bytes <= cap);
    }
    assert_true(gelf_chunks_stats(c)->evicted > 900000);
    assert_true(gelf_chunks_stats(c)->bytes > cap - 8192);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__has_feature)
    assert_true(resident_bytes() < before + cap + 256 * 1024);
#endif
    (void)before;
    gelf_chunks_free(c);
}

static void floods_starve_nobody(void **state)
{
    unsigned delivered, sent;

    (void)state;
    flood(false, 100, &delivered, &sent);
    assert_int_equal(sent, 10000);
    assert_int_equal(delivered, sent);
    flood(true, 100, &delivered, &sent);
    assert_int_equal(sent, 10000);
    assert_int_equal(delivered, sent);
}

/* A day of messages that stay incomplete: what is held is that of five seconds. */
static void a_day_of_incomplete_messages(void **state)
{
    struct gelf_chunks *c = gelf_chunks_create(4 * MIB);
    uint64_t most = 0, n = 0;
    struct bytes m;

    (void)state;
    for (uint64_t now = 0; now < 24 * 3600 * 1000; now += 100, n++) {
        add(c, sender((unsigned)n % 50, 1), n, 0, 2, "half", now, &m);
        most = MAX(most, gelf_chunks_stats(c)->bytes);
    }
    assert_true(most <= 50 * 3 * 256); /* 50 messages: three blocks each, with their sender */
    assert_int_equal(gelf_chunks_stats(c)->incomplete, n - 50);
    assert_int_equal(gelf_chunks_stats(c)->evicted, 0);
    gelf_chunks_free(c);
}

/* At the cap, chunks of messages that have begun still pass; the flooder's own oldest makes room.
 */
static void known_messages_pass_at_the_cap(void **state)
{
    struct gelf_chunks *c = gelf_chunks_create(256 * 1024);
    struct bytes m;

    (void)state;
    add(c, sender(1, 1), 1, 0, 3, "a", 0, &m);
    for (unsigned i = 0; i < 5000; i++)
        add(c, sender(2, 1), i, 0, 2, "flood", 0, &m);
    assert_int_equal(add(c, sender(1, 1), 1, 1, 3, "b", 0, &m), GELF_CHUNK_WAITS);
    assert_int_equal(add(c, sender(1, 1), 1, 2, 3, "c", 0, &m), GELF_CHUNK_COMPLETE);
    assert_message(m, "abc");
    /* The flooder's last is there, its first is gone. */
    assert_int_equal(add(c, sender(2, 1), 4999, 1, 2, "!", 0, &m), GELF_CHUNK_COMPLETE);
    assert_message(m, "flood!");
    assert_int_equal(add(c, sender(2, 1), 0, 1, 2, "!", 0, &m), GELF_CHUNK_WAITS);
    gelf_chunks_free(c);
}

/* A single message larger than the pool takes everything in vain, and leaves an empty pool. */
static void larger_than_the_pool(void **state)
{
    struct gelf_chunks *c = gelf_chunks_create(256 * 1024);
    struct gelf_sender from = sender(1, 1);
    char *room = base_calloc(1, 70000);
    struct bytes m;
    enum gelf_chunk_result r = GELF_CHUNK_WAITS;
    unsigned i = 0;

    (void)state;
    add(c, sender(2, 2), 5, 0, 2, "other", 0, &m);
    while (r == GELF_CHUNK_WAITS && i < 20) {
        char *data = room + 12;

        data[0] = (char)i;
        r = gelf_chunks_add(c, &from,
                            bytes_of(room, make_chunk(room, 9, i, 20, BYTES_NONE) + 60000), 0, &m);
        i++;
    }
    assert_int_equal(r, GELF_CHUNK_REFUSED);
    assert_int_equal(i, 5); /* 4 * 60,000 bytes fit into 256 KiB */
    assert_int_equal(gelf_chunks_stats(c)->evicted, 2);
    assert_int_equal(gelf_chunks_stats(c)->bytes, 0);
    assert_int_equal(add(c, sender(1, 1), 9, 0, 2, "a", 0, &m), GELF_CHUNK_WAITS);
    assert_int_equal(add(c, sender(1, 1), 9, 1, 2, "b", 0, &m), GELF_CHUNK_COMPLETE);
    assert_message(m, "ab");
    free(room);
    gelf_chunks_free(c);
}

/* Every capture, forwards and backwards: the messages equal what the independent reader made of
 * them. */
static void replay(const struct corpus_capture *cap, void *arg)
{
    bool backwards = *(bool *)arg;
    struct gelf_chunks *c = gelf_chunks_create(32 * MIB);
    struct gelf_inflater *f = gelf_inflater_create(8 * MIB);
    bool *seen = base_calloc(cap->n_decoded, 1);
    size_t n = 0;

    for (size_t i = 0; i < cap->n_datagrams; i++) {
        const struct strbuf *b = &cap->datagram[backwards ? cap->n_datagrams - 1 - i : i];
        struct bytes d = strbuf_bytes(b), m = d;
        struct gelf_sender from = sender(1, 1);
        yajl_val got;
        size_t k = 0;

        if (gelf_chunks_is_chunk(d)) {
            enum gelf_chunk_result r = gelf_chunks_add(c, &from, d, 0, &m);

            if (r == GELF_CHUNK_WAITS)
                continue;
            assert_int_equal(r, GELF_CHUNK_COMPLETE);
        }
        if (gelf_inflate_is_compressed(m))
            assert_true(gelf_inflate(f, m, 0, &m));
        got = corpus_json(m);
        assert_non_null(got);
        /* Forwards in their order; else it must be one that was not there yet. */
        if (!backwards)
            k = n;
        while (k < cap->n_decoded &&
               (seen[k] || !corpus_equal(got, corpus_member(cap->decoded[k], "msg"))))
            k = backwards ? k + 1 : cap->n_decoded;
        if (k == cap->n_decoded)
            fail_msg("%s: message %zu is not the one that was sent", cap->name, n);
        seen[k] = true;
        n++;
        yajl_tree_free(got);
    }
    assert_int_equal(n, cap->n_decoded);
    assert_int_equal(gelf_chunks_stats(c)->bytes, 0);
    free(seen);
    gelf_inflater_free(f);
    gelf_chunks_free(c);
}

static void real_senders(void **state)
{
    bool backwards = false;

    (void)state;
    assert_int_equal(corpus_each(replay, &backwards), 36);
    backwards = true;
    corpus_each(replay, &backwards);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_is_checked),
        cmocka_unit_test(first_chunk_fixes_the_count),
        cmocka_unit_test(one_of_one_is_whole),
        cmocka_unit_test(empty_chunks_count),
        cmocka_unit_test(senders_do_not_mix),
        cmocka_unit_test(five_seconds_from_the_first),
        cmocka_unit_test(any_order),
        cmocka_unit_test(floods_starve_nobody),
        cmocka_unit_test(a_day_of_incomplete_messages),
        cmocka_unit_test(known_messages_pass_at_the_cap),
        cmocka_unit_test(larger_than_the_pool),
        cmocka_unit_test(real_senders),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
