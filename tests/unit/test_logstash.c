/* Logstash's language and grok's patterns, piece by piece. Whole pipelines:
 * integration/test_import.py. */
#include "agent/commands/logstash_grok.h"
#include "agent/commands/logstash_import.h"
#include "agent/commands/logstash_when.h"
#include "agent/config/config.h"
#include "parsers/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct logstash_tree *parse_ok(const char *text)
{
    struct error e;
    size_t at;
    struct logstash_tree *t = logstash_tree_parse(bytes_str(text), &at, &e);

    if (!t)
        print_message("%s\nat %zu: %s\n", text, at, e.text);
    assert_non_null(t);
    return t;
}

static void assert_text(struct bytes got, const char *wanted)
{
    if (!bytes_is(got, wanted))
        print_message("got %.*s\n", (int)got.n, got.p);
    assert_true(bytes_is(got, wanted));
}

/* ---- the language ---- */

static void test_values(void **state)
{
    static const char text[] =
        "#a\ninput{x{a=>'it\\'s'\n\"b c\"=>\"\\\"\\n\" #c\n d=>-1.5 e=>[ab,'c',1,[ ]]\n"
        "f=>{g1=>{}'h'=>2 3=>true}\ti=>json{k=>lm}\r\nj-1=>-2.}}";
    struct logstash_tree *t = parse_ok("input{x{}}");
    const struct logstash_value *v, *f;
    (void)state;

    assert_null(t->first->first->plugin->first);
    logstash_tree_free(t);
    t = parse_ok(text);
    v = t->first->first->plugin;
    assert_text(v->text, "x");
    assert_text(logstash_tree_option(v, "a")->text, "it\\'s");
    assert_text(logstash_tree_option(v, "b c")->text, "\\\"\\n");
    assert_int_equal(logstash_tree_option(v, "d")->kind, LOGSTASH_NUMBER);
    assert_text(logstash_tree_option(v, "d")->text, "-1.5");
    f = logstash_tree_option(v, "e");
    assert_int_equal(f->kind, LOGSTASH_ARRAY);
    assert_int_equal(f->first->kind, LOGSTASH_BAREWORD);
    assert_int_equal(f->first->next->kind, LOGSTASH_STRING);
    assert_int_equal(f->first->next->next->kind, LOGSTASH_NUMBER);
    assert_null(f->first->next->next->next->first);
    f = logstash_tree_option(v, "f");
    assert_int_equal(f->kind, LOGSTASH_HASH);
    assert_text(f->first->name, "g1");
    assert_int_equal(f->first->kind, LOGSTASH_HASH);
    assert_text(f->first->next->name, "h");
    assert_text(f->first->next->next->name, "3");
    f = logstash_tree_option(v, "i");
    assert_int_equal(f->kind, LOGSTASH_PLUGIN);
    assert_text(f->text, "json");
    assert_text(f->first->text, "lm");
    assert_text(bytes_of(text + f->at.begin, f->at.end - f->at.begin), "json{k=>lm}");
    assert_text(logstash_tree_option(v, "j-1")->text, "-2.");
    logstash_tree_free(t);
}

static void test_sections_and_branches(void **state)
{
    struct logstash_tree *t =
        parse_ok("filter{if[a]{b{}}else if\"c\"in[d]{}else{if [e]{}f{}}g{}} # x\n"
                 "output{}filter{\"iffy\"{} iffy{}}#");
    const struct logstash_item *i = t->first->first;
    const struct logstash_arm *arm = i->branch;
    (void)state;

    assert_int_equal(t->first->kind, LOGSTASH_FILTER);
    assert_text(arm->first->plugin->text, "b");
    assert_int_equal(arm->when->op, LOGSTASH_IS);
    assert_int_equal(arm->next->when->op, LOGSTASH_IN);
    assert_null(arm->next->first);
    assert_null(arm->next->next->when);
    assert_non_null(arm->next->next->first->branch);
    assert_text(arm->next->next->first->next->plugin->text, "f");
    assert_text(i->next->plugin->text, "g");
    assert_int_equal(t->first->next->kind, LOGSTASH_OUTPUT);
    assert_text(t->first->next->next->first->next->plugin->text, "iffy");
    logstash_tree_free(t);
}

/* What is no pipeline, where that shows, and what is said of it. */
static const struct {
    const char *text;
    size_t at;
    const char *said;
} wrong[] = {
    {" ", 1, "input, filter or output was expected, and the text ends here"},
    {"input", 5, "{ behind the section's name was expected, and the text ends here"},
    {"inputx {}", 0, "input, filter or output was expected before inputx"},
    {"input {} x", 9, "input, filter or output was expected before x"},
    {"input { x }", 10, "{ behind the plugin's name was expected before }"},
    {"input { x { a } }", 14, "=> behind the option's name was expected before }"},
    {"input { x { a = 1 } }", 14, "=> behind the option's name was expected before ="},
    {"input { x { a => } }", 17, "a value was expected before }"},
    {"input { x { a => b } }", 17,
     "a value (a word without quotes has two letters or more) was expected before b"},
    {"input { x { a => 1, b => 2 } }", 18, "a blank or } behind the value was expected before ,"},
    {"input { x { a => 'b'c => 2 } }", 20, "a blank or } behind the value was expected before c"},
    {"input { x { a => [1 2] } }", 20, "a comma or ] was expected before 2"},
    {"input { x { a => [1,] } }", 20, "a value was expected before ]"},
    {"input { x { a => { b1 1 } } }", 22, "=> behind the key of the hash was expected before 1"},
    {"input { x { a => { [ } } }", 19, "a key of the hash or } was expected before ["},
    {"input { x { a => - } }", 18, "a number was expected here"},
    {"input { x { a => \"b } }", 17, "this string has no end; \" was expected"},
    {"filter { if [a] == { } }", 19,
     "a condition: a [field], a value in quotes, a number or ( was expected before {"},
    {"filter { if ([a] { } }", 17, "and, or, xor, nand or ) was expected before {"},
    {"filter { if [a] not [b] { } }", 20, "in behind not was expected before ["},
    {"filter { if [a] =~ [b] { } }", 19,
     "a pattern, between slashes or in quotes, was expected before ["},
    {"filter { if [a] =~ /b { } }", 19, "this pattern has no end; / was expected"},
    {"filter { if ! \"a\" { } }", 14, "( or a [field] behind ! was expected before \""},
    {"filter { if abc { } }", 16, "( behind the method's name was expected before {"},
    {"filter { if [a] { } else x { } }", 25, "{ or if behind else was expected before x"},
};

