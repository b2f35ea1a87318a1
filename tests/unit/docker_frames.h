/*
 * Frames the same bytes twice: at one go, and as they come in life: in pieces of any size, with an
 * intake that refuses, and restarts that continue from what a position entry holds. Both must give
 * the same records in the same order. Where lines of an event are put together, with a rotation and
 * with silence that cuts: the same cuts then give the same records.
 */
#ifndef BARGE_TEST_DOCKER_FRAMES_H
#define BARGE_TEST_DOCKER_FRAMES_H

#include "agent/inputs/docker_frame.h"

#include <stdlib.h>

struct frames {
    struct {
        uint64_t source, position;
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
    f->list[f->n].source = r->source;
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

static inline unsigned frames_random(uint64_t *seed, unsigned n)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(*seed >> 33) % n;
}

/* The bytes of one or two files of a container: the second one begins at `second` (file.n or 0:
 * there is only one). */
struct frames_files {
    struct bytes file;
    size_t second;
    const struct multiline_rule *rule; /* NULL: none */
    bool cri;
    bool plain; /* lines of text, as in text files */
};

/* Where silence ended what was pending. */
struct frames_cut {
    size_t at;
    unsigned streams;
};

#define FRAMES_MOST_CUTS 64

struct frames_life {
    struct docker_frame frame;
    struct docker_frame_at at[2];
    struct bytes file[2];
    struct frames kept;
    struct frames_cut cuts[FRAMES_MOST_CUTS];
    size_t n_cuts;
};

static inline void frames_begin(struct frames_life *l, const struct frames_files *f)
{
    size_t n = f->second ? f->second : f->file.n;

    *l = (struct frames_life){0};
    l->file[0] = bytes_of(f->file.p, n);
    l->file[1] = bytes_of(f->file.p + n, f->file.n - n);
    l->at[0].source = 1;
    l->at[1].source = 2;
    l->frame.emit = frames_keep;
    l->frame.cri = f->cri;
    if (f->rule)
        l->frame.multi = tail_multi_create(f->rule, f->plain ? TEXT_RAW
                                                    : f->cri ? TEXT_LINE
                                                             : TEXT_ESCAPED);
    l->frame.plain = f->plain;
}

/* Gives all back but what was kept. */
static inline struct frames frames_end(struct frames_life *l)
{
    docker_frame_forget(&l->frame);
    ASSERT(docker_frame_bytes(&l->frame) == 0);
    tail_multi_free(l->frame.multi);
    return l->kept;
}

/* At one go, but for the cuts: each file's stretch up to the cut, then the rest. */
static inline struct frames frames_of_files(const struct frames_files *files,
                                            const struct frames_cut *cuts, size_t n_cuts)
{
    struct frames_life l;
    size_t before = 0;

    frames_begin(&l, files);
    l.frame.arg = &l.kept;
    for (size_t i = 0; i < 2; i++) {
        struct docker_frame_at *at = &l.at[i];

        while (at->offset < l.file[i].n) {
            uint64_t from = at->offset, to = l.file[i].n;

            if (n_cuts && cuts->at - before < to)
                to = cuts->at - before;
            if (to == from) {
                ASSERT(docker_frame_cut(&l.frame, cuts->streams));
                cuts++;
                n_cuts--;
                continue;
            }
            ASSERT(docker_frame_run(&l.frame, at, bytes_of(l.file[i].p + from, to - from),
                                    to == l.file[i].n));
            ASSERT(at->offset > from);
        }
        before += l.file[i].n;
    }
    while (n_cuts--) {
        ASSERT(docker_frame_cut(&l.frame, cuts->streams));
        cuts++;
    }
    ASSERT(docker_frame_flush(&l.frame));
    return frames_end(&l);
}

static inline struct frames frames_of(struct bytes file)
{
    return frames_of_files(&(struct frames_files){.file = file}, NULL, 0);
}

static inline void frames_restart(struct frames_life *l)
{
    unsigned older = 0;

    l->at[0] = docker_frame_resume(&l->frame, &l->at[0], &older);
    l->at[1] = docker_frame_resume(&l->frame, &l->at[1], &older);
    docker_frame_forget(&l->frame);
}

/* Whether all that a restart reads once more has been read: a cut is a matter of silence at the
 * end.
 */
static inline bool frames_caught_up(const struct docker_frame_at *at)
{
    uint64_t behind = at->replay_to;

    for (size_t i = 0; i < DOCKER_STREAMS; i++)
        behind = MAX(behind, at->from[i]);
    return at->offset >= behind;
}

static inline void frames_maybe_cut(struct frames_life *l, size_t i, uint64_t *seed)
{
    struct frames_cut *cut = &l->cuts[l->n_cuts];

    if (!l->frame.multi || l->n_cuts == FRAMES_MOST_CUTS || frames_random(seed, 16) != 0 ||
        !frames_caught_up(&l->at[0]) || !frames_caught_up(&l->at[1]))
        return;
    cut->at = l->at[i].offset + (i ? l->file[0].n : 0);
    cut->streams = frames_random(seed, 8);
    l->n_cuts++;
    l->kept.refuse = 0; /* a cut that is refused may be forgotten */
    ASSERT(docker_frame_cut(&l->frame, cut->streams));
}

/* In life. cuts: gets room for FRAMES_MOST_CUTS, or NULL: no cuts. */
static inline struct frames frames_in_life_of(const struct frames_files *files, uint64_t seed,
                                              struct frames_cut *cuts, size_t *n_cuts)
{
    unsigned most = 1u << (1 + frames_random(&seed, 17)), restarts = 0;
    struct frames_life l;
    uint64_t there[2] = {0}; /* as much of each file is written */

