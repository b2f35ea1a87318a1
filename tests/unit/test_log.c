/* The agent's own log: what repeats is folded. The clock is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint64_t now_ms = 1000;

uint64_t clock_mono_ms(void)
{
    return now_ms;
}

uint64_t clock_mono_ns(void)
{
    return now_ms * 1000000;
}

int64_t clock_wall_ns(void)
{
    return 0;
}

static FILE *catcher;
static int real_stderr;

static int catch (void **state)
{
    (void)state;
    catcher = tmpfile();
    real_stderr = dup(STDERR_FILENO);
    dup2(fileno(catcher), STDERR_FILENO);
    return 0;
}

static int let_go(void **state)
{
    (void)state;
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    fclose(catcher);
    return 0;
}

/* What was written since the last call, in a buffer of its own for the caller. */
static const char *said(void)
{
    static char text[8192];
    static long from;
    long end;

    fseek(catcher, 0, SEEK_END);
    end = ftell(catcher);
    if (from > end)
        from = 0;
    fseek(catcher, from, SEEK_SET);
    text[fread(text, 1, MIN(sizeof text - 1, (size_t)(end - from)), catcher)] = '\0';
    from = end;
    return text;
}

static void complain(const char *host, const char *reason, unsigned n)
{
    log_warn("not delivered", LOG_STR("host", host), LOG_STR("reason", reason), LOG_U64("n", n));
}

static void test_the_same_is_told_ever_more_rarely(void **state)
{
    static const uint64_t told_s[] = {0, 10, 30, 70, 150, 310, 610, 910};
    unsigned told = 0, calls = 0;
    char reason[40];
    (void)state;

    now_ms = 1000;
    for (uint64_t s = 0; s <= 910; s += 5, now_ms += 5000, calls++) {
        snprintf(reason, sizeof reason, "refused after %llu ms", (unsigned long long)s);
        complain("a:9200", reason, calls);
        if (*said() == '\0')
            continue;
        assert_true(told < ARRAY_LEN(told_s));
        assert_int_equal(s, told_s[told++]);
    }
    assert_int_equal(told, ARRAY_LEN(told_s));
    /* Another reason is told as soon as ten seconds have passed, with the count of what was not. */
    now_ms += 5000;
    complain("a:9200", "unauthorised", 0);
    assert_non_null(strstr(said(), "reason=unauthorised"));
    now_ms += 9000;
    complain("b:9200", "unauthorised", 0);
    assert_string_equal(said(), "");
    now_ms += 1000;
    complain("b:9200", "unauthorised", 0);
    assert_non_null(strstr(said(), "host=b:9200 reason=unauthorised n=0 repeated=1\n"));
}

static void test_after_a_pause_it_is_news_again(void **state)
{
    (void)state;
    now_ms = 10000000;
    for (int i = 0; i < 60; i++, now_ms += 10000)
        complain("a", "refused", 0);
    said();
    now_ms += 50000;
    complain("a", "refused", 0);
    assert_true(*said() != '\0');
    now_ms += 10000;
    complain("a", "refused", 0);
    assert_true(*said() != '\0');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_same_is_told_ever_more_rarely, catch, let_go),
        cmocka_unit_test_setup_teardown(test_after_a_pause_it_is_news_again, catch, let_go),
    };

    log_init(LOG_INFO, LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
