/* Times in the forms that an operator names. The instants were worked out with Python's calendar
 * and zoneinfo, what Joda and Logstash's date filter take from their documentation. */
#include "parsers/format_date.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define S(n) ((n)*INT64_C(1000000000))

/* A format, a zone, a text and its instant; -1 when it must not be one. */
static const struct {
    const char *format, *zone, *text;
    int64_t ns;
} cases[] = {
    {"ISO8601", "UTC", "2018-11-23T09:00:00.123Z", S(1542963600) + 123000000},
    {"ISO8601", "UTC", "2018-11-23 09:00:00,123456789", S(1542963600) + 123456789},
    {"ISO8601", "UTC", "2018-11-23T09:00:00+01:00", S(1542960000)},
    {"ISO8601", "UTC", "2018-11-23T09:00:00-0130", S(1542969000)},
    {"ISO8601", "UTC", "2018-11-23T09:00:00+01", S(1542960000)},
    {"ISO8601", "+05:30", "2018-11-23T09:00:00", S(1542943800)},
    {"ISO8601", "-03:00", "2018-11-23T09:00:00", S(1542974400)},
    {"ISO8601", "+05:30", "2018-11-23T09:00:00Z", S(1542963600)},
    {"ISO8601", "UTC", "2018-11-23T09:00", S(1542963600)},
    {"ISO8601", "UTC", "2018-11-23", S(1542931200)},
    {"ISO8601", "local", "2018-11-23 09:00:00", S(1542960000)}, /* Oslo's winter … */
    {"ISO8601", "local", "2018-07-01 09:00:00", S(1530428400)}, /* … and summer */
    {"ISO8601", "UTC", "2018-02-29T09:00:00", -1},
    {"ISO8601", "local", "2018-02-29T09:00:00", -1},
    {"ISO8601", "UTC", "2018-11-23T09:00:60", -1},
    {"ISO8601", "UTC", "2018-11-23T24:00:00", -1},
    {"ISO8601", "UTC", "2018-11-23T09:00:00 x", -1},
    {"ISO8601", "UTC", "2018-11-23T09:00:00.", -1},
    {"ISO8601", "UTC", "1969-12-31T23:59:59", -1},
    {"ISO8601", "UTC", "", -1},
    {"UNIX", "UTC", "1542963600", S(1542963600)},
    {"UNIX", "UTC", "1542963600.5", S(1542963600) + 500000000},
    {"UNIX", "UTC", "now", -1},
    {"UNIX_MS", "local", "1542963600123", S(1542963600) + 123000000},
    {"UNIX_MS", "UTC", "1542963600.123", -1},
    {"UNIX_MS", "UTC", "9999999999999999", -1},
    {"UNIX_MS", "UTC", "9999999999999", -1}, /* 2286 */
    {"dd/MMM/yyyy:HH:mm:ss Z", "UTC", "23/Nov/2018:09:00:00 +0100", S(1542960000)},
    {"dd/MMM/yyyy:HH:mm:ss Z", "UTC", "23/nov/2018:09:00:00 +0000", S(1542963600)},
    {"dd/MMM/yyyy:HH:mm:ss Z", "UTC", "23/November/2018:09:00:00 Z", S(1542963600)},
    {"dd/MMM/yyyy:HH:mm:ss Z", "UTC", "23/Nob/2018:09:00:00 +0000", -1},
    {"dd/MMM/yyyy:HH:mm:ss Z", "UTC", "23/Novem/2018:09:00:00 +0000", -1},
    {"yyyy-MM-dd HH:mm:ss,SSS", "UTC", "2018-11-23 09:00:00,123", S(1542963600) + 123000000},
    {"yyyy-MM-dd HH:mm:ss,SSS", "UTC", "2018-11-23 09:00:00,123456", S(1542963600) + 123456000},
    {"yyyy-MM-dd HH:mm:ss,SSS", "UTC", "2018-11-23 09:00:00", -1},
    {"yyyy/MM/dd HH:mm:ss", "UTC", "2018/1/3 9:00:00", S(1514970000)},
    {"YYYY.MM.dd", "UTC", "2018.11.23", S(1542931200)},
    {"yyyyMMddHHmmssSSS", "UTC", "20181123090000123", S(1542963600) + 123000000},
    {"yyyyMMddHHmmss", "UTC", "20181123090", -1},
    {"yyyyMd", "UTC", "2018111", S(1515628800)},
    {"MMddSSSyyyy", "UTC", "11231232018", S(1542931200) + 123000000},
    {"yyyy-MM-dd'T'HH:mm:ss.SSSZZ", "UTC", "2018-11-23T09:00:00.5-01:00",
     S(1542967200) + 500000000},
    {"EEE MMM d HH:mm:ss yyyy", "UTC", "Fri Nov 23 09:00:00 2018", S(1542963600)},
    {"EEE, dd MMM yyyy hh:mm:ss a", "UTC", "Fri, 23 Nov 2018 09:00:00 AM", S(1542963600)},
    {"dd.MM.yyyy hh:mm a", "UTC", "23.11.2018 12:00 am", S(1542931200)},
    {"dd.MM.yyyy hh:mm a", "UTC", "23.11.2018 09:00 pm", S(1543006800)},
    {"dd.MM.yyyy hh:mm a", "UTC", "23.11.2018 13:00 pm", -1},
    {"yyyy 'o''clock' HH", "UTC", "2018 o'clock 09", S(1514797200)},
    {"yyyy 'o''clock' HH", "UTC", "2018 oclock 09", -1},
    {"yyyy''HH", "UTC", "2018'09", S(1514797200)},
};

