/* Any bytes as config.v2.json and hostconfig.json: what yajl's tree sees is what is taken, and the
 * pattern of an exclusion matches as a plain recursion has it. */
#include "agent/inputs/docker_config.h"

#include "agent/base/utf8.h"
#include "agent/base/wildcard.h"

#include <stdlib.h>
#include <yajl/yajl_tree.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* pattern[p..] against text[t..], the slow and certain way. */
static bool matches(const char *pattern, struct bytes text)
{
    static bool table[65][65]; /* [p][t]: the rests match */
    size_t np = strlen(pattern);

    for (size_t p = np + 1; p-- > 0;)
        for (size_t t = text.n + 1; t-- > 0;)
            if (p == np)
                table[p][t] = t == text.n;
            else if (pattern[p] == '*')
                table[p][t] = table[p + 1][t] || (t < text.n && table[p][t + 1]);
            else
                table[p][t] = t < text.n && pattern[p] == text.p[t] && table[p + 1][t + 1];
    return table[0][0];
}

static void check_labels(const struct docker_config *c)
{
    ASSERT(c->n_labels <= DOCKER_CONFIG_MAX_LABELS);
    for (size_t i = 0; i < c->n_labels; i++) {
        struct bytes value = docker_config_label((void *)(uintptr_t)c, c->labels[i].name);

        ASSERT(c->labels[i].name && c->labels[i].value);
        ASSERT(value.p); /* of a name that is there twice, one of them */
    }
    ASSERT(!docker_config_label((void *)(uintptr_t)c, "a name that is not there\n").p);
}

/* What yajl's tree wants, and we do not. */
static bool is_utf8(struct bytes s)
{
    for (size_t i = 0, k; i < s.n; i += k)
        if ((k = utf8_length(s.p + i, s.n - i)) == 0)
            return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct docker_config c;
    struct docker_host_config h;
    struct error e;
    char *text = base_strndup((const char *)data, n), why[64];
    yajl_val tree = yajl_tree_parse(text, why, sizeof why);
    bool plain = strlen(text) == n && is_utf8(bytes_of(data, n));

    if (docker_config_parse(bytes_of(data, n), &c, &e) == 0) {
        char *everything[] = {(char *)"*", NULL}, *nothing[] = {NULL};

        ASSERT(c.name && c.image && c.created && c.finished && c.name[0] != '/');
        ASSERT(!plain || (tree && YAJL_IS_OBJECT(tree)));
        check_labels(&c);
        ASSERT(docker_config_excluded(&c, everything) && !docker_config_excluded(&c, nothing));
        docker_config_fini(&c);
    } else {
        ASSERT(e.text[0]);
    }
    if (docker_host_config_parse(bytes_of(data, n), &h, &e) == 0) {
        ASSERT(h.log_driver);
        docker_host_config_fini(&h);
    }
    yajl_tree_free(tree);
    if (n >= 1) {
        size_t cut = MIN((size_t)data[0] % 64, strlen(text));
        char *pattern = base_strndup(text, cut);
        struct bytes rest = bytes_of(data + cut, MIN(n - cut, (size_t)64));

        ASSERT(wildcard_matches(pattern, rest) == matches(pattern, rest));
        free(pattern);
    }
    free(text);
    return 0;
}
