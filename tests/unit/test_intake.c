/* The intake against a buffer and an encoder of the test's own, which keep what they are given. */
#include "agent/base/clock.h"
#include "agent/pipeline/intake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define DAY_NS 86400000000000
#define NOW_NS 1542963600000140891 /* 2018-11-23T09:00:00Z */

/* A clock that stands: no day ends in the middle of a test. */
int64_t clock_wall_ns(void)
{
    return NOW_NS;
}

uint64_t clock_mono_ns(void)
{
    return 1000000000;
}

uint64_t clock_mono_ms(void)
{
    return clock_mono_ns() / 1000000;
}

static struct {
    bool full;
    char room[4096];
    uint8_t id[BUFFER_ID_BYTES];
    char index[BUFFER_MAX_INDEX + 1];
    unsigned flags, appended, drops;
    enum buffer_class class;
    size_t n, bound;
    uint64_t sequence;
} kept;

bool buffer_has_room(struct buffer *b, enum buffer_class class, size_t n)
{
    (void)b, (void)class, (void)n;
    return !kept.full;
}

size_t buffer_record_limit(const struct buffer *b)
{
    (void)b;
    return BUFFER_MAX_RECORD;
}

char *buffer_reserve(struct buffer *b, enum buffer_class class, size_t max)
{
    (void)b, (void)class, (void)max;
    return kept.full ? NULL : kept.room;
}

void buffer_segment_identity(const struct buffer *b, uint64_t *nonce, uint64_t *number)
{
    (void)b;
    *nonce = 0x0102030405060708;
    *number = 0x0a0b0c0d0e0f;
}

void buffer_append(struct buffer *b, enum buffer_class class, const uint8_t id[BUFFER_ID_BYTES],
                   struct bytes index, unsigned flags, size_t n)
{
    (void)b;
    memcpy(kept.id, id, BUFFER_ID_BYTES);
    memcpy(kept.index, index.p, index.n);
    kept.index[index.n] = '\0';
    kept.class = class;
    kept.flags = flags;
    kept.n = n;
    kept.appended++;
}

void buffer_count_drop(struct buffer *b, enum buffer_drop kind, uint64_t n)
{
    (void)b, (void)kind;
    kept.drops += (unsigned)n;
}

size_t encoder_bound(const struct encoder *enc, const struct record *r)
{
    (void)enc, (void)r;
    return kept.bound;
}

size_t encoder_write(struct encoder *enc, struct record *r, char *to)
{
    (void)enc;
    kept.sequence = r->sequence;
    memcpy(to, "{}", 2);
    return 2;
}

struct bytes origin_service(const struct origin *o)
{
    (void)o;
    return BYTES_LITERAL("Orders");
}

static struct intake *make(const char *pattern, uint64_t window_ms)
{
    struct intake_options o = {.index_pattern = pattern, .index_window_ms = window_ms};
    struct intake *in;

    memset(&kept, 0, sizeof kept);
    kept.bound = 100;
    in = intake_create(&o, NULL);
    assert_non_null(in);
    return in;
}

static void a_files_record_is_named_by_its_place_and_bytes(void **state)
{
    static const uint8_t want[BUFFER_ID_BYTES] = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66,
                                                  0x77, 0,    0,    0,    0,    0x01,
                                                  0x02, 0x03, 0xde, 0xad, 0xbe, 0xef};
    struct intake *in = make("m-%{+YYYY.MM.dd}", 0);
    struct record r = {.time_ns = 1542963600000140891};

    (void)state;
    assert_int_equal(intake_file_record(in, &r, 0x11223344556677, 0x010203, 0xdeadbeef, 0),
                     INTAKE_TAKEN);
    assert_memory_equal(kept.id, want, sizeof want);
    assert_string_equal(kept.index, "m-2018.11.23");
    assert_int_equal(kept.flags, 0);
    assert_int_equal(kept.class, BUFFER_CAN_WAIT);
    assert_int_equal(kept.sequence, 0x010203);
    assert_int_equal(kept.n, 2);
    intake_free(in);
}

