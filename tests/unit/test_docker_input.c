/* The Docker input against a folder in which the test plays the engine: every line exactly once,
 * through every rotation. */
#include "tests/unit/docker_stage.h"

static void test_a_file_is_followed(void **state)
{
    (void)state;
    play_create(stage_id, "web");
    play_line(stage_id, "one");
    stage_start();
    stage_run_to(1);
    assert_text(0, "one");
    assert_string_equal(stage.records[0].name, "web");
    assert_string_equal(stage.records[0].container, stage_id);
    assert_int_equal(stage.records[0].stream, STREAM_STDOUT);
    assert_string_equal(stage.records[0].time_text, "2026-11-23T04:00:00.000000007Z");
    assert_true(stage.records[0].time_ns == 1795406400000000007);
    play_line(stage_id, "two");
    stage_run_to(2);
    assert_text(1, "two");
    assert_int_equal(stage.records[0].position, 0);
    assert_true(stage.records[0].source == stage.records[1].source);
    stage_end();
    stage_start();
    play_line(stage_id, "three");
    stage_run_to(3);
    assert_text(2, "three");
    stage_run_rounds(20);
    assert_int_equal(stage.n, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_file_is_followed, stage_setup, stage_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