static void test_what_is_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct error e;
        size_t at;
        struct logstash_tree *t = logstash_tree_parse(bytes_str(wrong[i].text), &at, &e);

        if (t || at != wrong[i].at || strcmp(e.text, wrong[i].said) != 0)
            print_message("%s\nat %zu: %s\n", wrong[i].text, at, t ? "taken" : e.text);
        assert_null(t);
        assert_int_equal(at, wrong[i].at);
        assert_string_equal(e.text, wrong[i].said);
    }
}

/* Each cut of a pipeline is either one or has an error within itself. */
static void test_cut_anywhere(void **state)
{
    static const char text[] = "input{a{b=>[1,'c'] d=>{e1=>\"f\"}}}"
                               "filter{if[g]in['h','i']or !([j]!~/k/ nand lm([n],1)){o{}}else{}}";
    size_t first = (size_t)(strstr(text, "filter") - text);
    (void)state;

    for (size_t n = 0; n < sizeof text; n++) {
        char *cut = base_strndup(text, n); /* so that a sanitizer sees what is read behind it */
        struct error e;
        size_t at;
        struct logstash_tree *t = logstash_tree_parse(bytes_of(cut, n), &at, &e);

        assert_true((t != NULL) == (n == sizeof text - 1 || n == first));
        assert_true(t || at <= n);
        logstash_tree_free(t);
        free(cut);
    }
}

static void test_depth(void **state)
{
    static const char *const begin[] = {"filter{", "filter{x{y=>", "filter{x{y=>", "filter{if ",
                                        "filter{if "};
    static const char *const piece[] = {"if[a]{", "[", "{a1=>", "(", "ab("};
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(begin); i++) {
        struct strbuf text = {0};
        struct error e;
        size_t at;

        strbuf_add_str(&text, begin[i]);
        for (int k = 0; k < 70; k++)
            strbuf_add_str(&text, piece[i]);
        assert_null(logstash_tree_parse(strbuf_bytes(&text), &at, &e));
        assert_string_equal(e.text, "more than 64 levels within each other are not read");
        assert_true(at < text.n);
        strbuf_fini(&text);
    }
}

/* One level may be as long as it likes, but for turns of its operators. */
static void test_long_conditions(void **state)
{
    struct strbuf text = {0};
    struct error e;
    size_t at;
    (void)state;

    strbuf_add_str(&text, "filter{if[a]");
    for (int i = 0; i < 20000; i++)
        strbuf_add_str(&text, i % 3 ? " or[a]" : " and[b]");
    strbuf_add_str(&text, "{}}");
    logstash_tree_free(parse_ok(text.p));
    strbuf_clear(&text);
    strbuf_add_str(&text, "filter{if[a]");
    for (int i = 0; i < 20; i++)
        strbuf_add_str(&text, i % 2 ? " or[a]" : " xor[b]");
    strbuf_add_str(&text, "{}}");
    assert_null(logstash_tree_parse(strbuf_bytes(&text), &at, &e));
    assert_non_null(strstr(e.text, "a parenthesis around some of these conditions was expected"));
    strbuf_fini(&text);
}

/* ---- conditions ---- */

/* A condition, what it comes to for an input of type docker whose records are containers', and the
 * names that it selects: container|image, … */
static const struct {
    const char *text;
    enum when_result result;
    const char *selected;
} conditions[] = {
    {"[type] == 'docker'", WHEN_ALWAYS, ""},
    {"'docker' == [type]", WHEN_ALWAYS, ""},
    {"[type] == \"nginx\"", WHEN_NEVER, ""},
    {"[type] != 'nginx'", WHEN_ALWAYS, ""},
    {"[type] in ['nginx', 'docker']", WHEN_ALWAYS, ""},
    {"[type] not in ['nginx', 'docker']", WHEN_NEVER, ""},
    {"[type]", WHEN_ALWAYS, ""},
    {"![type]", WHEN_NEVER, ""},
    {"!([type] == 'nginx')", WHEN_ALWAYS, ""},
    {"[level] == 3", WHEN_UNKNOWN, ""},
    {"[type] =~ /dock/", WHEN_UNKNOWN, ""},
    {"[type] == '${KIND}'", WHEN_UNKNOWN, ""},
    {"[type] == 'nginx' and [level] == 3", WHEN_NEVER, ""},
    {"[type] == 'docker' or [level] == 3", WHEN_ALWAYS, ""},
    {"[type] == 'nginx' and [a] or [type] == 'docker'", WHEN_ALWAYS, ""}, /* and binds closer */
    {"[type] == 'docker' or [a] and [type] == 'nginx'", WHEN_ALWAYS, ""},
    {"[type] == 'docker' xor [type] == 'nginx'", WHEN_ALWAYS, ""},
    {"[type] == 'docker' xor [type] in ['docker', 'x']", WHEN_NEVER, ""},
    {"[type] == 'docker' nand [type] == 'nginx'", WHEN_ALWAYS, ""},
    {"[type] == 'docker' nand [type]", WHEN_NEVER, ""},
    {"'shop' in [tags]", WHEN_ALWAYS, ""},
    {"'other' in [tags]", WHEN_UNKNOWN, ""},
    {"[container_name] == 'web'", WHEN_SELECTED, "web|"},
    {"[container_name] != 'web'", WHEN_UNKNOWN, ""},
    {"[container_name] == 'we*b'", WHEN_UNKNOWN, ""},
    {"'web' in [container_name]", WHEN_SELECTED, "*web*|"},
    {"[container_name] =~ /^web-/", WHEN_SELECTED, "web-*|"},
    {"[container_name] =~ 'web$'", WHEN_SELECTED, "*web|"},
    {"[container_name] =~ /^web$/", WHEN_SELECTED, "web|"},
    {"[container_name] =~ /^a\\.b.*c/", WHEN_SELECTED, "a.b*c*|"},
    {"[container_name] =~ /a.b/", WHEN_UNKNOWN, ""},
    {"[container_name] =~ /a|b/", WHEN_UNKNOWN, ""},
    {"[container_name] =~ /a\\$/", WHEN_UNKNOWN, ""},
    {"[container_name] =~ /[ab]/", WHEN_UNKNOWN, ""},
    {"[image_name] in ['a:1', 'b:2']", WHEN_SELECTED, "|a:1,|b:2"},
    {"[image_name] == 'a' and [container_name] == 'b'", WHEN_SELECTED, "b|a"},
    {"[image_name] == 'a' or [container_name] == 'b'", WHEN_SELECTED, "|a,b|"},
    {"[image_name] == 'a' and [image_name] == 'b'", WHEN_UNKNOWN, ""},
    {"[type] == 'docker' and [container_name] == 'b'", WHEN_SELECTED, "b|"},
    {"[container_name] in ['1', '2', '3', '4', '5']", WHEN_UNKNOWN, ""},
    {"[container_name] == 'b' and [level] == 3", WHEN_UNKNOWN, ""},
};

