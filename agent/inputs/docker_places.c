#include "agent/inputs/docker_places.h"

#include "agent/base/io.h"
#include "agent/base/strbuf.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yajl/yajl_tree.h>

#define MAX_INDEX 99999
#define ID_DIGITS 64
#define FILE_MAX_BYTES (1u << 20)

static bool read_file(const char *path, struct strbuf *to)
{
    int fd = io_open(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    ssize_t n;

    if (fd < 0)
        return false;
    while (to->n < FILE_MAX_BYTES) {
        n = io_read(fd, strbuf_room(to, 4096), 4096);
        if (n <= 0)
            break;
        to->n += (size_t)n;
    }
    strbuf_add_char(to, '\0');
    to->n--;
    io_close(fd);
    return true;
}

char *docker_places_data_root(struct bytes json)
{
    static const char *const path[] = {"data-root", NULL};
    static const char *const old_path[] = {"graph", NULL};
    char *text = base_strndup(json.p ? json.p : "", json.n), *root = NULL;
    yajl_val tree = yajl_tree_parse(text, NULL, 0), v = NULL;

    if (YAJL_IS_OBJECT(tree)) {
        v = yajl_tree_get(tree, (const char **)path, yajl_t_string);
        if (!v)
            v = yajl_tree_get(tree, (const char **)old_path, yajl_t_string);
    }
    if (v && YAJL_GET_STRING(v)[0] == '/')
        root = base_strdup(YAJL_GET_STRING(v));
    yajl_tree_free(tree);
    free(text);
    return root;
}

static void add(char *paths[], size_t *n, const char *root, const char *below)
{
    struct strbuf path = {0};

    strbuf_printf(&path, "%s%s", root, below);
    for (size_t i = 0; i < *n; i++)
        if (strcmp(paths[i], path.p) == 0) {
            strbuf_fini(&path);
            return;
        }
    if (*n < DOCKER_PLACES_MAX)
        paths[(*n)++] = base_strdup(path.p);
    strbuf_fini(&path);
}

/* <uid>.<gid>, as Docker names its folder with userns-remap. */
static bool is_namespace(const char *name)
{
    size_t digits = strspn(name, "0123456789");

    if (digits == 0 || name[digits] != '.')
        return false;
    name += digits + 1;
    digits = strspn(name, "0123456789");
    return digits > 0 && name[digits] == '\0';
}

static void add_root(char *paths[], size_t *n, const char *root)
{
    DIR *d = opendir(root);
    struct dirent *entry;

    add(paths, n, root, "/containers");
    while (d && (entry = readdir(d))) {
        char below[sizeof entry->d_name + sizeof "//containers"];

        if (!is_namespace(entry->d_name))
            continue;
        snprintf(below, sizeof below, "/%s/containers", entry->d_name);
        add(paths, n, root, below);
    }
    if (d)
        closedir(d);
}

size_t docker_places_find(char *paths[DOCKER_PLACES_MAX])
{
    struct strbuf text = {0};
    const struct passwd *user = getpwuid(getuid());
    size_t n = 0;
    glob_t g;

    if (read_file("/etc/docker/daemon.json", &text)) {
        char *root = docker_places_data_root(strbuf_bytes(&text));

        if (root)
            add_root(paths, &n, root);
        free(root);
    }
    strbuf_fini(&text);
    add_root(paths, &n, "/var/lib/docker");
    if (user && user->pw_dir && user->pw_dir[0] == '/') {
        strbuf_printf(&text, "%s/.local/share/docker", user->pw_dir);
        add_root(paths, &n, text.p);
        strbuf_fini(&text);
    }
    if (glob("/home/*/.local/share/docker", GLOB_NOSORT, NULL, &g) == 0) {
        for (size_t i = 0; i < g.gl_pathc; i++)
            add_root(paths, &n, g.gl_pathv[i]);
        globfree(&g);
    }
    add_root(paths, &n, "/var/snap/docker/common/var-lib-docker");
    return n;
}

static size_t hex_run(const char *p, const char *end)
{
    const char *s = p;

    while (s < end && ((*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'f')))
        s++;
    return (size_t)(s - p);
}

bool docker_places_is_id(const char *s)
{
    size_t n = strlen(s);

    return n == ID_DIGITS && hex_run(s, s + n) == ID_DIGITS;
}

static size_t add_id(char ids[][65], size_t n, const char *p)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(ids[i], p, ID_DIGITS) == 0)
            return n;
    if (n == DOCKER_OWN_IDS_MAX)
        return n;
    memcpy(ids[n], p, ID_DIGITS);
    ids[n][ID_DIGITS] = '\0';
    return n + 1;
}

