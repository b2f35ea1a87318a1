/* import: barge's configuration for a pipeline of Logstash. */
#include "agent/commands/commands.h"

#include "agent/base/io.h"
#include "agent/commands/logstash_import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

/* There may be passwords in it, within URLs. */
static int write_file(const char *path, struct bytes text)
{
    int fd = io_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0640), rc = -1;

    if (fd >= 0)
        rc = io_pwrite_all(fd, text.p, text.n, 0, NULL);
    if (fd >= 0 && io_close(fd) < 0)
        rc = -1;
    if (rc < 0)
        fprintf(stderr, "barge: %s: %s\n", path, strerror(errno));
    return rc;
}

static int hand_out(const struct logstash_report *r, const char *path)
{
    if (path && write_file(path, strbuf_bytes(&r->yaml)) < 0)
        return EXIT_FAILED;
    if (!path)
        fwrite(r->yaml.p, 1, r->yaml.n, stdout);
    fflush(stdout);
    fwrite(r->messages.p ? r->messages.p : "", 1, r->messages.n, stderr);
    return r->left_out ? EXIT_FAILED : EXIT_DONE;
}

int command_import(const struct arguments *a)
{
    struct error e;
    struct logstash_source *s = logstash_source_read(a->rest, a->n_rest, &e);
    struct logstash_tree *t;
    struct logstash_report report;
    size_t at;
    int status;

    if (!s) {
        fprintf(stderr, "barge: %s\n", e.text);
        return EXIT_WRONG;
    }
    t = logstash_tree_parse(logstash_source_bytes(s), &at, &e);
    if (t) {
        logstash_import(s, t, &report);
        status = hand_out(&report, commands_option(a, "o"));
        logstash_report_fini(&report);
    } else {
        struct logstash_place p = logstash_source_place(s, at);

        fprintf(stderr, "%s:%u:%u: %s\n", p.file, p.line, p.column, e.text);
        status = EXIT_WRONG;
    }
    logstash_tree_free(t);
    logstash_source_free(s);
    return status;
}
