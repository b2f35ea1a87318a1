#include "agent/loop/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cmocka.h>

struct scene {
    struct loop *loop;
    struct loop_io *io, *other;
    struct loop_timer *first, *second;
    int called, turns, order[4], n;
};

static void on_readable(void *arg, uint32_t events)
{
    struct scene *s = arg;

    assert_true(events & EPOLLIN);
    s->called++;
    /* Both are ready in this round: the one removed here must not be called any more. */
    loop_io_remove(&s->io);
    loop_io_remove(&s->other);
    loop_stop(s->loop);
}

static void removed_handles_are_not_called(void **state)
{
    struct scene s = {.loop = loop_create()};
    int a[2], b[2];

    (void)state;
    assert_int_equal(pipe(a), 0);
    assert_int_equal(pipe(b), 0);
    s.io = loop_io_add(s.loop, a[0], EPOLLIN, on_readable, &s);
    s.other = loop_io_add(s.loop, b[0], EPOLLIN, on_readable, &s);
    assert_int_equal(write(a[1], "x", 1), 1);
    assert_int_equal(write(b[1], "x", 1), 1);
    loop_run(s.loop);
    assert_int_equal(s.called, 1);
    assert_null(s.io);
    assert_null(s.other);
    loop_destroy(s.loop);
    for (int i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
    }
}

static void on_first(void *arg)
{
    struct scene *s = arg;

    s->order[s->n++] = 1;
    assert_false(loop_timer_armed(s->first));
}

static void on_second(void *arg)
{
    struct scene *s = arg;

    s->order[s->n++] = 2;
    loop_stop(s->loop);
}

static void timers_fire_once_in_order(void **state)
{
    struct scene s = {.loop = loop_create()};

    (void)state;
    s.first = loop_timer_add(s.loop, on_first, &s);
    s.second = loop_timer_add(s.loop, on_second, &s);
    loop_timer_set(s.second, 30);
    loop_timer_set(s.first, 1);
    loop_run(s.loop);
    assert_int_equal(s.n, 2);
    assert_int_equal(s.order[0], 1);
    assert_int_equal(s.order[1], 2);
    loop_timer_remove(&s.first);
    loop_timer_remove(&s.second);
    loop_destroy(s.loop);
}

static bool three_turns(void *arg)
{
    struct scene *s = arg;

    if (++s->turns == 3)
        loop_stop(s->loop);
    return true;
}

static void never_fires(void *arg)
{
    (void)arg;
    fail_msg("the loop waited for a timer");
}

/* Neither between turns nor before the first: what was there already is no event. */
static void more_work_does_not_wait(void **state)
{
    struct scene s = {.loop = loop_create()};
    struct loop_timer *late = loop_timer_add(s.loop, never_fires, &s);

    (void)state;
    loop_timer_set(late, 1000);
    loop_set_turn(s.loop, three_turns, &s);
    loop_run(s.loop);
    assert_int_equal(s.turns, 3);
    loop_timer_remove(&late);
    loop_destroy(s.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(removed_handles_are_not_called),
        cmocka_unit_test(timers_fire_once_in_order),
        cmocka_unit_test(more_work_does_not_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
