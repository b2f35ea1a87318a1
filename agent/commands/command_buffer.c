/* buffer: a buffer read without a running agent. */
#include "agent/commands/commands.h"

#include "agent/base/strbuf.h"
#include "agent/buffer/buffer.h"
#include "outputs/output.h"

#include <stdio.h>
#include <sys/stat.h>

/* One record as Elasticsearch's bulk API takes it. */
static void print_record(void *arg, const struct buffer_record *r)
{
    struct strbuf *line = arg;
    char id[OUTPUT_ID_CHARS];

    output_id_text(r->id, id);
    strbuf_clear(line);
    strbuf_add_str(line, "{\"create\":{\"_index\":");
    strbuf_add_json(line, r->index);
    strbuf_add_str(line, ",\"_id\":\"");
    strbuf_add(line, id, sizeof id);
    strbuf_add_str(line, "\"}}\n");
    strbuf_add_bytes(line, r->document);
    strbuf_add_char(line, '\n');
    fwrite(line->p, 1, line->n, stdout);
}

int command_buffer(const struct arguments *a)
{
    const char *what = a->rest[0];
    struct strbuf dir = {0}, out = {0};
    struct stat st;
    struct error e;
    int rc;

    /* The data folder will do as well as the buffer in it. */
    strbuf_printf(&dir, "%s/buffer", a->rest[1]);
    if (stat(dir.p, &st) < 0 || !S_ISDIR(st.st_mode)) {
        strbuf_clear(&dir);
        strbuf_add_str(&dir, a->rest[1]);
    }
    if (strcmp(what, "status") == 0) {
        rc = buffer_tool_status(dir.p, &out, &e);
    } else if (strcmp(what, "verify") == 0) {
        rc = buffer_tool_verify(dir.p, &out, &e);
    } else if (strcmp(what, "export") == 0) {
        rc = buffer_tool_export(dir.p, print_record, &out, &e);
        strbuf_clear(&out);
    } else {
        fprintf(stderr, "barge: buffer %s is not known; there are status, verify and export\n",
                what);
        rc = EXIT_WRONG;
    }
    fwrite(out.p ? out.p : "", 1, out.n, stdout);
    if (rc < 0)
        fprintf(stderr, "barge: %s\n", e.text);
    strbuf_fini(&out);
    strbuf_fini(&dir);
    return rc < 0 ? EXIT_FAILED : rc;
}
