/*
 * config: the YAML file as structs, one for each module, so that a module is handed its own
 * settings and nothing else. What a setting means stands in config_table.c (name, type, default as
 * text, one sentence), which also makes `barge config`, the check and the help.
 *
 * Sizes are bytes, durations milliseconds. Strings are owned by the struct config and live until
 * config_free; an unset string is "" and never NULL. Lists end with a NULL pointer, and are never
 * NULL themselves.
 */
#ifndef BARGE_CONFIG_H
#define BARGE_CONFIG_H

#include "agent/base/base.h"
#include "agent/base/log.h"

struct docker_settings {
    bool enabled;      /* false when the file says `docker: off` */
    char *containers;  /* folder, or "auto" */
    char *start;       /* "beginning", "end", or a duration: see start_ms */
    uint64_t start_ms; /* directly behind start: 0 for beginning, UINT64_MAX for end */
    char **exclude;    /* container names with *, or label=value with * */
    uint64_t max_held_bytes;
    char *const *exclude_pods; /* borrowed: kubernetes_settings.exclude, where that input is on;
                                  else NULL. The caller's, not the file's */
};

struct kubernetes_settings {
    bool enabled;   /* false when the file says `kubernetes: off` */
    char *pods;     /* the kubelet's folder */
    char **exclude; /* namespace/pod, with * */
};

struct gelf_settings {
    char *udp; /* "host:port", "" off */
    char *tcp;
    uint64_t tcp_when_full_ms;
    uint64_t receive_buffer_bytes;
    uint64_t max_message_bytes;
    uint64_t max_pending_bytes;
};

struct field_pair {
    char *name;  /* dotted for nested: NULL ends a list */
    char *value; /* rendered JSON value for add, the new name for rename, string|long|double|boolean
                    for convert */
};

enum parser_kind {
    PARSER_AUTO,
    PARSER_JSON,
    PARSER_TEXT,
    PARSER_LOGFMT,
    PARSER_NGINX,
    PARSER_MYSQL,
    PARSER_REGEX,
    PARSER_MULTILINE
};

/* How the text of a message is read. */
struct parser_settings {
    unsigned kind;            /* enum parser_kind */
    char *pattern;            /* PARSER_REGEX, else "" */
    struct field_pair *types; /* of its groups: string, long, double or boolean */
    unsigned language;        /* PARSER_MULTILINE: auto, java, python, go, dotnet */
    char *start;              /* likewise, and of PARSER_REGEX: a pattern instead, else "" */
    char *time_key;           /* PARSER_REGEX: the group with the time, "": time or timestamp */
    char **time_formats;      /* likewise: none: RFC 3339 */
    char *time_zone;          /* likewise: of times without one; "": local */
};

/* Which containers a parser is for: all of what is not "" must fit. */
struct parser_rule {
    char *container; /* name, with * */
    char *image;     /* as the user called it, with * */
    char *label;     /* name=value, with * in the value */
    struct parser_settings parser;
};

/* Plain text files, and how they are read. */
struct file_rule {
    char **paths;      /* absolute, with *, ? and []; at least one */
    char **exclude;    /* names, or whole paths, with * */
    char *service;     /* "": none */
    char *start;       /* as docker_settings has it */
    uint64_t start_ms; /* directly behind start */
    struct parser_settings parser;
};

struct enrich_settings {
    char *service;             /* "auto", or a fixed name */
    char **request_id_keys;    /* tried before the built-in ones */
    char *host;                /* "auto", or a fixed name */
    struct field_pair *fields; /* enrich.fields: value is rendered JSON */
    struct field_pair *add;    /* fields.add: value is rendered JSON */
    struct field_pair *rename;
    char **remove;
    struct field_pair *convert;
};

/* What persons and secrets are known by; parsers/redact_find.h says what each is. */
enum redact_kind {
    REDACT_EMAIL,
    REDACT_IP,
    REDACT_CARD,
    REDACT_NATIONAL_ID,
    REDACT_TOKEN,
    REDACT_PASSWORD,
    REDACT_KINDS /* in a rule: all of them */
};

enum redact_action {
    REDACT_MASK, /* <email>, an IP address to its prefix; a field: <redacted> */
    REDACT_DROP, /* nothing in its place; a field: goes with its name; a number: null */
    REDACT_HASH  /* email_9f86d081884c7d65…, always the same for the same value and key */
};

