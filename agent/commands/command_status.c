/* status: asks the running agent's /status page and shows it to a person. */
#include "agent/commands/commands.h"

#include "agent/base/strbuf.h"
#include "agent/config/config.h"

#include <curl/curl.h>
#include <stdio.h>
#include <yajl/yajl_tree.h>

#define MAX_ANSWER (1u << 20)
#define TIMEOUT_S 5L

/* ---- asking ---- */

static size_t on_answer(char *p, size_t size, size_t n, void *arg)
{
    struct strbuf *to = arg;

    if (to->n + size * n > MAX_ANSWER)
        return 0;
    strbuf_add(to, p, size * n);
    return size * n;
}

/* An agent that listens on all addresses is asked on loopback. */
static void add_url(struct strbuf *to, const char *listen)
{
    const char *port = strrchr(listen, ':');
    int host_len = (int)(port - listen);

    if (strncmp(listen, "0.0.0.0", (size_t)host_len) == 0)
        strbuf_printf(to, "http://127.0.0.1%s/status", port);
    else if (strncmp(listen, "[::]", (size_t)host_len) == 0)
        strbuf_printf(to, "http://[::1]%s/status", port);
    else
        strbuf_printf(to, "http://%s/status", listen);
}

static int get(const char *url, struct strbuf *to, struct error *e)
{
    char why[CURL_ERROR_SIZE] = "";
    CURL *curl = curl_easy_init();
    CURLcode rc;

    if (!curl)
        base_die("out of memory");
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_answer);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, to);
    rc = curl_easy_perform(curl);
    curl_easy_cleanup(curl);
    if (rc != CURLE_OK)
        return error_set(e, "no agent answers at %s: %s; is it running with this configuration?",
                         url, *why ? why : curl_easy_strerror(rc));
    return 0;
}

/* ---- what a person wants to know first ---- */

static yajl_val at_path(yajl_val root, const char *path)
{
    yajl_val v = root;

    while (v && *path) {
        size_t n = strcspn(path, "."), i = 0;

        if (!YAJL_IS_OBJECT(v))
            return NULL;
        while (i < v->u.object.len &&
               (strncmp(v->u.object.keys[i], path, n) != 0 || v->u.object.keys[i][n] != '\0'))
            i++;
        v = i < v->u.object.len ? v->u.object.values[i] : NULL;
        path += n + (path[n] == '.');
    }
    return v;
}

static uint64_t number_at(yajl_val root, const char *path)
{
    yajl_val v = at_path(root, path);

    return v && YAJL_IS_INTEGER(v) && YAJL_GET_INTEGER(v) > 0 ? (uint64_t)YAJL_GET_INTEGER(v) : 0;
}

/* Texts come from other machines: nothing in them may move a terminal's cursor. */
static const char *text_of(yajl_val v)
{
    char *s = YAJL_GET_STRING(v);

    for (char *p = s; p && *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
    return s ? s : "";
}

static const char *text_at(yajl_val root, const char *path)
{
    yajl_val v = at_path(root, path);

    return v ? text_of(v) : "";
}

/* Thousands apart: 1,234,567. */
static void add_grouped(struct strbuf *to, uint64_t n)
{
    char digits[32];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);

    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            strbuf_add_char(to, ',');
        strbuf_add_char(to, digits[i]);
    }
}

static void add_bytes(struct strbuf *to, uint64_t n)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)n;
    size_t u = 0;

    while (v >= 1024 && u + 1 < ARRAY_LEN(units)) {
        v /= 1024;
        u++;
    }
    strbuf_printf(to, u && v < 100 ? "%.1f %s" : "%.0f %s", v, units[u]);
}

static void add_seconds(struct strbuf *to, uint64_t s)
{
    unsigned long long d = s / 86400, h = s / 3600 % 24, m = s / 60 % 60;

    if (d)
        strbuf_printf(to, "%llu d %llu h", d, h);
    else if (h)
        strbuf_printf(to, "%llu h %llu min", h, m);
    else if (m)
        strbuf_printf(to, "%llu min %llu s", m, (unsigned long long)s % 60);
    else
        strbuf_printf(to, "%llu s", (unsigned long long)s);
}

static void add_number(struct strbuf *to, const char *name, uint64_t n)
{
    size_t len = strlen(name);

    if (len >= 5 && strcmp(name + len - 5, "bytes") == 0)
        add_bytes(to, n);
    else if (len >= 2 && strcmp(name + len - 2, "_s") == 0)
        add_seconds(to, n);
    else
        add_grouped(to, n);
}

