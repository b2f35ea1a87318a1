/* status: the running agent's figures, at a glance and then all of them. */
#include "agent/commands/commands.h"

#include "agent/commands/status_page.h"
#include "agent/commands/status_view.h"
#include "agent/commands/terminal.h"

#include <stdio.h>
#include <unistd.h>

#define TIMEOUT_S 5L

static int print_status(const char *page)
{
    const struct terminal terminal = terminal_of(STDOUT_FILENO);
    const struct status_view_options options = {.color = terminal.color};
    struct strbuf text = {0};
    struct error e;
    int status = EXIT_FAILED;

    if (status_view_add(page, NULL, 0, &options, &text, &e) < 0) {
        fprintf(stderr, "barge: %s\n", e.text);
    } else {
        strbuf_add_str(&text, "\n");
        status_view_add_all(page, &text);
        fwrite(text.p, 1, text.n, stdout);
        status = EXIT_DONE;
    }
    strbuf_fini(&text);
    return status;
}

int command_status(const struct arguments *a)
{
    struct config *c = commands_load(a);
    struct strbuf page = {0};
    struct error e;
    int status = EXIT_FAILED;

    if (!c)
        return EXIT_WRONG;
    if (status_page_get(c, TIMEOUT_S, &page, &e) < 0)
        fprintf(stderr, "barge: %s\n", e.text);
    else
        status = print_status(page.p);
    strbuf_fini(&page);
    config_free(c);
    return status;
}