struct redact_rule {
    char *field;     /* dotted name in the document, with *; "": the rule is for a kind */
    unsigned kind;   /* enum redact_kind */
    unsigned action; /* enum redact_action */
};

struct redact_settings {
    char *key_file;             /* of REDACT_HASH */
    struct redact_rule **rules; /* in their order: the first that fits counts */
    char **except;              /* fields in which no kind is looked for */
};

struct buffer_settings {
    uint64_t max_bytes;
    uint64_t min_free_bytes;   /* set when given in bytes, else 0 */
    double min_free_share;     /* 0..1 of the file system, else 0 */
    bool sync_off;             /* sync: off */
    uint64_t sync_ms;          /* 0: at once */
    double gelf_reserve_share; /* of max_bytes */
    double gelf_max_share;
};

struct dead_letter_settings {
    uint64_t max_bytes;
    uint64_t max_age_ms;
};

struct tls_settings {
    char *ca_file;
    char *cert_file;
    char *key_file;
    bool verify;
};

struct elasticsearch_settings {
    char **hosts; /* URLs, checked: http or https, a host, maybe a port and a path */
    char *index;
    uint64_t index_window_ms; /* 0: no limit */
    uint64_t park_after_ms;
    char *username;
    char *password_file;
    char *api_key_file;
    struct tls_settings tls;
    char *proxy;
    bool gzip;
    uint64_t batch_bytes;
    uint64_t batch_delay_ms;
    uint64_t max_in_flight; /* per host */
    uint64_t timeout_ms;
};

struct file_settings {
    char *path; /* with %{+YYYY.MM.dd} */
};

/* As whom `barge trace` asks, where the agent's user may only write. */
struct trace_settings {
    char **hosts; /* none: those of the output */
    char *username;
    char *password_file;
    char *api_key_file;
};

enum output_kind { OUTPUT_ELASTICSEARCH, OUTPUT_FILE };

struct config {
    char *data_dir;
    uint64_t shutdown_timeout_ms;
    struct docker_settings docker;
    struct kubernetes_settings kubernetes;
    struct gelf_settings gelf;
    struct file_rule **files;
    struct parser_rule **parsers; /* in their order: the first that fits counts */
    struct enrich_settings enrich;
    struct redact_settings redact;
    struct buffer_settings buffer;
    struct dead_letter_settings dead_letters;
    enum output_kind output_kind;
    struct elasticsearch_settings elasticsearch;
    struct file_settings file;
    struct trace_settings trace;
    bool setup;
    char *retention; /* a duration, see config_retention_ms, or "" */
    bool self_index;
    char *status_listen; /* "host:port", "" off */
    enum log_level log_level;
    enum log_format log_format;
};

/* One thing wrong with a configuration. line and column count from 1; 0 when it belongs to no
 * place. */
struct config_problem {
    unsigned line, column;
    char text[400];
};

struct config_problems {
    struct config_problem *list; /* owned; in the order of the file */
    size_t n;
};

/* Reads path (NULL: the defaults alone). Returns an owned config when nothing is wrong; NULL, with
 * at least one problem, otherwise. An unreadable file is one problem without a place. ${NAME} is
 * replaced from the environment. Free problems with config_problems_fini either way. */
struct config *config_load(const char *path, struct config_problems *problems);
/* The same from bytes in memory (tests, fuzzing). */
struct config *config_parse(struct bytes yaml, struct config_problems *problems);
/* Whether the files that c names (passwords, keys, certificates) can be read by this process;
 * problems, set anew, says which cannot. c must come from config_load or config_parse. */
bool config_check_files(const struct config *c, struct config_problems *problems);
/* What another module says against a setting of c, in a text that begins with the setting's path
 * and a colon ("buffer.sync: …", "parsers[2].pattern: …": items count from 0), as the one problem
 * of problems, set anew. */
void config_refuse(const struct config *c, const char *text, struct config_problems *problems);
void config_problems_fini(struct config_problems *problems);
/* 0: for ever. */
uint64_t config_retention_ms(const struct config *c);
void config_free(struct config *c);

struct strbuf;
/* The effective configuration as YAML in the order of the table, defaults included; passwords
 * inside URLs masked. */
void config_print(const struct config *c, struct strbuf *to);
/* The paths of the settings in which a and b differ, "inputs.gelf.udp, buffer.max_size"; passwords
 * inside URLs count, and are not shown. */
void config_differences(const struct config *a, const struct config *b, struct strbuf *to);

#endif
