/*
 * gelf-send: COUNT GELF datagrams of BYTES each to 127.0.0.1:PORT, RATE a second (0: as fast as it
 * goes), by sendmmsg. It stops by itself and prints what it did:  sent=N seconds=S rate=N/S
 *
 *   gelf-send PORT COUNT [BYTES=300 [RATE=200000]]
 *
 * Every message has its number as _n, so that a sink can tell which ones are missing.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH 64
#define MAX_BYTES 65507
#define MAX_COUNT 1000000000ul

static const char form[] =
    "{\"version\":\"1.1\",\"host\":\"bench\",\"short_message\":\"GET /orders/%09lu 200\","
    "\"timestamp\":%ld.%03ld,\"level\":6,\"_n\":%lu,\"_service\":\"orders\","
    "\"_request_id\":\"7f1c0a52e4d94b0c9f3a1d2e%08lx\",\"_pad\":\"";

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t message(char *to, size_t bytes, unsigned long n)
{
    struct timespec t;
    size_t length;

    clock_gettime(CLOCK_REALTIME, &t);
    length = (size_t)snprintf(to, bytes, form, n, (long)t.tv_sec, t.tv_nsec / 1000000, n, n);
    if (length + 2 > bytes)
        return length + 2;
    memset(to + length, 'x', bytes - length - 2);
    memcpy(to + bytes - 2, "\"}", 2);
    return bytes;
}

static unsigned long number(int argc, char **argv, int i, unsigned long otherwise,
                            unsigned long max)
{
    char *end = NULL;
    unsigned long n = i < argc ? strtoul(argv[i], &end, 10) : otherwise;

    if (n > max || (end && *end)) {
        fprintf(stderr, "gelf-send: %s is no number up to %lu\n", argv[i], max);
        exit(2);
    }
    return n;
}

/* Waits until the n-th datagram is due. */
static void pace(double began, unsigned long n, unsigned long rate)
{
    double ahead = rate ? began + (double)n / (double)rate - seconds() : 0;

    if (ahead > 0) {
        struct timespec t = {(time_t)ahead, (long)((ahead - (double)(time_t)ahead) * 1e9)};

        nanosleep(&t, NULL);
    }
}

int main(int argc, char **argv)
{
    static char body[BATCH][MAX_BYTES + 1];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct mmsghdr m[BATCH];
    struct iovec part[BATCH];
    unsigned long count, bytes, rate, sent = 0;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    double began, took;

    if (argc < 3) {
        fprintf(stderr, "usage: gelf-send PORT COUNT [BYTES=300 [RATE=200000]]\n");
        return 2;
    }
    to.sin_port = htons((uint16_t)number(argc, argv, 1, 0, 65535));
    count = number(argc, argv, 2, 0, MAX_COUNT);
    bytes = number(argc, argv, 3, 300, MAX_BYTES);
    rate = number(argc, argv, 4, 200000, MAX_COUNT);
    if (message(body[0], bytes, MAX_COUNT) != bytes) {
        fprintf(stderr, "gelf-send: a message has %zu bytes at least\n",
                message(body[0], bytes, MAX_COUNT));
        return 2;
    }
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0) {
        perror("gelf-send");
        return 1;
    }
    memset(m, 0, sizeof m);
    for (int i = 0; i < BATCH; i++) {
        part[i] = (struct iovec){body[i], bytes};
        m[i].msg_hdr.msg_iov = &part[i];
        m[i].msg_hdr.msg_iovlen = 1;
    }
    began = seconds();
    while (sent < count) {
        unsigned want = count - sent < BATCH ? (unsigned)(count - sent) : BATCH, done = 0;

        for (unsigned i = 0; i < want; i++)
            message(body[i], bytes, sent + i);
        while (done < want) {
            int n = sendmmsg(fd, m + done, want - done, 0);

            if (n < 0 && errno != EINTR) {
                perror("gelf-send"); /* nobody listens */
                return 1;
            }
            done += n > 0 ? (unsigned)n : 0;
        }
        sent += want;
        pace(began, sent, rate);
    }
    took = seconds() - began;
    printf("sent=%lu seconds=%.3f rate=%.0f\n", sent, took, (double)sent / took);
    return 0;
}
