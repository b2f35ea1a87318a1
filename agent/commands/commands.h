/*
 * commands: the command line. One table says what there is; usage, help and the nearest name of a
 * misspelt one are made from it.
 */
#ifndef BARGE_COMMANDS_H
#define BARGE_COMMANDS_H

#include "agent/base/base.h"

#define COMMANDS_CONFIG "/etc/barge/barge.yaml" /* read when there is no -c and it is there */

struct config;

struct arguments {
    const char
        *config; /* the file to read: of -c, else COMMANDS_CONFIG when it is there, else NULL */
    char **rest; /* what is neither command nor option; ends with NULL */
    size_t n_rest;
};

struct command {
    const char *name;
    const char *usage; /* what follows the name */
    const char *help;  /* one sentence, without a full stop */
    bool takes_config; /* -c FILE */
    size_t min_rest, max_rest;
    int (*fn)(const struct arguments *a); /* returns the exit status */
};

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_WRONG = 2 }; /* the contract's exit statuses */

/* The whole program: argv of main, its exit status. */
int commands_main(int argc, char **argv);

/* The configuration of a->config, or NULL when it is wrong: the problems stand on standard error
 * then, one `FILE:LINE:COLUMN: what is wrong` a line. */
struct config *commands_load(const struct arguments *a);

/* The commands with files of their own. */
int command_check(const struct arguments *a);
int command_config(const struct arguments *a);
int command_status(const struct arguments *a);
int command_buffer(const struct arguments *a);
int command_replay(const struct arguments *a);

#endif
