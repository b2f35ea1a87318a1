#include "parsers/format_put.h"

#include "parsers/json.h"
#include "parsers/put.h"

#define NS_DIGITS 9
#define SECONDS_MAX 9000000000u /* in nanoseconds still an int64 */

static void add_escaped(struct format_work *w, struct bytes s)
{
    bool repaired = false;
    char *to = strbuf_room(&w->json, 6 * s.n + 32);

    w->json.n += json_escape(s, to, &repaired);
    w->repaired |= repaired;
}

static void begin(struct format_work *w, struct bytes name)
{
    strbuf_add(&w->json, w->json.n ? ",\"" : "{\"", 2);
    add_escaped(w, name);
    strbuf_add(&w->json, "\":", 2);
}

void format_put_member(struct format_work *w, struct bytes inside, struct bytes json)
{
    strbuf_add(&w->json, w->json.n ? ",\"" : "{\"", 2);
    strbuf_add_bytes(&w->json, inside);
    strbuf_add(&w->json, "\":", 2);
    strbuf_add_bytes(&w->json, json);
}

void format_put_named(struct format_work *w, struct bytes name, struct bytes value)
{
    begin(w, name);
    strbuf_add_char(&w->json, '"');
    add_escaped(w, value);
    strbuf_add_char(&w->json, '"');
}

void format_put_string(struct format_work *w, const char *name, struct bytes value)
{
    format_put_named(w, bytes_str(name), value);
}

void format_put_json(struct format_work *w, struct bytes name, struct bytes json)
{
    begin(w, name);
    strbuf_add_bytes(&w->json, json);
}

static void put_number(struct format_work *w, const char *name, uint64_t value)
{
    char text[32];

    format_put_json(w, bytes_str(name), bytes_of(text, (size_t)(put_decimal(text, value) - text)));
}

void format_put_digits(struct format_work *w, const char *name, struct bytes value)
{
    if (!format_is_digits(value)) {
        format_put_string(w, name, value);
        return;
    }
    while (value.n > 1 && value.p[0] == '0') {
        value.p++;
        value.n--;
    }
    format_put_json(w, bytes_str(name), value);
}

bool format_put_duration(struct format_work *w, const char *name, struct bytes seconds)
{
    const char *dot = seconds.n ? memchr(seconds.p, '.', seconds.n) : NULL;
    struct bytes whole = dot ? bytes_of(seconds.p, (size_t)(dot - seconds.p)) : seconds;
    struct bytes part = dot ? bytes_of(dot + 1, seconds.n - whole.n - 1) : BYTES_NONE;
    uint64_t value = 0;

    if (!format_is_digits(whole) || (dot && !format_is_digits(part)))
        return false;
    for (size_t i = 0; i < whole.n; i++) {
        value = 10 * value + (uint64_t)(whole.p[i] - '0');
        if (value > SECONDS_MAX)
            return false;
    }
    for (size_t i = 0; i < NS_DIGITS; i++)
        value = 10 * value + (i < part.n ? (uint64_t)(part.p[i] - '0') : 0);
    put_number(w, name, value);
    return true;
}

bool format_is_digits(struct bytes s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return s.n > 0;
}

bool format_is_decimal(struct bytes s)
{
    struct bytes whole;
    const char *dot;

    if (s.n && s.p[0] == '-')
        s = bytes_of(s.p + 1, s.n - 1);
    dot = s.n ? memchr(s.p, '.', s.n) : NULL;
    whole = dot ? bytes_of(s.p, (size_t)(dot - s.p)) : s;
    if (!format_is_digits(whole) || (whole.n > 1 && whole.p[0] == '0'))
        return false;
    return !dot || format_is_digits(bytes_of(dot + 1, s.n - whole.n - 1));
}
