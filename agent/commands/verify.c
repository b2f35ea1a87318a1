#include "agent/commands/verify.h"

#include "agent/commands/redaction.h"
#include "agent/inputs/files.h"
#include "parsers/document.h"
#include "parsers/formats.h"

bool verify_config(const struct config *c, struct config_problems *problems)
{
    struct error e;
    struct encoder *encoder = encoder_create(&c->enrich, BYTES_LITERAL("host"), &e);
    struct formats *formats = encoder ? formats_create(c->parsers, &e) : NULL;
    struct redact *redact = NULL;
    bool holds = formats && files_input_check(c->files, &e) == 0 &&
                 redaction_open(&c->redact, &redact, &e) == 0;

    *problems = (struct config_problems){0};
    if (!holds)
        config_refuse(c, e.text, problems);
    redact_free(redact);
    formats_free(formats);
    encoder_free(encoder);
    return holds;
}
