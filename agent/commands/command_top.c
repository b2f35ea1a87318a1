/*
 * top: the running agent's figures, live. Once a second the page is asked for and the screen is
 * written over in one write; nothing is cleared that is not written again, so it does not flicker.
 *
 * The terminal is left as it was found, however this ends: by q, a signal, or a closed window.
 * Signals are blocked but while it waits, so that none falls between.
 */
#include "agent/commands/commands.h"

#include "agent/base/clock.h"
#include "agent/commands/status_page.h"
#include "agent/commands/status_view.h"
#include "agent/commands/terminal.h"
#include "agent/config/config.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#define EVERY_MS 1000u
#define TIMEOUT_S 2L

/* The other screen of the terminal, no cursor; and back. */
#define ENTER "\x1b[?1049h\x1b[?25l"
#define LEAVE "\x1b[?25h\x1b[?1049l"
#define HOME "\x1b[H"
#define CLEAR_LINE "\x1b[K"
#define CLEAR_BELOW "\x1b[J"

/* ---- the terminal ---- */

static volatile sig_atomic_t stopped, suspended, resized;
static struct termios found; /* as the keyboard was */
static bool keyboard_changed, screen_changed;

static void on_signal(int number)
{
    if (number == SIGTSTP)
        suspended = 1;
    else if (number == SIGWINCH)
        resized = 1;
    else
        stopped = 1;
}

static void put(const char *text, size_t n)
{
    while (n > 0) {
        ssize_t done = write(STDOUT_FILENO, text, n);

        if (done < 0 && errno != EINTR && errno != EAGAIN) {
            stopped = 1;
            return;
        }
        if (done > 0) {
            text += done;
            n -= (size_t)done;
        }
    }
}

static void enter(void)
{
    struct termios keys;

    if (tcgetattr(STDIN_FILENO, &found) == 0) {
        keys = found;
        keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        keyboard_changed = tcsetattr(STDIN_FILENO, TCSADRAIN, &keys) == 0;
    }
    screen_changed = true;
    put(ENTER, sizeof ENTER - 1);
}

static void leave(void)
{
    if (screen_changed)
        put(LEAVE, sizeof LEAVE - 1);
    if (keyboard_changed)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &found);
    screen_changed = keyboard_changed = false;
}

static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH};

/* Catches the signals, and blocks them: *open is for waiting. */
static void catch_signals(sigset_t *open)
{
    struct sigaction act = {.sa_handler = on_signal};
    sigset_t blocked;

    sigemptyset(&blocked);
    for (size_t i = 0; i < ARRAY_LEN(caught); i++) {
        sigaction(caught[i], &act, NULL);
        sigaddset(&blocked, caught[i]);
    }
    sigprocmask(SIG_BLOCK, &blocked, open);
    for (size_t i = 0; i < ARRAY_LEN(caught); i++)
        sigdelset(open, caught[i]);
}

/* Ctrl-Z: gives the terminal back for the time. */
static void suspend(const sigset_t *open)
{
    struct sigaction act = {.sa_handler = SIG_DFL};
    sigset_t blocked;

    suspended = 0;
    leave();
    sigaction(SIGTSTP, &act, NULL);
    raise(SIGTSTP);
    sigprocmask(SIG_SETMASK, open, &blocked); /* stops here, and goes on from here */
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    act.sa_handler = on_signal;
    sigaction(SIGTSTP, &act, NULL);
    enter();
}

/* ---- frames ---- */

/* Adds the lines of text that fit, each over what stood there. */
static void add_frame(struct strbuf *to, struct bytes text, size_t height)
{
    strbuf_add_str(to, HOME);
    for (size_t i = 0; text.n > 0 && i + 1 < height; i++) {
        const char *feed = memchr(text.p, '\n', text.n);
        size_t n = feed ? (size_t)(feed - text.p) : text.n;

        strbuf_add(to, text.p, n);
        strbuf_add_str(to, CLEAR_LINE "\r\n");
        text = bytes_of(text.p + MIN(n + 1, text.n), text.n - MIN(n + 1, text.n));
    }
    strbuf_add_str(to, CLEAR_BELOW "q ends");
}

