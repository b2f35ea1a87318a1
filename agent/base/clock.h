/*
 * clock: the two clocks. Monotonic for every timer and time-out, wall for what is shown and
 * stamped. Any thread.
 */
#ifndef BARGE_CLOCK_H
#define BARGE_CLOCK_H

#include <stdint.h>

/* Milliseconds since an unspecified start; never goes back (CLOCK_MONOTONIC). */
uint64_t clock_mono_ms(void);
uint64_t clock_mono_ns(void);

/* Nanoseconds since 1970-01-01T00:00:00Z (CLOCK_REALTIME); may jump. */
int64_t clock_wall_ns(void);

#endif
