/*
 * sink: a counting stand-in for Elasticsearch's _bulk on loopback, cheap enough to leave the
 * machine to what is measured.
 *
 *   sink PORT [SEQ [DOCUMENTS_PER_SECOND QUEUE_BYTES]]
 *
 * Takes POST …/_bulk (Content-Length or chunked, gzip or plain) and answers 201 for every item.
 * Documents carry "SEQ":N ("seq") and may carry "src":K: for each src a bitmap of the seqs seen
 * tells in the end what is missing and what came twice. GET /stats is the counters as JSON, GET
 * /sources what each src brought and when, POST /reset zeroes all.
 *
 * With a capacity it works at requests one after the other, in the order in which they came, each
 * answered when its documents' time is over; what does not fit in the queue is rejected with 429,
 * as a node does whose indexing pressure is too high.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define SOURCES 1024
#define READ_AT_LEAST (256u << 10)

struct buf {
    char *p;
    size_t n, cap;
};

struct connection {
    int fd;
    struct buf in, out;
    size_t sent;
    /* While its request waits in the queue: */
    struct connection *next;
    double due;
    size_t queued_bytes;
    unsigned queued_src;
};

static struct {
    uint8_t *bits;
    uint64_t cap, seen, repeated, end; /* end: one behind the highest */
    uint64_t taken, rejected;          /* requests, by the src of the first document */
    double first, last;                /* monotonic seconds of the first and the last answer */
} sources[SOURCES];

static struct {
    uint64_t requests, documents, unnumbered, wire_bytes, body_bytes, rejected;
    double first, last; /* monotonic seconds of the first and the last bulk request */
} figures;

static const char *seq_name = "\"seq";

static struct {
    double rate; /* documents per second; 0: no limit */
    size_t limit, bytes;
    double busy_until;
    struct connection *first, **end;
} queue = {.end = &queue.first};

static void *sized(void *p, size_t n)
{
    p = realloc(p, n);
    if (!p)
        abort();
    return p;
}

static void reserve(struct buf *b, size_t more)
{
    if (b->n + more <= b->cap)
        return;
    while (b->cap < b->n + more)
        b->cap = b->cap ? b->cap * 2 : 65536;
    b->p = sized(b->p, b->cap);
}

