/* status_view: the figures of a page at a glance; golden screens. */
#include "agent/commands/status_view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const char now[] =
    "{\"version\":\"1.2\",\"uptime_s\":3725,"
    "\"ledger\":{\"read\":1000,\"delivered\":900,\"duplicate\":3,\"dead_lettered\":0,\"buffered\":"
    "95,"
    "\"dropped\":{\"buffer_full\":2,\"damaged\":0}},"
    "\"inputs\":{\"docker\":{\"containers\":4,\"lines\":12345,\"bytes\":4096,\"lag_bytes\":1572864}"
    ","
    "\"kubernetes\":{\"containers\":2,\"lines\":5,\"bytes\":7,\"lag_bytes\":0},"
    "\"gelf\":{\"messages\":10,\"bytes\":20480,\"kernel_dropped\":7}},"
    "\"services\":[{\"name\":\"orders\",\"records\":12000,\"bytes\":4000},"
    "{\"name\":\"a.b\\u001b\",\"records\":300,\"bytes\":90},"
    "{\"name\":\"new\",\"records\":5,\"bytes\":0}],"
    "\"buffer\":{\"bytes\":805306368,\"max_bytes\":1073741824,\"oldest_age_s\":61},"
    "\"output\":{\"breaker\":\"open\",\"in_flight\":1,\"concurrency\":8,\"latency_ms\":31,"
    "\"requests\":50,\"bytes\":1048576,\"last_error\":\"es1: \\u001b[2Jrefused\"}}";

static const char before[] = "{\"uptime_s\":3723,\"ledger\":{\"delivered\":700},"
                             "\"inputs\":{\"docker\":{\"lines\":10345,\"bytes\":2048},"
                             "\"kubernetes\":{\"lines\":3,\"bytes\":5},\"gelf\":{"
                             "\"messages\":10,\"bytes\":0}},"
                             "\"services\":[{\"name\":\"a.b\\u001b\",\"records\":100,"
                             "\"bytes\":0},{\"name\":\"orders\",\"records\":12000,"
                             "\"bytes\":4000}],"
                             "\"output\":{\"requests\":45,\"bytes\":0}}";

static const char earlier_life[] = "{\"uptime_s\":9999,\"ledger\":{\"delivered\":7}}";

static void check(const char *page_before, const struct status_view_options *options,
                  const char *wanted)
{
    struct strbuf to = {0};

    assert_int_equal(status_view_add(now, page_before, 2, options, &to, NULL), 0);
    if (strcmp(to.p, wanted) != 0)
        print_error("wanted:\n%s\nis:\n%s\n", wanted, to.p);
    assert_true(strcmp(to.p, wanted) == 0);
    strbuf_fini(&to);
}

#define TROUBLES                                                                                   \
    "barge 1.2, up 1 h 2 min\n"                                                                    \
    "! the output does not take records (breaker open): es1: ^[[2Jrefused\n"                       \
    "! 2 dropped because the buffer was full\n"                                                    \
    "! 7 datagrams dropped by the kernel; raise net.core.rmem_max and "                            \
    "inputs.gelf.receive_buffer\n"                                                                 \
    "\n"
#define BUFFER                                                                                     \
    "\n"                                                                                           \
    "buffer     ███████████████░░░░░ 75 % of 1.0 GiB  95 records, oldest 1 min 1 s\n"
#define REST                                                                                       \
    "dropped    2 buffer_full\n"                                                                   \
    "last error es1: ^[[2Jrefused\n"

static void test_totals(void **state)
{
    static const struct status_view_options plain = {0};
    static const char wanted[] =
        TROUBLES "                     records\n"
                 "docker                12,345  lag 1.5 MiB, containers 4\n"
                 "kubernetes                 5  lag 0 B, containers 2\n"
                 "gelf                      10  7 dropped by the kernel\n"
                 "delivered                900  95 on their way, 3 there already\n"
                 "services\n"
                 "                      12,000  orders\n"
                 "                         300  a.b^[\n"
                 "                           5  new\n" BUFFER
                 "output     breaker open  1 of 8 requests under way, 31 ms each\n" REST;

    (void)state;
    check(NULL, &plain, wanted);
    check(earlier_life, &plain, wanted); /* its counters are no measure */
}

static void test_rates(void **state)
{
    static const struct status_view_options plain = {0};

    (void)state;
    check(before, &plain,
          TROUBLES
          "               records/s      bytes/s          records\n"
          "docker             1,000      1.0 KiB           12,345  lag 1.5 MiB, containers 4\n"
          "kubernetes             1          1 B                5  lag 0 B, containers 2\n"
          "gelf                   0     10.0 KiB               10  7 dropped by the kernel\n"
          "delivered            100      512 KiB              900  95 on their way, 3 there "
          "already\n"
          "services\n"
          "                     100         45 B              300  a.b^[\n"
          "                       0          0 B           12,000  orders\n"
          "                       -            -                5  new\n" BUFFER
          "output     breaker open  1 of 8 requests under way, 2.5/s, 31 ms each\n" REST);
}

static void test_narrow_and_coloured(void **state)
{
    static const struct status_view_options options = {.width = 40, .color = true};
    struct strbuf to = {0};

    (void)state;
    assert_int_equal(status_view_add(now, NULL, 0, &options, &to, NULL), 0);
    assert_non_null(strstr(to.p, "\x1b[31m! the output does not take records (bre…\x1b[0m\n"));
    assert_non_null(strstr(to.p, "docker                12,345  lag 1.5 M…\n"));
    strbuf_fini(&to);
}

static void test_all(void **state)
{
    struct strbuf to = {0};

    (void)state;
    status_view_add_all(
        "{\"version\":\"1\",\"a\":{\"n\":1234,\"lag_bytes\":2048,\"text\":\"\\u001bx\","
        "\"b\":{\"age_s\":5}},\"c\":[{\"name\":\"x\",\"n\":1},{\"name\":\"y\"},7]}",
        &to);
    assert_string_equal(to.p, "version                      1\n"
                              "\n"
                              "a\n"
                              "  n                                     1,234\n"
                              "  lag_bytes                           2.0 KiB\n"
                              "  text                       ^[x\n"
                              "  b\n"
                              "    age_s                                 5 s\n"
                              "\n"
                              "c\n"
                              "  name                       x\n"
                              "  n                                         1\n"
                              "  name                       y\n");
    strbuf_fini(&to);
}

static void test_what_is_no_page(void **state)
{
    static const char *const wrong[] = {"", "{}", "[]", "<html>", "{\"ledger\"", "7"};
    static const struct status_view_options plain = {0};
    struct strbuf to = {0};
    struct error e;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        assert_int_equal(status_view_add(wrong[i], NULL, 0, &plain, &to, &e), -1);
        assert_non_null(strstr(e.text, "no barge"));
        assert_int_equal(to.n, 0);
    }
    strbuf_fini(&to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_totals),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_narrow_and_coloured),
        cmocka_unit_test(test_all),
        cmocka_unit_test(test_what_is_no_page),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