static void a_message_is_named_by_the_segment(void **state)
{
    static const uint8_t want[BUFFER_ID_BYTES] = {1,    2,    3,    4,    5,    6, 7, 8, 0x0a,
                                                  0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0, 0, 0, 9};
    struct intake *in = make("m-%{+YYYY.MM.dd}", 0);
    struct record r = {.time_ns = 1542963600000140891};
    uint64_t first;

    (void)state;
    assert_int_equal(intake_message_record(in, &r, 9, 0), INTAKE_TAKEN);
    assert_memory_equal(kept.id, want, sizeof want);
    assert_int_equal(kept.flags, BUFFER_OWES_SYNC);
    assert_int_equal(kept.class, BUFFER_CANNOT_WAIT);
    first = kept.sequence;
    intake_message_record(in, &r, 9, 0);
    assert_int_equal(kept.sequence, first + 1);
    intake_free(in);
}

static void outside_the_window_the_day_of_arrival_counts(void **state)
{
    static const struct {
        int64_t ago_ns;
        unsigned flags;
        const char *index;
    } c[] = {
        {0, 0, "m-2018.11.23"},
        {3 * DAY_NS, 0, "m-2018.11.20"},
        /* Inside, and outside when it is read again after days without power. */
        {3 * DAY_NS + DAY_NS / 2 + 1, BUFFER_DURABLE_FIRST, "m-2018.11.19"},
        {7 * DAY_NS, BUFFER_DURABLE_FIRST, "m-2018.11.16"},
        {7 * DAY_NS + 1, BUFFER_DURABLE_FIRST, "m-2018.11.23"},
        {-1 * DAY_NS, 0, "m-2018.11.24"},
        {-1 * DAY_NS - 1, BUFFER_DURABLE_FIRST, "m-2018.11.23"},
    };
    struct intake *in = make("m-%{+YYYY.MM.dd}", 7 * 86400000);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(c); i++) {
        struct record r = {.time_ns = NOW_NS - c[i].ago_ns};

        intake_file_record(in, &r, 1, 1, 1, 0);
        assert_int_equal(kept.flags, c[i].flags);
        assert_string_equal(kept.index, c[i].index);
    }
    intake_free(in);
}

static void names_in_the_pattern_are_durable_first(void **state)
{
    struct intake *in = make("s-%{service.name}-%{+YYYY}", 0);
    struct record r = {.time_ns = 1542963600000140891, .origin = (const struct origin *)&kept};

    (void)state;
    intake_file_record(in, &r, 1, 1, 1, 0);
    assert_string_equal(kept.index, "s-orders-2018");
    assert_int_equal(kept.flags, BUFFER_DURABLE_FIRST);
    intake_free(in);
}

static void a_full_buffer_takes_nothing(void **state)
{
    struct intake *in = make("m", 0);
    struct record r = {.time_ns = 1};

    (void)state;
    kept.full = true;
    assert_int_equal(intake_file_record(in, &r, 1, 1, 1, 0), INTAKE_FULL);
    assert_int_equal(intake_message_record(in, &r, 1, 0), INTAKE_FULL);
    assert_int_equal(kept.appended, 0);
    assert_int_equal(kept.drops, 0);
    intake_free(in);
}

static void what_no_document_can_hold_is_counted(void **state)
{
    struct intake *in = make("m", 0);
    struct record r = {.time_ns = 1};

    (void)state;
    kept.bound = BUFFER_MAX_RECORD + 1;
    assert_int_equal(intake_file_record(in, &r, 1, 1, 1, 0), INTAKE_TAKEN);
    assert_int_equal(kept.appended, 0);
    assert_int_equal(kept.drops, 1);
    intake_free(in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_files_record_is_named_by_its_place_and_bytes),
        cmocka_unit_test(a_message_is_named_by_the_segment),
        cmocka_unit_test(outside_the_window_the_day_of_arrival_counts),
        cmocka_unit_test(names_in_the_pattern_are_durable_first),
        cmocka_unit_test(a_full_buffer_takes_nothing),
        cmocka_unit_test(what_no_document_can_hold_is_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
