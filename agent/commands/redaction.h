/*
 * redaction: the rules of a configuration with their key, for the encoder. Any thread.
 */
#ifndef BARGE_REDACTION_H
#define BARGE_REDACTION_H

#include "agent/config/config.h"
#include "parsers/redact.h"

/* Reads the key and makes what redacts; *r is NULL when there are no rules. -1 with *e, which
 * begins with the setting to blame. */
int redaction_open(const struct redact_settings *s, struct redact **r, struct error *e);

#endif
