#include "parsers/pseudonym.h"

#include "agent/base/hash.h"

#include <nettle/hmac.h>
#include <stdlib.h>

#define REMEMBERED 256    /* values */
#define REMEMBERED_MAX 64 /* bytes of one */
#define HASH_SEED 0x70736575646fu

struct remembered {
    uint8_t n; /* 0: none */
    char value[REMEMBERED_MAX];
    char name[PSEUDONYM_LENGTH];
};

struct pseudonym {
    struct hmac_sha256_ctx hmac;
    struct remembered remembered[REMEMBERED];
};

struct pseudonym *pseudonym_create(struct bytes key)
{
    struct pseudonym *p = base_calloc(1, sizeof *p);

    hmac_sha256_set_key(&p->hmac, key.n, (const uint8_t *)key.p);
    return p;
}

void pseudonym_free(struct pseudonym *p)
{
    if (p)
        explicit_bzero(p, sizeof *p);
    free(p);
}

static void compute(struct pseudonym *p, struct bytes value, char *to)
{
    uint8_t digest[PSEUDONYM_LENGTH / 2];

    hmac_sha256_update(&p->hmac, value.n, (const uint8_t *)value.p);
    hmac_sha256_digest(&p->hmac, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++) {
        to[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        to[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
}

void pseudonym_write(struct pseudonym *p, struct bytes value, char *to)
{
    struct remembered *r;

    if (value.n == 0 || value.n > REMEMBERED_MAX) {
        compute(p, value, to);
        return;
    }
    r = &p->remembered[hash_64(HASH_SEED, value.p, value.n) % REMEMBERED];
    if (r->n != value.n || memcmp(r->value, value.p, value.n) != 0) {
        compute(p, value, r->name);
        memcpy(r->value, value.p, value.n);
        r->n = (uint8_t)value.n;
    }
    memcpy(to, r->name, PSEUDONYM_LENGTH);
}
