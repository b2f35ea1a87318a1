#include "agent/config/config_files.h"

#include "agent/config/config_parsers.h"
#include "agent/config/config_value.h"

#include <limits.h>

enum { KEY_PATHS, KEY_EXCLUDE, KEY_SERVICE, KEY_BEGIN, KEY_PARSER };

static bool lies_below(const char *path, const char *folder)
{
    size_t n = strlen(folder);

    return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* A pattern of log files. */
static int check_path(const char *text, struct error *why)
{
    if (text[0] != '/' || strstr(text, "//") || strstr(text, "/./") || strstr(text, "/../"))
        return error_set(why, "\"%.200s\" is no absolute path; write one like /var/log/mysql/*.log",
                         text);
    if (strlen(text) >= PATH_MAX)
        return error_set(why, "it is longer than any path");
    if (strstr(text, "**"))
        return error_set(why, "** is not known; a * stands for a part of one name");
    if (text[strlen(text) - 1] == '/')
        return error_set(why, "\"%.200s\" is a folder; write %.200s*.log", text, text);
    if (lies_below(text, "/proc") || lies_below(text, "/sys") || lies_below(text, "/dev"))
        return error_set(why, "no log files are read below /proc, /sys and /dev");
    return 0;
}

static const struct setting keys[] = {
    SETTING("paths", SET_LIST, SETTING_AT(struct file_rule, paths), "",
            "files, with *, ? and [] in any part; what rotation makes of them belongs to them",
            .check = check_path),
    SETTING("exclude", SET_LIST, SETTING_AT(struct file_rule, exclude), "",
            "names or whole paths to leave out, with *", .check = config_value_check_nonempty),
    SETTING("service", SET_STRING, SETTING_AT(struct file_rule, service), NULL, "service.name",
            .check = config_value_check_nonempty),
    SETTING("begin", SET_START, SETTING_AT(struct file_rule, start), "beginning",
            "beginning, end, or 24h: files that were last written to before are skipped"),
    PARSER_KEYS(struct file_rule, parser),
};

static int check_rule(const struct setting_item *item, size_t *key, struct error *why)
{
    const struct file_rule *r = item->p;

    if (r->paths[0])
        return config_parsers_check(item, KEY_PARSER, &r->parser, key, why);
    *key = item->given >> KEY_PATHS & 1 ? KEY_PATHS : SIZE_MAX;
    return error_set(why, "paths is missing; write {paths: [/var/log/mysql/*.log], service: db}");
}

const struct setting_items config_files_items = {
    .size = sizeof(struct file_rule),
    .keys = keys,
    .n_keys = ARRAY_LEN(keys),
    .check = check_rule,
};
