/*
 * docker_line: one line of Docker's json-file driver,
 * {"log":"…","stream":"…","attrs":{…},"time":"…"}, into slices of itself. A pure function of its
 * input; any thread. Format: moby daemon/logger/jsonfilelog.
 */
#ifndef BARGE_DOCKER_LINE_H
#define BARGE_DOCKER_LINE_H

#include "parsers/json.h"

enum stream { STREAM_NONE, STREAM_STDOUT, STREAM_STDERR };

struct docker_line {
    struct bytes log;   /* inside of the string: escapes as they stand, validated; without the final
                           \n when ends_line */
    struct bytes attrs; /* the object's raw text, or none */
    struct bytes time;  /* inside of the string, or none; not validated */
    uint8_t stream;     /* enum stream; an unknown word is STREAM_NONE */
    uint8_t log_flags;  /* JSON_VALUE_ESCAPED, JSON_NEEDS_REWRITE of log */
    bool ends_line;     /* log ended with \n */
    struct json_member *members; /* log is one JSON object, cut on the way: n > 0 members, slices of
                                    the work given; NULL: it may be one all the same */
    size_t n;
    bool duplicate; /* two of them have the same key */
};

#define DOCKER_LINE_CUT_MAX 65536 /* longer messages are not cut on the way */
#define DOCKER_LINE_MEMBERS 128

/* Where a message is decoded and cut, until the next line. Of one thread; json_keys_seen_init
 * before the first line. */
struct docker_line_work {
    struct json_keys_seen seen;
    struct json_member members[DOCKER_LINE_MEMBERS];
    char text[DOCKER_LINE_CUT_MAX + JSON_REACH];
};

/* Parses a line without its line feed. Docker's own key order is the fast path, any order is
 * accepted, unknown members are ignored. false when it is not one such object: not JSON, no member
 * that is Docker's, log or time not strings. */
bool docker_line_parse(struct bytes line, struct docker_line *out);

/* The same for a line that is valid UTF-8 without control characters (json_line_end): its message
 * is cut on the way. */
bool docker_line_parse_clean(struct bytes line, struct docker_line_work *work,
                             struct docker_line *out);

/* Where, behind the first byte, another Docker record seems to begin in a line that
 * docker_line_parse refused (a torn record with the next glued on, a NUL run): the offset of the
 * last `{"log":"` or `{"stream":"` such that what follows parses; 0 when there is none. At most the
 * last 16 such places are tried: inside a whole record they cannot occur, Docker escapes quotes. */
size_t docker_line_resync(struct bytes line, struct docker_line *out);

#endif
