#include "parsers/multiline.h"

#include "agent/base/ascii.h"

/* Where in a Python traceback a record is. */
enum { PYTHON_NOWHERE, PYTHON_FRAMES, PYTHON_EXCEPTION, PYTHON_BLANK, PYTHON_CHAINED };
/* Where in an entry of a slow log or an error log. */
enum {
    MYSQL_NOWHERE,
    MYSQL_TIME,
    MYSQL_HEAD,
    MYSQL_STATEMENT,
    MYSQL_BANNER,
    MYSQL_NOTE,
    MYSQL_CRASH
};

/* What a line is by itself. */
enum kind {
    PLAIN,
    BLANK,
    INDENTED,
    FRAME,       /* "at x.y(z)", "... 3 more", "--- End of": belongs to the trace above it */
    CAUSE,       /* "Caused by: …", "Suppressed: …": likewise, and names an exception */
    EXCEPTION,   /* "a.b.SomeException: …": opens a trace */
    TRACEBACK,   /* opens Python's */
    PYTHON_FILE, /* "  File "x.py", line 1" */
    GOROUTINE,   /* "goroutine 1 [running]:" */
    PANIC        /* "panic: …", "fatal error: …": opens Go's */
};

struct opening {
    const char *text;
    uint8_t languages;
    uint8_t kind;
};

/* How lines of traces begin, behind their indentation. */
static const struct opening openings[] = {
    {"Caused by: ", MULTILINE_JAVA, CAUSE},
    {"Suppressed: ", MULTILINE_JAVA, CAUSE},
    {"---> ", MULTILINE_DOTNET, CAUSE},
    {"--- End of ", MULTILINE_DOTNET, FRAME},
    {"Traceback (most recent call last):", MULTILINE_PYTHON, TRACEBACK},
    {"+ Exception Group Traceback (most recent call last):", MULTILINE_PYTHON, FRAME},
    {"goroutine ", MULTILINE_GO, GOROUTINE},
    {"panic: ", MULTILINE_GO, PANIC},
    {"fatal error: ", MULTILINE_GO, PANIC},
};

/* What Go's runtime writes between and behind goroutines, at the beginning of a line. */
static const char *const go_says[] = {
    "created by ",   "panic(",      "[signal ", "exit status ", "PC=0x",   "runtime: ",
    "...additional", "[recovered]", "signal ",  "goroutine ",   "panic: ", "\tpanic: ",
};

static bool begins(struct bytes s, const char *with)
{
    size_t n = strlen(with);

    return s.n >= n && memcmp(s.p, with, n) == 0;
}

