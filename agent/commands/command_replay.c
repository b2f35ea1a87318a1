/* replay: dead letters back in front of the output. */
#include "agent/commands/commands.h"

#include "agent/config/config.h"
#include "outputs/dead_letters.h"

#include <stdio.h>

int command_replay(const struct arguments *a)
{
    struct config *c = commands_load(a);
    struct error e;
    int n;

    if (!c)
        return EXIT_WRONG;
    n = dead_letters_replay(c->data_dir, a->n_rest ? a->rest : NULL, &e);
    if (n < 0)
        fprintf(stderr, "barge: %s\n", e.text);
    else if (n == 0)
        printf("there are no dead letters under %s\n", c->data_dir);
    else
        printf("%d %s handed over; the running agent, or the next one, sends %s again\n", n,
               n == 1 ? "file was" : "files were", n == 1 ? "it" : "them");
    config_free(c);
    return n < 0 ? EXIT_FAILED : EXIT_DONE;
}