static void test_conditions(void **state)
{
    struct logstash_tree *input = parse_ok("input{x{tags=>['a','shop']}}");
    struct when_input in = {.containers = true, .type = BYTES_LITERAL("docker")};
    (void)state;

    in.tags = logstash_tree_option(input->first->first->plugin, "tags");
    for (size_t i = 0; i < ARRAY_LEN(conditions); i++) {
        struct strbuf text = {0}, selected = {0};
        struct logstash_tree *t;
        struct when w;

        strbuf_printf(&text, "filter{if %s {}}", conditions[i].text);
        t = parse_ok(text.p);
        w = when_evaluate(t->first->first->branch->when, &in, true);
        strbuf_add_str(&selected, "");
        for (size_t k = 0; k < w.n; k++)
            strbuf_printf(&selected, "%s%s|%s", k ? "," : "", w.selectors[k].container,
                          w.selectors[k].image);
        if (w.result != conditions[i].result || strcmp(selected.p, conditions[i].selected) != 0)
            print_message("%s: %d %s\n", conditions[i].text, (int)w.result, selected.p);
        assert_int_equal(w.result, conditions[i].result);
        assert_string_equal(selected.p, conditions[i].selected);
        strbuf_fini(&text);
        strbuf_fini(&selected);
        logstash_tree_free(t);
    }
    logstash_tree_free(input);
}

/* ---- grok ---- */

/* A pattern, a text, and what it must find: NAME=TEXT, or NULL when it must not match. */
static const struct {
    const char *pattern, *text, *found;
} groks[] = {
    {"%{INT:a}", "x -12 y", "a=-12"},
    {"^%{NUMBER:a}$", "3.25", "a=3.25"},
    {"^%{NUMBER:a}$", "3.2.5", NULL},
    {"^%{WORD:a} %{GREEDYDATA:b}$", "ab c d", "b=c d"},
    {"%{DATA:a},", "x,y,", "a=x"},
    {"^%{IP:a}$", "192.0.2.17", "a=192.0.2.17"},
    {"^%{IP:a}$", "256.0.2.17", NULL},
    {"^%{IP:a}$", "2001:db8::17", "a=2001:db8::17"},
    {"^%{IP:a}$", "::ffff:192.0.2.17", "a=::ffff:192.0.2.17"},
    {"^%{IPV6:a}$", "1:2:3:4:5:6:7:8", "a=1:2:3:4:5:6:7:8"},
    {"^%{IPV6:a}$", "::", "a=::"},
    {"^%{IPV6:a}$", "fe80::1%eth0", "a=fe80::1%eth0"},
    {"%{IPV6:a}", "at 12:34:56 it was", NULL},
    {"^%{IPV6:a}$", "1:2:3:4:5:6:7:8:9", NULL},
    {"^%{IPORHOST:a}:%{POSINT:b:int}$", "es-1.example.com:9200", "b=9200"},
    {"^%{HOSTPORT}$", "192.0.2.1:80", ""},
    {"^%{TIMESTAMP_ISO8601:a} ", "2018-11-23T09:00:00.123Z x", "a=2018-11-23T09:00:00.123Z"},
    {"^%{TIMESTAMP_ISO8601:a} -", "2018-11-23 09:00:00,123 - x", "a=2018-11-23 09:00:00,123"},
    {"^%{TIMESTAMP_ISO8601:a}$", "2018-13-23T09:00:00Z", NULL},
    {"^%{HTTPDATE:a}$", "23/Nov/2018:09:00:00 +0100", "a=23/Nov/2018:09:00:00 +0100"},
    {"^%{SYSLOGTIMESTAMP:a} ", "Nov  3 09:00:00 x", "a=Nov  3 09:00:00"},
    {"^%{SYSLOGLINE}$", "Nov 23 09:00:00 srv-04 sshd[77]: refused", "pid=77"},
    {"^%{SYSLOGLINE}$", "Nov 23 09:00:00 srv-04 sshd[77]: refused", "logsource=srv-04"},
    {"^%{SYSLOGLINE}$", "Nov 23 09:00:00 srv-04 sshd: refused", "message=refused"},
    {"^\\[%{LOGLEVEL:a}\\]", "[WARNING] x", "a=WARNING"},
    {"^%{QS:a}$", "\"a \\\" b\"", "a=\"a \\\" b\""},
    {"^%{QS:a}$", "'' ", NULL},
    {"^%{UUID:a}$", "4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
     "a=4bf92f35-77b3-4da6-a3ce-929d0e0e4736"},
    {"^%{MAC:a}$", "00:1B:44:11:3a:b7", "a=00:1B:44:11:3a:b7"},
    {"^%{MAC:a}$", "00-1B-44-11-3a-b7", "a=00-1B-44-11-3a-b7"},
    {"^%{EMAILADDRESS:a}$", "ola.n+x@example.no", "a=ola.n+x@example.no"},
    {"^%{URI:a}$", "https://u:p@example.com:8443/a/b?c=d&e", "port=8443"},
    {"^%{URIPATHPARAM:a}$", "/orders/17?x=1", "a=/orders/17?x=1"},
    {"^%{UNIXPATH:a}$", "/var/log/a-b.log", "a=/var/log/a-b.log"},
    {"^%{JAVACLASS:a}:", "org.example.Shop$Inner: x", "a=org.example.Shop$Inner"},
    {"^%{COMBINEDAPACHELOG} rt=%{NUMBER:rt:float}$",
     "192.0.2.1 - ola [23/Nov/2018:09:00:00 +0000] \"GET /a?b HTTP/1.1\" 200 17 \"-\" \"curl/8\" "
     "rt=0.5",
     "request=/a?b"},
    {"^%{COMBINEDAPACHELOG} rt=%{NUMBER:rt:float}$",
     "192.0.2.1 - ola [23/Nov/2018:09:00:00 +0000] \"GET /a?b HTTP/1.1\" 304 - \"-\" \"curl/8\" "
     "rt=0.5",
     "rt=0.5"},
    {"^\\h+$", "09afAF", ""},
    {"^[\\h-]+$", "09-af", ""},
    {"^\\h$", " ", NULL},
    {"^(?m)a.b$", "a\nb", ""},
    {"^(?i:A) %{WORD:[a][b]}$", "a bc", "a__b=bc"},
    {"^(?<a.b>x)(?<!y)(?=z)z", "xz", "a__b=x"},
    {"^[[:alpha:]]+$", "abc", ""},
    {"^[]%{]+$", "]{", ""},
    {"^%{OURS:a}$", "X42", "a=X42"},
    {"^\\%\\{x$", "%{x", ""},
    {"^a{,2}b$", "aab", ""},
    {"^a{,2}b$", "b", ""},
    {"^a{,2}b$", "aaab", NULL},
    {"^a{1,2}b$", "b", NULL},
    {"^a{,x}$", "a{,x}", ""},
    {"^%{SYSLOG5424LINE}$", "<34>1 2018-11-23T09:00:00.003Z srv-04 su - ID47 [a@1 b=\"c\"] failed",
     "syslog5424_app=su"},
    {"^%{SYSLOG5424LINE}$", "<34>1 2018-11-23T09:00:00Z srv-04 su - ID47 - failed",
     "syslog5424_msg=failed"},
    {"^%{CRONLOG}$", "Nov 23 09:00:00 srv-04 CRON[77]: (root) CMD (run-parts /etc)",
     "message=run-parts /etc"},
    {"^%{JAVASTACKTRACEPART}$", "\tat com.shop.Orders.take(Orders.java:17)", "line=17"},
    {"^%{RUBY_LOGGER}$", "I, [2018-11-23T09:00:00.123456 #77]  INFO -- shop: up", "message=up"},
    {"^%{REDISLOG}", "[77] 23 Nov 09:00:00.123 * up", "pid=77"},
    {"^%{HTTPDERROR_DATE:a}$", "Fri Nov 23 09:00:00 2018", "a=Fri Nov 23 09:00:00 2018"},
    {"^%{POSTGRESQL}$", "23-11-2018 09:00:00 UTC ola db 77", "pid=77"},
    {"^%{ISO8601_HOUR:a}", "09:00", "a=09"},
    {"^%{TWICE:a}$", "new", "a=new"}, /* the last of a name counts */
};

