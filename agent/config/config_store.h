/*
 * config_store: values of settings in the structs that hold them, as config_table says where: made
 * from text, given their defaults, and freed. base is the struct: struct config, or an item of a
 * list of maps.
 */
#ifndef BARGE_CONFIG_STORE_H
#define BARGE_CONFIG_STORE_H

#include "agent/config/config.h"
#include "agent/config/config_table.h"

/* Where the setting's value lies in base; s->at is not SETTING_NOWHERE. */
void *config_store_member(const void *base, const struct setting *s);

bool config_store_is_list(const struct setting *s); /* char **, ended by NULL */
bool config_store_is_map(
    const struct setting *s); /* struct field_pair *, ended by one without name */

/* *to becomes a copy of text; what it was is freed. */
void config_store_string(char **to, const char *text);
/* Makes one text the value of a setting that is no list and no map. -1 with *why; the setting then
 * has its former or a senseless value, but one that can be freed. */
int config_store_scalar(void *base, const struct setting *s, const char *text, struct error *why);
/* All n settings of the table get their defaults. base: zeroed. */
void config_store_defaults(void *base, const struct setting *table, size_t n);

/* What the n settings of the table own. */
void config_store_free(void *base, const struct setting *table, size_t n);
void config_store_free_list(char **list);
void config_store_free_pairs(struct field_pair *pairs);
void config_store_free_items(const struct setting_items *items, void **list);

#endif
