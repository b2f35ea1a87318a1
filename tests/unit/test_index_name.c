#include "agent/pipeline/index_name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* date -u -d '2018-11-23T23:59:59Z' +%s */
#define NOV_23_LAST_SECOND (1543017599 * 1000000000ll)

static void assert_name(const char *pattern, int64_t ns, const char *service, const char *want)
{
    struct index_name *n = index_name_create(pattern, NULL);
    struct bytes got;

    assert_non_null(n);
    got = index_name_for(n, ns, bytes_str(service));
    assert_int_equal(got.n, strlen(want));
    assert_memory_equal(got.p, want, got.n);
    index_name_free(n);
}

static void logstash_pattern(void **state)
{
    (void)state;
    assert_name("microservices-%{+YYYY.MM.dd}", NOV_23_LAST_SECOND, "", "microservices-2018.11.23");
    assert_name("microservices-%{+YYYY.MM.dd}", NOV_23_LAST_SECOND + 1000000000, "",
                "microservices-2018.11.24");
    assert_name("a-%{+yyyy-MM}-b", NOV_23_LAST_SECOND, "", "a-2018-11-b");
    assert_name("a-%{+YYYY.MM.dd.HH}", NOV_23_LAST_SECOND, "", "a-2018.11.23.23");
    assert_name("fixed", NOV_23_LAST_SECOND, "", "fixed");
    assert_name("leap-%{+YYYY.MM.dd}", 1709164800ll * 1000000000, "", "leap-2024.02.29");
}

static void service_is_made_legal(void **state)
{
    (void)state;
    assert_name("s-%{service.name}-%{+YYYY}", 0, "Shop/Orders*", "s-shop-orders--1970");
    assert_name("s-%{service.name}", 0, "", "s-unknown");
    assert_name("s-%{service.name}", 0, "../../etc", "s-..-..-etc");
}

static void cached_name_follows_the_instant(void **state)
{
    struct index_name *n = index_name_create("x-%{+YYYY.MM.dd}", NULL);

    (void)state;
    index_name_for(n, NOV_23_LAST_SECOND, BYTES_NONE);
    assert_true(
        bytes_is(index_name_for(n, NOV_23_LAST_SECOND + 1000000000, BYTES_NONE), "x-2018.11.24"));
    assert_true(bytes_is(index_name_for(n, NOV_23_LAST_SECOND, BYTES_NONE), "x-2018.11.23"));
    index_name_free(n);
}

static void wrong_patterns_are_named(void **state)
{
    struct error e;

    (void)state;
    assert_null(index_name_create("x-%{+YYYY.MM.dd", &e));
    assert_non_null(strstr(e.text, "without its }"));
    assert_null(index_name_create("x-%{host}", &e));
    assert_non_null(strstr(e.text, "%{host}"));
    assert_null(index_name_create("x-%{+xxxx}", &e));
    assert_non_null(strstr(e.text, "xxxx"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logstash_pattern),
        cmocka_unit_test(service_is_made_legal),
        cmocka_unit_test(cached_name_follows_the_instant),
        cmocka_unit_test(wrong_patterns_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