static void test_grok(void **state)
{
    static const struct logstash_grok_definition own[] = {
        {BYTES_LITERAL("OURS"), BYTES_LITERAL("X%{OUR2}")},
        {BYTES_LITERAL("OUR2"), BYTES_LITERAL("[0-9]+")},
        {BYTES_LITERAL("TWICE"), BYTES_LITERAL("old")},
        {BYTES_LITERAL("TWICE"), BYTES_LITERAL("new")}};
    struct pattern_work *work = pattern_work_create();
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(groks); i++) {
        struct logstash_grok g = {0};
        struct error e = {""};
        struct pattern *p = NULL;
        const struct pattern_name *names;
        size_t n, equals = groks[i].found ? strcspn(groks[i].found, "=") : 0;
        enum pattern_result result;
        bool seen = equals == 0;

        print_message("%s\n", groks[i].pattern);
        assert_int_equal(
            logstash_grok_add(&g, bytes_str(groks[i].pattern), own, ARRAY_LEN(own), &e), 0);
        p = pattern_create(g.pattern.p, &e);
        assert_string_equal(e.text, "");
        assert_non_null(p);
        result = pattern_search(p, bytes_str(groks[i].text), work);
        assert_int_equal(result, groks[i].found ? PATTERN_FOUND : PATTERN_NOT_FOUND);
        names = pattern_names(p, &n);
        for (size_t k = 0; k < n && equals; k++)
            if (strncmp(names[k].name, groks[i].found, equals) == 0 && !names[k].name[equals]) {
                assert_text(pattern_group(work, names[k].group), groks[i].found + equals + 1);
                seen = true;
            }
        assert_true(seen);
        pattern_free(p);
        logstash_grok_fini(&g);
    }
    pattern_work_free(work);
}

/* What a pattern must not be, and a word of the reason. */
static void test_grok_refused(void **state)
{
    static const char *const refused[][2] = {
        {"%{NO_SUCH:a}", "%{NO_SUCH} is not known"},
        {"%{INT", "%{ has no }"},
        {"%{INT:a:date}", "date is no type"},
        {"%{INT:a__b}", "a __ in a name"},
        {"%{INT:1a}", "cannot be a field's name"},
        {"%{INT:a-b} %{INT:a.b} %{INT:a_b}", "would be one name"},
        {"[a", "[ has no ]"},
        {"[a[b]]", "a set within a set"},
        {"[a&&b]", "a set within a set"},
        {"(?<a", "(?< has no >"},
        {"[\\H]", "\\H within [ ]"},
        {"%{LOOP}", "patterns within patterns have no end"},
        {"%{GROWS}", "it becomes longer than"},
        {"%{INT:a123456789012345678901234567890123}", "at most 32"},
        {"[[:alpha", "[: has no :]"},
    };
    static const struct logstash_grok_definition own[] = {
        {BYTES_LITERAL("LOOP"), BYTES_LITERAL("%{LOOP}")},
        {BYTES_LITERAL("GROWS"), BYTES_LITERAL("%{G1}%{G1}%{G1}%{G1}%{G1}%{G1}%{G1}%{G1}")},
        {BYTES_LITERAL("G1"), BYTES_LITERAL("%{G2}%{G2}%{G2}%{G2}%{G2}%{G2}%{G2}%{G2}")},
        {BYTES_LITERAL("G2"), BYTES_LITERAL("%{G3}%{G3}%{G3}%{G3}%{G3}%{G3}%{G3}%{G3}")},
        {BYTES_LITERAL("G3"), BYTES_LITERAL("%{IPV6}%{IPV6}")}};
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct logstash_grok g = {0};
        struct error e = {""};

        assert_int_equal(logstash_grok_add(&g, bytes_str(refused[i][0]), own, ARRAY_LEN(own), &e),
                         -1);
        if (!strstr(e.text, refused[i][1]))
            print_message("%s: %s\n", refused[i][0], e.text);
        assert_non_null(strstr(e.text, refused[i][1]));
        logstash_grok_fini(&g);
    }
}

