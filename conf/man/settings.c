/*
 * settings: makes barge.yaml(5) from standard input, in which @SETTINGS@ stands for the list of all
 * settings. The list comes from the table that the program itself goes by, so it says what is true.
 */
#include "agent/base/strbuf.h"
#include "agent/config/config_table.h"
#include "agent/config/config_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH 78 /* of the lines written, as mandoc's style asks */

static const char *const type_names[] = {
    [SET_STRING] = "Text",
    [SET_FILE] = "Path of a file",
    [SET_MASKED] = "URL",
    [SET_SIZE] = "Size",
    [SET_DURATION] = "Duration",
    [SET_COUNT] = "Number",
    [SET_SHARE] = "Share",
    [SET_BOOL] = "true or false",
    [SET_CHOICE] = "One of",
    [SET_LIST] = "List",
    [SET_MASKED_LIST] = "List of URLs",
    [SET_JSON_MAP] = "Map of names to values",
    [SET_TEXT_MAP] = "Map of names to texts",
    [SET_START] = "beginning, end or a duration",
    [SET_SYNC] = "Duration or off",
    [SET_MIN_FREE] = "Share or size",
    [SET_SWITCH] = "on or off",
    [SET_ITEMS] = "List of maps with these keys",
    [SET_ANY] = "Anything",
};

/* One word as the formatter reads it: `this` in quotes. */
static void add_word(struct strbuf *to, const char *word, size_t n, bool *quoted)
{
    for (size_t i = 0; i < n; i++) {
        if (word[i] == '\\') {
            strbuf_add_str(to, "\\e");
        } else if (word[i] == '`') {
            strbuf_add_str(to, *quoted ? "\\(cq" : "\\(oq");
            *quoted = !*quoted;
        } else {
            strbuf_add_char(to, word[i]);
        }
    }
}

/* Writes text as lines of a manual page, none of which begins with what the formatter would take
 * for a request. */
static void put_text(const char *text)
{
    struct strbuf word = {0};
    size_t column = 0;
    bool quoted = false;

    while (*text) {
        size_t n = strcspn(text, " ");

        strbuf_clear(&word);
        add_word(&word, text, n, &quoted);
        if (column > 0) {
            bool fits = column + 1 + word.n <= WIDTH;

            putchar(fits ? ' ' : '\n');
            column = fits ? column + 1 : 0;
        }
        column += (size_t)printf("%s%s", column == 0 && strchr(".'", *text) ? "\\&" : "", word.p);
        text += n + strspn(text + n, " ");
    }
    putchar('\n');
    strbuf_fini(&word);
}

static void add_number(struct strbuf *to, const struct setting *s, uint64_t number)
{
    if (s->type == SET_SIZE)
        config_value_add_size(to, number);
    else if (s->type == SET_COUNT)
        strbuf_printf(to, "%llu", (unsigned long long)number);
    else
        config_value_add_duration(to, number);
}

static void add_limits(struct strbuf *to, const struct setting *s)
{
    if (s->min) {
        strbuf_add_str(to, s->max ? ", from " : ", at least ");
        add_number(to, s, s->min);
    }
    if (s->max) {
        strbuf_add_str(to, s->min ? " to " : ", at most ");
        add_number(to, s, s->max);
    }
}

/* What the setting takes, and its default. */
static void put_type(const struct setting *s)
{
    struct strbuf line = {0};

    strbuf_add_str(&line, type_names[s->type]);
    for (size_t i = 0; s->type == SET_CHOICE && s->choices[i]; i++)
        strbuf_printf(&line, "%s%s", i ? ", " : " ", s->choices[i]);
    add_limits(&line, s);
    if (s->text && *s->text)
        strbuf_printf(&line, "; default %s", s->text);
    strbuf_add_char(&line, s->type == SET_ITEMS ? ':' : '.');
    put_text(line.p);
    strbuf_fini(&line);
}

/* Whether the sentence of s begins with a value or a name, which has no capital. */
static bool begins_with_value(const struct setting *s)
{
    size_t letters = strspn(s->help, "abcdefghijklmnopqrstuvwxyz"), n = strcspn(s->help, " ,");

    for (size_t i = 0; s->type == SET_CHOICE && s->choices[i]; i++)
        if (n == strlen(s->choices[i]) && strncmp(s->help, s->choices[i], n) == 0)
            return true;
    return s->type == SET_START || letters != n;
}

static void put_help(const struct setting *s)
{
    struct strbuf line = {0};

    strbuf_printf(&line, "%s.", s->help);
    if (!begins_with_value(s))
        line.p[0] = (char)(line.p[0] - 'a' + 'A');
    put_text(line.p);
    strbuf_fini(&line);
}

static void put_setting(const struct setting *s)
{
    printf(".It Va %s\n", s->path);
    put_help(s);
    put_type(s);
    if (!s->items)
        return;
    printf(".Bl -tag -width Ds -compact\n");
    for (size_t i = 0; i < s->items->n_keys; i++)
        put_setting(&s->items->keys[i]);
    printf(".El\n");
}

int main(void)
{
    char line[4096];

    while (fgets(line, sizeof(line), stdin)) {
        if (strcmp(line, "@SETTINGS@\n") != 0) {
            fputs(line, stdout);
            continue;
        }
        for (size_t i = 0; i < config_table_size; i++)
            put_setting(&config_table[i]);
    }
    return ferror(stdin) || fflush(stdout) != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
