/*
 * docker_join: puts the pieces of long lines together again. Docker cuts a line after every 16,384
 * bytes and marks nothing but the missing "\n", so the rule that tells a piece from a process's
 * last word is all there is:
 *
 *   a record without "\n" is continued by the next record of its stream when its text decodes to
 * 16,384 bytes or more (more: each byte of a character that was cut has become a three-byte U+FFFD)
 * and both have the same `time` text. Otherwise it is complete as it stands.
 *
 * A CRI runtime marks what is a piece, so there the mark counts and nothing else: what is marked is
 * continued by the next record of its stream, whatever its length and time. What would be longer
 * than DOCKER_JOIN_MAX_BYTES goes on in a record of its own, and the one before is tagged: all is
 * there.
 *
 * The result depends on the records alone, never on when they were seen: `_id`s hang on it. Records
 * of stdout and stderr interleave; each stream has its own unfinished record. One thread.
 */
#ifndef BARGE_DOCKER_JOIN_H
#define BARGE_DOCKER_JOIN_H

#include "parsers/document.h"
#include "parsers/json.h"

#define DOCKER_PIECE_BYTES 16384
#define DOCKER_JOIN_MAX_BYTES                                                                      \
    (8u << 20)           /* of escaped text; the rest is cut off, the record tagged truncated */
#define DOCKER_STREAMS 3 /* enum stream */
#define DOCKER_TIME_TEXT_MAX 40 /* a longer time text equals no other */

/* A record that is ready to be handed on. Slices are borrowed for the call. */
struct docker_framed {
    struct bytes text;
    struct bytes attrs;
    struct bytes time_text; /* as it stands in the line; none when it is no UTC RFC 3339 text */
    int64_t time_ns;
    bool time_known; /* false: neither this record nor one before it in the file says when it was */
    uint8_t text_form; /* enum text_form */
    uint8_t text_flags;
    uint8_t stream;              /* enum stream */
    bool joined;                 /* several lines of an event */
    bool cut;                    /* a clock ended it: to be fsynced before it is sent */
    struct json_member *members; /* of text, as struct record has them; or NULL */
    size_t n_members;
    bool members_duplicate;
    unsigned tags;     /* TAG_* */
    uint64_t source;   /* file and ... */
    uint64_t position; /* ... offset of its first byte */
    uint32_t hash;     /* CRC32C over its lines, without their line feeds */
};

/* What the intake takes of it. A time that is not known is the caller's to set. */
static inline struct record docker_framed_record(const struct docker_framed *f,
                                                 const struct origin *origin)
{
    return (struct record){
        .origin = origin,
        .text = f->text,
        .text_form = f->text_form,
        .text_flags = f->text_flags,
        .members = f->members,
        .n_members = f->n_members,
        .members_duplicate = f->members_duplicate,
        .stream = f->stream,
        .severity = -1,
        .tags = f->tags,
        .joined = f->joined,
        .time_ns = f->time_ns,
        .time_text = f->time_text,
        .attrs = f->attrs,
    };
}

/* Takes a record. false: it cannot be taken now; it will be offered again. */
typedef bool docker_emit_fn(void *arg, const struct docker_framed *r);

struct docker_joining {
    bool open;
    bool truncated;
    uint64_t serial; /* changes with each unfinished record */
    char *text;      /* owned while open */
    size_t n, cap;
    char *attrs; /* owned while open */
    size_t attrs_n;
    char time_text[DOCKER_TIME_TEXT_MAX];
    size_t time_n;
    struct docker_framed first; /* of the first piece; its slices point nowhere */
};

/* A zeroed struct is ready to use. */
struct docker_join {
    struct docker_joining streams[DOCKER_STREAMS];
    size_t bytes; /* memory held */
};

/* One piece: a record as it stands in its line. */
struct docker_piece {
    struct docker_framed as; /* as if it were complete; hash unset */
    struct bytes line;       /* what the hash runs over */
    struct bytes time;       /* the raw time text, to be compared */
    bool ends_line;
    bool marked; /* ends_line is the runtime's own word: no other rule counts */
};

enum docker_joined {
    DOCKER_JOINED_NOW, /* nothing of this piece waits */
    DOCKER_JOIN_WAITS, /* the piece waits for the next record of its stream */
    DOCKER_JOIN_FULL   /* emit refused: nothing has changed, offer the same piece again */
};

/* Takes the next record of the container. May call emit twice: an unfinished record that this one
 * does not continue goes first. When the second call is refused, offering the piece again repeats
 * the first one: the caller keeps count of what it has taken. */
enum docker_joined docker_join_add(struct docker_join *j, const struct docker_piece *piece,
                                   docker_emit_fn *emit, void *arg);

/* Hands on what waits: nothing can follow any more. false when emit refused; call again. */
bool docker_join_flush(struct docker_join *j, docker_emit_fn *emit, void *arg);

/* Whether a record of any stream waits. */
bool docker_join_waits(const struct docker_join *j);

/* The time of the youngest record that waits; INT64_MIN when there is none with a time. */
int64_t docker_join_youngest_ns(const struct docker_join *j);

/* Forgets what waits, and gives the memory back. */
void docker_join_forget(struct docker_join *j);

/* The longest beginning of escaped JSON string text, at most max bytes, that splits neither an
 * escape nor a character. */
size_t docker_join_cut(struct bytes escaped, size_t max);

#endif
