/*
 * es_setup: puts index template and retention in place in a node, and deletes daily indices that
 * are too old for it where the node cannot do that itself. What an operator has changed or made is
 * named and left alone; a second run changes nothing. Blocks; one thread at a time with its client.
 */
#ifndef BARGE_ES_SETUP_H
#define BARGE_ES_SETUP_H

#include "agent/config/config.h"
#include "outputs/elasticsearch/es_client.h"

#define ES_SETUP_FIGURES "barge-figures-%{+YYYY.MM.dd}" /* where self_index writes */

enum es_setup_word {
    ES_SETUP_DID,     /* made or replaced; with dry_run: would be */
    ES_SETUP_SAME,    /* is as it should be */
    ES_SETUP_LEFT,    /* somebody else's, left alone */
    ES_SETUP_MISSING, /* the node cannot do it, or would not */
};

struct es_setup_options {
    const struct elasticsearch_settings *settings;
    uint64_t retention_ms; /* 0: for ever */
    bool figures;          /* the template of self_index, too */
    bool dry_run;          /* only look */
    /* Called with a sentence for each thing that was looked at. */
    void (*say)(void *arg, enum es_setup_word word, const char *text);
    void *arg;
};

enum es_setup_result {
    ES_SETUP_DONE,    /* all said; whatever could be put in place is */
    ES_SETUP_REFUSED, /* this user may not; said */
    ES_SETUP_AWAY,    /* nobody answers, or not sensibly: *e. To be tried again */
};

enum es_setup_result es_setup_run(struct es_client *c, const struct es_setup_options *o,
                                  struct error *e);

/* Deletes the indices whose name is one that the configured daily pattern gives and whose whole day
 * lies more than retention_ms before now_ms (ms since 1970), one by one by its name. -1 with *e:
 * not all could be deleted, or looked at; the pattern is not daily; there is no retention. */
int es_setup_prune(struct es_client *c, const struct es_setup_options *o, uint64_t now_ms,
                   struct error *e);

#endif
