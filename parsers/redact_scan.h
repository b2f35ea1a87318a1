/*
 * redact_scan: finds the few places of a text where something that redact_find knows may begin, so
 * that the exact look is taken there only. A place that is told may be nothing; a place that is not
 * told is nothing. Sixty-four bytes at a time, once for each instruction set (redact_scan.inc): the
 * kernels must not differ in a single bit. Pure functions; any thread.
 */
#ifndef BARGE_REDACT_SCAN_H
#define BARGE_REDACT_SCAN_H

#include "agent/base/base.h"

/* What is told of a place. */
enum {
    SCAN_BYTE, /* the byte there tells: = @, % before 4, \ before u, : before / or \, y before J, b
                  before e or a before a or s in any case, and a quote before a colon or a blank if
                  names are wanted */
    SCAN_DIGITS, /* the eleventh byte of a run of digits and single blanks or dashes behind digits
                  */
    SCAN_DOTS,   /* a dot behind a digit, two to four bytes behind another such dot */
    SCAN_COLONS  /* the byte before a colon that is the second of two in a row, or the third of
                    which each stands at most five bytes behind the one before. (A single colon
                    behind a quote does not count.) */
};

struct redact_scan {
    const char *p, *end; /* the next block, the end of the text */
    bool names;
    /* Of the block before, what the next must know. */
    uint64_t digits, runs, dots, colons, chains;
    /* The block that was looked at last, and what was found in it and is not told yet. */
    const char *block;
    uint64_t rare, digit, dot, colon;
};

/* Begins a scan of text, which must not change until it has ended. */
void redact_scan_begin(struct redact_scan *s, struct bytes text, bool names);

/* The next place, never before the last one; false when there is none any more. One place may be
 * told several times, once for each reason. */
bool redact_scan_next(struct redact_scan *s, const char **at, unsigned *what);

/* Looks at blocks until there is something in one; false at the end of the text. For tests. */
typedef bool redact_scan_fill(struct redact_scan *s);

extern redact_scan_fill redact_scan_fill_plain;
#ifdef __x86_64__
extern redact_scan_fill redact_scan_fill_sse2, redact_scan_fill_avx2;
#endif

#endif
