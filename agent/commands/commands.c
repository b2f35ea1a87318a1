#include "agent/commands/commands.h"

#include "agent/base/log.h"
#include "agent/base/version.h"
#include "agent/commands/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int run(const struct arguments *a);
static int help(const struct arguments *a);
static int version(const struct arguments *a);

static const struct command commands[] = {
    {.name = "run",
     .usage = "[-c FILE]",
     .help = "the agent, in the foreground, its own log on standard error",
     .takes_config = true,
     .fn = run},
    {.name = "check",
     .usage = "[-c FILE]",
     .help = "validates the configuration: silent and 0 when it holds, else 2 and one "
             "FILE:LINE:COLUMN: what is wrong a line",
     .takes_config = true,
     .fn = command_check},
    {.name = "config",
     .usage = "[-c FILE]",
     .help = "the effective configuration, defaults included, passwords masked",
     .takes_config = true,
     .fn = command_config},
    {.name = "trace",
     .usage = "[-c FILE] ID... [--since 24h] [--json] [--follow [--quiet 30s]] [--full] [--wrap] "
              "[--width N]",
     .help = "every record of one request (its request id or trace id) over all services, oldest "
             "first, from the configured output",
     .takes_config = true,
     .min_rest = 1,
     .max_rest = 100,
     .fn = command_trace,
     .options = "since= json follow quiet= full wrap width=",
     .details = "    --since    how far back: a duration (24h, 7d), or a time "
                "(2018-11-23T09:00:00Z)\n"
                "    --json     the documents as they are kept, one a line\n"
                "    --follow   goes on with what comes, until Ctrl-C\n"
                "    --quiet    ... or until nothing came for so long\n"
                "    --full     stack traces and messages of many lines whole\n"
                "    --wrap     long messages go on in the next line, instead of ending with ...\n"
                "    --width    columns, when it is not a terminal's; 0: no limit\n"
                "    exit status 1: nothing was found, or not all could be read\n"},
    {.name = "status",
     .usage = "[-c FILE]",
     .help = "the running agent's figures, what is wrong first",
     .takes_config = true,
     .fn = command_status},
    {.name = "top",
     .usage = "[-c FILE]",
     .help = "the same live, with rates, once a second; q ends",
     .takes_config = true,
     .fn = command_top},
    {.name = "buffer",
     .usage = "status|verify|export DIR",
     .help = "reads a buffer without a running agent; export writes its undelivered documents as "
             "bulk NDJSON",
     .min_rest = 2,
     .max_rest = 2,
     .fn = command_buffer},
    {.name = "replay",
     .usage = "[-c FILE] [DEADLETTER...]",
     .help = "puts dead letters (all of them, or these files) back in front of the output",
     .takes_config = true,
     .max_rest = SIZE_MAX,
     .fn = command_replay},
    {.name = "setup",
     .usage = "[-c FILE] [--kibana URL [--overwrite]] [--prune] [--dry-run]",
     .help = "puts index template, retention and Kibana's dashboards in place; says what it did, "
             "and leaves what somebody else made",
     .details =
         "    --kibana URL   import data views, saved searches and dashboards, too\n"
         "    --overwrite    … over those that are there and were changed\n"
         "    --prune        instead, delete daily indices older than retention, by name: for "
         "nodes that\n"
         "                   cannot do it themselves\n"
         "    --dry-run      only say what would be done\n",
     .takes_config = true,
     .options = "kibana= overwrite prune dry-run",
     .fn = command_setup},
    {.name = "import",
     .usage = "[-o FILE] FILE...",
     .help = "barge's configuration for a pipeline of Logstash, to standard output; what it cannot "
             "express is named by line, and stands there as a comment",
     .details =
         "    FILE...    the pipeline's files, its folder, a pattern in quotes, or - for standard "
         "input\n"
         "    -o FILE    write the configuration to FILE instead\n"
         "    exit status 0: nothing was left out, 1: something was, 2: it is no pipeline that can "
         "be read\n",
     .min_rest = 1,
     .max_rest = SIZE_MAX,
     .options = "o=",
     .fn = command_import},
    {.name = "help",
     .usage = "[COMMAND]",
     .help = "this, or one command's part of it",
     .max_rest = 1,
     .fn = help},
    {.name = "version", .usage = "", .help = "the version", .fn = version},
};

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static int run(const struct arguments *a)
{
    if (!a->config)
        log_info("no configuration file, the defaults are in force",
                 LOG_STR("looked_for", COMMANDS_CONFIG));
    return command_run(a->config);
}

