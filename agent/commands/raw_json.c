#include "agent/commands/raw_json.h"

#include <yajl/yajl_parse.h>

#define MAX_DEPTH 1000

/* Those that yajl takes for one, form feeds among them: it is its verdict that is relied on. */
static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static size_t skip_blanks(struct bytes text, size_t i)
{
    while (i < text.n && is_blank(text.p[i]))
        i++;
    return i;
}

/* Behind the string that begins at i. */
static size_t skip_string(struct bytes text, size_t i)
{
    for (i++; i < text.n && text.p[i] != '"'; i++)
        if (text.p[i] == '\\')
            i++;
    return MIN(i + 1, text.n);
}

/* Behind the value that begins at i. *deepest gets its depth. */
static size_t skip_value(struct bytes text, size_t i, size_t *deepest)
{
    size_t depth = 0;

    *deepest = 0;
    do {
        char c;

        if (i >= text.n)
            return text.n;
        c = text.p[i];
        if (c == '"') {
            i = skip_string(text, i);
            continue;
        }
        if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth--;
        *deepest = MAX(*deepest, depth);
        i++;
        if (depth == 0 && c != '}' && c != ']') /* a number or a word */
            while (i < text.n && !is_blank(text.p[i]) && !strchr(",]}", text.p[i]))
                i++;
    } while (depth > 0);
    return i;
}

bool raw_json_is_valid(struct bytes text)
{
    yajl_handle parser;
    size_t deepest;
    bool valid;

    /* Of text that is no JSON this says something or other, and the parser says the rest. */
    skip_value(text, skip_blanks(text, 0), &deepest);
    if (text.n == 0 || deepest > MAX_DEPTH)
        return false;
    parser = yajl_alloc(NULL, NULL, NULL);
    if (!parser)
        base_die("out of memory");
    valid = yajl_parse(parser, (const unsigned char *)text.p, text.n) == yajl_status_ok &&
            yajl_complete_parse(parser) == yajl_status_ok;
    yajl_free(parser);
    return valid;
}

struct bytes raw_json_member(struct bytes object, const char *key)
{
    size_t i = skip_blanks(object, 0), n = strlen(key), deepest;

    if (i >= object.n || object.p[i] != '{')
        return BYTES_NONE;
    for (i = skip_blanks(object, i + 1); i < object.n && object.p[i] == '"';) {
        size_t name = i + 1, from;
        bool found;

        i = skip_string(object, i);
        found = i == name + n + 1 && memcmp(object.p + name, key, n) == 0;
        from = skip_blanks(object, skip_blanks(object, i) + 1);
        i = skip_value(object, from, &deepest);
        if (found)
            return bytes_of(object.p + from, i - from);
        i = skip_blanks(object, i);
        if (i < object.n && object.p[i] == ',')
            i = skip_blanks(object, i + 1);
    }
    return BYTES_NONE;
}

bool raw_json_next(struct bytes array, size_t *at, struct bytes *value)
{
    size_t i = *at, from, deepest;

    if (i == 0) {
        i = skip_blanks(array, 0);
        if (i >= array.n || array.p[i] != '[')
            return false;
        i++;
    }
    from = skip_blanks(array, i);
    if (from < array.n && array.p[from] == ',')
        from = skip_blanks(array, from + 1);
    if (from >= array.n || array.p[from] == ']')
        return false;
    *at = skip_value(array, from, &deepest);
    *value = bytes_of(array.p + from, *at - from);
    return true;
}
