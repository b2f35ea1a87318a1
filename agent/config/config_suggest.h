/*
 * config_suggest: what to say of a key that is none: the one that was meant, where it belongs, or
 * which ones there are.
 */
#ifndef BARGE_CONFIG_SUGGEST_H
#define BARGE_CONFIG_SUGGEST_H

#include "agent/base/strbuf.h"
#include "agent/config/config_table.h"

/* Appends a hint for a key in the section prefix ("" or "buffer."). */
void config_suggest_setting(struct strbuf *hint, const char *key, const char *prefix);
/* The same for a key of an item in a list of maps. */
void config_suggest_key(struct strbuf *hint, const char *key, const struct setting_items *items);

#endif
