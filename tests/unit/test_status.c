#include "agent/base/metrics.h"
#include "agent/base/tally.h"
#include "agent/status/status.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <yajl/yajl_tree.h>

#include <cmocka.h>

static bool healthy_now = true;
static unsigned fills;

static void fill(void *arg)
{
    (void)arg;
    fills++;
    metric_set(M_BUFFERED, 7);
}

static bool healthy(void *arg, struct strbuf *why)
{
    (void)arg;
    if (!healthy_now)
        strbuf_add_str(why, "stuck in the mud");
    return healthy_now;
}

static int dial(const struct status *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)status_port(s)),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

/* Sends what is given and reads until the other side closes. */
static void talk(const struct status *s, const char *request, struct strbuf *answer)
{
    int fd = dial(s);
    ssize_t n;

    strbuf_clear(answer);
    assert_int_equal(write(fd, request, strlen(request)), strlen(request));
    while ((n = read(fd, strbuf_room(answer, 4096), 4096)) > 0)
        answer->n += (size_t)n;
    assert_int_equal(n, 0);
    strbuf_add_str(answer, "");
    close(fd);
}

static void ask(const struct status *s, const char *method, const char *path, struct strbuf *answer)
{
    char request[256];

    snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
             method, path);
    talk(s, request, answer);
}

static const char *body_of(const struct strbuf *answer)
{
    const char *b = strstr(answer->p, "\r\n\r\n");

    assert_non_null(b);
    return b + 4;
}

static struct status *start(void)
{
    struct error e = {""};
    int fd = status_listen("127.0.0.1:0", &e);
    struct status *s =
        fd < 0 ? NULL : status_start(fd, "127.0.0.1:0", fill, healthy, NULL, NULL, &e);

    if (!s)
        fail_msg("%s", e.text);
    assert_true(status_port(s) > 0);
    return s;
}

static void pages_answer(void **state)
{
    struct status *s = start();
    struct strbuf a = {0};

    (void)state;
    fills = 0;
    ask(s, "GET", "/metrics", &a);
    assert_int_equal(strncmp(a.p, "HTTP/1.1 200 ", 13), 0);
    assert_non_null(strstr(a.p, "text/plain; version=0.0.4"));
    assert_non_null(strstr(body_of(&a), "\nbarge_ledger_buffered 7\n"));
    assert_int_equal(fills, 1);
    ask(s, "GET", "/status", &a);
    assert_int_equal(strncmp(a.p, "HTTP/1.1 200 ", 13), 0);
    assert_non_null(strstr(a.p, "application/json"));
    assert_int_equal(body_of(&a)[0], '{');
    ask(s, "HEAD", "/status", &a);
    assert_int_equal(strncmp(a.p, "HTTP/1.1 200 ", 13), 0);
    assert_string_equal(body_of(&a), "");
    ask(s, "GET", "/ready", &a);
    assert_int_equal(strncmp(a.p, "HTTP/1.1 200 ", 13), 0);
    ask(s, "GET", "/health", &a);
    assert_string_equal(body_of(&a), "ok\n");
    healthy_now = false;
    ask(s, "GET", "/health", &a);
    healthy_now = true;
    assert_int_equal(strncmp(a.p, "HTTP/1.1 503 ", 13), 0);
    assert_string_equal(body_of(&a), "stuck in the mud\n");
    strbuf_fini(&a);
    status_stop(s);
}

static void everything_else_is_refused(void **state)
{
    static const char *const paths[] = {"/", "/statuss", "/status/", "/../status"};
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "BREW"};
    struct status *s = start();
    struct strbuf a = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        ask(s, "GET", paths[i], &a);
        assert_int_equal(strncmp(a.p, "HTTP/1.1 404 ", 13), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        ask(s, methods[i], "/status", &a);
        assert_int_equal(strncmp(a.p, "HTTP/1.1 405 ", 13), 0);
        assert_non_null(strstr(a.p, "Allow: GET, HEAD"));
    }
    talk(s, "nonsense\r\n\r\n", &a);
    ask(s, "GET", "/health", &a);
    assert_int_equal(strncmp(a.p, "HTTP/1.1 200 ", 13), 0);
    strbuf_fini(&a);
    status_stop(s);
}

/* Connections that say nothing take their places, not more, and a stop does not wait for them. */
static void silent_connections_are_bounded(void **state)
{
    struct status *s = start();
    int fds[50];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fds[i] = dial(s);
    status_stop(s);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
}

static void taken_address_is_told(void **state)
{
    struct status *s = start();
    char address[64];
    struct error e = {""};

    (void)state;
    snprintf(address, sizeof address, "127.0.0.1:%u", status_port(s));
    assert_int_equal(status_listen(address, &e), -1);
    assert_non_null(strstr(e.text, "in use"));
    assert_non_null(strstr(e.text, address));
    status_stop(s);
    status_stop(NULL);
}

