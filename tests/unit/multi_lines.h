/*
 * Docker's log, or a text file, of lines that are written down shortly: the first byte of a line
 * says how it came, the rest is its text.
 */
#ifndef BARGE_TEST_MULTI_LINES_H
#define BARGE_TEST_MULTI_LINES_H

#include "tests/unit/docker_frames.h"

#include "agent/base/hash.h"
#include "agent/base/strbuf.h"
#include "parsers/docker_line.h"
#include "parsers/json.h"
#include "parsers/timestamp.h"

#define MULTI_LINES_T0 1795405154000000000
#define MULTI_LINES_MOST_PIECES 4

/* Bits of a line's first byte; bits 1 and 2 say how long after the one before it. */
enum { MULTI_STDERR = 1, MULTI_NOT_DOCKER = 8, MULTI_PIECE = 16, MULTI_ODD_TIME = 32 };

static inline void multi_line_add(struct strbuf *b, struct bytes text, const char *end,
                                  unsigned how, int64_t ns)
{
    char time[TIMESTAMP_TEXT_MAX + 1];
    bool repaired;

    strbuf_add_str(b, "{\"log\":\"");
    b->n += json_escape(text, strbuf_room(b, 6 * text.n + 32), &repaired);
    time[timestamp_format(ns, time)] = '\0';
    strbuf_printf(b, "%s\",\"stream\":\"%s\",\"time\":\"%s\"}\n", end,
                  how & MULTI_STDERR ? "stderr" : "stdout", how & MULTI_ODD_TIME ? "?" : time);
}

/* Returns where the second file begins: at the line of that number, if there is one; 0. */
static inline size_t multi_lines_add(struct strbuf *b, struct bytes lines, unsigned second,
                                     bool plain)
{
    static const int64_t steps_ms[] = {0, 50, 300, 1500};
    int64_t ns = MULTI_LINES_T0;
    size_t at = 0, begins = 0;
    unsigned pieces = 0;

    for (unsigned i = 0; at < lines.n; i++) {
        const char *p = lines.p + at, *nl = memchr(p, '\n', lines.n - at);
        size_t n = nl ? (size_t)(nl - p) : lines.n - at;
        unsigned how = n ? (unsigned char)p[0] : 0;
        struct bytes text = n ? bytes_of(p + 1, n - 1) : BYTES_LITERAL("");

        if (i == second && i)
            begins = b->n;
        ns += steps_ms[how >> 1 & 3] * 1000000;
        if (plain || (how & MULTI_NOT_DOCKER)) {
            strbuf_add_bytes(b, text);
            strbuf_add_char(b, '\n');
        } else if ((how & MULTI_PIECE) && pieces++ < MULTI_LINES_MOST_PIECES) {
            char *piece = base_alloc(DOCKER_PIECE_BYTES);

            memset(piece, ' ', DOCKER_PIECE_BYTES);
            memcpy(piece, text.p, MIN(text.n, (size_t)DOCKER_PIECE_BYTES));
            multi_line_add(b, bytes_of(piece, DOCKER_PIECE_BYTES), "", how, ns);
            free(piece);
        } else {
            multi_line_add(b, text, "\\n", how, ns);
        }
        at += n + 1;
    }
    return begins;
}

/* What of a file is in no record, or twice: sums up the lines' texts in any order, and those of the
 * records, cut at their line ends. */
static inline uint64_t multi_text_sum(uint64_t sum, struct bytes text)
{
    while (text.n) {
        const char *nl = memchr(text.p, '\n', text.n);
        size_t n = nl ? (size_t)(nl - text.p) : text.n;

        sum += n ? hash_64(7, text.p, n) : 0;
        n += nl != NULL;
        text = bytes_of(text.p + n, text.n - n);
    }
    return sum;
}

static inline uint64_t multi_lines_sum(uint64_t sum, struct bytes text)
{
    size_t at = 0;

    for (size_t i = 0; i + 1 < text.n;) {
        if (text.p[i] == '\\' && text.p[i + 1] == 'n') {
            sum += hash_64(7, text.p + at, i - at);
            at = i + 2;
        }
        i += text.p[i] == '\\' ? 2 : 1;
    }
    return sum + hash_64(7, text.p + at, text.n - at);
}

/* Whether each line of a text file, but for empty ones, is in the records once. Says nothing (true)
 * where there are NULs, which are no text at the beginning of a line. */
static inline bool multi_text_all_there(struct bytes file, const struct frames *f)
{
    uint64_t records = 0;

    for (size_t i = 0; i < f->n; i++)
        records = multi_text_sum(records, bytes_of(f->text + f->list[i].at, f->list[i].n));
    return (file.n && memchr(file.p, '\0', file.n)) || multi_text_sum(0, file) == records;
}

/* Whether each Docker line's text is in the records once. Says nothing (true) where there are lines
 * that are not Docker's, or pieces. */
static inline bool multi_lines_all_there(struct bytes file, const struct frames *f)
{
    uint64_t lines = 0, records = 0;
    size_t at = 0;

    while (at < file.n) {
        const char *nl = memchr(file.p + at, '\n', file.n - at);
        struct bytes line = bytes_of(file.p + at, (size_t)(nl - file.p) - at);
        struct docker_line l;

        if (!docker_line_parse(line, &l) || !l.ends_line)
            return true;
        lines += hash_64(7, l.log.p, l.log.n);
        at += line.n + 1;
    }
    for (size_t i = 0; i < f->n; i++)
        records = multi_lines_sum(records, bytes_of(f->text + f->list[i].at, f->list[i].n));
    return lines == records;
}

/* The operator's pattern of a rule: lines that begin with a digit. */
static inline bool multi_begins_with_digit(const void *pattern, struct bytes line)
{
    (void)pattern;
    return line.n && line.p[0] >= '0' && line.p[0] <= '9';
}

/* Frames what is written down in input (first byte: the rule, 0x20 for text files; second: the line
 * with which the second file begins; then lines) at one go and in life. The number of the first
 * record that differs; 0 also when a line is missing or there twice; SIZE_MAX: all is well. */
static inline size_t multi_lines_differ(struct bytes input, uint64_t seed)
{
    struct multiline_rule rule = {0};
    struct frames_cut cuts[FRAMES_MOST_CUTS];
    struct frames_files files = {.rule = &rule};
    struct frames whole, life;
    struct strbuf b = {0};
    size_t n_cuts, differ;
    uint8_t how;

    if (input.n < 3)
        return SIZE_MAX;
    how = (uint8_t)input.p[0];
    rule.languages = how & 0x40 ? MULTILINE_MYSQL : how & 15;
    rule.starts = how & 0x80 ? multi_begins_with_digit : NULL;
    files.plain = (how & 0x20) != 0;
    files.second = multi_lines_add(&b, bytes_of(input.p + 2, input.n - 2),
                                   (unsigned char)input.p[1], files.plain);
    files.file = strbuf_bytes(&b);
    life = frames_in_life_of(&files, seed, cuts, &n_cuts);
    whole = frames_of_files(&files, cuts, n_cuts);
    differ = frames_differ(&whole, &life);
    if (!(files.plain ? multi_text_all_there : multi_lines_all_there)(files.file, &whole))
        differ = 0;
    frames_fini(&whole);
    frames_fini(&life);
    strbuf_fini(&b);
    return differ;
}

#endif