static struct bytes behind(struct bytes s, size_t n)
{
    return bytes_of(s.p + n, s.n - n);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static size_t digits(struct bytes s)
{
    size_t n = 0;

    while (n < s.n && ascii_is_digit(s.p[n]))
        n++;
    return n;
}

/* ---- the beginning of a line ---- */

static int hex_value(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The character of \uXXXX as UTF-8; half a pair is U+FFFD. Returns the bytes written. */
static size_t put_unicode(const char *hex, char *to)
{
    unsigned u = 0;

    for (int i = 0; i < 4; i++)
        u = u << 4 | (unsigned)(hex_value(hex[i]) & 15);
    if (u < 0x80) {
        to[0] = (char)u;
        return 1;
    }
    if (u < 0x800) {
        to[0] = (char)(0xC0 | u >> 6);
        to[1] = (char)(0x80 | (u & 0x3F));
        return 2;
    }
    if (u >= 0xD800 && u < 0xE000)
        u = 0xFFFD;
    to[0] = (char)(0xE0 | u >> 12);
    to[1] = (char)(0x80 | (u >> 6 & 0x3F));
    to[2] = (char)(0x80 | (u & 0x3F));
    return 3;
}

static char unescaped(char c)
{
    switch (c) {
    case 't':
        return '\t';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    default:
        return c;
    }
}

/* The first MULTILINE_LOOK_BYTES of the line as its program wrote it; to has room for them. */
static struct bytes look(struct bytes text, bool escaped, char to[MULTILINE_LOOK_BYTES])
{
    size_t n = 0, i = 0;

    if (!escaped || !memchr(text.p, '\\', MIN(text.n, (size_t)MULTILINE_LOOK_BYTES)))
        return bytes_of(text.p, MIN(text.n, (size_t)MULTILINE_LOOK_BYTES));
    while (i < text.n && n + 3 <= MULTILINE_LOOK_BYTES) {
        char c = text.p[i];

        if (c != '\\' || i + 1 == text.n) {
            to[n++] = c;
            i++;
        } else if (text.p[i + 1] == 'u' && i + 6 <= text.n) {
            n += put_unicode(text.p + i + 2, to + n);
            i += 6;
        } else {
            to[n++] = unescaped(text.p[i + 1]);
            i += 2;
        }
    }
    return bytes_of(to, n);
}

/* ---- kinds of lines ---- */

/* The length of the class name that s begins with, when it is one of an exception: letters, digits,
 * `.`, `$`, ending in Exception, Error or Throwable, and more than that word. 0: it is none. */
static size_t exception_name(struct bytes s)
{
    static const char *const ends[] = {"Exception", "Error", "Throwable"};
    size_t n = 0;

    if (s.n == 0 || !ascii_is_word(s.p[0]) || ascii_is_digit(s.p[0]))
        return 0;
    while (n < s.n && (ascii_is_word(s.p[n]) || s.p[n] == '.' || s.p[n] == '$' || s.p[n] == '`'))
        n++;
    /* Generic classes of .NET: SomeException`1[T] is not worth more than its name. */
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        size_t k = strlen(ends[i]);

        if (n > k && memcmp(s.p + n - k, ends[i], k) == 0)
            return n;
    }
    return 0;
}

/* "a.b.SomeException: …", "a.b.SomeException" alone, "a.b.SomeException (0x80004005): …". */
static size_t exception_line(struct bytes s)
{
    size_t n = exception_name(s);

    if (n == 0 || n == s.n || s.p[n] == ':' || s.p[n] == '\r')
        return n;
    return n + 2 < s.n && s.p[n] == ' ' && s.p[n + 1] == '(' && s.p[n + 2] == '0' ? n : 0;
}

/* Whether the n bytes of a name say more than the class: Node's errors stand by themselves. */
static bool is_qualified(struct bytes s, size_t n)
{
    return n && (memchr(s.p, '.', n) || memchr(s.p, '$', n));
}

/* "at java.base/x.Y.z(Z.java:1)", "at X.Y.z(String s) in /x.cs:line 1", "at /app/x.js:1:2", "at
 * async x (…)". */
static bool is_frame(struct bytes s)
{
    if (!begins(s, "at "))
        return false;
    s = behind(s, 3);
    return s.n && !ascii_is_digit(s.p[0]) &&
           (memchr(s.p, '(', s.n) || memchr(s.p, '/', s.n) || memchr(s.p, '.', s.n));
}

/* "... 3 more", "... 3 common frames omitted". */
static bool is_more(struct bytes s)
{
    size_t n;

    if (!begins(s, "... "))
        return false;
    s = behind(s, 4);
    n = digits(s);
    s = behind(s, n);
    return n && (begins(s, " more") || begins(s, " common frames omitted"));
}

static bool is_goroutine(struct bytes s)
{
    size_t n;

    s = behind(s, strlen("goroutine "));
    n = digits(s);
    return n && begins(behind(s, n), " [");
}

static enum kind kind_behind_indent(unsigned languages, struct bytes s, bool indented)
{
    enum kind as = indented ? INDENTED : PLAIN;

    for (size_t i = 0; i < ARRAY_LEN(openings); i++)
        if ((openings[i].languages & languages) && begins(s, openings[i].text))
            return openings[i].kind == GOROUTINE && !is_goroutine(s) ? as
                                                                     : (enum kind)openings[i].kind;
    if (languages & (MULTILINE_JAVA | MULTILINE_DOTNET)) {
        /* Without its indentation a frame is told by its parentheses alone. */
        if (is_frame(s) && (indented || (memchr(s.p, '(', s.n) && memchr(s.p, '.', s.n))))
            return FRAME;
        if (is_more(s))
            return FRAME;
        if (!indented && is_qualified(s, exception_line(s)))
            return EXCEPTION;
    }
    if (indented && (languages & MULTILINE_PYTHON) && begins(s, "File \""))
        return PYTHON_FILE;
    return as;
}

/* s: the beginning of a line, decoded. */
static enum kind kind_of(unsigned languages, struct bytes s)
{
    size_t n = 0;