/* Every line is a comment or NAME VALUE; every sample has its HELP and TYPE right before it. */
static void metrics_are_prometheus_text(void **state)
{
    struct strbuf text = {0};
    char *line, *rest, help[128] = "", type[128] = "", kind[16] = "";
    size_t samples = 0;

    (void)state;
    metric_add(M_GELF_DATAGRAMS, 5);
    status_render_metrics(&text, 61);
    assert_int_equal(text.p[text.n - 1], '\n');
    assert_non_null(strstr(text.p, "\nbarge_inputs_gelf_datagrams_total 5\n"));
    assert_non_null(strstr(text.p, "\nbarge_uptime_s 61\n"));
    assert_non_null(strstr(text.p, "\n# TYPE barge_inputs_gelf_datagrams_total counter\n"));
    assert_non_null(strstr(text.p, "\n# TYPE barge_buffer_bytes gauge\n"));
    for (line = strtok_r(text.p, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char name[128];

        if (sscanf(line, "# HELP %127s", help) == 1)
            continue;
        if (sscanf(line, "# TYPE %127s %15s", type, kind) == 2)
            continue;
        assert_int_equal(sscanf(line, "%127[a-zA-Z0-9_]", name), 1);
        assert_string_equal(name, help);
        assert_string_equal(name, type);
        assert_int_equal(strncmp(name, "barge_", 6), 0);
        assert_int_equal(strcmp(kind, "counter") == 0,
                         strcmp(name + strlen(name) - 6, "_total") == 0);
        samples++;
    }
    assert_int_equal(samples, METRIC_COUNT + 2);
    strbuf_fini(&text);
}

static int no_key_twice(yajl_val v)
{
    int n = 0;

    if (!YAJL_IS_OBJECT(v))
        return 1;
    for (size_t i = 0; i < v->u.object.len; i++) {
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(v->u.object.keys[i], v->u.object.keys[k]);
        n += no_key_twice(v->u.object.values[i]);
    }
    return n;
}

static yajl_val get(yajl_val root, const char *a, const char *b, const char *c)
{
    return yajl_tree_get(root, (const char *[]){a, b, c, NULL}, yajl_t_any);
}

static void status_is_nested_json(void **state)
{
    struct tally *tally = tally_take(BYTES_LITERAL("orders.\"api"));
    struct strbuf text = {0};
    yajl_val root;

    (void)state;
    metric_set(M_OUT_BREAKER, 2);
    metric_add(M_DROP_BUFFER_FULL, 3);
    metric_text_set("output.last_error", BYTES_LITERAL("said \"no\"\n"));
    metric_text_set("inputs.docker.unreadable_containers", BYTES_LITERAL("a, b"));
    metric_text_set("output.hosts.a", BYTES_LITERAL("open"));
    tally_add(tally, 3, 100);
    status_render_json(&text, 9);
    root = yajl_tree_parse(text.p, NULL, 0);
    assert_non_null(root);
    /* version, uptime_s, three texts, services and the table */
    assert_int_equal(no_key_twice(root), METRIC_COUNT + 6);
    assert_non_null(
        strstr(text.p, "\"services\":[{\"name\":\"orders.\\\"api\",\"records\":3,\"bytes\":100}]"));
    assert_true(YAJL_IS_STRING(get(root, "version", NULL, NULL)));
    assert_int_equal(YAJL_GET_INTEGER(get(root, "uptime_s", NULL, NULL)), 9);
    assert_int_equal(YAJL_GET_INTEGER(get(root, "ledger", "dropped", "buffer_full")), 3);
    assert_non_null(get(root, "ledger", "read", NULL));
    assert_non_null(get(root, "inputs", "docker", "lag_bytes"));
    assert_non_null(get(root, "inputs", "gelf", "kernel_dropped"));
    assert_string_equal(YAJL_GET_STRING(get(root, "inputs", "docker", "unreadable_containers")),
                        "a, b");
    assert_string_equal(YAJL_GET_STRING(get(root, "output", "breaker", NULL)), "open");
    assert_string_equal(YAJL_GET_STRING(get(root, "output", "last_error", NULL)), "said \"no\"\n");
    assert_string_equal(YAJL_GET_STRING(get(root, "output", "hosts", "a")), "open");
    tally_put(tally);
    yajl_tree_free(root);
    strbuf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_answer),
        cmocka_unit_test(everything_else_is_refused),
        cmocka_unit_test(silent_connections_are_bounded),
        cmocka_unit_test(taken_address_is_told),
        cmocka_unit_test(metrics_are_prometheus_text),
        cmocka_unit_test(status_is_nested_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
