/*
 * hash: CRC32C (RFC 3720, Castagnoli) for records and identities on disk, and a keyed 64-bit hash
 * for tables and source ids. The instruction set is looked at once; both give the same value
 * everywhere. Any thread.
 */
#ifndef BARGE_HASH_H
#define BARGE_HASH_H

#include "agent/base/base.h"

/* CRC32C of n bytes, continued from crc (0 to begin). Conventional form: pre- and post-inverted, so
 * hash_crc32c(0, "123456789", 9) == 0xE3069283, and parts chain: f(f(0, a), b) == f(0, ab). */
uint32_t hash_crc32c(uint32_t crc, const void *p, size_t n);

/* 64-bit hash of n bytes under a seed (wyhash-like multiply-and-fold, stable over versions: it is
 * part of
 * `_id`). Not for adversarial tables unless the seed is secret. */
uint64_t hash_64(uint64_t seed, const void *p, size_t n);

/* n random bytes from the kernel (getrandom). Dies when there are none. */
void hash_random(void *p, size_t n);

#endif
