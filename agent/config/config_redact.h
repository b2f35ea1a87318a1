/*
 * config_redact: the keys of the list redact.rules, and what one of its rules must have.
 */
#ifndef BARGE_CONFIG_REDACT_H
#define BARGE_CONFIG_REDACT_H

#include "agent/config/config_table.h"

extern const struct setting_items config_redact_items;

/* Whether text can be the name of fields in a rule; -1 with *why. */
int config_redact_check_field(const char *text, struct error *why);

#endif