struct top {
    const struct config *config;
    struct strbuf now, before; /* pages */
    uint64_t now_ms, before_ms;
    struct error trouble; /* "" while the agent answers */
};

/* Asks for another page; what was the last one is the one before. */
static int ask(struct top *t, struct error *e)
{
    struct strbuf page = {0};

    if (status_page_get(t->config, TIMEOUT_S, &page, e) < 0) {
        strbuf_fini(&page);
        return -1;
    }
    strbuf_fini(&t->before);
    t->before = t->now;
    t->before_ms = t->now_ms;
    t->now = page;
    t->now_ms = clock_mono_ms();
    return 0;
}

static void draw(struct top *t)
{
    const struct terminal terminal = terminal_of(STDOUT_FILENO);
    const struct status_view_options options = {.width = terminal.width, .color = terminal.color};
    struct strbuf text = {0}, frame = {0};
    struct error e;

    if (*t->trouble.text) {
        struct strbuf trouble = {0};

        terminal_add(&trouble, bytes_str(t->trouble.text));
        strbuf_add_str(&text, "! ");
        terminal_add_cut(&text, strbuf_bytes(&trouble), terminal.width - 2);
        strbuf_add_str(&text, "\n\n");
        strbuf_fini(&trouble);
    }
    if (status_view_add(t->now.p, t->before.p, (double)(t->now_ms - t->before_ms) / 1000, &options,
                        &text, &e) < 0)
        t->trouble = e;
    add_frame(&frame, strbuf_bytes(&text), terminal.height);
    put(frame.p, frame.n);
    strbuf_fini(&frame);
    strbuf_fini(&text);
}

/* Waits until the next second, a key or a signal. */
static void wait_for_more(uint64_t until_ms, const sigset_t *open)
{
    uint64_t now_ms = clock_mono_ms(), left_ms = until_ms - MIN(until_ms, now_ms);
    struct timespec left = {.tv_sec = (time_t)(left_ms / 1000),
                            .tv_nsec = (long)(left_ms % 1000) * 1000000};
    struct pollfd keys = {.fd = keyboard_changed ? STDIN_FILENO : -1, .events = POLLIN};
    char key = 0;

    if (ppoll(&keys, 1, &left, open) <= 0 || keys.revents == 0)
        return;
    if (read(STDIN_FILENO, &key, 1) <= 0 || key == 'q' || key == 'Q' || key == 3)
        stopped = 1;
}

static void live(struct top *t)
{
    uint64_t next_ms = clock_mono_ms() + EVERY_MS;
    sigset_t open;

    catch_signals(&open);
    enter();
    draw(t);
    while (!stopped) {
        wait_for_more(next_ms, &open);
        if (suspended)
            suspend(&open);
        if (clock_mono_ms() >= next_ms) {
            if (ask(t, &t->trouble) == 0)
                t->trouble.text[0] = '\0';
            next_ms = clock_mono_ms() + EVERY_MS;
            resized = 1;
        }
        if (resized && !stopped) {
            resized = 0;
            draw(t);
        }
    }
    leave();
}

int command_top(const struct arguments *a)
{
    struct top t = {0};
    struct config *c;
    struct error e;
    int status = EXIT_FAILED;

    if (!isatty(STDOUT_FILENO))
        return command_status(a);
    c = commands_load(a);
    if (!c)
        return EXIT_WRONG;
    t.config = c;
    if (ask(&t, &e) < 0) {
        fprintf(stderr, "barge: %s\n", e.text);
    } else {
        live(&t);
        status = EXIT_DONE;
    }
    strbuf_fini(&t.now);
    strbuf_fini(&t.before);
    config_free(c);
    return status;
}
