/*
 * redact_find: what tells persons and secrets apart from other text: each place that redact_scan
 * tells is looked at by the part that knows its kind (redact_kinds.h). Works on plain bytes
 * (escapes of JSON undone), in time linear in them. Pure functions; any thread.
 *
 * It would rather leave something than destroy what a person looking for a fault needs: versions,
 * times, UUIDs, hashes, trace ids and numbers without check digits are nothing of these.
 */
#ifndef BARGE_REDACT_FIND_H
#define BARGE_REDACT_FIND_H

#include "parsers/redact_kinds.h"
#include "parsers/redact_scan.h"

/*
 * email        name@domain.tld; %40 and \u0040 stand for @ as well
 * ip           IPv4 and IPv6, but for loopback and networks (host part all zeros)
 * card         14 to 19 digits with a card scheme's prefix and length and Luhn's check digit
 *              (ISO/IEC 7812-1), in a row or in groups
 * national_id  Norwegian: fødselsnummer, D-number (day + 40), and those with month + 40 (H-numbers,
 *              synthetic ones of NAV) or + 80 (synthetic ones of Skatteetaten), with both check
 *              digits; 6 and 5 digits apart as well
 * token        behind Bearer, Basic (when it is user:password), JWTs (RFC 7519), and what stands
 *              behind access_token=, api_key= and their like
 * password     scheme://user:PASSWORD@host, and behind password=, secret= and their like
 */

/* Of enum redact_kind: "email", "ip", … */
extern const char *const redact_kind_names[REDACT_KINDS];

struct redact_find {
    struct bytes text;
    unsigned kinds; /* a bit for each kind that is looked for */
    size_t from;    /* everything before it is done with */
    size_t group;   /* 1 + where the next group of a run of digits begins; 0: in none */
    struct redact_scan scan;
};

/* Begins to look through text. */
void redact_find_begin(struct redact_find *f, struct bytes text, unsigned kinds);

/* The next match; they do not overlap and come in their order. false: no more. */
bool redact_find_next(struct redact_find *f, struct redact_match *m);

/* On with the scan of a document's raw text t, its escapes as they stand, to the next place that
 * may be a match once they are undone: *at, with *name NULL. Nothing that redact_find_next or
 * redact_number_kind would find is ever passed over. A scan for names stops at the quotes behind
 * them, too: *name. */
bool redact_find_maybe(struct redact_scan *scan, struct bytes t, unsigned kinds, const char **at,
                       const char **name);

/* A match in the one form that all its spellings have: letters of addresses small, IP addresses as
 * inet_ntop writes them (those mapped into IPv6 as IPv4), digits alone; tokens and passwords stay
 * as they are and may not go through here. to has room for REDACT_CANONICAL_MAX. Returns the
 * length. */
size_t redact_find_canonical(enum redact_kind kind, struct bytes match, char *to);

#endif
