/*
 * commands: the command line. One table says what there is; usage, help and the nearest name of a
 * misspelt one are made from it.
 */
#ifndef BARGE_COMMANDS_H
#define BARGE_COMMANDS_H

#include "agent/base/base.h"

#define COMMANDS_CONFIG "/etc/barge/barge.yaml" /* read when there is no -c and it is there */
#define COMMANDS_OPTIONS 16                     /* that one call may have, -c left out */

struct config;

struct arguments {
    const char
        *config; /* the file to read: of -c, else COMMANDS_CONFIG when it is there, else NULL */
    char **rest; /* what is neither command nor option; ends with NULL */
    size_t n_rest;
    struct {
        const char *name, *value; /* value: "" of an option that takes none */
    } options[COMMANDS_OPTIONS];
    size_t n_options;
};

struct command {
    const char *name;
    const char *usage; /* what follows the name */
    const char *help;  /* one sentence, without a full stop */
    bool takes_config; /* -c FILE */
    size_t min_rest, max_rest;
    int (*fn)(const struct arguments *a); /* returns the exit status */
    const char *options; /* "since= json o=": = for those that take a value, one letter for those
                            with one dash; or NULL */
    const char *details; /* more lines of its help, each with its line feed; or NULL */
};

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_WRONG = 2 }; /* the contract's exit statuses */

/* The whole program: argv of main, its exit status. */
int commands_main(int argc, char **argv);

/* The value of an option ("" for one that takes none), NULL when it was not given. Of several
 * the last. */
const char *commands_option(const struct arguments *a, const char *name);

/* Says on standard error what is wrong with the use of the command called name, and how it is
 * used. Returns EXIT_WRONG. */
int commands_wrong_use(const char *name, const char *why, const char *what);

/* The configuration of a->config, or NULL when it is wrong: the problems stand on standard error
 * then, one `FILE:LINE:COLUMN: what is wrong` a line. */
struct config *commands_load(const struct arguments *a);

/* The commands with files of their own. */
int command_check(const struct arguments *a);
int command_config(const struct arguments *a);
int command_status(const struct arguments *a);
int command_buffer(const struct arguments *a);
int command_replay(const struct arguments *a);
int command_trace(const struct arguments *a);
int command_setup(const struct arguments *a);
int command_top(const struct arguments *a);
int command_import(const struct arguments *a);

#endif