/* ---- from option to setting ---- */

/* Filters (or, with "input" or "output" at the beginning, that), a line that the YAML must have
 * ("-": and must not), how much is left out. */
static const struct {
    const char *text, *line;
    size_t left_out;
} options[] = {
    /* barge renames, converts, removes and adds in this order, whatever comes first here */
    {"mutate{convert=>{'aa'=>'integer'}} mutate{rename=>{'aa'=>'bb'}}", "    bb: long\n", 0},
    {"mutate{rename=>{'aa'=>'bb'}} mutate{convert=>{'aa'=>'integer'}}", "-  convert:", 0},
    {"mutate{rename=>{'aa'=>'bb'}} mutate{remove_field=>'bb'}", "  remove: [bb]\n", 0},
    {"mutate{remove_field=>'aa'} mutate{rename=>{'aa'=>'bb'}}", "-  rename:", 1},
    {"mutate{remove_field=>'bb'} mutate{rename=>{'aa'=>'bb'}}", "-  rename:", 1},
    {"mutate{rename=>{'aa'=>'bb'}} mutate{rename=>{'aa'=>'cc'}}", "    aa: bb\n", 1},
    {"mutate{add_field=>{'aa'=>'1'}} mutate{rename=>{'aa'=>'bb'}}", "-  rename:", 1},
    {"mutate{add_field=>{'aa'=>'1'}} mutate{convert=>{'aa'=>'integer'}}", "-  convert:", 1},
    {"mutate{add_field=>{'aa'=>'1'}} mutate{remove_field=>'aa'}", "-  add:", 0},
    {"mutate{add_field=>{'aa'=>'1'}} mutate{add_field=>{'aa'=>'2'}}", "    aa: \"1\"\n", 1},
    {"mutate{add_field=>{'aa'=>'1'}} mutate{replace=>{'aa'=>'2'}}", "    aa: \"2\"\n", 0},
    {"mutate{add_field=>{'aa'=>['b','c']}}", "    aa: [\"b\", \"c\"]\n", 0},
    {"mutate{add_field=>{'@timestamp'=>'b'}}", "-  add:", 1},
    {"mutate{add_field=>{'[a][b'=>'b'}}", "-  add:", 1},
    {"mutate{add_field=>{'aa'=>'${X-1}'}}", "-  add:", 1},
    {"mutate{rename=>{'aa'=>'container.id'}}", "-  rename:", 1},
    {"mutate{rename=>'aa'}", "-  rename:", 1},
    {"mutate{remove_field=>['message']}", "-  remove:", 1},
    {"mutate{update=>{'aa'=>'b'}}", "-fields:", 1},
    {"mutate{remove_tag=>'aa'}", "-fields:", 1},
    {"if[x]{mutate{remove_field=>'aa'}}", "-fields:", 1},
    {"if[aa]{mutate{convert=>{'aa'=>'float'}}}", "    aa: double\n", 0},
    {"if[aa][bb]{mutate{rename=>{'[aa][bb]'=>'cc'} id=>'x'}}", "    aa.bb: cc\n", 0},
    {"if[aa]{mutate{convert=>{'bb'=>'float'}}}", "-  convert:", 1},
    {"if![aa]{mutate{convert=>{'aa'=>'float'}}}", "-  convert:", 1},
    {"if[aa]and[bb]{mutate{convert=>{'aa'=>'float'}}}", "-  convert:", 1},
    {"if[aa]{mutate{remove_field=>['aa','bb']}}", "-  remove:", 1},
    {"if[aa]{mutate{add_field=>{'aa'=>'1'}}}", "-  add:", 1},
    {"json{source=>'payload'}", "-payload: ", 1},
    {"json{source=>'message' target=>'doc'}", "-doc: ", 1},
    {"if[message]=~/^{/{json{source=>'message'}}", "output:\n", 0},
    {"if[level]{json{source=>'message'}}", "output:\n", 1},
    {"grok{match=>{'path'=>'%{WORD:aa}'}}", "-parsers:", 1},
    {"grok{match=>{'message'=>'^%{WORD:aa} %{INT:nn:int}'}}", "      types: {nn: long}\n", 0},
    {"grok{match=>{'message'=>'%{WORD}'}}", "-parsers:", 1}, /* captures nothing */
    {"grok{match=>{'message'=>'(%{WORD:a'}}", "-parsers:", 1},
    {"kv{}", "      parser: logfmt\n", 0},
    {"if[container_name]=='aa'{grok{match=>{'message'=>'%{WORD:x}'}}}else{kv{}}",
     "    - container: \"*\"\n      parser: logfmt\n", 0},
    {"if[container_name]=='aa'{mutate{id=>'x'}}else{kv{}}", "-parsers:", 1},
    {"if[container_name]=='aa'{kv{}}else{mutate{add_tag=>'x'}}", "-enrich:", 1},
    {"kv{} grok{match=>{'message'=>'%{WORD:x}'}}", "-      parser: regex", 1},
    {"kv{source=>'args'}", "-parsers:", 1},
    {"grok{match=>{'message'=>'^%{WORD:aa}$'}}", "'^(?<aa>\\b\\w+\\b)(?m:$)'\n", 0},
    {"grok{match=>{'message'=>'(?i)%{WORD:aa}'} match=>{'message'=>['b$']}}",
     "'(?:(?:(?i)(?<aa>\\b\\w+\\b))|b(?m:$))'\n", 0},
    {"grok{match=>{'message'=>'%{WORD:aa} %{WORD:aa}'}}", "      parser: regex\n", 1},
    {"grok{match=>{'message'=>['a%{WORD:aa}','b%{WORD:aa}']}}", "      parser: regex\n", 0},
    {"grok{match=>{'message'=>'(a%{WORD:aa}|b%{WORD:aa})'}}", "      parser: regex\n", 0},
    {"grok{match=>{'message'=>'%{WORD:aa}'} match=>{'path'=>'%{WORD:bb}'}}", "-parsers:", 1},
    {"grok{match=>{'message'=>'%{WORD:aa}'} patterns_dir=>'/'}", "      parser: regex\n", 1},
    {"grok{match=>{'message'=>'%{NO_SUCH:aa}'} patterns_dir=>'/'}", "/ cannot be read", 1},
    {"json{source=>'a' source=>'message'}", "output:\n", 1},
    /* what is not known is named, wherever it stands */
    {"json{source=>'message' zz=>1}", "zz: barge has nothing", 1},
    {"mutate{zz=>1}", "zz: barge has nothing", 1},
    {"grok{match=>{'message'=>'%{WORD:aa}'} zz=>1}", "zz: barge has nothing", 1},
    {"kv{zz=>1}", "zz: parser: logfmt", 1},
    {"date{match=>['timestamp','UNIX'] zz=>1}", "zz: barge has nothing", 1},
    {"input gelf{zz=>1}", "zz: this option is not known", 1},
    {"input file{path=>'/a' zz=>1}", "zz: barge has nothing", 1},
    {"input file{path=>'/a' codec=>json{zz=>1}}", "codec: UTF-8 alone", 1},
    {"input file{path=>'/a' codec=>multiline{pattern=>'a' what=>previous zz=>1}}",
     "zz: barge has nothing", 1},
    {"output file{path=>'/a' zz=>1}", "zz: barge writes", 1},
    {"output elasticsearch{zz=>1}", "zz: barge has nothing", 1},
    {"input file{path=>'/a' path=>'/b'}", "    - paths: [/b]\n", 1},
    {"output elasticsearch{index=>'aa' index=>'bb'}", "    index: bb\n", 1},
    {"date{match=>['timestamp','UNIX']}", "output:\n", 0},
    {"json{source=>'message'} date{match=>['timestamp','UNIX']}", "output:\n", 1},
    {"grok{match=>{'message'=>'%{COMMONAPACHELOG}'}} mutate{rename=>{'clientip'=>'ip'}}",
     "-  rename:", 1},
    {"grok{match=>{'message'=>'%{COMMONAPACHELOG}'}} mutate{convert=>{'bytes'=>'integer'}}",
     "-  convert:", 0},
    {"grok{match=>{'message'=>'%{COMMONAPACHELOG}'} remove_field=>['verb']}",
     "    - {field: http.request.method, action: drop}\n", 0},
    {"input gelf{host=>'::1' port=>12}", "    udp: \"[::1]:12\"\n", 0},
    {"input gelf{codec=>plain{charset=>'UTF-8'}}", "    udp: 0.0.0.0:12201\n", 0},
    {"input gelf{codec=>plain{charset=>'CP1252'}}", "    udp: 0.0.0.0:12201\n", 1},
    {"input gelf{use_udp=>false use_tcp=>true}gelf{port=>1}", "    udp: 0.0.0.0:1\n", 0},
    {"input gelf{use_udp=>false use_tcp=>true}gelf{port=>1 use_tcp=>true}", "    udp: \"\"\n", 1},
    {"input gelf{port=>99999}", "-  gelf:", 1},
    {"input gelf{use_udp=>false use_tcp=>true}", "    tcp: 0.0.0.0:12201\n", 0},
    {"input file{path=>'/a/**/b.log'}", "-  files:", 1},
    {"input file{path=>'/a/{b,c}{d,e}'}", "    - paths: [/a/bd, /a/be, /a/cd, /a/ce]\n", 0},
    {"input file{path=>'/a' ignore_older=>3600 start_position=>beginning}", "      begin: 3600s\n",
     0},
    {"input file{path=>'/a' start_position=>middle}", "      begin: end\n", 1},
    {"input file{path=>'/a' codec=>multiline{pattern=>'^a' what=>previous negate=>true}}",
     "      parser: multiline\n      start: \"^a\"\n", 0},
    {"input file{path=>'/a' codec=>multiline{pattern=>'^\\s' what=>previous}}",
     "      start: '^(?!\\s)'\n", 0},
    {"input file{path=>'/a' codec=>multiline{pattern=>'a|^b' what=>previous}}",
     "      start: \"^(?!.*(?:a|^b))\"\n", 0},
    {"input file{path=>'/a' codec=>multiline{pattern=>'a' what=>next}}", "-      start:", 1},
    {"input file{path=>'/a' codec=>multiline{what=>previous}}", "-      start:", 1},
    {"input file{path=>'/a' codec=>multiline{pattern=>'(' what=>previous}}", "-      start:", 1},
    {"input file{path=>'/a' codec=>multiline{pattern=>'%{NO_SUCH}' what=>previous}}",
     "-      start:", 1},
    {"input file{path=>'/a' codec=>multiline{pattern=>'a' what=>previous multiline_tag=>'b'}}",
     "      start:", 1},
    {"input gelf{codec=>multiline{pattern=>'a' what=>previous}}", "-      start:", 1},
    {"output elasticsearch{}", "    hosts: [http://127.0.0.1:9200]\n", 0},
    {"output elasticsearch{hosts=>'a' ssl_enabled=>true}", "    hosts: [https://a:9200]\n", 0},
    {"output elasticsearch{hosts=>['a:1','http://b/c','https://d:2']}",
     "    hosts: [http://a:1, http://b:9200/c, https://d:2]\n", 0},
    {"output elasticsearch{hosts=>'http://u:p@a'}", "    hosts: [http://u:p@a:9200]\n", 0},
    {"output elasticsearch{hosts=>'[::1]' path=>'es'}", "    hosts: [\"http://[::1]:9200/es\"]\n",
     0},
    {"output elasticsearch{hosts=>'${ES}'}", "    hosts: [\"${ES}\"]\n", 1},
    {"output elasticsearch{hosts=>'http://a?b=c'}", "-    hosts:", 1},
    {"output elasticsearch{index=>'A'}", "-    index: ", 1},
    {"output elasticsearch{index=>'a-%{[service][name]}'}", "-    index: ", 1},
    {"output elasticsearch{ssl_certificate_authorities=>['/a','/b']}", "-      ca_file:", 1},
    {"output elasticsearch{timeout=>'soon'}", "-timeout: s", 1},
    {"output elasticsearch{http_compression=>true}", "    compression: gzip\n", 0},
    {"output elasticsearch{action=>'update'}", "-action: u", 1},
    {"output file{path=>'/a/%{+YYYY}.ndjson'}", "    path: \"/a/%{+YYYY}.ndjson\"\n", 0},
    {"output file{path=>'/a/%{host}'}", "-  file:", 2},
    {"output stdout{}", "-  elasticsearch:", 2},
    {"output elasticsearch{} elasticsearch{index=>'bb'}", "-    index: bb\n", 1},
    {"output if'x'in[tags]{file{path=>'/a'}}elasticsearch{index=>'aa'}", "    index: aa\n", 1},
    {"output if[level]==3{elasticsearch{index=>'aa'}}elasticsearch{index=>'bb'}", "    index: bb\n",
     1},
    {"output if[level]==3{elasticsearch{index=>'aa'}}", "    index: aa\n", 1},
};

