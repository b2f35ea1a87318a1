/*
 * pseudonym: one name for one value, which nobody can compute without the key: HMAC-SHA-256 (RFC
 * 2104, FIPS 180-4), the first 16 of its 32 bytes in hexadecimal digits.
 *
 * One per thread: the values that came last are remembered, as a log speaks of the same person many
 * times in a row.
 */
#ifndef BARGE_PSEUDONYM_H
#define BARGE_PSEUDONYM_H

#include "agent/base/base.h"

#define PSEUDONYM_LENGTH 32
#define PSEUDONYM_KEY_MIN 16 /* bytes */

struct pseudonym;

/* The key is not kept as such. */
struct pseudonym *pseudonym_create(struct bytes key);
void pseudonym_free(struct pseudonym *p);

/* Writes PSEUDONYM_LENGTH digits. */
void pseudonym_write(struct pseudonym *p, struct bytes value, char *to);

#endif
