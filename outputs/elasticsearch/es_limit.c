#include "outputs/elasticsearch/es_limit.h"

#define SLOW_FACTOR 4.0 /* an answer this much slower than the best, */
#define SLOW_MS 50.0    /* and by at least this much, is a queue that we built */
#define SLOWLY 64       /* answers that it takes for one more request at once */

void es_limit_init(struct es_limit *l, unsigned first, unsigned max)
{
    ASSERT(first >= 1 && max >= 1);
    *l = (struct es_limit){
        .max = max, .allowed = MIN((double)first, (double)max), .slow_from = (double)max};
}

unsigned es_limit_allowed(const struct es_limit *l)
{
    return (unsigned)l->allowed;
}

void es_limit_succeeded(struct es_limit *l, double latency_ms, bool full, unsigned in_flight)
{
    if (full) {
        /* The best is forgotten slowly, or a once idle node would be the measure for ever. */
        if (l->best_ms == 0 || latency_ms < l->best_ms)
            l->best_ms = latency_ms;
        else
            l->best_ms += (latency_ms - l->best_ms) / 256;
        l->smooth_ms =
            l->smooth_ms == 0 ? latency_ms : l->smooth_ms + (latency_ms - l->smooth_ms) / 8;
        if (l->smooth_ms > SLOW_FACTOR * l->best_ms && l->smooth_ms > l->best_ms + SLOW_MS) {
            l->allowed = MAX(1.0, l->allowed - 0.5);
            return;
        }
    }
    if (in_flight >= es_limit_allowed(l))
        l->allowed += l->allowed < l->slow_from ? 1.0 / l->allowed : 1.0 / SLOWLY;
    l->allowed = MIN((double)l->max, l->allowed);
}

bool es_limit_overloaded(struct es_limit *l, uint64_t sent_ms, uint64_t now_ms)
{
    bool least = l->allowed < 2.0;

    if (l->cut_ms != 0 && sent_ms < l->cut_ms)
        return false;
    l->cut_ms = now_ms;
    l->allowed = l->slow_from = MAX(1.0, l->allowed / 2);
    return least;
}