static void test_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *formats[] = {(char *)(uintptr_t)cases[i].format, NULL};
        struct error e = {""};
        struct format_date *d = format_date_create(formats, cases[i].zone, &e);
        size_t n = strlen(cases[i].text);
        char *text = base_strndup(cases[i].text, n); /* a sanitizer sees what is read behind it */
        int64_t ns = -1;

        assert_string_equal(e.text, "");
        if (!format_date_read(d, bytes_of(text, n), &ns))
            ns = -1;
        if (ns != cases[i].ns)
            fail_msg("%s, %s: %lld", cases[i].format, cases[i].text, (long long)ns);
        free(text);
        format_date_free(d);
    }
}

static void test_the_first_that_fits(void **state)
{
    char *formats[] = {(char *)"yyyy-MM-dd", (char *)"UNIX", (char *)"ISO8601", NULL};
    struct format_date *d = format_date_create(formats, "UTC", NULL);
    int64_t ns;
    (void)state;

    assert_true(format_date_read(d, BYTES_LITERAL("1542963600"), &ns));
    assert_int_equal(ns, S(1542963600));
    assert_true(format_date_read(d, BYTES_LITERAL("2018-11-23T09:00:00Z"), &ns));
    assert_int_equal(ns, S(1542963600));
    assert_false(format_date_read(d, BYTES_LITERAL("yesterday"), &ns));
    format_date_free(d);
}

/* What is no format, and a word of the reason. */
static void test_refused(void **state)
{
    static const char *const refused[][3] = {
        {"MMM dd HH:mm:ss", "UTC", "has no year"},
        {"yy-MM-dd", "UTC", "a year has four digits"},
        {"yyyy-MM-dd z", "UTC", "z is not known"},
        {"yyyy ZZZ", "UTC", "Z is not known"},
        {"TAI64N", "UTC", "T is not known"},
        {"yyyy 'T", "UTC", "a quote has no end"},
        {"", "UTC", "has no year"},
        {"yyyy----------------------------------------------------------------", "UTC", "too long"},
        {"yyyy", "Europe/Oslo", "time_zone: \"Europe/Oslo\" is none of"},
        {"yyyy", "+25:00", "time_zone: "},
        {"yyyy", "+1:00", "time_zone: "},
        {"yyyy", "01:00", "time_zone: "},
        {"yyyy", "", "time_zone: "},
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        char *formats[] = {(char *)(uintptr_t)refused[i][0], NULL};
        struct error e = {""};

        assert_null(format_date_create(formats, refused[i][1], &e));
        if (!strstr(e.text, refused[i][2]))
            fail_msg("%s: %s", refused[i][0], e.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_the_first_that_fits),
        cmocka_unit_test(test_refused),
    };

    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