static int version(const struct arguments *a)
{
    (void)a;
    printf("barge %s\n", BARGE_VERSION);
    return EXIT_DONE;
}

static void print_usage(FILE *to)
{
    fprintf(to, "barge ships the logs of containers: Docker's files and GELF, over a buffer on\n"
                "disk, to Elasticsearch or to daily files.\n\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        fprintf(to, "  barge %s%s%s\n      %s\n", commands[i].name, *commands[i].usage ? " " : "",
                commands[i].usage, commands[i].help);
    fprintf(to,
            "\nFILE is %s unless -c says otherwise; without any file the defaults hold.\n"
            "`barge -c FILE` is `barge run -c FILE`.\n",
            COMMANDS_CONFIG);
}

/* How many letters of two words differ at worst; enough to tell a slip of the finger. */
static size_t differences(const char *a, const char *b)
{
    size_t same_head = 0, same_tail = 0, n = strlen(a), m = strlen(b), longest = MAX(n, m);

    while (same_head < MIN(n, m) && a[same_head] == b[same_head])
        same_head++;
    while (same_tail < MIN(n, m) - same_head && a[n - 1 - same_tail] == b[m - 1 - same_tail])
        same_tail++;
    return longest - same_head - same_tail;
}

static int unknown_command(const char *name)
{
    const struct command *nearest = NULL;

    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (!nearest || differences(name, commands[i].name) < differences(name, nearest->name))
            nearest = &commands[i];
    fprintf(stderr, "barge: there is no command %s; ", name);
    if (differences(name, nearest->name) < strlen(nearest->name))
        fprintf(stderr, "did you mean %s? ", nearest->name);
    fprintf(stderr, "`barge help` lists them\n");
    return EXIT_WRONG;
}

static int help(const struct arguments *a)
{
    const struct command *c;

    if (a->n_rest == 0) {
        print_usage(stdout);
        return EXIT_DONE;
    }
    c = find(a->rest[0]);
    if (!c)
        return unknown_command(a->rest[0]);
    printf("barge %s %s\n    %s\n%s", c->name, c->usage, c->help, c->details ? c->details : "");
    return EXIT_DONE;
}

static int wrong_use(const struct command *c, const char *why, const char *what)
{
    fprintf(stderr, "barge: %s%s\nusage: barge %s %s\n", why, what, c->name, c->usage);
    return EXIT_WRONG;
}

int commands_wrong_use(const char *name, const char *why, const char *what)
{
    return wrong_use(find(name), why, what);
}

const char *commands_option(const struct arguments *a, const char *name)
{
    for (size_t i = a->n_options; i > 0; i--)
        if (strcmp(a->options[i - 1].name, name) == 0)
            return a->options[i - 1].value;
    return NULL;
}

/* The option called name (n bytes) of c as it stands in c->options, NULL when there is none. */
static const char *find_option(const struct command *c, const char *name, size_t n)
{
    for (const char *p = c->options ? c->options : ""; *p;) {
        size_t len = strcspn(p, " ");

        if (n > 0 && strncmp(p, name, n) == 0 && (len == n || (len == n + 1 && p[n] == '=')))
            return p;
        p += len + (p[len] == ' ');
    }
    return NULL;
}

