/*
 * docker_config: what Docker wrote about a container into config.v2.json and hostconfig.json, as
 * far as barge needs it. Read by yajl as a stream, so that neither size nor depth of what does not
 * matter costs anything. Any thread.
 */
#ifndef BARGE_DOCKER_CONFIG_H
#define BARGE_DOCKER_CONFIG_H

#include "agent/base/base.h"

#define DOCKER_CONFIG_MAX_BYTES (8u << 20) /* a larger file is taken as unreadable */
#define DOCKER_CONFIG_MAX_LABELS 512       /* further ones are left out */

struct docker_label {
    char *name;
    char *value;
};

/* Strings are owned and never NULL after docker_config_parse succeeded; "" for what is not there.
 */
struct docker_config {
    char *name;    /* without its leading slash */
    char *image;   /* as the user called it */
    char *created; /* RFC 3339 */
    struct docker_label *labels;
    size_t n_labels;
    bool running;
    char *finished; /* RFC 3339: the end of its last run; year 1 before there was one */
};

struct docker_host_config {
    char *log_driver; /* "" when not named */
    bool compress;    /* rotated files become .gz */
};

/* Reads config.v2.json's text. 0, or -1 with *e when it is no JSON object (half written, empty).
 * Give back with docker_config_fini. */
int docker_config_parse(struct bytes json, struct docker_config *to, struct error *e);
void docker_config_fini(struct docker_config *c);

/* The value of a label, none when it is not there. arg is a struct docker_config (for
 * origin_guess_service). */
struct bytes docker_config_label(void *arg, const char *name);

int docker_host_config_parse(struct bytes json, struct docker_host_config *to, struct error *e);
void docker_host_config_fini(struct docker_host_config *c);

#define DOCKER_CONFIG_NAME "config.v2.json"
#define DOCKER_HOST_CONFIG_NAME "hostconfig.json"

/* Opens `name` in dir for docker_config_read: a descriptor, or -1 with *e (which may be NULL).
 * Regular files only, no symbolic links. */
int docker_config_open(int dir, const char *name, struct error *e);
/* Reads all of what docker_config_open gave, from its beginning, into *to (NUL-terminated, owned),
 * and closes it, also when that fails. 0, or -1 with *e. */
int docker_config_read(int fd, const char *name, char **to, size_t *n, struct error *e);
/* Both. */
int docker_config_load(int dir, const char *name, char **to, size_t *n, struct error *e);

/* Whether one of patterns (container names, or label=value, with *; ended by NULL) names this
 * container. */
bool docker_config_excluded(const struct docker_config *c, char *const *patterns);

#endif