    frames_begin(&l, files);
    l.frame.arg = &l.kept;
    /* A line that is not at its end is read anew with each step: no more than some thousand. */
    most = MAX(most, (unsigned)(files->file.n / 2048));
    for (size_t i = 0; i < 2; i++) {
        while (l.at[i].offset < l.file[i].n) {
            struct docker_frame_at *at = &l.at[i];

            l.kept.refuse = frames_random(&seed, 4) == 0;
            there[i] = MAX(there[i], at->offset);
            there[i] += frames_random(&seed, most) + 1;
            there[i] = MIN(there[i], (uint64_t)l.file[i].n);
            docker_frame_run(&l.frame, at,
                             bytes_of(l.file[i].p + at->offset, there[i] - at->offset),
                             there[i] == l.file[i].n);
            if (cuts)
                frames_maybe_cut(&l, i, &seed);
            if (frames_random(&seed, 8) == 0 && restarts++ < 200) {
                frames_restart(&l);
                i = 0;
            }
        }
    }
    l.kept.refuse = frames_random(&seed, 2);
    while (!docker_frame_flush(&l.frame))
        ;
    if (cuts) {
        memcpy(cuts, l.cuts, sizeof l.cuts);
        *n_cuts = l.n_cuts;
    }
    return frames_end(&l);
}

static inline struct frames frames_in_life(struct bytes file, uint64_t seed)
{
    return frames_in_life_of(&(struct frames_files){.file = file}, seed, NULL, NULL);
}

/* The number of the first record in which they differ, SIZE_MAX when they do not. */
static inline size_t frames_differ(const struct frames *a, const struct frames *b)
{
    for (size_t i = 0; i < MIN(a->n, b->n); i++)
        if (a->list[i].source != b->list[i].source || a->list[i].position != b->list[i].position ||
            a->list[i].hash != b->list[i].hash || a->list[i].tags != b->list[i].tags ||
            a->list[i].stream != b->list[i].stream || a->list[i].form != b->list[i].form ||
            a->list[i].time_ns != b->list[i].time_ns ||
            !bytes_equal(bytes_of(a->text + a->list[i].at, a->list[i].n),
                         bytes_of(b->text + b->list[i].at, b->list[i].n)))
            return i;
    return a->n == b->n ? SIZE_MAX : MIN(a->n, b->n);
}

#endif
