#include "agent/commands/terminal.h"

#include "agent/base/utf8.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define USUAL_WIDTH 80
#define USUAL_HEIGHT 24

struct terminal terminal_of(int fd)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    struct winsize size = {0};
    struct terminal t = {.is_one = isatty(fd)};

    if (!t.is_one)
        return t;
    t.color = !(no_color && *no_color) && term && *term && strcmp(term, "dumb") != 0;
    t.width = USUAL_WIDTH;
    t.height = USUAL_HEIGHT;
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        t.width = size.ws_col;
        t.height = size.ws_row > 0 ? size.ws_row : USUAL_HEIGHT;
    }
    return t;
}

/* ---- characters ---- */

struct range {
    uint32_t first, last;
};

static bool is_in(uint32_t c, const struct range *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (c >= list[i].first && c <= list[i].last)
            return true;
    return false;
}

/* What is not seen but does something: C1, soft hyphen, marks and overrides of direction, joiners,
 * line and paragraph separators, invisible operators, the byte order mark, annotations, tags. */
static bool is_unseen(uint32_t c)
{
    static const struct range unseen[] = {{0x80, 0x9F},     {0xAD, 0xAD},     {0x061C, 0x061C},
                                          {0x115F, 0x1160}, {0x180E, 0x180E}, {0x200B, 0x200F},
                                          {0x2028, 0x202E}, {0x2060, 0x206F}, {0x3164, 0x3164},
                                          {0xFEFF, 0xFEFF}, {0xFFF9, 0xFFFB}, {0xE0000, 0xE0FFF}};

    return is_in(c, unseen, ARRAY_LEN(unseen));
}

/* Wide and combining characters, after the Unicode Standard's East Asian Width and general category
 * Mn, in ranges as terminals have them. */
static size_t width_of(uint32_t c)
{
    static const struct range none[] = {
        {0x0300, 0x036F}, {0x0483, 0x0489}, {0x0591, 0x05BD}, {0x0610, 0x061A}, {0x064B, 0x065F},
        {0x0E31, 0x0E31}, {0x0E34, 0x0E3A}, {0x0E47, 0x0E4E}, {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF},
        {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}};
    static const struct range wide[] = {
        {0x1100, 0x115E},   {0x231A, 0x231B},   {0x23E9, 0x23EC},   {0x2614, 0x2615},
        {0x26AA, 0x26AB},   {0x2705, 0x2705},   {0x274C, 0x274C},   {0x2753, 0x2755},
        {0x2757, 0x2757},   {0x2B50, 0x2B50},   {0x2E80, 0x303E},   {0x3041, 0xA4CF},
        {0xA960, 0xA97C},   {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},
        {0xFF01, 0xFF60},   {0xFFE0, 0xFFE6},   {0x1F300, 0x1F64F}, {0x1F680, 0x1F6FF},
        {0x1F7E0, 0x1F7EB}, {0x1F900, 0x1F9FF}, {0x20000, 0x3FFFD}};

    if (c < 0x300)
        return 1;
    if (is_in(c, none, ARRAY_LEN(none)))
        return 0;
    return is_in(c, wide, ARRAY_LEN(wide)) ? 2 : 1;
}

/* The character at p, which is `length` bytes of well-formed UTF-8. */
static uint32_t decode(const char *p, size_t length)
{
    const unsigned char *s = (const unsigned char *)p;
    uint32_t c = length == 1 ? s[0] : s[0] & (0x7Fu >> length);

    for (size_t i = 1; i < length; i++)
        c = c << 6 | (s[i] & 0x3F);
    return c;
}

void terminal_add(struct strbuf *to, struct bytes text)
{
    for (size_t i = 0; i < text.n;) {
        size_t n = utf8_length(text.p + i, text.n - i);
        uint32_t c = n ? decode(text.p + i, n) : 0;

        if (n == 0) {
            strbuf_add_str(to, UTF8_REPLACEMENT);
            n = 1;
        } else if (c == '\t') {
            strbuf_add_str(to, "    ");
        } else if (c < ' ' || c == 0x7F) {
            strbuf_add_char(to, '^');
            strbuf_add_char(to, (char)(c ^ 0x40));
        } else if (is_unseen(c)) {
            strbuf_printf(to, "<U+%04X>", (unsigned)c);
        } else {
            strbuf_add(to, text.p + i, n);
        }
        i += n;
    }
}

/* ---- widths ---- */

/* Bytes of text within `columns`, *used of them. */
static size_t fit(struct bytes text, size_t columns, size_t *used)
{
    size_t i = 0;

    *used = 0;
    while (i < text.n) {
        size_t n = MAX(utf8_length(text.p + i, text.n - i), 1u);
        size_t width = width_of(decode(text.p + i, n));

        if (*used + width > columns)
            break;
        *used += width;
        i += n;
    }
    return i;
}

size_t terminal_columns(struct bytes text)
{
    size_t used;

    fit(text, SIZE_MAX, &used);
    return used;
}

/* The longest beginning of text that takes at most `columns`. */
static struct bytes head(struct bytes text, size_t columns)
{
    size_t used;

    return bytes_of(text.p, fit(text, columns, &used));
}

void terminal_add_cut(struct strbuf *to, struct bytes text, size_t columns)
{
    if (columns == 0 || head(text, columns).n == text.n) {
        strbuf_add_bytes(to, text);
        return;
    }
    strbuf_add_bytes(to, head(text, columns - 1));
    strbuf_add_str(to, "…");
}

struct bytes terminal_wrap(struct bytes *text, size_t columns)
{
    struct bytes line = head(*text, MAX(columns, 1u));
    const char *blank;
    size_t taken;

    if (text->n == 0)
        return *text;
    if (line.n == 0) /* one character that is wider than the column */
        line.n = MAX(utf8_length(text->p, text->n), 1u);
    taken = line.n;
    if (line.n < text->n && text->p[line.n] == ' ') {
        taken++;
    } else if (line.n < text->n) {
        blank = memrchr(line.p, ' ', line.n);
        if (blank && (size_t)(blank - line.p) >= line.n / 2) {
            line.n = (size_t)(blank - line.p);
            taken = line.n + 1;
        }
    }
    *text = bytes_of(text->p + taken, text->n - taken);
    return line;
}
