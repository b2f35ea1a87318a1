#include "agent/inputs/tail_turns.h"

#include "agent/base/clock.h"
#include "agent/inputs/tail_reading.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/resource.h>

#define TURN_BYTES (2 * TAIL_CHUNK_BYTES) /* what other sources may have to wait for */
#define TURN_LOGS 256                     /* of which most have a line or two */
#define RESERVED_DESCRIPTORS 128

/* Raises the limit as far as it goes. Returns the number from which on descriptors are left to
 * others. */
static int raise_descriptor_limit(void)
{
    struct rlimit limit;
    rlim_t most;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return INT_MAX;
    if (limit.rlim_cur < limit.rlim_max) {
        most = limit.rlim_cur;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
            limit.rlim_cur = most;
    }
    most = MIN(limit.rlim_cur, (rlim_t)INT_MAX);
    return (int)(most - MIN(most / 4, (rlim_t)RESERVED_DESCRIPTORS));
}

void tail_turns_init(struct tail_shared *s, const struct tail_kind *kind, struct intake *in)
{
    s->kind = kind;
    s->intake = in;
    s->buffer = intake_buffer(in);
    s->scratch = base_alloc(TAIL_SCRATCH_BYTES);
    s->spare_from = raise_descriptor_limit();
    s->now_ms = clock_mono_ms();
}

void tail_turns_fini(struct tail_shared *s)
{
    free(s->scratch);
    s->scratch = NULL;
}

bool tail_turns_run(struct tail_shared *s)
{
    size_t done = 0, rounds = 0;

    while (s->ready && done < TURN_BYTES && rounds++ < TURN_LOGS) {
        struct tail_log *log;

        if (!intake_has_room(s->intake, BUFFER_CAN_WAIT, 2 * TAIL_CHUNK_BYTES))
            return false;
        log = tail_log_take_ready(s);
        switch (tail_reading_turn(log, &done)) {
        case TAIL_TURN_FULL:
            tail_log_set_ready(log);
            return false;
        case TAIL_TURN_MORE:
            tail_log_set_ready(log);
            break;
        case TAIL_TURN_IDLE:
            break;
        }
    }
    return true;
}
