#include "agent/sandbox/sandbox.h"

#include "agent/base/log.h"
#include "agent/sandbox/sandbox_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* What libc, its name look-ups and TLS read by themselves, now or later. Folders, not files: a
 * resolv.conf is replaced by another file whenever the network changes. */
static const char *const system_places[] = {
    "/etc",
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/proc",
    "/sys",
    "/run",
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
    "/nix/store",
    "/var/lib/ca-certificates",
};

struct sandbox {
    struct sandbox_rule *rules;
    size_t n, cap;
    bool read_all, keep_override;
};

static bool add(struct sandbox *s, const char *path, bool write)
{
    struct stat st;
    int fd = open(path, O_PATH | O_CLOEXEC);

    if (fd < 0)
        return false;
    if (fstat(fd, &st) < 0) {
        close(fd);
        return false;
    }
    if (s->n == s->cap) {
        s->cap = MAX(32, 2 * s->cap);
        s->rules = base_realloc(s->rules, s->cap * sizeof *s->rules);
    }
    s->rules[s->n++] =
        (struct sandbox_rule){.fd = fd, .folder = S_ISDIR(st.st_mode), .write = write};
    return true;
}

struct sandbox *sandbox_create(void)
{
    struct sandbox *s = base_calloc(1, sizeof *s);

    for (size_t i = 0; i < ARRAY_LEN(system_places); i++)
        add(s, system_places[i], false);
    return s;
}

bool sandbox_may_read(struct sandbox *s, const char *path)
{
    return add(s, path, false);
}

bool sandbox_may_write(struct sandbox *s, const char *path)
{
    return add(s, path, true);
}

/* The parent of path by its text, unless that is the root. */
static bool add_parent(struct sandbox *s, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder;
    bool added;

    if (!slash)
        return add(s, ".", false);
    folder = base_strndup(path, (size_t)(slash - path));
    added = folder[strspn(folder, "/")] != '\0' && add(s, folder, false);
    free(folder);
    return added;
}

void sandbox_may_reread(struct sandbox *s, const char *path)
{
    char *real = realpath(path, NULL);

    if (!add_parent(s, path))
        add(s, path, false);
    if (real && !add_parent(s, real))
        add(s, real, false);
    free(real);
}

void sandbox_may_read_all(struct sandbox *s)
{
    s->read_all = true;
}

void sandbox_keep_override(struct sandbox *s)
{
    s->keep_override = true;
}

/* Passwords stand in our memory: it goes to no core file and to no other process of this user. */
static void forbid_dumps(void)
{
    const struct rlimit none = {0, 0};

    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    setrlimit(RLIMIT_CORE, &none);
}

void sandbox_enter(struct sandbox *s)
{
    struct strbuf rights = {0}, calls = {0}, files = {0};
    bool whole;

    forbid_dumps();
    whole = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
    /* Landlock's own calls are not on the list of calls. */
    whole &= sandbox_files_limit(s->rules, s->n, s->read_all, &files);
    whole &= sandbox_rights_drop(s->keep_override, &rights);
    whole &= sandbox_calls_limit(&calls);
    log_info(whole ? "confined" : "confined as far as this kernel and build can",
             LOG_STR("capabilities", rights.p), LOG_STR("system_calls", calls.p),
             LOG_STR("files", files.p));
    for (size_t i = 0; i < s->n; i++)
        close(s->rules[i].fd);
    free(s->rules);
    free(s);
    strbuf_fini(&rights);
    strbuf_fini(&calls);
    strbuf_fini(&files);
}
