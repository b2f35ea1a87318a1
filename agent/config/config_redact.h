/*
 * config_redact: the keys of the list redact.rules, and what one of its rules must have.
 */
#ifndef BARGE_CONFIG_REDACT_H
#define BARGE_CONFIG_REDACT_H

#include "agent/config/config_table.h"

extern const struct setting_items config_redact_items;

/* The names of enum redact_kind (the last is "all") and enum redact_action, in their order, ended
 * by NULL. */
extern const char *const config_redact_kinds[];
extern const char *const config_redact_actions[];

/* Whether text can be the name of fields in a rule; -1 with *why. */
int config_redact_check_field(const char *text, struct error *why);

#endif
