#include "agent/commands/signals.h"

#include "agent/base/base.h"
#include "agent/base/log.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static struct {
    pthread_mutex_t lock; /* held while one of them is called */
    void (*on_reload)(void *arg);
    void (*on_stop)(void *arg, const char *name); /* NULL while starting */
    void *arg;
} taker = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void fill(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
}

void signals_block(void)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    fill(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void reload(void)
{
    pthread_mutex_lock(&taker.lock);
    if (taker.on_reload)
        taker.on_reload(taker.arg);
    pthread_mutex_unlock(&taker.lock);
}

/* false when there is nobody yet, or any more, who would stop by himself. */
static bool ask_to_stop(const char *name)
{
    bool asked;

    pthread_mutex_lock(&taker.lock);
    asked = taker.on_stop != NULL;
    if (asked)
        taker.on_stop(taker.arg, name);
    pthread_mutex_unlock(&taker.lock);
    return asked;
}

static void *run(void *arg)
{
    bool asked = false;
    sigset_t set;
    int number;

    (void)arg;
    pthread_setname_np(pthread_self(), "signals");
    fill(&set);
    for (;;) {
        const char *name;

        if (sigwait(&set, &number) != 0)
            continue;
        if (number == SIGHUP) {
            reload();
            continue;
        }
        name = number == SIGINT ? "SIGINT" : "SIGTERM";
        if (asked)
            _exit(0); /* without a word: standard error may be what holds the agent up */
        asked = ask_to_stop(name);
        if (!asked) {
            log_info("ended while starting", LOG_STR("signal", name));
            _exit(0);
        }
    }
    return NULL;
}

void signals_start(void (*on_reload)(void *arg), void *arg)
{
    pthread_t thread;

    taker.on_reload = on_reload;
    taker.arg = arg;
    if (pthread_create(&thread, NULL, run, NULL) != 0)
        base_die("no thread for the signals");
    pthread_detach(thread);
}

void signals_expect_stop(void (*on_stop)(void *arg, const char *name))
{
    pthread_mutex_lock(&taker.lock);
    taker.on_stop = on_stop;
    pthread_mutex_unlock(&taker.lock);
}

void signals_call_nobody(void)
{
    pthread_mutex_lock(&taker.lock);
    taker.on_stop = NULL;
    taker.on_reload = NULL;
    pthread_mutex_unlock(&taker.lock);
}
