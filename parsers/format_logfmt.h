/*
 * format_logfmt: key=value key="quoted value" bare, as go-kit, logrus, Go's slog and Heroku write
 * it. Numbers, true, false and null are what they are in JSON; quoted values and all others are
 * strings; a bare word is true. A pure function; see format.h.
 */
#ifndef BARGE_FORMAT_LOGFMT_H
#define BARGE_FORMAT_LOGFMT_H

#include "parsers/format.h"

/* A format_read_fn. The time of a member time, ts, t or timestamp in RFC 3339. */
bool format_logfmt_read(const struct format *f, struct bytes text, struct format_work *w,
                        struct format_result *out);

#endif
