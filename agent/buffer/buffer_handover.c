/*
 * Segments that leave the buffer with records in them that are not delivered: because the disk
 * takes no byte more, a file changes hands where its records cannot be copied out. It is linked
 * under its new name, the frontier moves over it, and the buffer unlinks its own name as always:
 * there is no moment at which it has none.
 */
#include "agent/buffer/buffer_internal.h"

#include "agent/base/io.h"
#include "agent/buffer/buffer_scan.h"

#include <errno.h>
#include <stdlib.h>

int buffer_link_segment(struct buffer *b, uint64_t number, int dir, const char *name)
{
    char own[BUFFER_NAME_MAX] = "";

    pthread_mutex_lock(&b->lock);
    /* The last one is still written to, and one that is not durable may yet be copied to another
     * file, which then takes the name. */
    for (size_t i = 0; i + 1 < b->n_segments; i++)
        if (b->segments[i]->number == number && number < b->durable.segment)
            buffer_segment_name(own, b->segments[i]->name, "seg");
    pthread_mutex_unlock(&b->lock);
    if (own[0] == '\0') {
        errno = EAGAIN;
        return -1;
    }
    return io_link(b->dir, own, dir, name);
}

struct buffer_segment_file {
    struct buffer_scan scan;
    uint64_t number, size;
    char *record; /* owned; the last one read */
    size_t cap;
};

struct buffer_segment_file *buffer_segment_file_open(int fd)
{
    char head[BUFFER_FORMAT_HEADER];
    struct buffer_segment_file *f;
    struct buffer_header h;
    struct stat st;

    if (io_pread(fd, head, sizeof head, 0) != (ssize_t)sizeof head ||
        !buffer_format_header_get(head, &h) || io_stat(fd, &st) < 0)
        return NULL;
    f = base_calloc(1, sizeof *f);
    f->number = h.number;
    f->size = (uint64_t)st.st_size;
    buffer_scan_init(&f->scan, fd, buffer_format_key(h.salt, h.number), BUFFER_FORMAT_HEADER,
                     f->size);
    return f;
}

void buffer_segment_file_close(struct buffer_segment_file *f)
{
    if (f == NULL)
        return;
    buffer_scan_fini(&f->scan);
    free(f->record);
    free(f);
}

/* Reads the record of which the head is known, and which ends where the scan stands. */
static bool read_record(struct buffer_segment_file *f, const struct buffer_head *h,
                        struct buffer_record *r)
{
    size_t size = (size_t)buffer_format_size(h), n = h->length - BUFFER_ID_BYTES - h->index_n;
    uint64_t at = f->scan.at - size;
    const char *p;

    if (size > f->cap) {
        f->cap = size;
        f->record = base_realloc(f->record, f->cap);
    }
    if (io_pread(f->scan.fd, f->record, size, (off_t)at) != (ssize_t)size)
        return false;
    p = f->record + BUFFER_FORMAT_HEAD;
    *r = (struct buffer_record){.seq = h->seq,
                                .flags = h->flags,
                                .class = h->class,
                                .age_base_s = h->time_s,
                                .document = bytes_of(p, n),
                                .index = bytes_of(p + n + BUFFER_ID_BYTES, h->index_n),
                                .at = {f->number, at}};
    memcpy(r->id, p + n, sizeof r->id);
    return true;
}

bool buffer_segment_file_next(struct buffer_segment_file *f, uint64_t *at, struct buffer_record *r)
{
    struct buffer_head h;

    buffer_scan_seek(&f->scan, MIN(MAX(*at, BUFFER_FORMAT_HEADER), f->size), f->size);
    for (;;) {
        enum buffer_scan_result got = buffer_scan_next(&f->scan, &h);

        *at = f->scan.at;
        if (got == BUFFER_SCAN_END)
            return false;
        if (got == BUFFER_SCAN_BAD_HEAD)
            buffer_scan_resync(&f->scan, 0, UINT64_MAX);
        else if (got == BUFFER_SCAN_RECORD && h.type == BUFFER_TYPE_DATA && read_record(f, &h, r))
            return true;
    }
}