/* Dates of a file of which grok captures at, and the lines of its parser that must stand there, up
 * to the end (NULL: none), and how much is left out. */
static const struct {
    const char *text, *lines;
    size_t left_out;
} dates[] = {
    {"date{match=>['at','ISO8601']}", "time_key: at\n      time_formats: [ISO8601]\n  gelf", 0},
    {"date{match=>['at','ISO8601','UNIX','UNIX_MS'] timezone=>'UTC'}",
     "time_formats: [ISO8601, UNIX, UNIX_MS]\n      time_zone: UTC\n", 0},
    {"date{match=>['at','ISO8601'] timezone=>'-03:00'}", "time_zone: \"-03:00\"\n", 0},
    {"date{match=>['at','ISO8601'] timezone=>'Etc/GMT'}", "time_zone: UTC\n", 0},
    {"date{match=>['at','ISO8601'] timezone=>'Europe/Oslo'}", NULL, 1},
    {"date{match=>['at','UNIX'] timezone=>'Europe/Oslo'}", "time_formats: [UNIX]\n  gelf", 0},
    {"date{match=>['at','dd/MMM/yyyy:HH:mm:ss Z'] timezone=>'Europe/Oslo'}", "time_formats: [", 0},
    {"date{match=>['at',\"yyyy-MM-dd'T'HH:mm:ss'Z'\"] timezone=>'Europe/Oslo'}", NULL, 1},
    {"date{match=>['at',\"yyyy-MM-dd'T'HH:mm:ss'Z'\"] timezone=>'UTC'}", "time_zone: UTC\n", 0},
    {"date{match=>['at','MMM dd HH:mm:ss']}", NULL, 1},
    {"date{match=>['at','MMM dd HH:mm:ss','ISO8601']}", "time_formats: [ISO8601]\n", 1},
    {"date{match=>['at','yyyy-MM-dd'] locale=>'nb'}", "time_formats: [yyyy-MM-dd]\n", 1},
    {"date{match=>['at','ISO8601'] target=>'then'}", NULL, 1},
    {"date{match=>['at','ISO8601'] tag_on_failure=>['x']}", "time_formats: [ISO8601]\n", 1},
    {"date{match=>['other','ISO8601']}", NULL, 1},
    {"date{match=>['at']}", NULL, 1},
    {"date{match=>{'at'=>'ISO8601'}}", NULL, 1},
    {"date{}", NULL, 1},
    {"date{match=>['at','UNIX']} date{match=>['at','ISO8601']}", "time_formats: [UNIX]\n", 1},
    {"if[at]{date{match=>['at','UNIX']}}", "time_formats: [UNIX]\n", 0},
    {"if'_grokparsefailure' not in[tags]{date{match=>['at','UNIX']}}", "time_formats: [UNIX]\n", 0},
    {"if!('_grokparsefailure' in[tags]){date{match=>['at','UNIX']}}", "time_formats: [UNIX]\n", 0},
    {"if'_grokparsefailure' in[tags]{date{match=>['at','UNIX']}}", NULL, 1},
    {"if[level]==3{date{match=>['at','UNIX']}}", NULL, 1},
    {"if[level]{}else{date{match=>['at','UNIX']}}", NULL, 1},
};

