#include "agent/commands/signals.h"

#include "agent/base/base.h"
#include "agent/base/log.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static struct {
    void (*on_reload)(void *arg);
    void (*_Atomic on_stop)(void *arg, const char *name); /* NULL while starting */
    void *arg;
} taker;

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

static void *run(void *arg)
{
    bool asked = false;
    sigset_t set;
    int number;

    (void)arg;
    pthread_setname_np(pthread_self(), "signals");
    fill(&set);
    for (;;) {
        void (*on_stop)(void *arg, const char *name);
        const char *name;

        if (sigwait(&set, &number) != 0)
            continue;
        if (number == SIGHUP) {
            if (!asked)
                taker.on_reload(taker.arg);
            continue;
        }
        name = number == SIGINT ? "SIGINT" : "SIGTERM";
        on_stop = atomic_load(&taker.on_stop);
        if (asked)
            _exit(0); /* without a word: standard error may be what holds the agent up */
        if (!on_stop) {
            log_info("ended while starting", LOG_STR("signal", name));
            _exit(0);
        }
        asked = true;
        on_stop(taker.arg, name);
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
    atomic_store(&taker.on_stop, on_stop);
}
