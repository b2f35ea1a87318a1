/* Requests to nodes that hang, are away, answer 503, say too much, and change their password. */
#include "outputs/elasticsearch/es_client.h"

#include "agent/base/clock.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* A node that gives each request the next of its answers, the last one again and again; an empty
 * one: none. */
struct node {
    int listener, port, stop[2];
    pthread_t thread;
    const char *const *answers;
    struct strbuf seen; /* all that was sent to it */
    unsigned n;
};

static bool readable(const struct node *n, int fd)
{
    struct pollfd p[] = {{.fd = fd, .events = POLLIN}, {.fd = n->stop[0], .events = POLLIN}};

    poll(p, 2, -1);
    return !(p[1].revents & POLLIN);
}

/* Head and body of one request, added to seen. */
static bool read_request(struct node *n, int fd)
{
    size_t from = n->seen.n, body;
    char *end, *length;

    for (;;) {
        char *p = strbuf_room(&n->seen, 65536);
        ssize_t got = readable(n, fd) ? read(fd, p, 65536) : 0;

        if (got <= 0)
            return false;
        n->seen.n += (size_t)got;
        n->seen.p[n->seen.n] = '\0';
        end = strstr(n->seen.p + from, "\r\n\r\n");
        if (!end)
            continue;
        length = strcasestr(n->seen.p + from, "Content-Length: ");
        body = length && length < end ? strtoul(length + 16, NULL, 10) : 0;
        if (n->seen.n >= (size_t)(end + 4 - n->seen.p) + body)
            return true;
    }
}

static void *serve(void *arg)
{
    struct node *n = arg;

    while (readable(n, n->listener)) {
        int fd = accept(n->listener, NULL, NULL);

        while (read_request(n, fd)) {
            const char *answer = n->answers[n->n];

            if (n->answers[n->n + 1] != NULL)
                n->n++;
            if (answer[0] != '\0')
                assert_true(write(fd, answer, strlen(answer)) > 0);
        }
        close(fd);
    }
    return NULL;
}

static void start(struct node *n, const char *const *answers)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;

    memset(n, 0, sizeof *n);
    n->answers = answers;
    n->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(n->listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(n->listener, 8), 0);
    getsockname(n->listener, (struct sockaddr *)&a, &size);
    n->port = ntohs(a.sin_port);
    assert_int_equal(pipe(n->stop), 0);
    assert_int_equal(pthread_create(&n->thread, NULL, serve, n), 0);
}

static void stop(struct node *n)
{
    assert_int_equal(write(n->stop[1], "x", 1), 1);
    pthread_join(n->thread, NULL);
    close(n->listener);
    close(n->stop[0]);
    close(n->stop[1]);
    strbuf_fini(&n->seen);
}

#define OK(body, length)                                                                           \
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " length "\r\n\r\n" body
#define AWAY "HTTP/1.1 503 Away\r\nContent-Length: 4\r\n\r\naway"

static char empty[] = "";
static char urls[2][64];
static char *hosts[3];
static struct elasticsearch_settings settings;
static struct strbuf response;
static struct error error;
static long status;

static struct es_client *client(const struct es_client_options *o, int port, int second_port)
{
    struct es_client *c;

    snprintf(urls[0], sizeof urls[0], "http://127.0.0.1:%d/base/", port);
    snprintf(urls[1], sizeof urls[1], "http://127.0.0.1:%d", second_port);
    hosts[0] = urls[0];
    hosts[1] = second_port ? urls[1] : NULL;
    settings.hosts = hosts;
    if (!settings.username)
        settings.username = empty;
    if (!settings.password_file)
        settings.password_file = empty;
    settings.api_key_file = settings.proxy = empty;
    settings.tls.ca_file = settings.tls.cert_file = settings.tls.key_file = empty;
    c = es_client_create(&settings, o ? o : &(struct es_client_options){0}, &error);
    assert_non_null(c);
    return c;
}

