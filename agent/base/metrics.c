#include "agent/base/metrics.h"

#include <pthread.h>

#define X(name, kind, path, help) [name] = {METRIC_##kind, path, help},
const struct metric_info metric_infos[METRIC_COUNT] = {METRICS(X)};
#undef X

_Atomic uint64_t metric_values[METRIC_COUNT];

#define TEXT_MAX 300
#define TEXTS_MAX 64

static struct {
    const char *path;
    char text[TEXT_MAX + 1];
} texts[TEXTS_MAX];
static size_t n_texts;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void metric_text_set(const char *path, struct bytes text)
{
    size_t i, n = MIN(text.n, (size_t)TEXT_MAX);

    pthread_mutex_lock(&lock);
    for (i = 0; i < n_texts; i++)
        if (strcmp(texts[i].path, path) == 0)
            break;
    ASSERT(i < TEXTS_MAX);
    if (i == n_texts) {
        texts[i].path = path;
        n_texts++;
    }
    if (n)
        memcpy(texts[i].text, text.p, n);
    texts[i].text[n] = '\0';
    pthread_mutex_unlock(&lock);
}

void metric_text_each(void (*fn)(void *arg, const char *path, const char *text), void *arg)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < n_texts; i++)
        fn(arg, texts[i].path, texts[i].text);
    pthread_mutex_unlock(&lock);
}
