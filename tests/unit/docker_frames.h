/*
 * Frames the same bytes twice: at one go, and as they come in life: in pieces of any size, with an
 * intake that refuses, and restarts that continue from what a position entry holds. Both must give
 * the same records in the same order.
 */
#ifndef BARGE_TEST_DOCKER_FRAMES_H
#define BARGE_TEST_DOCKER_FRAMES_H

#include "agent/inputs/docker_frame.h"

#include <stdlib.h>

struct frames {
    struct {
        uint64_t position;
        uint32_t hash;
        unsigned tags;
        uint8_t stream, form;
        int64_t time_ns;
        size_t at, n; /* in text */
    } * list;
    size_t n;
    char *text;
    size_t text_n;
    unsigned refuse; /* the next so many are refused */
};

static inline bool frames_keep(void *arg, const struct docker_framed *r)
{
    struct frames *f = arg;

    if (f->refuse) {
        f->refuse--;
        return false;
    }
    f->list = base_realloc(f->list, (f->n + 1) * sizeof *f->list);
    f->list[f->n].position = r->position;
    f->list[f->n].hash = r->hash;
    f->list[f->n].tags = r->tags;
    f->list[f->n].stream = r->stream;
    f->list[f->n].form = r->text_form;
    f->list[f->n].time_ns = r->time_known ? r->time_ns : -1;
    f->list[f->n].at = f->text_n;
    f->list[f->n].n = r->text.n;
    f->n++;
    f->text = base_realloc(f->text, f->text_n + r->text.n + 1);
    if (r->text.n)
        memcpy(f->text + f->text_n, r->text.p, r->text.n);
    f->text_n += r->text.n;
    return true;
}

static inline void frames_fini(struct frames *f)
{
    free(f->list);
    free(f->text);
    *f = (struct frames){0};
}

static inline struct frames frames_of(struct bytes file)
{
    struct frames kept = {0};
    struct docker_frame frame = {.emit = frames_keep, .arg = &kept};
    struct docker_frame_at at = {.source = 1};

    while (at.offset < file.n) {
        uint64_t before = at.offset;

        ASSERT(docker_frame_run(&frame, &at, bytes_of(file.p + before, file.n - before), true));
        ASSERT(at.offset > before);
    }
    ASSERT(docker_frame_flush(&frame));
    ASSERT(frame.join.bytes == 0);
    return kept;
}

static inline unsigned frames_random(uint64_t *seed, unsigned n)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(*seed >> 33) % n;
}

static inline struct frames frames_in_life(struct bytes file, uint64_t seed)
{
    struct frames kept = {0};
    struct docker_frame frame = {.emit = frames_keep, .arg = &kept};
    struct docker_frame_at at = {.source = 1};
    uint64_t there = 0; /* as much of the file is written */
    unsigned most = 1u << (1 + frames_random(&seed, 17)), restarts = 0;

    while (at.offset < file.n) {
        kept.refuse = frames_random(&seed, 4) == 0;
        there = MAX(there, at.offset);
        there += frames_random(&seed, most) + 1;
        there = MIN(there, (uint64_t)file.n);
        docker_frame_run(&frame, &at, bytes_of(file.p + at.offset, there - at.offset),
                         there == file.n);
        if (frames_random(&seed, 8) == 0 && restarts++ < 200) {
            at = docker_frame_resume(&frame, &at);
            docker_join_forget(&frame.join);
        }
    }
    kept.refuse = frames_random(&seed, 2);
    while (!docker_frame_flush(&frame))
        ;
    docker_join_forget(&frame.join);
    return kept;
}

/* The number of the first record in which they differ, SIZE_MAX when they do not. */
static inline size_t frames_differ(const struct frames *a, const struct frames *b)
{
    for (size_t i = 0; i < MIN(a->n, b->n); i++)
        if (a->list[i].position != b->list[i].position || a->list[i].hash != b->list[i].hash ||
            a->list[i].tags != b->list[i].tags || a->list[i].stream != b->list[i].stream ||
            a->list[i].form != b->list[i].form || a->list[i].time_ns != b->list[i].time_ns ||
            !bytes_equal(bytes_of(a->text + a->list[i].at, a->list[i].n),
                         bytes_of(b->text + b->list[i].at, b->list[i].n)))
            return i;
    return a->n == b->n ? SIZE_MAX : MIN(a->n, b->n);
}

#endif
