/*
 * chatter: what runs in the containers of `make soak-live` (live.py). Writes numbered JSON lines to
 * standard output, every tenth to standard error, as it is told over an abstract Unix socket, and
 * says there how many it has written: so it is known outside to the line, whatever becomes of the
 * container.
 *
 *     chatter SOCKET NAME
 *
 * Orders, a line each: "be SOURCE PAD", the name in the lines from now on, which begin at 0 again,
 * and how many characters fill them; "pace LINES MILLISECONDS", so many at a time; "burst LINES",
 * at once; "hold", no more until another pace; "end". It answers "at LINES" when it has written
 * some, "held LINES" and "ended LINES" when they have left its pipes. SIGTERM is "end", so is the
 * end of the connection.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LONG_EVERY 997 /* a line that Docker cuts in two */
#define LONG_PAD 20000
#define STDERR_EVERY 10

static volatile sig_atomic_t told_to_end;

static struct {
    int fd;
    char source[64];
    long pad, written, pace, every_ms;
    char pending[65536]; /* of standard output, until a batch is complete */
    size_t n;
} me;

static void on_term(int number)
{
    (void)number;
    told_to_end = 1;
}

static void write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, p, n);

        if (done < 0 && errno != EINTR)
            exit(3);
        if (done > 0) {
            p += done;
            n -= (size_t)done;
        }
    }
}

static void flush(void)
{
    write_all(STDOUT_FILENO, me.pending, me.n);
    me.n = 0;
}

static void put_line(void)
{
    static char line[LONG_PAD + 512];
    long n = me.written++;
    long pad = n % LONG_EVERY == LONG_EVERY - 1 ? LONG_PAD : me.pad;
    int begun = snprintf(
        line, sizeof line,
        "{\"level\":\"info\",\"msg\":\"line %ld of %s\",\"src\":\"%s\",\"n\":%ld,\"pad\":\"", n,
        me.source, me.source, n);
    size_t size = (size_t)begun;

    memset(line + size, 'x', (size_t)pad);
    size += (size_t)pad;
    memcpy(line + size, "\"}\n", 3);
    size += 3;
    if (n % STDERR_EVERY == STDERR_EVERY - 1) {
        write_all(STDERR_FILENO, line, size);
        return;
    }
    if (me.n + size > sizeof me.pending)
        flush();
    memcpy(me.pending + me.n, line, size);
    me.n += size;
}

static void say(const char *what)
{
    char text[64];
    int n = snprintf(text, sizeof text, "%s %ld\n", what, me.written);

    if (send(me.fd, text, (size_t)n, MSG_NOSIGNAL) < 0)
        told_to_end = 1;
}

static void put_lines(long lines)
{
    while (lines-- > 0)
        put_line();
    flush();
    say("at");
}

/* Until the runtime has taken all: what it has not read when a container is killed may be gone. */
static void drain(void)
{
    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
        for (int left = 1; ioctl(fd, FIONREAD, &left) == 0 && left > 0;)
            usleep(2000);
}

static void obey(char *order)
{
    long a, b;

    if (sscanf(order, "be %63s %ld", me.source, &a) == 2) {
        me.pad = a;
        me.written = 0;
    } else if (sscanf(order, "pace %ld %ld", &a, &b) == 2) {
        me.pace = a;
        me.every_ms = b;
    } else if (sscanf(order, "burst %ld", &a) == 1) {
        put_lines(a);
    } else if (strcmp(order, "hold") == 0) {
        me.pace = 0;
        drain();
        say("held");
    } else if (strcmp(order, "end") == 0) {
        told_to_end = 1;
    }
}

/* False at the end of the connection. */
static bool take_orders(void)
{
    static char text[1024];
    static size_t have;
    ssize_t n = recv(me.fd, text + have, sizeof text - have, 0);
    char *line_end;

    if (n < 0)
        return errno == EINTR;
    have += (size_t)n;
    while ((line_end = memchr(text, '\n', have)) != NULL) {
        size_t size = (size_t)(line_end + 1 - text);

        *line_end = '\0';
        obey(text);
        have -= size;
        memmove(text, text + size, have);
    }
    return n > 0 && have < sizeof text;
}

static long now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void live(void)
{
    long next = now_ms();
    sigset_t none;

    sigemptyset(&none);
    while (!told_to_end) {
        struct pollfd p = {.fd = me.fd, .events = POLLIN};
        long left = next - now_ms();
        struct timespec wait = {left / 1000, left % 1000 * 1000000};

        if (me.pace > 0 && left <= 0) {
            put_lines(me.pace);
            next = now_ms() + me.every_ms; /* what was missed is not made up for */
            continue;
        }
        if (ppoll(&p, 1, me.pace > 0 ? &wait : NULL, &none) > 0 && !take_orders())
            break;
    }
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_term};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    sigset_t term;
    size_t n;
    char hello[128];

    if (argc != 3 || strlen(argv[1]) + 2 > sizeof address.sun_path)
        return 2;
    /* Taken while it waits only, so that no wait begins behind its back. */
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    sigaction(SIGTERM, &action, NULL);
    n = strlen(argv[1]);
    memcpy(address.sun_path + 1, argv[1], n);
    me.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(me.fd, (struct sockaddr *)&address,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n)) < 0) {
        perror("chatter: connect");
        return 1;
    }
    snprintf(hello, sizeof hello, "hello %.100s\n", argv[2]);
    write_all(me.fd, hello, strlen(hello));
    live();
    drain();
    say("ended");
    return 0;
}