static int ask(struct es_client *c, const char *method, const char *path, struct bytes body)
{
    return es_client_request(c, method, path, body, NULL, &status, &response, &error);
}

static int port_of_nobody(void)
{
    static const char *const none[] = {"", NULL};
    struct node n;

    start(&n, none);
    stop(&n);
    return n.port;
}

static void test_one_request(void **state)
{
    static const char *const answers[] = {OK("{}", "2"),
                                          "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", NULL};
    static const char *const headers[] = {"kbn-xsrf: barge", NULL};
    struct es_client *c;
    struct node n;

    (void)state;
    start(&n, answers);
    c = client(&(struct es_client_options){.headers = headers}, n.port, 0);
    assert_int_equal(ask(c, "PUT", "/_index_template/x?y=1", BYTES_LITERAL("{\"a\":1}")), 0);
    assert_int_equal(status, 200);
    assert_string_equal(response.p, "{}");
    assert_int_equal(ask(c, "GET", "/none", BYTES_NONE), 0);
    assert_int_equal(status, 404);
    assert_string_equal(response.p, "");
    es_client_destroy(c);
    assert_non_null(strstr(n.seen.p, "PUT /base/_index_template/x?y=1 HTTP/1.1\r\n"));
    assert_non_null(strstr(n.seen.p, "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strstr(n.seen.p, "\r\nkbn-xsrf: barge\r\n"));
    assert_non_null(strstr(n.seen.p, "\r\n\r\n{\"a\":1}GET /base/none HTTP/1.1\r\n"));
    assert_null(strstr(strstr(n.seen.p, "GET "), "Content-"));
    assert_null(strstr(n.seen.p, "Expect"));
    stop(&n);
}

static void test_hosts_in_turn(void **state)
{
    static const char *const away[] = {AWAY, NULL}, *const answers[] = {OK("{}", "2"), NULL};
    struct node first, second;
    struct es_client *c;

    (void)state;
    start(&second, answers);
    c = client(NULL, port_of_nobody(), second.port);
    assert_int_equal(ask(c, "GET", "/1", BYTES_NONE), 0);
    assert_int_equal(status, 200);
    es_client_destroy(c);

    start(&first, away);
    c = client(NULL, first.port, second.port);
    assert_int_equal(ask(c, "GET", "/2", BYTES_NONE), 0);
    assert_int_equal(status, 200);
    /* The one that answered is asked first from now on. */
    assert_int_equal(ask(c, "GET", "/3", BYTES_NONE), 0);
    assert_int_equal(status, 200);
    es_client_destroy(c);
    assert_non_null(strstr(first.seen.p, "/2"));
    assert_null(strstr(first.seen.p, "/3"));
    stop(&first);

    /* With nobody better the 503 is the answer. */
    start(&first, away);
    c = client(NULL, port_of_nobody(), first.port);
    assert_int_equal(ask(c, "GET", "/4", BYTES_NONE), 0);
    assert_int_equal(status, 503);
    assert_string_equal(response.p, "away");
    es_client_destroy(c);
    stop(&first);
    stop(&second);
}

static void test_nobody_answers(void **state)
{
    static const char *const silent[] = {"", NULL};
    struct es_client *c = client(NULL, port_of_nobody(), 0);
    struct node n;

    (void)state;
    assert_int_equal(ask(c, "GET", "/", BYTES_NONE), -1);
    assert_non_null(strstr(error.text, es_client_host(c)));
    es_client_destroy(c);
    start(&n, silent);
    c = client(&(struct es_client_options){.timeout_ms = 100}, n.port, 0);
    assert_int_equal(ask(c, "GET", "/", BYTES_NONE), -1);
    es_client_destroy(c);
    stop(&n);
}

static void test_an_answer_has_a_ceiling(void **state)
{
    static const char *const answers[] = {OK("0123456789", "10"), NULL};
    struct es_client *c;
    struct node n;

    (void)state;
    start(&n, answers);
    c = client(&(struct es_client_options){.response_max = 9}, n.port, 0);
    assert_int_equal(ask(c, "GET", "/", BYTES_NONE), -1);
    assert_non_null(strstr(error.text, "more than 9 bytes"));
    es_client_destroy(c);
    c = client(&(struct es_client_options){.response_max = 10}, n.port, 0);
    assert_int_equal(ask(c, "GET", "/", BYTES_NONE), 0);
    assert_string_equal(response.p, "0123456789");
    es_client_destroy(c);
    stop(&n);
}

static void *abort_it(void *arg)
{
    es_client_abort(arg);
    return NULL;
}

static void test_an_abort_ends_what_hangs(void **state)
{
    static const char *const silent[] = {"", NULL};
    uint64_t before_ms = clock_mono_ms();
    struct es_client *c;
    pthread_t other;
    struct node n;

    (void)state;
    start(&n, silent);
    c = client(&(struct es_client_options){.timeout_ms = 600000}, n.port, 0);
    pthread_create(&other, NULL, abort_it, c);
    assert_int_equal(ask(c, "GET", "/", BYTES_NONE), -1);
    pthread_join(other, NULL);
    assert_int_equal(ask(c, "GET", "/", BYTES_NONE), -1);
    assert_true(clock_mono_ms() - before_ms < 60000);
    es_client_destroy(c);
    stop(&n);
}

static void write_secret(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void test_a_new_password_is_read_after_a_401(void **state)
{
    static const char *const answers[] = {"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n",
                                          OK("{}", "2"), NULL};
    char path[] = "/tmp/barge-test-XXXXXX", user[] = "barge";
    struct es_client *c;
    struct node n;

    (void)state;
    close(mkstemp(path));
    write_secret(path, "old");
    settings.username = user;
    settings.password_file = path;
    start(&n, answers);
    c = client(NULL, n.port, 0);
    write_secret(path, "new");
    assert_int_equal(ask(c, "GET", "/", BYTES_NONE), 0);
    assert_int_equal(status, 200);
    es_client_destroy(c);
    /* barge:old and barge:new in base64 */
    assert_non_null(strstr(n.seen.p, "Authorization: Basic YmFyZ2U6b2xk\r\n"));
    assert_non_null(strstr(n.seen.p, "Authorization: Basic YmFyZ2U6bmV3\r\n"));
    settings.username = settings.password_file = NULL;
    stop(&n);
    unlink(path);
}

static void test_escape(void **state)
{
    struct strbuf to = {0};

    (void)state;
    es_client_escape(&to, BYTES_LITERAL("a-Z_0.9~/%{ \xc3\xa5*"));
    assert_string_equal(to.p, "a-Z_0.9~%2F%25%7B%20%C3%A5%2A");
    strbuf_fini(&to);
}

static void test_reason(void **state)
{
    static const struct {
        const char *response, *reason;
    } cases[] = {
        {"{\"error\":{\"type\":\"x_exception\",\"reason\":\"no \\u00e5\"},\"status\":400}",
         "x_exception: no \xc3\xa5"},
        {"{\"error\":{\"type\":\"x_exception\"}}", "x_exception: "},
        {"{\"error\":\"plain\",\"status\":406}", "{\"error\":\"plain\",\"status\":406}"},
        {"<html>", "<html>"},
    };
    struct strbuf to = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        strbuf_clear(&to);
        es_client_reason(bytes_str(cases[i].response), &to);
        assert_string_equal(to.p, cases[i].reason);
    }
    strbuf_fini(&to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_request),
        cmocka_unit_test(test_hosts_in_turn),
        cmocka_unit_test(test_nobody_answers),
        cmocka_unit_test(test_an_answer_has_a_ceiling),
        cmocka_unit_test(test_an_abort_ends_what_hangs),
        cmocka_unit_test(test_a_new_password_is_read_after_a_401),
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_reason),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    strbuf_fini(&response);
    return failed;
}