static void test_dates(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(dates); i++) {
        struct strbuf all = {0};
        struct logstash_report r;
        struct logstash_source *s;
        struct logstash_tree *t;
        struct error e;
        size_t at;
        bool there;

        strbuf_printf(&all,
                      "input{file{path=>'/a'}}filter{grok{match=>{'message'=>'%%{NOTSPACE:at}'}}%s}"
                      "output{elasticsearch{hosts=>'a' index=>'i1'}}",
                      dates[i].text);
        s = logstash_source_text("a", strbuf_bytes(&all), &e);
        t = logstash_tree_parse(logstash_source_bytes(s), &at, &e);
        assert_non_null(t);
        logstash_import(s, t, &r);
        there = strstr(r.yaml.p, dates[i].lines ? dates[i].lines : "      time_") != NULL;
        if (r.left_out != dates[i].left_out || there != (dates[i].lines != NULL))
            print_message("%s\n%s\n", dates[i].text, r.yaml.p);
        assert_int_equal(r.left_out, dates[i].left_out);
        assert_true(there == (dates[i].lines != NULL));
        logstash_report_fini(&r);
        logstash_tree_free(t);
        logstash_source_free(s);
        strbuf_fini(&all);
    }
}

static void test_options(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        const char *text = options[i].text, *line = options[i].line;
        bool input = strncmp(text, "input ", 6) == 0, output = strncmp(text, "output ", 7) == 0;
        struct strbuf all = {0};
        struct logstash_report r;
        struct logstash_source *s;
        struct logstash_tree *t;
        struct error e;
        size_t at;

        strbuf_printf(&all, "input{%s}filter{%s}output{%s}", input ? text + 6 : "gelf{}",
                      input || output ? "" : text,
                      output ? text + 7 : "elasticsearch{hosts=>'a' index=>'i1'}");
        s = logstash_source_text("a", strbuf_bytes(&all), &e);
        assert_non_null(s);
        t = logstash_tree_parse(logstash_source_bytes(s), &at, &e);
        if (!t)
            print_message("%s: %s\n", all.p, e.text);
        assert_non_null(t);
        logstash_import(s, t, &r);
        if (r.left_out != options[i].left_out ||
            (strstr(r.yaml.p, line + (*line == '-')) != NULL) == (*line == '-'))
            print_message("%s\n%s%s\n", text, r.yaml.p, r.messages.n ? r.messages.p : "");
        assert_int_equal(r.left_out, options[i].left_out);
        assert_true((strstr(r.yaml.p, line + (*line == '-')) != NULL) == (*line != '-'));
        logstash_report_fini(&r);
        logstash_tree_free(t);
        logstash_source_free(s);
        strbuf_fini(&all);
    }
}

