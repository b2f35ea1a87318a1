/*
 * A segment that has changed hands, read by its own header alone. The input makes the file: records
 * that are whole, ones whose heads lie under checksums that are right, bytes between them; then it
 * overwrites and cuts. Whatever comes of it: reading ends, goes forwards, hands out only what
 * verifies where it lies, every whole record that nothing touched (unless a head lied), and the
 * same from any place on.
 */
#include "agent/base/log.h"
#include "agent/buffer/buffer.h"
#include "agent/buffer/buffer_format.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define FILE_BYTES (64u << 10)
#define RECORDS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct input {
    const uint8_t *p;
    size_t n;
};

/* The file as it is made, and where its whole records lie. */
static struct {
    char p[FILE_BYTES];
    size_t n;
    uint32_t key;
    struct {
        size_t at, n;
        bool whole;
    } records[RECORDS];
    size_t n_records;
    bool lies;
} file;

static uint8_t take(struct input *in)
{
    if (in->n == 0)
        return 0;
    in->n--;
    return *in->p++;
}

static uint32_t take_number(struct input *in)
{
    uint32_t v = take(in);

    v |= (uint32_t)take(in) << 8;
    v |= (uint32_t)take(in) << 16;
    return v | (uint32_t)take(in) << 24;
}

static void add_header(struct input *in)
{
    struct buffer_header h = {.number = 1 + take(in), .data_start = BUFFER_FORMAT_HEADER};

    memset(h.salt, take(in), sizeof h.salt);
    buffer_format_header_put(file.p, &h);
    file.n = BUFFER_FORMAT_HEADER;
    file.key = buffer_format_key(h.salt, h.number);
}

/* A record, whole or with a length that is not its own. */
static void add_record(struct input *in, bool lies)
{
    static const uint8_t types[] = {BUFFER_TYPE_DATA, BUFFER_TYPE_DATA, BUFFER_TYPE_COMMIT,
                                    BUFFER_TYPE_SNAPSHOT};
    struct buffer_head h = {.type = types[take(in) % 4]};
    char *head = file.p + file.n, *payload = head + BUFFER_FORMAT_HEAD;
    bool data = h.type == BUFFER_TYPE_DATA;
    size_t size = data ? BUFFER_ID_BYTES : BUFFER_FORMAT_BOOKS, more;

    h.flags = take(in) % 8;
    more = take(in);
    h.index_n = data ? take(in) : 0;
    h.seq = take(in);
    size += more + h.index_n;
    if (file.n_records == RECORDS || size + BUFFER_FORMAT_HEAD > sizeof file.p - file.n)
        return;
    memset(payload, (int)more, size);
    h.length = (uint32_t)size;
    if (lies) {
        /* The payload verifies all the same, where the file holds it. */
        h.length = take(in) % 2 ? take_number(in) : (uint32_t)(size - take(in) % (size + 1));
        file.lies = true;
    }
    h.payload_crc =
        buffer_format_payload_crc(file.key, h.seq, payload, MIN((size_t)h.length, size));
    buffer_format_head_put(head, file.key, &h);
    file.records[file.n_records].at = file.n;
    file.records[file.n_records].n = BUFFER_FORMAT_HEAD + size;
    file.records[file.n_records++].whole = data && !lies;
    file.n += BUFFER_FORMAT_HEAD + size;
}

static void add_bytes(struct input *in)
{
    for (size_t n = take(in); n > 0 && file.n < sizeof file.p; n--)
        file.p[file.n++] = (char)take(in);
}

static void touch(size_t at, size_t n)
{
    for (size_t i = 0; i < file.n_records; i++)
        if (at < file.records[i].at + file.records[i].n && at + n > file.records[i].at)
            file.records[i].whole = false;
}

static void overwrite(struct input *in)
{
    size_t at = take_number(in) % file.n, n = MIN((size_t)take(in), file.n - at);
    uint8_t with = take(in);

    memset(file.p + at, with, n);
    touch(at, n);
}

/* The last thing that happens to a file: nobody writes behind it. */
static void cut(struct input *in)
{
    size_t at = take_number(in) % file.n + 1;

    touch(at, file.n - at);
    file.n = at;
    in->n = 0;
}

static void make(struct input *in)
{
    memset(&file, 0, sizeof file);
    add_header(in);
    while (in->n > 0) {
        switch (take(in) % 8) {
        case 0:
        case 1:
        case 2:
        case 3:
            add_record(in, false);
            break;
        case 4:
            add_record(in, true);
            break;
        case 5:
            add_bytes(in);
            break;
        case 6:
            overwrite(in);
            break;
        case 7:
            cut(in);
            break;
        }
    }
}

/* What is handed out stands there, and verifies. */
static void check_record(const struct buffer_record *r, uint64_t at)
{
    size_t offset = (size_t)r->at.offset;
    struct buffer_head h;

    ASSERT(offset + BUFFER_FORMAT_HEAD <= file.n);
    ASSERT(buffer_format_head_get(file.p + offset, file.key, &h) && h.type == BUFFER_TYPE_DATA);
    ASSERT(offset + buffer_format_size(&h) == at && at <= file.n);
    offset += BUFFER_FORMAT_HEAD;
    ASSERT(buffer_format_payload_crc(file.key, h.seq, file.p + offset, h.length) == h.payload_crc);
    ASSERT(r->document.n + BUFFER_ID_BYTES + r->index.n == h.length && r->seq == h.seq);
    ASSERT(!memcmp(r->document.p, file.p + offset, r->document.n));
    ASSERT(!memcmp(r->id, file.p + offset + r->document.n, BUFFER_ID_BYTES));
    ASSERT(!memcmp(r->index.p, file.p + at - r->index.n, r->index.n));
}

/* Reads from offset on; returns the sum of where the records lie. */
static uint64_t read_from(int fd, uint64_t offset)
{
    struct buffer_segment_file *f = buffer_segment_file_open(fd);
    uint64_t at = offset, sum = 0, before;
    struct buffer_record r;
    size_t next = 0;

    if (f == NULL)
        return 0;
    while (next < file.n_records && file.records[next].at < offset)
        next++;
    for (before = at; buffer_segment_file_next(f, &at, &r); before = at) {
        ASSERT(r.at.offset >= before && at > before);
        check_record(&r, at);
        sum += r.at.offset;
        for (; next < file.n_records && file.records[next].at < r.at.offset; next++)
            ASSERT(file.lies || !file.records[next].whole);
        next += next < file.n_records && file.records[next].at == r.at.offset;
    }
    ASSERT(!buffer_segment_file_next(f, &at, &r)); /* and stays at the end */
    for (; next < file.n_records; next++)
        ASSERT(file.lies || !file.records[next].whole);
    buffer_segment_file_close(f);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct input in = {data, n};
    struct buffer_segment_file *f;
    struct buffer_record r;
    uint64_t all, at = 0, sum = 0;
    int fd = memfd_create("segment", MFD_CLOEXEC);

    make(&in);
    if (fd < 0 || write(fd, file.p, file.n) != (ssize_t)file.n)
        abort();
    all = read_from(fd, 0);
    f = buffer_segment_file_open(fd);
    while (f != NULL && buffer_segment_file_next(f, &at, &r)) {
        sum += r.at.offset;
        /* Whoever begins anew behind a record finds the others. */
        ASSERT(sum + read_from(fd, at) == all);
    }
    ASSERT(f == NULL || sum == all);
    buffer_segment_file_close(f);
    close(fd);
    return 0;
}
