/*
 * docker_line: one line of Docker's json-file driver,
 * {"log":"…","stream":"…","attrs":{…},"time":"…"}, into slices of itself. A pure function of its
 * input; any thread. Format: moby daemon/logger/jsonfilelog.
 */
#ifndef BARGE_DOCKER_LINE_H
#define BARGE_DOCKER_LINE_H

#include "agent/base/base.h"

enum stream { STREAM_NONE, STREAM_STDOUT, STREAM_STDERR };

struct docker_line {
    struct bytes log;   /* inside of the string: escapes as they stand, validated; without the final
                           \n when ends_line */
    struct bytes attrs; /* the object's raw text, or none */
    struct bytes time;  /* inside of the string, or none; not validated */
    uint8_t stream;     /* enum stream; an unknown word is STREAM_NONE */
    uint8_t log_flags;  /* JSON_VALUE_ESCAPED, JSON_NEEDS_REWRITE of log */
    bool ends_line;     /* log ended with \n */
};

/* Parses a line without its line feed. Docker's own key order is the fast path, any order is
 * accepted, unknown members are ignored. false when it is not one such object: not JSON, no member
 * that is Docker's, log or time not strings. */
bool docker_line_parse(struct bytes line, struct docker_line *out);

/* Where, behind the first byte, another Docker record seems to begin in a line that
 * docker_line_parse refused (a torn record with the next glued on, a NUL run): the offset of the
 * last `{"log":"` or `{"stream":"` such that what follows parses; 0 when there is none. At most the
 * last 16 such places are tried: inside a whole record they cannot occur, Docker escapes quotes. */
size_t docker_line_resync(struct bytes line, struct docker_line *out);

#endif