/* More than a configuration can hold: what is too much is named, and the rest is one that barge
 * takes. */
static void test_too_much(void **state)
{
    struct strbuf text = {0};
    struct logstash_report r;
    struct logstash_source *s;
    struct logstash_tree *t;
    struct config_problems problems;
    struct config *c;
    struct error e;
    size_t at, lines = 0;
    (void)state;

    strbuf_add_str(&text, "input{gelf{}}filter{");
    for (int i = 0; i < 1100; i++)
        strbuf_printf(&text, "mutate{remove_field=>['f%d'] add_field=>{'a%d'=>'b'}}", i, i);
    for (int i = 0; i < 5000; i++)
        strbuf_printf(&text, "ruby{code=>'%0100d'}", i);
    strbuf_add_str(&text, "}output{elasticsearch{}}");
    s = logstash_source_text("a", strbuf_bytes(&text), &e);
    t = logstash_tree_parse(logstash_source_bytes(s), &at, &e);
    logstash_import(s, t, &r);
    assert_int_equal(r.left_out, 2 * 1100 - 999 + 5000); /* gelf was the first of a thousand */
    for (size_t i = 0; i < r.messages.n; i++)
        lines += r.messages.p[i] == '\n';
    assert_int_equal(lines, r.left_out);
    assert_non_null(strstr(r.yaml.p, "# LEFT OUT, and more that was named on standard error\n"));
    assert_non_null(strstr(r.yaml.p, "index: \"logstash-%{+YYYY.MM.dd}\"\n"));
    c = config_parse(strbuf_bytes(&r.yaml), &problems);
    assert_non_null(c);
    assert_string_equal(c->enrich.remove[498], "f498"); /* what is added comes first */
    assert_null(c->enrich.remove[499]);
    config_free(c);
    config_problems_fini(&problems);
    logstash_report_fini(&r);
    logstash_tree_free(t);
    logstash_source_free(s);
    strbuf_fini(&text);
}

/* What a comment repeats shows no secret, wherever it stands. */
static void test_secrets(void **state)
{
    static const char text[] =
        "input{x{password=>'s3cr3t' a=>{'api_key'=>\"s3cr3t\"} b=>[['http://u:s3cr3t@h/']]}}"
        "filter{http{url=>'https://u:s3cr3t@h' headers=>{'A'=>'s3cr3t'} body=>'seen'}}"
        "output{if[a]{y{hosts=>'u:s3cr3t@h' ssl_keystore_password=>s3cr3t}}}";
    struct logstash_report r;
    struct logstash_source *s;
    struct logstash_tree *t;
    struct error e;
    size_t at;
    (void)state;

    s = logstash_source_text("a", bytes_str(text), &e);
    t = logstash_tree_parse(logstash_source_bytes(s), &at, &e);
    assert_non_null(t);
    logstash_import(s, t, &r);
    assert_null(strstr(r.yaml.p, "s3cr3t"));
    assert_null(strstr(r.messages.p, "s3cr3t"));
    assert_non_null(strstr(r.yaml.p, "url=>'https://***@h' headers=>*** body=>'seen'"));
    logstash_report_fini(&r);
    logstash_tree_free(t);
    logstash_source_free(s);
}

/* Over several files, and far into a long one: as counted from its beginning. */
static void test_far_places(void **state)
{
    struct strbuf text = {0};
    struct error e;
    struct logstash_source *s;
    unsigned line = 1, column = 1;
    (void)state;

    for (int i = 0; i < 3000; i++)
        strbuf_add_str(&text, i % 7 ? "\u00e5b" : "c\n");
    s = logstash_source_text("a", strbuf_bytes(&text), &e);
    for (size_t i = 0; i <= text.n; i++) {
        struct logstash_place p = logstash_source_place(s, i);

        assert_int_equal(p.line, line);
        assert_int_equal(p.column, column);
        if (i < text.n && text.p[i] == '\n') {
            line++;
            column = 1;
        } else if (i < text.n) {
            column += ((unsigned char)text.p[i] & 0xc0) != 0x80;
        }
    }
    logstash_source_free(s);
    strbuf_fini(&text);
}

static void test_places(void **state)
{
    struct error e;
    struct logstash_source *s = logstash_source_text("a", BYTES_LITERAL("x\næø y\n"), &e);
    struct logstash_place p;
    (void)state;

    p = logstash_source_place(s, 7);
    assert_int_equal(p.line, 2);
    assert_int_equal(p.column, 4);
    p = logstash_source_place(s, 1000);
    assert_int_equal(p.line, 3);
    assert_int_equal(p.column, 1);
    logstash_source_free(s);
    assert_null(logstash_source_text("a", BYTES_LITERAL("x\n \xff"), &e));
    assert_string_equal(e.text, "a:2:2: this is no UTF-8 text");
    assert_null(logstash_source_text("a", BYTES_LITERAL("x\0y"), &e));
    assert_string_equal(e.text, "a:1:2: this is no UTF-8 text");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),        cmocka_unit_test(test_sections_and_branches),
        cmocka_unit_test(test_what_is_wrong), cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_depth),         cmocka_unit_test(test_long_conditions),
        cmocka_unit_test(test_conditions),    cmocka_unit_test(test_grok),
        cmocka_unit_test(test_grok_refused),  cmocka_unit_test(test_options),
        cmocka_unit_test(test_secrets),       cmocka_unit_test(test_places),
        cmocka_unit_test(test_too_much),      cmocka_unit_test(test_far_places),
        cmocka_unit_test(test_dates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