    while (n < s.n && is_blank(s.p[n]))
        n++;
    if (n == s.n)
        return BLANK;
    return kind_behind_indent(languages, behind(s, n), n > 0);
}

/* The length of "a.b.Name" where Python's last line of a traceback may begin so: alone, or with a
 * colon behind it. */
static size_t python_name(struct bytes s)
{
    size_t n = 0;

    while (n < s.n && (ascii_is_word(s.p[n]) || s.p[n] == '.' || (unsigned char)s.p[n] >= 0x80))
        n++;
    if (n == 0 || ascii_is_digit(s.p[0]))
        return 0;
    return n == s.n || s.p[n] == ':' || s.p[n] == '\r' ? n : 0;
}

static bool is_chaining(struct bytes s)
{
    return begins(s, "During handling of the above exception, another exception occurred:") ||
           begins(s, "The above exception was the direct cause of the following exception:");
}

/* "net/http.(*conn).serve(0xc0, …)": a function of a goroutine. */
static bool is_go_function(struct bytes s)
{
    size_t n = 0;
    bool dotted = false;

    while (n < s.n && !is_blank(s.p[n]) && s.p[n] != '(') {
        dotted |= s.p[n] == '.';
        n++;
    }
    return dotted && n < s.n && s.p[n] == '(';
}

/* "rax    0xca", as the runtime ends the report of a signal. */
static bool is_register(struct bytes s)
{
    size_t n = 0;

    while (n < s.n && n < 7 && ascii_is_word(s.p[n]))
        n++;
    if (n < 2 || n == s.n || s.p[n] != ' ')
        return false;
    while (n < s.n && s.p[n] == ' ')
        n++;
    return begins(behind(s, n), "0x");
}

static bool go_goes_on(struct bytes s)
{
    for (size_t i = 0; i < ARRAY_LEN(go_says); i++)
        if (begins(s, go_says[i]))
            return true;
    return is_go_function(s) || is_register(s);
}

/* ---- built-in rules ---- */

/* The line is the pending record's, for what it is by itself: notes what that says of the trace. */
static void note(struct multiline_state *st, enum kind kind)
{
    switch (kind) {
    case TRACEBACK:
    case PYTHON_FILE:
        st->place = PYTHON_FRAMES;
        break;
    case GOROUTINE:
    case PANIC:
        st->go = true;
        break;
    case PLAIN:
    case BLANK:
    case INDENTED:
        return;
    case FRAME:
    case CAUSE:
    case EXCEPTION:
        break;
    }
    st->trace = true;
}

static bool python_continues(struct multiline_state *st, struct bytes s, enum kind kind)
{
    switch (st->place) {
    case PYTHON_FRAMES:
        if (kind == BLANK)
            return true;
        if (!python_name(s))
            return false;
        st->place = PYTHON_EXCEPTION;
        return true;
    case PYTHON_EXCEPTION:
        if (kind != BLANK)
            return false;
        st->place = PYTHON_BLANK;
        return true;
    case PYTHON_BLANK:
        if (!is_chaining(s))
            return false;
        st->place = PYTHON_CHAINED;
        return true;
    case PYTHON_CHAINED:
        return kind == BLANK || kind == TRACEBACK;
    default:
        return false;
    }
}

static bool is_continued(struct multiline_state *st, struct bytes s, enum kind kind, int64_t gap_ns)
{
    /* What is indented, as each language indents what belongs to the line above. */
    if (kind == INDENTED || kind == FRAME || kind == CAUSE || kind == PYTHON_FILE ||
        (kind != BLANK && is_blank(s.p[0])))
        return true;
    if (st->place && python_continues(st, s, kind))
        return true;
    if (kind == BLANK)
        return st->trace;
    if (st->go && go_goes_on(s))
        return true;
    if (kind == EXCEPTION || kind == TRACEBACK || kind == GOROUTINE)
        return !st->trace && gap_ns <= MULTILINE_TOGETHER_NS;
    return false;
}

static bool language_continues(unsigned languages, struct multiline_state *st, struct bytes s,
                               int64_t gap_ns)
{
    enum kind kind = kind_of(languages, s);
    bool continued = st->open && is_continued(st, s, kind, gap_ns);

    if (!continued)
        *st = (struct multiline_state){.open = true};
    note(st, kind);
    return continued;
}

/* ---- MySQL and MariaDB ---- */

/* "2026-11-23T19:17:42.123456Z 0 [Note]", "2026-11-23 19:17:42 0 [Note]", "261123 19:17:42 [Note]":
 * a line of an error log. */
static bool is_error_log(struct bytes s)
{
    size_t n = digits(s);

    if (n == 4)
        return s.n > 10 && s.p[4] == '-' && s.p[7] == '-' && (s.p[10] == 'T' || s.p[10] == ' ') &&
               ascii_is_digit(s.p[5]) && ascii_is_digit(s.p[8]);
    return n == 6 && s.n > 12 && s.p[6] == ' ' && (ascii_is_digit(s.p[7]) || s.p[7] == ' ');
}

/* "261128 21:12:32 [ERROR] mariadbd got signal 11 ;", "2023-11-23T09:00:00Z UTC - mysqld got signal
 * 11 ;", "09:00:00 UTC - mysqld got signal 11 ;": the report of a crash follows. */
static bool is_crash(struct bytes s)
{
    static const char *const ends[] = {" got signal ", " got exception 0x"};

    if (s.n == 0 || !ascii_is_digit(s.p[0]))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        if (memmem(s.p, s.n, ends[i], strlen(ends[i])))
            return is_error_log(s) || memmem(s.p, s.n, " UTC - ", 7);
    return false;
}

/* What the server writes when it opens a slow log, three lines: "/usr/sbin/mysqld, Version: 8.0.36
 * (…). started with:", and two more. */
static bool is_banner(struct bytes s)
{
    static const char version[] = ", Version: ", end[] = " started with:";

    while (s.n && is_blank(s.p[s.n - 1]))
        s.n--;
    return s.n >= sizeof end - 1 &&
           memcmp(s.p + s.n - (sizeof end - 1), end, sizeof end - 1) == 0 &&
           memmem(s.p, s.n, version, sizeof version - 1);
}

static bool is_more_of_banner(struct bytes s)
{
    return begins(s, "Tcp port: ") || begins(s, "TCP Port: ") ||
           begins(s, "Time                 Id Command") || begins(s, "Time\t\t");
}

/* Where a line is by itself; MYSQL_NOWHERE: that hangs on those before it. */
static uint8_t mysql_place(struct bytes s)
{
    if (begins(s, "# Time: "))
        return MYSQL_TIME;
    if (begins(s, "# User@Host: "))
        return MYSQL_HEAD;
    if (is_banner(s) || is_more_of_banner(s))
        return MYSQL_BANNER;
    if (is_crash(s))
        return MYSQL_CRASH;
    return is_error_log(s) ? MYSQL_NOTE : MYSQL_NOWHERE;
}

/* Whether a line that says nothing by itself is more of what stands there. */
static bool is_more_of(uint8_t place, struct bytes s)
{
    /* More of what a line of an error log says is indented, or what follows "ready for
     * connections". */
    if (place == MYSQL_NOTE || place == MYSQL_BANNER || place == MYSQL_NOWHERE)
        return s.n && (is_blank(s.p[0]) || (place == MYSQL_NOTE && begins(s, "Version: '")));
    return true;
}

/* A line that begins a record leaves nothing of what was before it: whoever starts to read there
 * knows no more. */
static bool mysql_continues(struct multiline_state *st, struct bytes s)
{
    uint8_t before = st->place, place = mysql_place(s);
    bool continued = false;

    if (!st->open) {
        continued = false;
    } else if (place == MYSQL_HEAD) {
        continued = before == MYSQL_TIME;
    } else if (place == MYSQL_BANNER) {
        continued = before == MYSQL_BANNER && !is_banner(s);
    } else if (place == MYSQL_NOWHERE && is_more_of(before, s)) {
        continued = true;
        place = before;
        if ((before == MYSQL_TIME || before == MYSQL_HEAD) &&
            (!begins(s, "# ") || begins(s, "# administrator command: ")))
            place = MYSQL_STATEMENT;
    }
    *st = (struct multiline_state){.open = true, .place = place};
    return continued;
}

/* ---- the next line ---- */

bool multiline_continues(const struct multiline_rule *rule, struct multiline_state *state,
                         struct bytes text, bool escaped, int64_t gap_ns)
{
    char room[MULTILINE_LOOK_BYTES];
    struct bytes s;
    bool continued;

