/* redact_scan for every x86-64: sixteen bytes at once. */
#ifdef __x86_64__
#include "parsers/redact_scan.h"
#include "parsers/vec_sse2.h"

#define SCAN_FILL redact_scan_fill_sse2

static inline vec rare(vec v, vec next, vec after, bool names)
{
    vec b = v_lower(next), c = v_lower(after);
    vec found = v_or(v_is(v, '='), v_is(v, '@'));

    found = v_or(found, v_and(v_is(v, '%'), v_is(next, '4')));
    found = v_or(found, v_and(v_is(v, '\\'), v_is(next, 'u')));
    found = v_or(found, v_and(v_is(v, ':'), v_or(v_is(next, '/'), v_is(next, '\\'))));
    found = v_or(found, v_and(v_is(v, 'y'), v_is(next, 'J')));
    found = v_or(found, v_and(v_is(v_lower(v), 'b'), v_and(v_or(v_is(b, 'e'), v_is(b, 'a')),
                                                           v_or(v_is(c, 'a'), v_is(c, 's')))));
    if (names)
        found = v_or(found, v_and(v_is(v, '"'), v_or(v_is(next, ':'), v_at_most(next, ' '))));
    return found;
}

#include "parsers/redact_scan_vector.inc"

#include "parsers/redact_scan.inc"

#endif
