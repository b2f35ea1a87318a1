#include "parsers/timestamp.h"

#include <setjmp.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

static void test_parse(void **state)
{
    /* Worked out with Python's calendar.timegm. */
    static const struct {
        const char *text;
        int64_t ns;
    } cases[] = {
        {"2018-11-23T09:00:00.000140891Z", 1542963600000140891},
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T00:00:00.000000001Z", 1},
        {"2262-04-11T23:47:16.854775807Z", INT64_MAX},
        {"2000-02-29T12:00:00Z", 951825600000000000},
        {"2100-02-28T23:59:59Z", 4107542399000000000},
        {"2026-11-23T03:56:03.91710283Z", 1795406163917102830},
        {"2026-11-23t03:56:03.91710283z", 1795406163917102830},
        {"2026-11-23 03:56:03,91710283Z", 1795406163917102830},
        {"2026-11-23T03:56:03.9171028309999Z", 1795406163917102830},
        {"1999-12-31T23:59:59.999999999Z", 946684799999999999},
        {"2026-07-01T05:45:00+05:45", 1782864000000000000},
        {"2026-06-30T20:30:00-03:30", 1782864000000000000},
        {"2026-07-01T00:00:00.5+00:00", 1782864000500000000},
        {"1970-01-01T01:00:00+01:00", 0},
        {"1969-12-31T23:00:00-01:00", 0},
        {"2262-04-12T00:47:16.854775807+01:00", INT64_MAX},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t ns = -1;

        if (!timestamp_parse(bytes_str(cases[i].text), &ns) || ns != cases[i].ns)
            fail_msg("%s: %lld", cases[i].text, (long long)ns);
    }
}

static void test_parse_refuses(void **state)
{
    static const char *const cases[] = {
        "",
        "2018",
        "2018-11-23",
        "2018-11-23T09:00:00",
        "2018-11-23T09:00Z",
        "2018-11-23T09:00:60Z",
        "2018-11-23T24:00:00Z",
        "2018-11-23T09:60:00Z",
        "2018-13-23T09:00:00Z",
        "2018-00-23T09:00:00Z",
        "2018-11-31T09:00:00Z",
        "2018-11-00T09:00:00Z",
        "2018-02-29T09:00:00Z",
        "2100-02-29T09:00:00Z",
        "0000-01-01T00:00:00Z",
        "1969-12-31T23:59:59.999999999Z",
        "1970-01-01T00:00:00+00:01",
        "2262-04-11T23:47:16.854775808Z",
        "2262-04-11T23:47:17Z",
        "9999-12-31T23:59:59Z",
        "2018-11-23T09:00:00.Z",
        "2018-11-23T09:00:00.",
        "2018-11-23T09:00:00.5",
        "2018-11-23T09:00:00ZZ",
        "2018-11-23T09:00:00Z ",
        " 2018-11-23T09:00:00Z",
        "2018-11-23T09:00:00+0100",
        "2018-11-23T09:00:00+01:60",
        "2018-11-23T09:00:00+24:00",
        "2018-11-23T09:00:00+01:0",
        "2018-11-23T09:00:00+01:000",
        "2018-11-23X09:00:00Z",
        "2018/11/23T09:00:00Z",
        "2018-11-23T09-00-00Z",
        "2018-1a-23T09:00:00Z",
        "2018-11-23T09:00:00.12a4Z",
        "-018-11-23T09:00:00Z",
        "+018-11-23T09:00:00Z",
        "2018-11-23T09:00:00\0",
    };
    int64_t ns;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (timestamp_parse(bytes_str(cases[i]), &ns))
            fail_msg("%s", cases[i]);
    assert_false(timestamp_parse(bytes_of("2018-11-23T09:00:00Z\0", 21), &ns));
    assert_false(timestamp_parse(BYTES_NONE, &ns));
}

