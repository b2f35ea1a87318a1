/*
 * redact_kinds: whether a place in a text is a person or a secret, kind by kind: the parts of
 * redact_find (redact_email, redact_ip, redact_number, redact_secret). What is looked at around a
 * place is bounded. Pure functions; any thread.
 *
 * redact_X_at: the match at the place `at`; what is looked at begins at `from` at the earliest.
 * redact_X_maybe: in JSON as it stands, whether there may be one at `at` once escapes are undone.
 * redact_X_canonical: a match in its one spelling; `to` has room for REDACT_CANONICAL_MAX, the
 * length is returned.
 */
#ifndef BARGE_REDACT_KINDS_H
#define BARGE_REDACT_KINDS_H

#include "agent/config/config.h"

#define REDACT_CANONICAL_MAX 512

struct redact_match {
    size_t begin, end; /* in the text */
    enum redact_kind kind;
};

/* ---- redact_email.c: at an @, or the % or backslash of what stands for one ---- */

bool redact_email_at(struct bytes t, size_t from, size_t at, struct redact_match *m);
bool redact_email_maybe(struct bytes t, size_t at); /* @ and % */
size_t redact_email_canonical(struct bytes match, char *to);

/* ---- redact_ip.c: at any byte of an address ---- */

bool redact_ip_at_dots(struct bytes t, size_t from, size_t at, struct redact_match *m);
bool redact_ip_at_colons(struct bytes t, size_t from, size_t at, struct redact_match *m);
bool redact_ip_maybe_dots(struct bytes t, size_t at);
bool redact_ip_maybe_colons(struct bytes t, size_t at);
size_t redact_ip_canonical(struct bytes match, char *to);
/* An IP address with all but the first 24 (IPv4) or 48 bits (IPv6) zero; never longer than it was.
 */
size_t redact_ip_prefix(struct bytes match, char to[64]);
/* Whether a text ends with "version": what looks like an IPv4 address behind it is none. */
bool redact_ip_names_a_version(struct bytes t);

/* ---- redact_number.c: at the first digit of a group ---- */

/* Whether a number begins with the group of digits at i. anywhere: whatever stands around it. */
bool redact_number_at(struct bytes t, size_t i, unsigned kinds, bool anywhere,
                      struct redact_match *m);
/* At the eleventh byte of a run of digits and groups. */
bool redact_number_maybe(struct bytes t, size_t at, unsigned kinds);
size_t redact_number_canonical(struct bytes match, char *to);
/* The group of digits behind the one at i, 0 when the run ends with it. */
size_t redact_number_next_group(struct bytes t, size_t i);
/* The digits of a JSON number. */
bool redact_number_kind(struct bytes digits, unsigned kinds, enum redact_kind *kind);
/* Whether a text ends with the name of an id that ties the records of a request together (traceId,
 * x-request-id, dd.span_id): numbers behind it are left alone. */
bool redact_number_names_an_id(struct bytes t);

/* ---- redact_secret.c ---- */

/* Behind Bearer or Basic, which begins at i. */
bool redact_secret_at_scheme(struct bytes t, size_t i, struct redact_match *m);
/* A JWT, of which the y of eyJ stands at `at`: three parts or, encrypted, five. */
bool redact_secret_at_jwt(struct bytes t, size_t from, size_t at, struct redact_match *m);
/* What the name before the equals sign at `at` says of what stands behind it. */
bool redact_secret_at_equals(struct bytes t, size_t from, size_t at, unsigned kinds,
                             struct redact_match *m);
bool redact_secret_maybe_equals(struct bytes t, size_t at, unsigned kinds);
/* The password of a URL, of which the colon before the slashes stands at `at`. */
bool redact_secret_at_slashes(struct bytes t, size_t at, struct redact_match *m);
bool redact_secret_maybe_slashes(struct bytes t, size_t at);

#endif