/* Takes the option **p with one dash and one letter, whose value may stand right behind it. */
static int take_letter(const struct command *c, struct arguments *a, char ***p)
{
    char *arg = **p;
    const char *o = find_option(c, arg + 1, 1);

    if (!o)
        return wrong_use(c, "unknown option ", arg);
    ASSERT(o[1] == '='); /* there are no others yet */
    if (a->n_options == COMMANDS_OPTIONS)
        return wrong_use(c, "too many options: ", arg);
    a->options[a->n_options].value = arg[2] ? arg + 2 : *++*p;
    if (!a->options[a->n_options].value)
        return wrong_use(c, "a value is missing behind ", arg);
    arg[0] = arg[1];
    arg[1] = '\0';
    a->options[a->n_options++].name = arg;
    return 0;
}

/* Takes the option **p, and what follows it when that is its value: then *p is moved on. Returns 0,
 * or the exit status. */
static int take_option(const struct command *c, struct arguments *a, char ***p)
{
    char *arg = **p, *name = arg + 2, *equals = strchr(name, '=');
    size_t n = equals ? (size_t)(equals - name) : strlen(name);
    const char *o = n > 1 ? find_option(c, name, n) : NULL;

    if (!o)
        return wrong_use(c, "unknown option ", arg);
    if (a->n_options == COMMANDS_OPTIONS)
        return wrong_use(c, "too many options: ", arg);
    a->options[a->n_options].name = name;
    a->options[a->n_options].value = "";
    if (o[n] == '=') {
        a->options[a->n_options].value = equals ? equals + 1 : *++*p;
        if (!a->options[a->n_options].value)
            return wrong_use(c, "a value is missing behind ", arg);
    } else if (equals) {
        return wrong_use(c, "this option takes no value: ", arg);
    }
    if (equals)
        *equals = '\0';
    a->n_options++;
    return 0;
}

/* Runs c with what follows its name. Options may stand anywhere before a "--". */
static int run_command(const struct command *c, char **args)
{
    struct arguments a = {.rest = args};
    bool only_names = false;

    for (char **p = args; *p; p++) {
        char *arg = *p;

        if (only_names || arg[0] != '-' || !arg[1]) {
            args[a.n_rest++] = arg;
        } else if (strcmp(arg, "--") == 0) {
            only_names = true;
        } else if (strcmp(arg, "-h") == 0 || strcmp(arg, "--help") == 0) {
            return help(&(struct arguments){.rest = (char *[]){(char *)(uintptr_t)c->name, NULL},
                                            .n_rest = 1});
        } else if (c->takes_config && strncmp(arg, "-c", 2) == 0) {
            a.config = arg[2] ? arg + 2 : *++p;
            if (!a.config)
                return wrong_use(c, "-c needs a FILE", "");
        } else {
            int status = arg[1] == '-' ? take_option(c, &a, &p) : take_letter(c, &a, &p);

            if (status)
                return status;
        }
    }
    args[a.n_rest] = NULL;
    if (a.n_rest < c->min_rest)
        return wrong_use(c, "something is missing", "");
    if (a.n_rest > c->max_rest)
        return wrong_use(c, "too much: ", args[c->max_rest]);
    if (c->takes_config && !a.config && access(COMMANDS_CONFIG, F_OK) == 0)
        a.config = COMMANDS_CONFIG;
    return c->fn(&a);
}

static int dispatch(char **argv)
{
    const char *first = argv[0] ? argv[1] : NULL;
    const struct command *c;

    if (!first) {
        print_usage(stderr);
        return EXIT_WRONG;
    }
    if (strcmp(first, "-h") == 0 || strcmp(first, "--help") == 0)
        return run_command(find("help"), argv + 2);
    if (strcmp(first, "--version") == 0)
        return run_command(find("version"), argv + 2);
    if (first[0] == '-')
        return run_command(find("run"), argv + 1);
    c = find(first);
    return c ? run_command(c, argv + 2) : unknown_command(first);
}

int commands_main(int argc, char **argv)
{
    int status;

    (void)argc;
    status = dispatch(argv);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_DONE)
        status = EXIT_FAILED;
    return status;
}