static void test_parse_seconds(void **state)
{
    static const struct {
        const char *text;
        int64_t ns;
    } cases[] = {
        {"1795406203.568", 1795406203568000000},
        {"1795406203", 1795406203000000000},
        {"1542963600.0001408911", 1542963600000140891},
        {"0.000000001", 1},
        {"00012.5", 12500000000},
        {"1.795406203568e9", 1795406203568000000},
        {"1795406203568E-3", 1795406203568000000},
        {"17954062.03568e+02", 1795406203568000000},
        {"0.000000001795406203568e18", 1795406203568000000},
        {"9223372036.854775807", INT64_MAX},
        {"9223372036.8547758079", INT64_MAX},
        /* Where a double would be 238 ns off. */
        {"1385053862.307212345", 1385053862307212345},
    };
    static const char *const refused[] = {
        "",
        "0",
        "0.0",
        "-1",
        "-0.5",
        "0.0000000001",
        "9223372036.854775808",
        "9223372037",
        "1795406203568",
        "1e10",
        "1e400",
        "1e-400",
        "1e99999999999999999999",
        "1e-99999999999999999999",
        ".5",
        "1.",
        "1e",
        "1e+",
        "e5",
        "+1",
        " 1",
        "1 ",
        "1x",
        "0x10",
        "NaN",
        "Infinity",
        "1.5.5",
        "1,5",
        "99999999999999999999999999999999999999",
    };
    int64_t ns;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (!timestamp_parse_seconds(bytes_str(cases[i].text), &ns) || ns != cases[i].ns)
            fail_msg("%s: %lld", cases[i].text, (long long)ns);
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        if (timestamp_parse_seconds(bytes_str(refused[i]), &ns))
            fail_msg("%s", refused[i]);
    assert_false(timestamp_parse_seconds(BYTES_NONE, &ns));
}

static void test_format(void **state)
{
    static const struct {
        int64_t ns;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00Z"},
        {1, "1970-01-01T00:00:00.000000001Z"},
        {951825600000000000, "2000-02-29T12:00:00Z"},
        {1795406163917102830, "2026-11-23T03:56:03.91710283Z"},
        {1782864000500000000, "2026-07-01T00:00:00.5Z"},
        {INT64_MAX, "2262-04-11T23:47:16.854775807Z"},
    };
    char text[TIMESTAMP_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t n = timestamp_format(cases[i].ns, text);

        assert_int_equal(n, strlen(cases[i].text));
        assert_memory_equal(text, cases[i].text, n);
    }
}

/* Every day of the range against the C library, and there and back. */
static void test_every_day(void **state)
{
    char text[TIMESTAMP_TEXT_MAX];

    (void)state;
    for (int32_t day = 0; day <= 106751; day++) {
        time_t s = (time_t)day * 86400 + day % 86400;
        int64_t ns = (int64_t)s * 1000000000 + day, back;
        struct tm tm;
        int year, month, day_of_month;

        if (ns < 0)
            break;
        gmtime_r(&s, &tm);
        timestamp_civil(day, &year, &month, &day_of_month);
        assert_int_equal(year, tm.tm_year + 1900);
        assert_int_equal(month, tm.tm_mon + 1);
        assert_int_equal(day_of_month, tm.tm_mday);
        assert_int_equal(timestamp_day(ns), day);
        assert_true(timestamp_parse(bytes_of(text, timestamp_format(ns, text)), &back));
        assert_true(back == ns);
    }
}

static void test_civil_of_negative_days(void **state)
{
    int year, month, day;

    (void)state;
    timestamp_civil(-1, &year, &month, &day);
    assert_int_equal(year, 1969);
    assert_int_equal(month, 12);
    assert_int_equal(day, 31);
    timestamp_civil(-719468, &year, &month, &day);
    assert_int_equal(year, 0);
    assert_int_equal(month, 3);
    assert_int_equal(day, 1);
    timestamp_civil(-719469, &year, &month, &day);
    assert_int_equal(year, 0);
    assert_int_equal(month, 2);
    assert_int_equal(day, 29);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),         cmocka_unit_test(test_parse_refuses),
        cmocka_unit_test(test_parse_seconds), cmocka_unit_test(test_format),
        cmocka_unit_test(test_every_day),     cmocka_unit_test(test_civil_of_negative_days),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
