#include "agent/inputs/watch_table.h"

#include "agent/base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_whose_a_watch_is(void **state)
{
    static struct watch_table t;
    int one, two;

    (void)state;
    assert_null(watch_table_get(&t, 1));
    watch_table_put(&t, 1, &one);
    watch_table_put(&t, 1 + WATCH_TABLE_BUCKETS, &two);
    assert_ptr_equal(watch_table_get(&t, 1), &one);
    assert_ptr_equal(watch_table_get(&t, 1 + WATCH_TABLE_BUCKETS), &two);
    assert_null(watch_table_get(&t, 1 + 2 * WATCH_TABLE_BUCKETS));

    assert_ptr_equal(watch_table_take(&t, 1), &one);
    assert_null(watch_table_take(&t, 1));
    assert_null(watch_table_get(&t, 1));
    assert_ptr_equal(watch_table_get(&t, 1 + WATCH_TABLE_BUCKETS), &two);
    watch_table_fini(&t, NULL);
    assert_null(watch_table_get(&t, 1 + WATCH_TABLE_BUCKETS));
}

static void test_it_is_the_last_ones(void **state)
{
    static struct watch_table t;
    int one, two;

    (void)state;
    watch_table_put(&t, 7, &one);
    watch_table_put(&t, 7, &two);
    assert_ptr_equal(watch_table_take(&t, 7), &two);
    assert_null(watch_table_get(&t, 7));
}

static void count(void *of)
{
    ++*(unsigned *)of;
}

static void test_the_end(void **state)
{
    static struct watch_table t;
    unsigned gone[3 * WATCH_TABLE_BUCKETS] = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(gone); i++)
        watch_table_put(&t, (int)i, &gone[i]);
    watch_table_fini(&t, count);
    for (size_t i = 0; i < ARRAY_LEN(gone); i++) {
        assert_int_equal(gone[i], 1);
        assert_null(watch_table_get(&t, (int)i));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whose_a_watch_is),
        cmocka_unit_test(test_it_is_the_last_ones),
        cmocka_unit_test(test_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