/* Figures that are 0 while all is well, and what to do when they are not. */
static const struct {
    const char *path, *says;
} troubles[] = {
    {"buffer.full", "the buffer is full: files wait, datagrams are dropped; is the output slow, or "
                    "buffer.max_size too small?"},
    {"ledger.dropped.buffer_full", "dropped because the buffer was full"},
    {"ledger.dropped.damaged", "lost to damage on disk"},
    {"ledger.dropped.too_large", "dropped because no document may be that large"},
    {"ledger.dropped.invalid", "dropped because they were no GELF messages"},
    {"inputs.gelf.kernel_dropped",
     "datagrams dropped by the kernel; raise net.core.rmem_max and inputs.gelf.receive_buffer"},
    {"inputs.gelf.evicted", "chunked messages given up; raise inputs.gelf.max_pending"},
    {"inputs.docker.unreadable",
     "containers whose logs cannot be read here (another log driver, or no right to)"},
    {"inputs.docker.let_go_bytes", "of unread log given up; raise inputs.docker.max_held"},
    {"inputs.docker.missed_files",
     "log files gone before they were read to the end; let Docker keep more (max-file)"},
    {"output.parked", "records of indices that accept nothing are kept under dead-letters/parked"},
    {"dead_letters.bytes",
     "of refused records kept under dead-letters; mend the cause, then `barge replay`"},
};

static void print_troubles(yajl_val root)
{
    const char *breaker = text_at(root, "output.breaker"),
               *last_error = text_at(root, "output.last_error");
    struct strbuf n = {0};

    if (*breaker && strcmp(breaker, "closed") != 0)
        printf("! the output does not take records (breaker %s)%s%s\n", breaker,
               *last_error ? ": " : "", last_error);
    for (size_t i = 0; i < ARRAY_LEN(troubles); i++) {
        const char *path = troubles[i].path;
        uint64_t value = number_at(root, path);

        if (!value)
            continue;
        strbuf_clear(&n);
        if (strcmp(path, "buffer.full") != 0) {
            add_number(&n, path, value);
            strbuf_add_char(&n, ' ');
        }
        printf("! %.*s%s\n", (int)n.n, n.n ? n.p : "", troubles[i].says);
    }
    strbuf_fini(&n);
}

/* ---- everything ---- */

static void print_value(const char *name, yajl_val v, int indent)
{
    struct strbuf text = {0};

    if (YAJL_IS_INTEGER(v) && YAJL_GET_INTEGER(v) >= 0)
        add_number(&text, name, (uint64_t)YAJL_GET_INTEGER(v));
    else if (YAJL_IS_NUMBER(v))
        strbuf_add_str(&text, YAJL_GET_NUMBER(v));
    else if (YAJL_IS_STRING(v))
        strbuf_add_str(&text, *text_of(v) ? text_of(v) : "-");
    else
        strbuf_add_str(&text, "?");
    if (YAJL_IS_STRING(v))
        printf("%*s%-*s %s\n", indent, "", 28 - indent, name, text.p);
    else
        printf("%*s%-*s %16s\n", indent, "", 28 - indent, name, text.p);
    strbuf_fini(&text);
}

static void print_object(yajl_val object, int indent)
{
    for (size_t i = 0; i < object->u.object.len; i++) {
        const char *name = object->u.object.keys[i];
        yajl_val v = object->u.object.values[i];

        if (!YAJL_IS_OBJECT(v)) {
            print_value(name, v, indent);
            continue;
        }
        printf("%s%*s%s\n", indent ? "" : "\n", indent, "", name);
        print_object(v, indent + 2);
    }
}

static int print_status(const char *json)
{
    char why[256] = "";
    yajl_val root = yajl_tree_parse(json, why, sizeof why);

    if (!root || !YAJL_IS_OBJECT(root)) {
        fprintf(stderr, "barge: what answered is no barge: %s\n", *why ? why : "no JSON object");
        yajl_tree_free(root);
        return EXIT_FAILED;
    }
    print_troubles(root);
    print_object(root, 0);
    yajl_tree_free(root);
    return EXIT_DONE;
}

int command_status(const struct arguments *a)
{
    struct config *c = commands_load(a);
    struct strbuf url = {0}, answer = {0};
    struct error e;
    int status = EXIT_FAILED;

    if (!c)
        return EXIT_WRONG;
    if (!*c->status_listen) {
        fprintf(stderr, "barge: status.listen is \"\" in this configuration, so nobody can be "
                        "asked\n");
    } else {
        add_url(&url, c->status_listen);
        if (get(url.p, &answer, &e) < 0)
            fprintf(stderr, "barge: %s\n", e.text);
        else
            status = print_status(answer.n ? answer.p : "");
    }
    strbuf_fini(&url);
    strbuf_fini(&answer);
    config_free(c);
    return status;
}
