/* run: the agent in the foreground. */
#ifndef BARGE_COMMAND_RUN_H
#define BARGE_COMMAND_RUN_H

/* Runs until SIGTERM or SIGINT. config_path NULL: the defaults. Returns the exit status of the
 * contract: 0 done, 1 failed at run time, 2 wrong configuration or a buffer of a newer version. */
int command_run(const char *config_path);

#endif
