/*
 * signals: SIGTERM, SIGINT and SIGHUP in a thread of their own, which nothing else can hold up: the
 * second signal to stop ends the process even while the agent waits for a disk, and the first one
 * does while it still starts. Ending at any moment loses nothing that was accepted.
 */
#ifndef BARGE_SIGNALS_H
#define BARGE_SIGNALS_H

/* Blocks them in this thread and in those that it makes; what comes from now on waits for
 * signals_start. SIGPIPE and SIGXFSZ become errors of their calls. */
void signals_block(void);

/* From now on on_reload(arg) is called for SIGHUP; for SIGTERM and
 * SIGINT the process ends with 0 at once. All in the thread of the signals. */
void signals_start(void (*on_reload)(void *arg), void *arg);

/* From now on on_stop(arg, "SIGTERM") is called for the first signal to stop, and the second ends
 * the process with 0 at once. */
void signals_expect_stop(void (*on_stop)(void *arg, const char *name));

/* Neither is called any more once this returns; arg may go. A signal to stop still ends the
 * process. Also when nothing was started. */
void signals_call_nobody(void);

#endif
