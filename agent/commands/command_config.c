/* check and config: the configuration, validated and shown. */
#include "agent/commands/commands.h"

#include "agent/base/strbuf.h"
#include "agent/commands/verify.h"
#include "agent/config/config.h"
#include "outputs/elasticsearch/es_http.h"

#include <stdio.h>

static void print_problems(const char *path, const struct config_problems *problems)
{
    for (size_t i = 0; i < problems->n; i++) {
        const struct config_problem *p = &problems->list[i];

        if (p->line)
            fprintf(stderr, "%s:%u:%u: %s\n", path, p->line, p->column, p->text);
        else
            fprintf(stderr, "%s: %s\n", path, p->text);
    }
}

struct config *commands_load(const struct arguments *a)
{
    struct config_problems problems;
    struct config *c = config_load(a->config, &problems);

    print_problems(a->config, &problems);
    config_problems_fini(&problems);
    return c;
}

int command_check(const struct arguments *a)
{
    struct config_problems problems;
    struct config *c = commands_load(a);
    struct error e;
    int status = EXIT_DONE;

    if (!c)
        return EXIT_WRONG;
    if (!config_check_files(c, &problems)) {
        print_problems(a->config, &problems);
        status = EXIT_WRONG;
    } else if (c->output_kind == OUTPUT_ELASTICSEARCH &&
               es_http_check(&c->elasticsearch, &e) != 0) {
        config_problems_fini(&problems);
        config_refuse(c, e.text, &problems);
        print_problems(a->config, &problems);
        status = EXIT_WRONG;
    }
    config_problems_fini(&problems);
    if (!verify_config(c, &problems)) {
        print_problems(a->config, &problems);
        status = EXIT_WRONG;
    }
    config_problems_fini(&problems);
    config_free(c);
    return status;
}

int command_config(const struct arguments *a)
{
    struct config *c = commands_load(a);
    struct strbuf text = {0};

    if (!c)
        return EXIT_WRONG;
    config_print(c, &text);
    fwrite(text.p, 1, text.n, stdout);
    strbuf_fini(&text);
    config_free(c);
    return EXIT_DONE;
}
