#include "agent/commands/confine.h"

#include "agent/base/log.h"
#include "agent/base/strbuf.h"
#include "agent/inputs/docker_places.h"
#include "agent/inputs/files.h"
#include "agent/sandbox/sandbox.h"
#include "outputs/file/day_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_folder(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Containers folders come and go with their engine, and a rule stays with the folder that it was
 * made for: the parent, the engine's own folder, is what lasts. With no such folder there yet it
 * may be made, or mounted, anywhere above: then there is nothing to make a rule for. */
static void may_read_containers(struct sandbox *s, const struct docker_settings *d)
{
    char *places[DOCKER_PLACES_MAX] = {base_strdup(d->containers)};
    bool automatic = strcmp(d->containers, "auto") == 0, some = false;
    size_t n = 1;

    if (automatic) {
        free(places[0]);
        n = docker_places_find(places);
        sandbox_may_read(s, "/var/lib"); /* where one usually appears */
    }
    for (size_t i = 0; i < n; i++) {
        if (is_folder(places[i])) {
            sandbox_may_reread(s, places[i]);
            sandbox_may_read(s, places[i]);
            some = true;
        }
        free(places[i]);
    }
    if (!some)
        sandbox_may_read_all(s);
}

/* A folder of logs, and the one above it, as such folders are made anew when their program is. What
 * is not there yet may come below the nearest one that is. path is used up. */
static void may_read_logs(struct sandbox *s, char *path)
{
    if (is_folder(path))
        sandbox_may_reread(s, path);
    while (!is_folder(path) && strrchr(path, '/') != path)
        *strrchr(path, '/') = '\0';
    if (!is_folder(path))
        sandbox_may_read_all(s);
    else
        sandbox_may_read(s, path);
    free(path);
}

static void may_read_files(struct sandbox *s, struct file_rule *const *rules)
{
    for (; *rules; rules++) {
        for (char *const *p = (*rules)->paths; *p; p++) {
            char *path = base_strdup(*p);

            path[files_input_fixed(*p)] = '\0';
            may_read_logs(s, path);
        }
    }
}

/* The kubelet's folder, and where its links may lead: to an engine's containers. */
static void may_read_pods(struct sandbox *s, const struct kubernetes_settings *k)
{
    char *places[DOCKER_PLACES_MAX];
    size_t n = docker_places_find(places);

    may_read_logs(s, base_strdup(k->pods));
    for (size_t i = 0; i < n; i++) {
        if (is_folder(places[i])) {
            sandbox_may_reread(s, places[i]);
            sandbox_may_read(s, places[i]);
        }
        free(places[i]);
    }
}

/* The folders of daily files may be somebody else's, whom root writes for. */
static void may_write_output(struct sandbox *s, const char *pattern)
{
    struct strbuf folder = {0};
    struct error e;
    struct stat st;
    size_t n = strcspn(pattern, "%");

    while (n > 0 && pattern[n - 1] != '/')
        n--;
    strbuf_add_str(&folder, pattern[0] == '/' ? "" : "./");
    strbuf_add(&folder, pattern, n);
    /* When it cannot be made, the output's start says so. */
    if (day_file_make_folders(folder.p, &e) == 0 && sandbox_may_write(s, folder.p) &&
        stat(folder.p, &st) == 0 && st.st_uid != geteuid())
        sandbox_keep_override(s);
    strbuf_fini(&folder);
}

static void may_read_secrets(struct sandbox *s, const struct elasticsearch_settings *es)
{
    const char *const files[] = {es->password_file, es->api_key_file, es->tls.ca_file,
                                 es->tls.cert_file, es->tls.key_file};

    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        if (files[i][0])
            sandbox_may_reread(s, files[i]);
}

void confine_enter(const char *config_path, const struct config *c)
{
    const char *wish = getenv(CONFINE_VARIABLE);
    struct sandbox *s;

    if (wish && strcmp(wish, "off") == 0) {
        log_warn("running with all rights, as " CONFINE_VARIABLE "=off says: for debuggers only");
        return;
    }
    s = sandbox_create();
    if (config_path)
        sandbox_may_reread(s, config_path);
    if (c->docker.enabled)
        may_read_containers(s, &c->docker);
    if (c->kubernetes.enabled)
        may_read_pods(s, &c->kubernetes);
    if (c->redact.key_file[0])
        sandbox_may_reread(s, c->redact.key_file);
    may_read_files(s, c->files);
    sandbox_may_write(s, c->data_dir);
    if (c->output_kind == OUTPUT_FILE)
        may_write_output(s, c->file.path);
    else
        may_read_secrets(s, &c->elasticsearch);
    sandbox_enter(s);
}