    if (gap_ns > MULTILINE_GAP_NS)
        *state = (struct multiline_state){0};
    if (!rule->starts && rule->languages == 0) {
        state->open = true;
        return false;
    }
    s = text.n ? look(text, escaped, room) : bytes_of("", 0);
    if (!rule->starts)
        return rule->languages & MULTILINE_MYSQL
                   ? mysql_continues(state, s)
                   : language_continues(rule->languages, state, s, gap_ns);
    continued = state->open && !rule->starts(rule->pattern, s);
    state->open = true;
    return continued;
}

/* ---- parts ---- */

struct line {
    struct bytes text;
    size_t at; /* offset in the whole */
};

/* The line that begins at *at, which moves behind its line feed. false: there is none. */
static bool next_line(struct bytes text, size_t *at, struct line *line)
{
    const char *nl;

    if (*at > text.n)
        return false;
    line->at = *at;
    nl = memchr(text.p + *at, '\n', text.n - *at);
    line->text = bytes_of(text.p + *at, (nl ? (size_t)(nl - text.p) : text.n) - *at);
    *at += line->text.n + 1;
    return true;
}

/* "type: what it says" at the beginning of s; n: bytes of the type. */
static void take_exception(struct bytes s, size_t n, struct multiline_parts *parts)
{
    parts->type = bytes_of(s.p, n);
    parts->error = BYTES_NONE;
    for (size_t i = n; i + 1 < s.n && i < n + 32; i++)
        if (s.p[i] == ':' && s.p[i + 1] == ' ') {
            parts->error = behind(s, i + 2);
            return;
        }
}

/* An exception that is named somewhere in a line whose next ones are frames: "Exception in thread
 * "main" a.b.SomeException: …", "Unhandled exception. System.SomeException: …". */
static bool find_exception(struct bytes s, struct multiline_parts *parts)
{
    for (size_t i = 0; i < s.n; i++) {
        struct bytes rest = behind(s, i);
        size_t n;

        if (i && s.p[i - 1] != ' ')
            continue;
        n = exception_line(rest);
        if (n == 0)
            continue;
        take_exception(rest, n, parts);
        return true;
    }
    return false;
}

/* What the line that opens the trace says of the exception. */
static void take_opening(struct bytes s, enum kind kind, struct multiline_parts *parts)
{
    size_t n;

    switch (kind) {
    case EXCEPTION:
        take_exception(s, exception_name(s), parts);
        break;
    case PANIC:
        n = (size_t)((const char *)memchr(s.p, ':', s.n) - s.p);
        take_exception(s, n, parts);
        break;
    default:
        break;
    }
}

static struct bytes without_blank_end(struct bytes s)
{
    while (s.n && (is_blank(s.p[s.n - 1]) || s.p[s.n - 1] == '\n'))
        s.n--;
    return s;
}

struct cutting {
    unsigned languages;
    bool found;           /* the trace has begun */
    bool python;          /* and is Python's: the line that names the exception is yet to come */
    size_t stack;         /* where it begins */
    struct line before;   /* the line before this one */
    struct bytes closing; /* the last line that names Python's exception */
};

static void cut_line(struct cutting *c, const struct line *line, struct multiline_parts *parts)
{
    struct bytes s = bytes_of(line->text.p, MIN(line->text.n, (size_t)MULTILINE_LOOK_BYTES));
    enum kind kind = kind_of(c->languages, s);

    if (c->found) {
        size_t n = c->python && kind != BLANK && !is_blank(s.p[0]) ? python_name(s) : 0;

        if (n) {
            c->closing = line->text;
            take_exception(line->text, n, parts);
        }
        return;
    }
    if (kind == PLAIN || kind == BLANK || kind == INDENTED)
        return;
    c->found = true;
    c->python = kind == TRACEBACK || kind == PYTHON_FILE;
    c->stack = line->at;
    take_opening(line->text, kind, parts);
    if ((kind == FRAME || kind == CAUSE) && c->before.text.p &&
        find_exception(c->before.text, parts))
        c->stack = c->before.at;
}

void multiline_cut(const struct multiline_rule *rule, struct bytes text,
                   struct multiline_parts *parts)
{
    struct cutting c = {.languages = rule->languages & MULTILINE_AUTO};
    struct line line, first = {0};
    size_t at = 0;

    *parts = (struct multiline_parts){.message = text};
    if (!c.languages || rule->starts)
        return;
    while (next_line(text, &at, &line)) {
        if (!first.text.p)
            first = line;
        cut_line(&c, &line, parts);
        c.before = line;
    }
    if (!c.found) {
        parts->message = without_blank_end(text);
        return;
    }
    parts->stack = without_blank_end(behind(text, c.stack));
    if (c.stack)
        parts->message = bytes_of(text.p, c.stack - 1);
    else
        parts->message = c.closing.p ? c.closing : first.text;
}
