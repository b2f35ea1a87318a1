#include "agent/inputs/files_name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static uint64_t index_of(const char *name, const char *stem)
{
    struct tail_name n;

    assert_true(files_name_parse(name, &n));
    assert_string_equal(n.stem, stem);
    assert_int_equal(n.compressed, strlen(name) > 3 && strcmp(name + strlen(name) - 3, ".gz") == 0);
    return n.index;
}

/* Each row from the live file to the oldest. */
static void rotated_names(void **state)
{
    static const char *const rows[][6] = {
        {"app.log", "app.log.1", "app.log.2.gz", "app.log.10", "app.log.99999"},
        {"app.log", "app.log-20240201.gz", "app.log-20240131", "app.log-20231231.gz"},
        {"app.log", "app-20240201.log", "app-20240131.log.gz"},
        {"app.log", "app.2024-02-01.log", "app.2024-01-31.log"},
        {"app.log", "app-2024-01-31.2.log.gz", "app-2024-01-31.1.log", "app-2024-01-30.9.log"},
        {"app.log", "app.log.2024-01-31-15", "app.log.2024-01-31-14.gz"},
        {"app.log", "app.log-1706659200", "app.log-1706572800.gz"},
        {"app.log", "app__2024-01-31_00-00-00.log", "app__2024-01-30_00-00-00.log"},
        {"catalina.out", "catalina.out.2024-01-31", "catalina.out.2024-01-30"},
        {"syslog", "syslog.1", "syslog.2.gz"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t before = 0;

        assert_int_equal(index_of(rows[i][0], rows[i][0]), 0);
        for (size_t k = 1; k < ARRAY_LEN(rows[i]) && rows[i][k]; k++) {
            uint64_t index = index_of(rows[i][k], rows[i][0]);

            assert_true(index > before);
            before = index;
        }
    }
}

static void names_of_their_own(void **state)
{
    static const char *const names[] = {
        "worker-1.log", "worker.1.log", "app-99999999.log", "10.0.0.1.log",   "1",        "2024",
        "20240131",     "app.01",       "app-1234567",      "app.log.100000", "a.log.1x", "v1"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_int_equal(index_of(names[i], names[i]), 0);
}

static void no_logs(void **state)
{
    static const char *const names[] = {"",          ".",          "..",   ".hidden",
                                        "a.log.bz2", "a.log.1.xz", "a.zst"};
    char name[NAME_MAX + 2];
    struct tail_name n;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_false(files_name_parse(names[i], &n));
    memset(name, 'x', sizeof name - 1);
    name[NAME_MAX + 1] = '\0';
    assert_false(files_name_parse(name, &n));
    name[NAME_MAX] = '\0';
    assert_true(files_name_parse(name, &n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rotated_names),
        cmocka_unit_test(names_of_their_own),
        cmocka_unit_test(no_logs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