/* Every run of exactly 64 hex digits in p..end that `before` stands in front of ("" for any). */
static size_t add_ids(char ids[][65], size_t n, const char *p, const char *end, const char *before)
{
    const char *begin = p;
    size_t length = strlen(before);

    while (p < end) {
        size_t run = hex_run(p, end);

        if (run == ID_DIGITS && (size_t)(p - begin) >= length &&
            memcmp(p - length, before, length) == 0)
            n = add_id(ids, n, p);
        p += run ? run : 1;
    }
    return n;
}

/* The next blank-separated word of a line. */
static struct bytes next_word(const char **p, const char *end)
{
    const char *from = *p, *to = memchr(from, ' ', (size_t)(end - from));

    to = to ? to : end;
    *p = to < end ? to + 1 : end;
    return bytes_of(from, (size_t)(to - from));
}

static size_t ids_of_mount(char ids[][65], size_t n, const char *line, const char *end)
{
    struct bytes root, point;

    for (int i = 0; i < 3; i++) /* mount id, parent id, device: proc(5) */
        next_word(&line, end);
    root = next_word(&line, end);
    point = next_word(&line, end);
    if (!bytes_is(point, "/etc/hostname") && !bytes_is(point, "/etc/hosts") &&
        !bytes_is(point, "/etc/resolv.conf"))
        return n;
    return add_ids(ids, n, root.p, root.p + root.n, "/containers/");
}

size_t docker_places_own(struct bytes mountinfo, struct bytes cgroup,
                         char ids[DOCKER_OWN_IDS_MAX][65])
{
    const char *p = mountinfo.n ? mountinfo.p : "", *end = p + mountinfo.n;
    size_t n = 0;

    while (p < end) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));

        nl = nl ? nl : end;
        n = ids_of_mount(ids, n, p, nl);
        p = nl < end ? nl + 1 : end;
    }
    return cgroup.n ? add_ids(ids, n, cgroup.p, cgroup.p + cgroup.n, "") : n;
}

size_t docker_places_own_ids(char ids[DOCKER_OWN_IDS_MAX][65])
{
    struct strbuf mounts = {0}, cgroup = {0};
    size_t n;

    read_file("/proc/self/mountinfo", &mounts);
    read_file("/proc/self/cgroup", &cgroup);
    n = docker_places_own(strbuf_bytes(&mounts), strbuf_bytes(&cgroup), ids);
    strbuf_fini(&mounts);
    strbuf_fini(&cgroup);
    return n;
}

/* ---- names ---- */

bool docker_places_is_log(const char *hex, const char *name, uint64_t *index, bool *compressed)
{
    unsigned long n;
    char *end;

    if (strncmp(name, hex, ID_DIGITS) != 0)
        return false;
    name += ID_DIGITS;
    if (strncmp(name, DOCKER_PLACES_LOG_SUFFIX, sizeof DOCKER_PLACES_LOG_SUFFIX - 1) != 0)
        return false;
    name += sizeof DOCKER_PLACES_LOG_SUFFIX - 1;
    *index = 0;
    *compressed = false;
    if (*name == '\0')
        return true;
    if (name[0] != '.' || name[1] < '1' || name[1] > '9')
        return false;
    n = strtoul(name + 1, &end, 10);
    if (n > MAX_INDEX)
        return false;
    *index = n;
    *compressed = strcmp(end, ".gz") == 0;
    return *compressed || *end == '\0';
}

bool docker_places_holds(const char *setting, const char *folder)
{
    char *places[DOCKER_PLACES_MAX] = {base_strdup(setting)}, *parent = base_strdup(folder);
    char *slash = strrchr(parent, '/');
    struct stat is, wanted;
    size_t n = 1;
    bool holds = false;

    if (strcmp(setting, "auto") == 0) {
        free(places[0]);
        n = docker_places_find(places);
    }
    if (slash && slash > parent)
        *slash = '\0';
    if (stat(parent, &wanted) < 0)
        wanted.st_ino = 0;
    for (size_t i = 0; i < n; i++) {
        holds |= wanted.st_ino && stat(places[i], &is) == 0 && is.st_ino == wanted.st_ino &&
                 is.st_dev == wanted.st_dev;
        free(places[i]);
    }
    free(parent);
    return holds;
}
