#include "outputs/elasticsearch/es_backoff.h"

#define SHORTEST_MS 10

uint64_t es_random_next(struct es_random *r)
{
    ASSERT(r->state != 0);
    r->state ^= r->state >> 12;
    r->state ^= r->state << 25;
    r->state ^= r->state >> 27;
    return r->state * 0x2545F4914F6CDD1DULL;
}

uint64_t es_backoff_ms(unsigned attempt, uint64_t base_ms, uint64_t cap_ms, struct es_random *r)
{
    uint64_t ceiling = base_ms, ms;

    for (unsigned i = 1; i < attempt && ceiling < cap_ms; i++)
        ceiling *= 2;
    ceiling = MIN(ceiling, cap_ms);
    ms = (es_random_next(r) >> 11) % (ceiling + 1);
    return MAX(ms, SHORTEST_MS);
}
