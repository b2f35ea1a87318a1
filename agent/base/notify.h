/*
 * notify: what systemd wants to be told (sd_notify(3)'s protocol: a datagram to $NOTIFY_SOCKET).
 * Nothing happens where there is no such socket. Any thread.
 */
#ifndef BARGE_NOTIFY_H
#define BARGE_NOTIFY_H

#include <stdint.h>

/* state: "READY=1", "STOPPING=1", "WATCHDOG=1", "RELOADING=1", several separated by line feeds. */
void notify_state(const char *state);

/* RELOADING=1 with the time that Type=notify-reload wants beside it. READY=1 ends it. */
void notify_reloading(void);

/* The period within which WATCHDOG=1 is expected (WATCHDOG_USEC, for this process), in ms; 0: none
 * is expected. */
uint64_t notify_watchdog_ms(void);

#endif
