/* setup: index template, retention and dashboards, where they belong. */
#include "agent/commands/commands.h"

#include "agent/base/log.h"
#include "agent/config/config.h"
#include "agent/config/config_value.h"
#include "outputs/elasticsearch/es_kibana.h"
#include "outputs/elasticsearch/es_setup.h"

#include <stdio.h>
#include <time.h>

static void say(void *arg, enum es_setup_word word, const char *text)
{
    bool *missing = arg;

    if (word == ES_SETUP_MISSING)
        *missing = true;
    printf("%s\n", text);
    fflush(stdout);
}

/* Template and retention, or the deleting of old indices. */
static int set_up_node(const struct es_setup_options *o, bool prune, struct error *e)
{
    struct es_client *c = es_client_create(o->settings, &(struct es_client_options){0}, e);
    int rc = -1;

    if (!c)
        return -1;
    if (prune)
        rc = es_setup_prune(c, o, (uint64_t)time(NULL) * 1000, e);
    else
        rc = es_setup_run(c, o, e) == ES_SETUP_AWAY ? -1 : 0;
    es_client_destroy(c);
    return rc;
}

static int run(const struct arguments *a, const struct config *c)
{
    const char *kibana = commands_option(a, "kibana");
    bool prune = commands_option(a, "prune") != NULL, missing = false;
    struct es_setup_options o = {
        .settings = &c->elasticsearch,
        .retention_ms = config_retention_ms(c),
        .figures = c->self_index,
        .dry_run = commands_option(a, "dry-run") != NULL,
        .say = say,
        .arg = &missing,
    };
    struct error e = {""};
    int rc;

    if (kibana && config_value_check_url(kibana, &e) < 0)
        return commands_wrong_use("setup", "--kibana: ", e.text);
    rc = set_up_node(&o, prune, &e);
    if (rc == 0 && kibana)
        rc = es_kibana_import(kibana, commands_option(a, "overwrite") != NULL, &o, &e);
    if (rc < 0)
        fprintf(stderr, "barge: %s\n", e.text);
    return rc < 0 || missing ? EXIT_FAILED : EXIT_DONE;
}

int command_setup(const struct arguments *a)
{
    struct config *c = commands_load(a);
    int status = EXIT_DONE;

    if (!c)
        return EXIT_WRONG;
    log_init(LOG_WARN, c->log_format);
    if (c->output_kind == OUTPUT_FILE)
        printf("the output is daily files: there is nothing to set up\n");
    else
        status = run(a, c);
    config_free(c);
    return status;
}