static void append(struct buf *b, const char *s, size_t n)
{
    reserve(b, n);
    memcpy(b->p + b->n, s, n);
    b->n += n;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The number of a member in a document, also where the document is text inside of JSON; -1 when
 * there is none. quoted: the name with the quote before it. */
static int64_t number_of(const char *document, size_t n, const char *quoted)
{
    const char *end = document + n, *p = document;
    size_t quoted_n = strlen(quoted);

    /* By its last letter: memmem goes byte by byte for names this short, and what the sink takes is
     * taken from the agent, on as many processors. */
    while ((p = memchr(p, quoted[quoted_n - 1], (size_t)(end - p)))) {
        int64_t value = 0;

        p++;
        if ((size_t)(p - document) < quoted_n || memcmp(p - quoted_n, quoted, quoted_n) != 0)
            continue;
        p += p < end && *p == '\\';
        if (end - p < 3 || p[0] != '"' || p[1] != ':' || p[2] < '0' || p[2] > '9')
            continue;
        for (p += 2; p < end && *p >= '0' && *p <= '9'; p++)
            value = value * 10 + (*p - '0');
        return value;
    }
    return -1;
}

static void count_document(const char *document, size_t n)
{
    int64_t seq = number_of(document, n, seq_name);
    int64_t src = number_of(document, n, "\"src");
    uint8_t mask = (uint8_t)(1u << (seq & 7));
    uint64_t at = (uint64_t)seq >> 3;

    figures.documents++;
    if (seq < 0 || seq > INT32_MAX || src >= SOURCES) {
        figures.unnumbered++;
        return;
    }
    src = src < 0 ? 0 : src;
    if (at >= sources[src].cap) {
        uint64_t cap = sources[src].cap ? sources[src].cap : 1 << 16;

        while (cap <= at)
            cap *= 2;
        sources[src].bits = sized(sources[src].bits, cap);
        memset(sources[src].bits + sources[src].cap, 0, cap - sources[src].cap);
        sources[src].cap = cap;
    }
    if (sources[src].bits[at] & mask)
        sources[src].repeated++;
    else
        sources[src].seen++;
    sources[src].bits[at] |= mask;
    if ((uint64_t)seq + 1 > sources[src].end)
        sources[src].end = (uint64_t)seq + 1;
}

static void answer_status(struct connection *c, const char *status, const char *body, size_t n)
{
    char head[160];
    int k = snprintf(head, sizeof head,
                     "HTTP/1.1 %s\r\ncontent-type: application/json\r\n"
                     "X-elastic-product: Elasticsearch\r\ncontent-length: %zu\r\n\r\n",
                     status, n);

    append(&c->out, head, (size_t)k);
    append(&c->out, body, n);
}

static void answer(struct connection *c, const char *body, size_t n)
{
    answer_status(c, "200 OK", body, n);
}

/* ---- capacity ---- */

/* Which src the request comes from, as its first document says. */
static unsigned source_of(const char *body, size_t n)
{
    int64_t src = number_of(body, n, "\"src");

    return src < 0 || src >= SOURCES ? 0 : (unsigned)src;
}

static bool is_rejected(struct connection *c, const char *body, size_t n)
{
    static const char text[] =
        "{\"error\":{\"root_cause\":[],\"type\":\"es_rejected_execution_exception\",\"reason\":"
        "\"rejected execution of coordinating operation\"},\"status\":429}";

    if (queue.rate <= 0 || queue.bytes + n <= queue.limit)
        return false;
    figures.rejected++;
    sources[source_of(body, n)].rejected++;
    answer_status(c, "429 Too Many Requests", text, sizeof text - 1);
    return true;
}

/* The answer, which is there already, waits for its time. */
static void enqueue(struct connection *c, unsigned src, unsigned documents, size_t n)
{
    double at = now();

    queue.busy_until =
        (queue.busy_until > at ? queue.busy_until : at) + (double)documents / queue.rate;
    queue.bytes += n;
    c->due = queue.busy_until;
    c->queued_bytes = n;
    c->queued_src = src;
    c->next = NULL;
    *queue.end = c;
    queue.end = &c->next;
}

static void dequeue(struct connection *c)
{
    struct connection **at = &queue.first;

    while (*at && *at != c)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = c->next;
    if (queue.end == &c->next)
        queue.end = at;
    queue.bytes -= c->queued_bytes;
    c->due = 0;
}

/* ---- requests ---- */

static void take_bulk(struct connection *c, const char *body, size_t n)
{
    static const char begin[] = "{\"errors\":false,\"took\":1,\"items\":[";
    static const char item[] = "{\"create\":{\"status\":201}},";
    static struct buf items;
    const char *p = body, *end = body + n;
    unsigned documents = 0;

    items.n = 0;
    append(&items, begin, sizeof begin - 1);
    while (p < end) {
        const char *document = memchr(p, '\n', (size_t)(end - p)), *line_end;

        if (!document || ++document == end)
            break;
        line_end = memchr(document, '\n', (size_t)(end - document));
        line_end = line_end ? line_end : end;
        count_document(document, (size_t)(line_end - document));
        append(&items, item, sizeof item - 1);
        documents++;
        p = line_end + 1;
    }
    items.n -= items.p[items.n - 1] == ',';
    append(&items, "]}", 2);
    figures.last = now();
    answer(c, items.p, items.n);
    if (queue.rate > 0)
        enqueue(c, source_of(body, n), documents, n);
}

static const char *inflated(const char *body, size_t n, size_t *out_n)
{
    static struct buf out;
    z_stream z = {.next_in = (Bytef *)(uintptr_t)body, .avail_in = (uInt)n};
    int rc;

    out.n = 0;
    if (inflateInit2(&z, 15 + 16) != Z_OK)
        abort();
    do {
        reserve(&out, 1 << 20);
        z.next_out = (Bytef *)out.p + out.n;
        z.avail_out = (uInt)(out.cap - out.n);
        rc = inflate(&z, Z_NO_FLUSH);
        out.n = out.cap - z.avail_out;
    } while (rc == Z_OK);
    inflateEnd(&z);
    *out_n = rc == Z_STREAM_END ? out.n : 0;
    return out.p;
}

static void tell(struct connection *c)
{
    uint64_t seen = 0, repeated = 0, missing = 0;
    char text[512];
    int n;

    for (size_t i = 0; i < SOURCES; i++) {
        seen += sources[i].seen;
        repeated += sources[i].repeated;
        missing += sources[i].end - sources[i].seen;
    }
    n = snprintf(
        text, sizeof text,
        "{\"requests\":%llu,\"documents\":%llu,\"unnumbered\":%llu,\"seen\":%llu,\"repeated\":%llu,"
        "\"missing\":%llu,\"wire_bytes\":%llu,\"body_bytes\":%llu,\"rejected\":%llu,"
        "\"first\":%.6f,\"last\":%.6f}",
        (unsigned long long)figures.requests, (unsigned long long)figures.documents,
        (unsigned long long)figures.unnumbered, (unsigned long long)seen,
        (unsigned long long)repeated, (unsigned long long)missing,
        (unsigned long long)figures.wire_bytes, (unsigned long long)figures.body_bytes,
        (unsigned long long)figures.rejected, figures.first, figures.last);
    answer(c, text, (size_t)n);
}

static void tell_sources(struct connection *c)
{
    static struct buf text;

    text.n = 0;
    append(&text, "[", 1);
    for (size_t i = 0; i < SOURCES; i++) {
        char one[256];
        int n =
            snprintf(one, sizeof one,
                     "%s{\"src\":%zu,\"seen\":%llu,\"repeated\":%llu,\"requests\":%llu,"
                     "\"rejected\":%llu,\"first\":%.6f,\"last\":%.6f}",
                     text.n > 1 ? "," : "", i, (unsigned long long)sources[i].seen,
                     (unsigned long long)sources[i].repeated, (unsigned long long)sources[i].taken,
                     (unsigned long long)sources[i].rejected, sources[i].first, sources[i].last);

        if (sources[i].seen > 0 || sources[i].rejected > 0)
            append(&text, one, (size_t)n);
    }
    append(&text, "]", 1);
    answer(c, text.p, text.n);
}

static void reset(void)
{
    for (size_t i = 0; i < SOURCES; i++) {
        free(sources[i].bits);
        memset(&sources[i], 0, sizeof sources[i]);
    }
    memset(&figures, 0, sizeof figures);
}

static void take_request(struct connection *c, const char *head, const char *body, size_t n,
                         bool gzip)
{
    const char *path = strchr(head, ' ') + 1;
    size_t path_n = strcspn(path, " ?");

    if (path_n >= 5 && memcmp(path + path_n - 5, "_bulk", 5) == 0) {
        if (figures.requests++ == 0)
            figures.first = now();
        figures.wire_bytes += n;
        if (gzip)
            body = inflated(body, n, &n);
        figures.body_bytes += n;
        if (!is_rejected(c, body, n))
            take_bulk(c, body, n);
    } else if (path_n == 6 && memcmp(path, "/stats", 6) == 0) {
        tell(c);
    } else if (path_n == 8 && memcmp(path, "/sources", 8) == 0) {
        tell_sources(c);
    } else if (path_n == 6 && memcmp(path, "/reset", 6) == 0) {
        reset();
        answer(c, "{}", 2);
    } else {
        answer(c, "{\"acknowledged\":true}", 21);
    }
}

/* The value of a header, or NULL. head ends with an empty line. */
static const char *header(const char *head, const char *name)
{
    size_t n = strlen(name);

    for (const char *p = strstr(head, "\r\n"); p && p[2] != '\r'; p = strstr(p + 2, "\r\n"))
        if (strncasecmp(p + 2, name, n) == 0 && p[2 + n] == ':')
            return p + 3 + n + strspn(p + 3 + n, " ");
    return NULL;
}

/* The size of the chunk that begins at *at, which moves behind its line; SIZE_MAX when that line is
 * not whole. */
static size_t chunk_size(const char *body, size_t n, size_t *at)
{
    const char *line_end = memmem(body + *at, n - *at, "\r\n", 2);
    size_t size;

    if (!line_end)
        return SIZE_MAX;
    size = strtoul(body + *at, NULL, 16);
    *at = (size_t)(line_end - body) + 2;
    return size;
}

/* Joins a chunked body in place. Returns its length, *used what it took; false when it is not whole
 * yet. */
static bool dechunk(char *body, size_t n, size_t *length, size_t *used)
{
    size_t at = 0, size;

    while ((size = chunk_size(body, n, &at)) > 0) {
        if (size == SIZE_MAX || n - at < size + 2)
            return false;
        at += size + 2;
    }
    if (n - at < 2)
        return false;
    *used = at + 2;
    *length = 0;
    for (at = 0; (size = chunk_size(body, n, &at)) > 0; at += size + 2) {
        memmove(body + *length, body + at, size);
        *length += size;
    }
    return true;
}

/* Handles every request that is whole. */
static void take_input(struct connection *c)
{
    for (;;) {
        char *head_end;
        const char *value;
        size_t head_n, body_n, used;
        bool gzip;

        reserve(&c->in, 1);
        head_end = memmem(c->in.p, c->in.n, "\r\n\r\n", 4);
        if (!head_end)
            return;
        head_n = (size_t)(head_end - c->in.p) + 4;
        value = header(c->in.p, "transfer-encoding");
        if (value && strncasecmp(value, "chunked", 7) == 0) {
            if (!dechunk(c->in.p + head_n, c->in.n - head_n, &body_n, &used))
                return;
        } else {
            value = header(c->in.p, "content-length");
            used = body_n = value ? strtoul(value, NULL, 10) : 0;
            if (c->in.n - head_n < body_n)
                return;
        }
        value = header(c->in.p, "content-encoding");
        gzip = value && strncasecmp(value, "gzip", 4) == 0;
        take_request(c, c->in.p, c->in.p + head_n, body_n, gzip);
        c->in.n -= head_n + used;
        memmove(c->in.p, c->in.p + head_n + used, c->in.n);
    }
}

/* false when the connection has ended. */
static bool put_output(struct connection *c)
{
    while (c->sent < c->out.n) {
        ssize_t put = write(c->fd, c->out.p + c->sent, c->out.n - c->sent);

        if (put < 0)
            return errno == EAGAIN;
        c->sent += (size_t)put;
    }
    c->sent = c->out.n = 0;
    return true;
}

/* Answers whose time has come. Returns the milliseconds until the next one, -1 when there is none.
 */
static int answer_due(void)
{
    struct connection *c;
    double at = now();

    while ((c = queue.first) && c->due <= at) {
        unsigned src = c->queued_src;

        dequeue(c);
        if (sources[src].taken++ == 0)
            sources[src].first = at;
        sources[src].last = at;
        if (!put_output(c))
            shutdown(c->fd, SHUT_RDWR);
    }
    return c ? (int)((c->due - at) * 1000) + 1 : -1;
}

/* false when the connection has ended. */
static bool serve(struct connection *c)
{
    for (;;) {
        ssize_t got;

        reserve(&c->in, READ_AT_LEAST);
        got = read(c->fd, c->in.p + c->in.n, c->in.cap - c->in.n);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            return false;
        if (got < 0)
            break;
        c->in.n += (size_t)got;
        if (c->in.n < c->in.cap)
            break;
    }
    if (c->due > 0)
        return true;
    take_input(c);
    return c->due > 0 || put_output(c);
}

static void accept_all(int listener, int epoll)
{
    int one = 1, fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *c = calloc(1, sizeof *c);

        if (!c)
            abort();
        c->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd,
                  &(struct epoll_event){.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c});
    }
}

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    if (argc < 2 || argc == 4 || argc > 5) {
        fprintf(stderr, "usage: sink PORT [SEQ [DOCUMENTS_PER_SECOND QUEUE_BYTES]]\n");
        return 2;
    }
    if (argc == 5) {
        queue.rate = atof(argv[3]);
        queue.limit = strtoul(argv[4], NULL, 10);
    }
    if (argc >= 3) {
        char *quoted = sized(NULL, strlen(argv[2]) + 2);

        seq_name = strcat(strcpy(quoted, "\""), argv[2]);
    }
    address.sin_port = htons((uint16_t)atoi(argv[1]));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(listener, 512) < 0) {
        perror("sink");
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_signal}, NULL);
    sigaction(SIGINT, &(struct sigaction){.sa_handler = on_signal}, NULL);
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &(struct epoll_event){.events = EPOLLIN});
    while (!stopped) {
        struct epoll_event events[64];
        int n = epoll_wait(epoll, events, 64, answer_due());

        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;

            if (!c) {
                accept_all(listener, epoll);
            } else if (!serve(c)) {
                dequeue(c);
                close(c->fd);
                free(c->in.p);
                free(c->out.p);
                free(c);
            }
        }
    }
    return 0;
}
