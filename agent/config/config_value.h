/*
 * config_value: settings as text and back: sizes, durations, shares, and what an address, a URL or
 * an index name must look like. Everything here says what would be right when it refuses. Any
 * thread.
 */
#ifndef BARGE_CONFIG_VALUE_H
#define BARGE_CONFIG_VALUE_H

#include "agent/base/base.h"

struct strbuf;

/* "64MiB", "1GB", "4096"; B, KiB…TiB (1024) and KB…TB (1000), in any case. */
int config_value_size(const char *text, uint64_t *bytes, struct error *why);
/* "200ms", "5s", "15m", "24h", "7d", "0". */
int config_value_duration(const char *text, uint64_t *ms, struct error *why);
/* "10%", to 0.1; at most 100%. */
int config_value_share(const char *text, double *share, struct error *why);
/* true false yes no on off, in any case. */
int config_value_bool(const char *text, bool *value, struct error *why);
/* A decimal number. */
int config_value_count(const char *text, uint64_t *value, struct error *why);

/* The shortest exact text of each. */
void config_value_add_size(struct strbuf *to, uint64_t bytes);
void config_value_add_duration(struct strbuf *to, uint64_t ms);
void config_value_add_share(struct strbuf *to, double share);

/* Checks: 0, or -1 with *why. */
int config_value_check_nonempty(const char *text, struct error *why);
/* An absolute path of a folder, as it stands: no wildcards. */
int config_value_check_folder(const char *text, struct error *why);
/* namespace/pod, with * in either. */
int config_value_check_pod(const char *text, struct error *why);
/* "" or host:port, [v6]:port; port 0 lets the kernel choose. */
int config_value_check_address(const char *text, struct error *why);
/* http://host[:port][/path], https the same; user:password@ is allowed. */
int config_value_check_url(const char *text, struct error *why);
/* "" or the URL of an HTTP or SOCKS proxy. */
int config_value_check_proxy(const char *text, struct error *why);
/* Logstash's pattern, legal for Elasticsearch (its "Create index API" page has the rules) once
 * expanded. */
int config_value_check_index(const char *text, struct error *why);
/* "", or a duration of at least a day. */
int config_value_check_retention(const char *text, struct error *why);
/* A file's path with date parts only. */
int config_value_check_file_path(const char *text, struct error *why);
/* A field's name, dotted for nested ones. */
int config_value_check_field(const char *text, struct error *why);
/* A label as name=value, with * in the value. */
int config_value_check_label(const char *text, struct error *why);
/* string, long, double or boolean. */
int config_value_check_convert(const char *text, struct error *why);

/* Whether the UTF-8 character at p is one that YAML forbids, or takes for the end of a line. */
bool config_value_is_unsafe(const char *p);
/* Adds JSON text with \u in the place of such characters. */
void config_value_add_json(struct strbuf *to, const char *json);
/* Adds s as a JSON string, which YAML reads, too: no such character stands in it. */
void config_value_add_quoted(struct strbuf *to, const char *s);
/* Adds s as it stands where that is one plain YAML word, else quoted. */
void config_value_add_word(struct strbuf *to, const char *s);

/* Adds a URL with its password as ***. */
void config_value_add_masked(struct strbuf *to, const char *url);

#endif
