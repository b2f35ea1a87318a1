/* Any bytes as a pipeline of Logstash: no crash; what is read becomes a configuration that barge
 * takes (unless the environment has a say in it), says each thing that it leaves out in one line,
 * and nothing of a comment gets out of it. */
#include "agent/commands/logstash_import.h"
#include "agent/commands/verify.h"
#include "agent/config/config.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static size_t lines(const struct strbuf *s)
{
    size_t n_lines = 0;

    for (size_t i = 0; i < s->n; i++)
        n_lines += s->p[i] == '\n';
    return n_lines;
}

static void check_report(const struct logstash_report *r)
{
    struct config_problems problems;
    struct config *c;

    ASSERT(lines(&r->messages) == r->left_out);
    if (memmem(r->yaml.p, r->yaml.n, "${", 2))
        return;
    c = config_parse(strbuf_bytes(&r->yaml), &problems);
    ASSERT(c && problems.n == 0);
    ASSERT(verify_config(c, &problems));
    config_problems_fini(&problems);
    config_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct error e;
    struct logstash_source *s = logstash_source_text("a.conf", bytes_of(data, n), &e);
    struct logstash_tree *t;
    struct logstash_report report;
    size_t at;

    if (!s)
        return 0;
    t = logstash_tree_parse(logstash_source_bytes(s), &at, &e);
    if (t) {
        logstash_import(s, t, &report);
        check_report(&report);
        logstash_report_fini(&report);
    } else {
        ASSERT(e.text[0] && at <= logstash_source_bytes(s).n);
    }
    logstash_tree_free(t);
    logstash_source_free(s);
    return 0;
}
