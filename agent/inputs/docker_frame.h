/*
 * docker_frame: the bytes of a container's log into records: lines, pieces joined, and whatever
 * else may stand in such a file after a torn write or a power cut. Knows no files and no clocks:
 * what it makes is a function of the bytes, so that a restart, a rename or a compressed copy gives
 * the same records again.
 *
 * Docker's own lines, entries of a CRI runtime, or plain text.
 *
 * Odd input: NULs at the beginning of a line are skipped and counted. A line in another form
 * is shipped as it stands, tagged; when another Docker record begins in it, that one is a record of
 * its own. Of a line longer than DOCKER_LINE_MAX_BYTES the beginning is shipped, tagged, and the
 * rest skipped and counted. Empty lines are nothing. One thread.
 *
 * A restart continues at the resume offset, the beginning of the first record that was not
 * complete, and makes every record from there on once more; those whose last byte stood at or
 * before `replay_to` were handed on before and are not handed on again.
 *
 * Where lines of an event are put together (`multi`), a stream has a position of its own instead:
 * the beginning of its first record that was not handed on. What lies before is left out, what lies
 * behind makes records, whatever the rules of the earlier life were: no change of them loses a
 * line.
 */
#ifndef BARGE_DOCKER_FRAME_H
#define BARGE_DOCKER_FRAME_H

#include "agent/inputs/docker_join.h"
#include "agent/inputs/tail_multi.h"
#include "parsers/docker_line.h"

#define DOCKER_LINE_MAX_BYTES (1u << 20)

/* Where framing stands in one file. Zeroed: at its beginning. */
struct docker_frame_at {
    uint64_t source;
    uint64_t offset;    /* everything before it was framed */
    uint64_t replay_to; /* what ended at or before it was handed on in an earlier life */
    uint8_t made;       /* records that the line at max(offset, replay_to) has handed on already */
    bool by_stream;     /* from counts, and neither replay_to nor made says what was handed on */
    uint64_t from[DOCKER_STREAMS]; /* records of a stream that begin before it were handed on */
    bool in_long_line;             /* offset stands inside of a line whose rest is skipped */
    bool time_known;
    int64_t time_ns; /* of the last good record before offset; of plain text the caller's */
    /* The first piece in this file of what waits in each stream; counts while the stream's serial
     * is the same. */
    struct {
        uint64_t serial;
        uint64_t offset;
        int64_t time_ns;
        bool time_known;
    } waits[DOCKER_STREAMS];
};

/* The framing of one container: across its files, in their order. Zeroed: at the beginning. */
struct docker_frame {
    struct docker_join join;
    struct tail_multi *multi; /* NULL: each line is a record of its own. The caller's */
    docker_emit_fn *emit;
    void *arg;
    bool plain; /* lines of text, each of them a record as it stands, without a time, unless
                   multi puts them together; then without work */
    bool cri;   /* entries of a CRI runtime (parsers/cri_line.h); then without work */
    struct docker_line_work *work; /* borrowed, of all framings of a thread; NULL: messages are not
                                      cut on the way */
    /* The second of the last time that was parsed: most lines fall into the same one. */
    char second_text[19]; /* YYYY-MM-DDThh:mm:ss, UTC */
    int64_t second_ns;
    uint64_t lines; /* figures: the caller takes them and sets them to zero */
    uint64_t skipped_bytes;
    uint64_t invalid_lines;
};

/* Frames whole lines of chunk, which stands at at->offset; final: nothing will follow, the last
 * line need not end. at->offset moves behind what was framed. Returns false when emit refused: to
 * be called again from at->offset (with multi also when nothing stands there). A remainder without
 * a line feed is left for the next call; it makes progress for any chunk longer than
 * DOCKER_LINE_MAX_BYTES. */
bool docker_frame_run(struct docker_frame *f, struct docker_frame_at *at, struct bytes chunk,
                      bool final);

/* Hands on what waits, because nothing can follow. false when emit refused. */
bool docker_frame_flush(struct docker_frame *f);

/* Ends the events that wait in these streams (bits by enum stream), because they are silent: what
 * follows will be records of their own. Pieces go on waiting. With multi only. false when emit
 * refused; docker_frame_run, too, hands on what is left. */
bool docker_frame_cut(struct docker_frame *f, unsigned streams);

/* Whether anything waits; the memory that it takes; forgets it, and gives the memory back. */
bool docker_frame_waits(const struct docker_frame *f);
size_t docker_frame_bytes(const struct docker_frame *f);
void docker_frame_forget(struct docker_frame *f);

/* Whether something that began in this file waits. */
bool docker_frame_waits_in(const struct docker_frame *f, const struct docker_frame_at *at);

/* Where a restart has to continue in this file, with the time state there: replay_to is set, too.
 * To be asked of a log's files from the oldest to the newest; *older begins as 0 and tells the next
 * file what waits in older ones. */
struct docker_frame_at docker_frame_resume(const struct docker_frame *f,
                                           const struct docker_frame_at *at, unsigned *older);

#endif
