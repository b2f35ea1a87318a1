#include "parsers/json.h"

#include "agent/base/utf8.h"
#include "parsers/json_kernel.h"
#include "tests/fuzz/json_judge.h"

#include <limits.h>
#include <setjmp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static const struct json_kernel *const kernels[] = {
    &json_kernel_swar,
#ifdef __x86_64__
    &json_kernel_sse2,
    &json_kernel_avx2,
#endif
};

#define EACH_KERNEL(k)                                                                             \
    for (size_t k##_i = 0; k##_i < ARRAY_LEN(kernels); k##_i++)                                    \
        for (const struct json_kernel *k = kernels[k##_i]; k != NULL && k->usable(); k = NULL)

/* ---- memory that ends where the text ends ---- */

#define GUARDED (1 << 20)

/* The text, copied so that the byte behind it cannot be read. Valid until the next call. */
static struct bytes guarded(const void *p, size_t n)
{
    static char *area;

    if (area == NULL) {
        area =
            mmap(NULL, GUARDED + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_true(area != MAP_FAILED);
        assert_int_equal(mprotect(area + GUARDED, 4096, PROT_NONE), 0);
    }
    assert_true(n <= GUARDED);
    if (n != 0)
        memcpy(area + GUARDED - n, p, n);
    return bytes_of(area + GUARDED - n, n);
}

static struct bytes guarded_str(const char *s)
{
    return guarded(s, strlen(s));
}

/* Repeatable randomness. */
static uint64_t seed = 1;

static unsigned rnd(unsigned below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed >> 33) % below;
}

/* ---- scanning ---- */

static struct json_member members[JSON_MAX_MEMBERS];
static size_t n_members;
static bool duplicate;

static enum json_result scan_with(const struct json_kernel *k, struct bytes text)
{
    return k->scan(text, members, ARRAY_LEN(members), &n_members, &duplicate);
}

static void assert_bytes(struct bytes b, const char *expected)
{
    if (!bytes_is(b, expected))
        fail_msg("got %.*s instead of %s", (int)b.n, b.p, expected);
}

static void test_members(void **state)
{
    static const char text[] =
        "{\"level\":\"info\",\"n\":-12.5e3,\"esc\\n\":\"a\\\"b\",\"o.p\":{\"x\":"
        "[1,{\"y\":null}]},\"a\":[],\"t\":true,\"f\":false,\"z\":null,\"\":\"\"}";
    static const struct {
        const char *key, *value;
        uint8_t type, flags;
    } expected[] = {{"level", "\"info\"", JSON_STRING, 0},
                    {"n", "-12.5e3", JSON_NUMBER, 0},
                    {"esc\\n", "\"a\\\"b\"", JSON_STRING, JSON_KEY_ESCAPED | JSON_VALUE_ESCAPED},
                    {"o.p", "{\"x\":[1,{\"y\":null}]}", JSON_OBJECT, JSON_KEY_DOTTED},
                    {"a", "[]", JSON_ARRAY, 0},
                    {"t", "true", JSON_TRUE, 0},
                    {"f", "false", JSON_FALSE, 0},
                    {"z", "null", JSON_NULL, 0},
                    {"", "\"\"", JSON_STRING, 0}};

    (void)state;
    EACH_KERNEL(k)
    {
        assert_int_equal(scan_with(k, guarded_str(text)), JSON_OK);
        assert_int_equal(n_members, ARRAY_LEN(expected));
        assert_false(duplicate);
        for (size_t i = 0; i < n_members; i++) {
            assert_bytes(members[i].key, expected[i].key);
            assert_bytes(members[i].value, expected[i].value);
            assert_int_equal(members[i].type, expected[i].type);
            assert_int_equal(members[i].flags, expected[i].flags);
            assert_int_equal(members[i].key_hash, json_key_hash(members[i].key));
        }
    }
}

static void test_blanks(void **state)
{
    (void)state;
    EACH_KERNEL(k)
    {
        assert_int_equal(
            scan_with(k, guarded_str(" \t\r\n{ \"a\" : 1 ,\n\"b\"\t:\r[ 1 , 2 ] } \n\t ")),
            JSON_OK);
        assert_int_equal(n_members, 2);
        assert_bytes(members[0].key, "a");
        assert_bytes(members[0].value, "1");
        assert_bytes(members[1].value, "[ 1 , 2 ]");
        assert_int_equal(members[1].flags, 0);
        assert_int_equal(scan_with(k, guarded_str("{ }")), JSON_OK);
        assert_int_equal(n_members, 0);
        assert_int_equal(scan_with(k, guarded_str("{\"a\":{ },\"b\":[ ]}")), JSON_OK);
        assert_int_equal(n_members, 2);
    }
}

/* The kinds of JSONTestSuite's files, as values of a member. */
static const char *const valid_values[] = {
    "[]",
    "[1]",
    "[[]]",
    "[\"\"]",
    "[ 1]",
    "[1,null,true]",
    "[\"a\",\"b\" ]",
    "{}",
    "{\"a\":{}}",
    "{\"a\":[]}",
    "{\"a\":\"b\",\"c\":\"d\"}",
    "{\"min\":-1.0e+28,\"max\":1.0e+28}",
    "0",
    "-0",
    "-0.0",
    "123",
    "-123",
    "0.5",
    "123.456",
    "1E22",
    "1e+2",
    "1E-2",
    "123e65",
    "0e1",
    "0e+1",
    "1e-2",
    "123.456e78",
    "20e1",
    "-1",
    "-0.000000000000000000000000000000000000000000000000001",
    "9223372036854775807",
    "12345678901234567890123",
    "1.2345678901234567890123456789012345678",
    "\"\"",
    "\"a\"",
    "\" \"",
    "\"\\u0060\\u012a\\u12AB\"",
    "\"\\uD801\\udc37\"",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
    "\"\\\\u0000\"",
    "\"\\\"\"",
    "\"a/*b*/c/*d//e\"",
    "\"\\\\a\"",
    "\"\\u0000\"",
    "\"\\uFFFF\"",
    "\"new\\u00A0line\"",
    "\"\xe2\x82\xa3\"",
    "\"\xf4\x8f\xbf\xbf\"",
    "\"\xc3\xa9\"",
    "\"\x7f\"",
    "\"\xef\xbb\xbf\"",
    "\"a string that is longer than any vector that could be loaded at once, and more\"",
    "\"a string that is longer than any vector that could be loaded at once, \\\"and\\\" more\"",
    "true",
    "false",
    "null",
    "[true,false,null]",
    "\"\\uDFAA\"",
    "\"\\uD800\\n\"",
    "\"\\uD800\\uD800\\n\"",
};

static const char *const invalid_values[] = {
    "",
    "[1 true]",
    "[\"\": 1]",
    "[\"\"],",
    "[,1]",
    "[1,,2]",
    "[\"x\",,]",
    "[\"x\"]]",
    "[\"\",]",
    "[\"x\"",
    "[x",
    "[3[4]]",
    "[1:2]",
    "[,]",
    "[-]",
    "[   , \"\"]",
    "[1,",
    "[\"",
    "[*]",
    "[\"a\",\n4",
    "[1}",
    "[",
    "]",
    "}",
    "[fals]",
    "[nul]",
    "[tru]",
    "True",
    "TRUE",
    "nulL",
    "truee",
    "nullx",
    "falsey",
    "tru",
    "++1234",
    "+1",
    "-01",
    "-1.0.",
    "-2.",
    "-NaN",
    ".-1",
    ".2e-3",
    "0.1.2",
    "0.3e+",
    "0.3e",
    "0.e1",
    "0E",
    "0e+",
    "1.0e+",
    "1.0e-",
    "1.0e",
    "1 000.0",
    "1eE2",
    "2.e+3",
    "2.e-3",
    "2.e3",
    "9.e+",
    "Inf",
    "NaN",
    "\xef\xbc\x91",
    "1+2",
    "0x1",
    "0x42",
    "Infinity",
    "0e+-1",
    "-123.123foo",
    "1e1\xe5",
    "-Infinity",
    "-foo",
    "- 1",
    "-012",
    "-.123",
    "1ea",
    "1\xe5",
    "1.",
    ".123",
    "1.2a-3",
    "1.8011670033376514H-308",
    "012",
    "00",
    "-00",
    "012345678901234567890",
    "{\"a\":\"a\" 123}",
    "{key: 'value'}",
    "{\"x\", null}",
    "{\"x\"::\"b\"}",
    "{\"a\":\"a\",,\"b\"}",
    "{\"a\" b}",
    "{:\"b\"}",
    "{\"a\" \"b\"}",
    "{\"a\":",
    "{\"a\"",
    "{1:1}",
    "{9999E9999:1}",
    "{null:null}",
    "{\"id\":0,,,,,}",
    "{'a':0}",
    "{\"id\":0,}",
    "{\"a\":\"b\"}/**/",
    "{\"a\":\"b\"}//",
    "{,\"a\":1}",
    "{\"a\":1,\"b\"}",
    "{\"a\":1 \"b\":2}",
    "{a:\"b\"}",
    "{\"a\":\"a",
    "{ \"foo\" : \"bar\", \"a\" }",
    "{\"a\":\"b\"}#",
    "{]",
    "[}",
    "{\"a\":1]",
    "[1}",
    " ",
    "\"\\uD800\\\"",
    "\"\\uD800\\u\"",
    "\"\\uD800\\u1\"",
    "\"\\uD800\\u1x\"",
    "\xc3\xa9",
    "\"\\x00\"",
    "\"\\\\\\\"",
    "\"\\\t\"",
    "\"\\\xf0\x9f\x8c\x80\"",
    "\"\\\"",
    "\"\\u00A\"",
    "\"\\uD834\\uDd\"",
    "\"\\a\"",
    "\"\\uqqqq\"",
    "\"\\u00g0\"",
    "\"\\u-123\"",
    "\"\\u 123\"",
    "\"\\U0041\"",
    "\"",
    "'single quote'",
    "abc",
    "\"\\",
    "\"x\"x",
    "1]",
    "<null>",
    "aa\xcc",
    "[\xe2\x81\xa0]",
    "\x0c[]",
    "[\x0b]",
    "/* c */1",
    "1 // c",
    "\xef\xbb\xbf{}",
    "1;",
    "[1\x00]",
    "\"\\u0\"",
    "\"\\u\"",
    "\"\\",
    "\"\\\"",
    "1e",
    "1e5.5",
    "--1",
};

static void test_valid_and_invalid_values(void **state)
{
    char text[400];

    (void)state;
    EACH_KERNEL(k)
    {
        /* Behind the value more or less, so that it lies in the middle or at the end of what is
         * loaded at once. */
        static const char *const tails[] = {
            "}", ",\"the next member\":\"and its value, that is long\"}"};

        for (size_t tail = 0; tail < ARRAY_LEN(tails); tail++) {
            for (size_t i = 0; i < ARRAY_LEN(valid_values); i++) {
                snprintf(text, sizeof(text), "{\"k\":%s%s", valid_values[i], tails[tail]);
                if (scan_with(k, guarded_str(text)) != JSON_OK)
                    fail_msg("%s refused by %s", text, k->name);
                assert_int_equal(n_members, 1 + tail);
                assert_bytes(members[0].value, valid_values[i]);
            }
            for (size_t i = 0; i < ARRAY_LEN(invalid_values); i++) {
                snprintf(text, sizeof(text), "{\"k\":%s%s", invalid_values[i], tails[tail]);
                if (scan_with(k, guarded_str(text)) != JSON_INVALID)
                    fail_msg("%s not refused by %s", text, k->name);
                snprintf(text, sizeof(text), "{\"k\":[%s]%s", invalid_values[i], tails[tail]);
                if (invalid_values[i][strspn(invalid_values[i], " ")] != '\0' &&
                    scan_with(k, guarded_str(text)) != JSON_INVALID)
                    fail_msg("%s not refused by %s", text, k->name);
            }
        }
    }
}

static void test_objects_that_are_none(void **state)
{
    static const struct {
        const char *text;
        enum json_result result;
    } cases[] = {{"", JSON_NOT_OBJECT},
                 {"  ", JSON_NOT_OBJECT},
                 {"[]", JSON_NOT_OBJECT},
                 {"\"{}\"", JSON_NOT_OBJECT},
                 {"null", JSON_NOT_OBJECT},
                 {"x{}", JSON_NOT_OBJECT},
                 {"\xef\xbb\xbf{}", JSON_NOT_OBJECT},
                 {"\f{}", JSON_NOT_OBJECT},
                 {"{", JSON_INVALID},
                 {"{}{}", JSON_INVALID},
                 {"{}x", JSON_INVALID},
                 {"{} }", JSON_INVALID},
                 {"{\"a\":1}}", JSON_INVALID},
                 {"{\"a\":1},{\"b\":2}", JSON_INVALID},
                 {"{\"a\":1}\f", JSON_INVALID},
                 {"{\"a\":1,}", JSON_INVALID},
                 {"{\"a\"}", JSON_INVALID},
                 {"{\"a\":}", JSON_INVALID},
                 {"{a:1}", JSON_INVALID},
                 {"{\"a\":1 \"b\":2}", JSON_INVALID},
                 {"{\"a}", JSON_INVALID},
                 {"{\"a\\", JSON_INVALID},
                 {"{\"\\x\":1}", JSON_INVALID},
                 {"{,}", JSON_INVALID},
                 {"{\"a\":\"}", JSON_INVALID},
                 {"{\"a\":{}", JSON_INVALID},
                 {"{}", JSON_OK},
                 {" {}\r\n", JSON_OK}};

    (void)state;
    EACH_KERNEL(k)
    {
        for (size_t i = 0; i < ARRAY_LEN(cases); i++)
            if (scan_with(k, guarded_str(cases[i].text)) != cases[i].result)
                fail_msg("%s: %s", k->name, cases[i].text);
        assert_int_equal(scan_with(k, guarded("{\"a\":1}\0", 8)), JSON_INVALID);
        assert_int_equal(scan_with(k, guarded("\0{\"a\":1}", 8)), JSON_NOT_OBJECT);
        assert_int_equal(scan_with(k, guarded("{\"a\":1\0}", 8)), JSON_INVALID);
    }
}

/* What yajl says, and that no kernel differs from another. */
static void compare_with_judge(const char *p, size_t n)
{
    struct judgement j = judge(bytes_of(p, n));
    struct bytes text = guarded(p, n);

    EACH_KERNEL(k)
    {
        enum json_result r = scan_with(k, text);
        enum json_result expected = j.valid ? JSON_OK : j.object ? JSON_INVALID : JSON_NOT_OBJECT;

        if (r != expected)
            fail_msg("%s says %d instead of %d of %.*s", k->name, (int)r, (int)expected, (int)n, p);
        if (r != JSON_OK)
            continue;
        assert_int_equal(n_members, j.n);
        for (size_t i = 0; i < n_members; i++) {
            assert_int_equal(members[i].type, j.m[i].type);
            assert_int_equal(members[i].key_hash, json_key_hash(members[i].key));
        }
    }
    judgement_free(&j);
}

static const char *const documents[] = {
    "{\"a\":1}",
    "{\"ab\":\"x\\n\\u00e9\",\"c\":[true,null,-1.5e3]}",
    "{\"key\":{\"in\":[{\"x\":\"y\"},false]},\"s\":\"\xc3\xa9\"}",
    "{\"level\":\"info\",\"msg\":\"reserving stock for \\\"basket\\\"\",\"n\":0.25}",
};

static void test_truncated_at_each_byte(void **state)
{
    (void)state;
    for (size_t d = 0; d < ARRAY_LEN(documents); d++)
        for (size_t n = 0; n < strlen(documents[d]); n++)
            EACH_KERNEL(k)
    assert_true(scan_with(k, guarded(documents[d], n)) != JSON_OK);
}

static void test_each_byte_at_each_place(void **state)
{
    char text[128];

    (void)state;
    for (size_t d = 0; d < ARRAY_LEN(documents); d++) {
        size_t n = strlen(documents[d]);

        for (size_t i = 0; i < n; i++)
            for (int c = 0; c < 256; c++) {
                memcpy(text, documents[d], n);
                text[i] = (char)c;
                compare_with_judge(text, n);
            }
    }
}

/* Nearly JSON: tokens in random order. */
static void test_random_tokens(void **state)
{
    static const char *const tokens[] = {
        "{",      "}",       "[",       "]",    ":",    ",", "\"a\"", "\"b\\\"\"",
        "1",      "-0.5",    "1e9",     "true", "null", " ", "\n",    "\"\\\\\"",
        "\"k\":", "{\"x\":", ",\"y\":", "\"",   "\\",   "0", "\xc3"};
    char text[256];

    (void)state;
    for (int round = 0; round < 30000; round++) {
        size_t n = 0;
        unsigned count = 1 + rnd(14);

        text[n++] = '{';
        for (unsigned i = 0; i < count; i++) {
            const char *t = tokens[rnd(ARRAY_LEN(tokens))];

            memcpy(text + n, t, strlen(t));
            n += strlen(t);
        }
        text[n++] = '}';
        compare_with_judge(text, n);
    }
}

static void test_depth(void **state)
{
    char *text = base_alloc(400000);

    (void)state;
    EACH_KERNEL(k)
    {
        for (int depth = JSON_MAX_DEPTH - 1; depth <= JSON_MAX_DEPTH + 1; depth++) {
            for (int objects = 0; objects <= 1; objects++) {
                size_t n = 0;

                /* The outermost object counts. */
                for (int i = 0; i < depth; i++)
                    n += (size_t)sprintf(text + n, i == 0 || objects ? "{\"a\":" : "[");
                n += (size_t)sprintf(text + n, "1");
                for (int i = depth - 1; i >= 0; i--)
                    n += (size_t)sprintf(text + n, i == 0 || objects ? "}" : "]");
                assert_int_equal(scan_with(k, guarded(text, n)),
                                 depth <= JSON_MAX_DEPTH ? JSON_OK : JSON_TOO_DEEP);
            }
        }
        memcpy(text, "{\"a\":", 5);
        memset(text + 5, '[', 60000);
        text[60005] = '}';
        assert_int_equal(scan_with(k, guarded(text, 60006)), JSON_TOO_DEEP);
        for (int i = 0; i < 20000; i++)
            memcpy(text + 5 * i, "{\"a\":", 5);
        text[100000] = '}';
        assert_int_equal(scan_with(k, guarded(text, 100001)), JSON_TOO_DEEP);
    }
    free(text);
}

static void test_many_members(void **state)
{
    char *text = base_alloc(40000);

    (void)state;
    EACH_KERNEL(k)
    {
        for (int count = JSON_MAX_MEMBERS; count <= JSON_MAX_MEMBERS + 1; count++) {
            size_t n = 0;

            for (int i = 0; i < count; i++)
                n += (size_t)sprintf(text + n, "%c\"k%d\":%d", i == 0 ? '{' : ',', i, i);
            text[n++] = '}';
            assert_int_equal(scan_with(k, guarded(text, n)),
                             count <= JSON_MAX_MEMBERS ? JSON_OK : JSON_TOO_MANY);
            if (count <= JSON_MAX_MEMBERS) {
                assert_int_equal(n_members, count);
                assert_false(duplicate);
            }
        }
        assert_int_equal(
            k->scan(guarded_str("{\"a\":1,\"b\":2}"), members, 1, &n_members, &duplicate),
            JSON_TOO_MANY);
    }
    free(text);
}

static void test_duplicate_keys(void **state)
{
    static const struct {
        const char *text;
        bool duplicate;
    } cases[] = {
        {"{\"a\":1,\"a\":2}", true},
        {"{\"a\":1,\"b\":2}", false},
        {"{\"a\":1,\"A\":2}", false},
        {"{\"request_id\":1,\"requestId\":2}", false},
        {"{\"request_id\":1,\"requestId\":2,\"request_id\":3}", true},
        {"{\"\\u0061\":1,\"a\":2}", true},
        {"{\"a\":2,\"\\u0061\":1}", true},
        {"{\"\\u0061b\":1,\"a\\u0062\":2}", true},
        {"{\"\\u0061\":1,\"b\":2,\"c\":3}", false},
        {"{\"a\\/b\":1,\"a/b\":2}", true},
        {"{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}", true},
        {"{\"\":1,\"\":2}", true},
        {"{\"\":1,\"_\":2}", false},
        {"{\"\xff\":1,\"\xfe\":2}", true}, /* once repaired */
        {"{\"\\ud800\":1,\"\xef\xbf\xbd\":2}", true},
        {"{\"a\":{\"x\":1},\"x\":2}", false},
        {"{\"a key that is longer than any vector\":1,\"a key that is longer than any vector\":2}",
         true},
        {"{\"a key that is longer than any vector\":1,\"a key that is longer than any vectos\":2}",
         false},
    };

    (void)state;
    EACH_KERNEL(k)
    {
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            assert_int_equal(scan_with(k, guarded_str(cases[i].text)), JSON_OK);
            if (duplicate != cases[i].duplicate)
                fail_msg("%s: %s", k->name, cases[i].text);
        }
    }
}

/* Many keys, alike in their hash: all folded to the same, told apart only by where their
 * underscores are. */
static void test_duplicates_among_many(void **state)
{
    char *text = base_alloc(60000);

    (void)state;
    EACH_KERNEL(k)
    {
        for (int twice = -1; twice < 999; twice += 250) {
            size_t n = 0;

            for (int i = 0; i < 1000; i++) {
                n += (size_t)sprintf(text + n, "%c\"", i == 0 ? '{' : ',');
                for (int bit = 0; bit < 10; bit++)
                    n += (size_t)sprintf(text + n,
                                         (i == 999 ? MAX(twice, 0) : i) >> bit & 1 ? "a_" : "_a");
                n += (size_t)sprintf(text + n, "%s\":1", i == 999 && twice < 0 ? "_" : "");
            }
            text[n++] = '}';
            assert_int_equal(scan_with(k, guarded(text, n)), JSON_OK);
            assert_int_equal(members[0].key_hash, members[999].key_hash);
            assert_int_equal(duplicate, twice >= 0);
        }
    }
    free(text);
}

static void test_what_needs_rewriting(void **state)
{
    static const struct {
        const char *value;
        bool needs;
    } cases[] = {
        {"\"plain\"", false},
        {"\"\\t\"", false},
        {"\"\t\"", true},
        {"\"\x1f\"", true},
        {"\"\x7f\"", false},
        {"\"\xff\"", true},
        {"\"\xc0\x80\"", true},
        {"\"\xed\xa0\x80\"", true},
        {"\"\xf5\x80\x80\x80\"", true},
        {"\"\xf4\x90\x80\x80\"", true},
        {"\"\xe2\x82\"", true},
        {"\"\xe2\x82\xac\"", false},
        {"\"\\ud83d\\ude00\"", false},
        {"\"\\ud83d\"", true},
        {"\"\\ude00\\ud83d\"", true},
        {"\"\\ud83dx\"", true},
        {"\"\\ud83d\\ud83d\\ude00\"", true},
        {"9223372036854775807", false},
        {"-9223372036854775808", false},
        {"9223372036854775808", true},
        {"-9223372036854775809", true},
        {"1.7976931348623157e308", false},
        {"1e309", true},
        {"-1e400", true},
        {"1e-400", false},
        {"[1e400]", true},
        {"[18446744073709551616]", true},
        {"{\"a\":1,\"a\":2}", true},
        {"{\"a\":1,\"b\":2}", false},
        {"{\"a_b\":1,\"ab\":2,\"a-b\":3}", false},
        {"{\"a\":1,\"\\u0061\":2}", true},
        {"{\"\\u0061\":1,\"b\":2}", false},
        {"[{\"a\":1},{\"a\":2}]", false},
        {"{\"a\":{\"b\":1},\"b\":2}", false},
        {"{\"x\":{\"b\":1},\"a\":1,\"x\":2}", true},
        {"{\"\":1}", true},
        {"{\" \":1}", true},
        {"{\" a\":1}", false},
        {"{\".\":1}", true},
        {"{\".a\":1}", true},
        {"{\"a.\":1}", true},
        {"{\"a..b\":1}", true},
        {"{\"a. .b\":1}", true},
        {"{\"a\\u002e\":1}", true},
        {"{\"a.b\":1}", false},
        {"{\"a\tb\":1}", true},
        {"[1, 2]", false},
        {"[1,\n2]", true},
        {"{\r}", true},
        {"[{\"a\":\"\x01\"}]", true},
    };
    char text[300];

    (void)state;
    EACH_KERNEL(k)
    {
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            /* The member behind shows that the flag is the first one's alone. */
            snprintf(text, sizeof(text), "{\"k\":%s,\"other\":[{\"fine\":true}]}", cases[i].value);
            assert_int_equal(scan_with(k, guarded_str(text)), JSON_OK);
            if (!!(members[0].flags & JSON_NEEDS_REWRITE) != cases[i].needs)
                fail_msg("%s: %s", k->name, text);
            assert_int_equal(members[1].flags, 0);
        }
        assert_int_equal(scan_with(k, guarded_str("{\"k\ne\":1,\"k\xff\":1}")), JSON_OK);
        assert_int_equal(members[0].flags, JSON_NEEDS_REWRITE);
        assert_int_equal(members[1].flags, JSON_NEEDS_REWRITE);
    }
}

/* ---- key hash ---- */

static void test_key_hash_folds(void **state)
{
    static const char *const same[] = {"requestId",        "request_id", "REQUEST-ID",
                                       "Request.Id",       "_requestid", "requestid__",
                                       "r_e_q_u_e_s_t_i_d"};
    static const char *const long_same[] = {"com.docker.compose.service",
                                            "comDockerComposeService"};

    (void)state;
    for (size_t i = 1; i < ARRAY_LEN(same); i++)
        assert_int_equal(json_key_hash(bytes_str(same[i])), json_key_hash(bytes_str(same[0])));
    assert_int_equal(json_key_hash(bytes_str(long_same[0])),
                     json_key_hash(bytes_str(long_same[1])));
    assert_int_not_equal(json_key_hash(bytes_str("user")), json_key_hash(bytes_str("sure")));
    assert_int_not_equal(json_key_hash(bytes_str("msg")), json_key_hash(bytes_str("msh")));
    assert_int_not_equal(json_key_hash(bytes_str("0123456789abcdef0")),
                         json_key_hash(bytes_str("0123456789abcdef1")));
}

static void test_key_hash_of_every_length(void **state)
{
    static const char letters[] = "abcXYZ019_-.@ ~";
    char text[200];

    (void)state;
    for (int round = 0; round < 20000; round++) {
        size_t length = rnd(70), n = 2;

        memcpy(text, "{\"", 2);
        while (n < 2 + length)
            text[n++] = letters[rnd(sizeof(letters) - 1)];
        n += (size_t)sprintf(text + n, "\":1}");
        EACH_KERNEL(k)
        {
            assert_int_equal(scan_with(k, guarded(text, n)), JSON_OK);
            assert_int_equal(members[0].key.n, length);
            assert_int_equal(members[0].key_hash, json_key_hash(members[0].key));
            assert_int_equal(!!(members[0].flags & JSON_KEY_DOTTED),
                             memchr(text + 2, '.', length) != NULL);
        }
    }
}

/* ---- numbers ---- */

static void test_number_fits(void **state)
{
    static const struct {
        const char *number;
        bool fits;
    } cases[] = {{"0", true},
                 {"-0", true},
                 {"999999999999999999", true},
                 {"9223372036854775807", true},
                 {"9223372036854775808", false},
                 {"-9223372036854775808", true},
                 {"-9223372036854775809", false},
                 {"10000000000000000000", false},
                 {"18446744073709551615", false},
                 {"18446744073709551616", false},
                 {"9223372036854775808.0", true},
                 {"1e308", true},
                 {"1.7976931348623157e308", true},
                 {"1.7976931348623159e308", false},
                 {"1e309", false},
                 {"-1E+309", false},
                 {"1e400", false},
                 {"0e999999999999999999999", true},
                 {"1e-999999999999999999999", true},
                 {"1e999999999999999999999", false},
                 {"0.1", true}};
    char text[10001];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (json_number_fits(bytes_str(cases[i].number)) != cases[i].fits)
            fail_msg("%s", cases[i].number);
    /* Ten thousand digits, and fractions as long as they may be. */
    memset(text, '7', sizeof(text));
    assert_false(json_number_fits(bytes_of(text, 10000)));
    text[1] = '.';
    assert_true(json_number_fits(bytes_of(text, 1000)));
    assert_false(json_number_fits(bytes_of(text, 1001)));
    text[1] = '7';
    text[308] = '.';
    assert_true(json_number_fits(bytes_of(text, 400)));
    text[308] = '7';
    text[309] = '.';
    assert_false(json_number_fits(bytes_of(text, 400)));
}

/* ---- strings ---- */

/* RFC 8259, byte by byte. SIZE_MAX when s is no inside of a string. */
static size_t plain_unescape(const char *s, size_t n, char *to)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    size_t o = 0, i = 0;
    unsigned high = 0;

    while (i < n || high) {
        unsigned unit = 0;

        if (i + 1 < n && s[i] == '\\' && s[i + 1] == 'u') {
            char digits[5] = {0};
            char *stop;

            if (i + 6 > n)
                return SIZE_MAX;
            memcpy(digits, s + i + 2, 4);
            if (strspn(digits, "0123456789abcdefABCDEF") != 4)
                return SIZE_MAX;
            unit = (unsigned)strtoul(digits, &stop, 16);
        }
        if (high) {
            if (unit >= 0xdc00 && unit <= 0xdfff) {
                unsigned c = 0x10000 + (high - 0xd800) * 0x400 + (unit - 0xdc00);

                to[o++] = (char)(0xf0 | c >> 18);
                to[o++] = (char)(0x80 | (c >> 12 & 63));
                to[o++] = (char)(0x80 | (c >> 6 & 63));
                to[o++] = (char)(0x80 | (c & 63));
                i += 6;
                high = 0;
                continue;
            }
            memcpy(to + o, UTF8_REPLACEMENT, 3);
            o += 3;
            high = 0;
            continue;
        }
        if (s[i] != '\\') {
            to[o++] = s[i++];
        } else if (i + 1 < n && s[i + 1] == 'u') {
            i += 6;
            if (unit >= 0xd800 && unit <= 0xdbff) {
                high = unit;
            } else if (unit >= 0xdc00 && unit <= 0xdfff) {
                memcpy(to + o, UTF8_REPLACEMENT, 3);
                o += 3;
            } else if (unit < 0x80) {
                to[o++] = (char)unit;
            } else if (unit < 0x800) {
                to[o++] = (char)(0xc0 | unit >> 6);
                to[o++] = (char)(0x80 | (unit & 63));
            } else {
                to[o++] = (char)(0xe0 | unit >> 12);
                to[o++] = (char)(0x80 | (unit >> 6 & 63));
                to[o++] = (char)(0x80 | (unit & 63));
            }
        } else {
            const char *name = i + 1 < n && s[i + 1] ? strchr(names, s[i + 1]) : NULL;

            if (name == NULL)
                return SIZE_MAX;
            to[o++] = values[name - names];
            i += 2;
        }
    }
    return o;
}

static void check_unescape(const char *s, size_t n)
{
    static char expected[4096], got[4096 + 40];
    size_t length = plain_unescape(s, n, expected);
    struct bytes in = guarded(s, n);

    EACH_KERNEL(k)
    {
        memset(got, 0x5a, sizeof(got));
        if (k->unescape(in, got) != length)
            fail_msg("%s: %.*s", k->name, (int)n, s);
        if (length != SIZE_MAX)
            assert_memory_equal(got, expected, length);
        /* No more than the room that was promised. */
        for (size_t i = n + 32; i < n + 40; i++)
            assert_int_equal(got[i], 0x5a);
    }
    assert_int_equal(json_unescaped_length(in), length);
}

static void test_unescape(void **state)
{
    static const char *const insides[] = {
        "",
        "a",
        "\\n",
        "\\u0041",
        "\\u00e9\\u20ac",
        "\\ud83d\\ude00",
        "\\ud83d",
        "\\ude00",
        "\\ud83d\\ud83d\\ude00",
        "\\ud83dx",
        "\\ud83d\\n",
        "\\u0000",
        "\\",
        "\\u",
        "\\u123",
        "\\x",
        "a\\",
        "\\\\",
        "\\\\\\",
        "\\\\n",
        "\\\"",
        "\\ud83d\\ude0",
        "\\ud83d\\",
        "\\ud83d\\x",
        "raw\t\xff",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(insides); i++)
        check_unescape(insides[i], strlen(insides[i]));
}

static void test_unescape_random(void **state)
{
    static const char *const pieces[] = {"\\\"",
                                         "\\\\",
                                         "\\\\\\\"",
                                         "\\n",
                                         "\\/",
                                         "\\u0041",
                                         "\\ud83d\\ude00",
                                         "\\ud83d",
                                         "a",
                                         "bc",
                                         "def",
                                         "\xc3\xa9",
                                         "ghijklmnopqrstuvwxyz",
                                         "{",
                                         ":",
                                         "\\\\",
                                         "\\\"",
                                         "\\\""};
    char s[2048];

    (void)state;
    for (int round = 0; round < 30000; round++) {
        /* Some with nothing but what Docker's JSON in JSON has, some with everything; some broken.
         */
        unsigned kinds = round % 3 ? 3 : ARRAY_LEN(pieces), count = rnd(80);
        size_t n = 0;

        for (unsigned i = 0; i < count; i++) {
            const char *piece =
                rnd(2) ? pieces[rnd(kinds)] : pieces[8 + rnd(ARRAY_LEN(pieces) - 8)];

            memcpy(s + n, piece, strlen(piece));
            n += strlen(piece);
        }
        check_unescape(s, n);
        if (n > 0) {
            s[rnd((unsigned)n)] = "\\x\"u"[rnd(4)];
            check_unescape(s, rnd((unsigned)n) + 1);
        }
    }
}

static void test_string_end(void **state)
{
    static const struct {
        const char *text;
        int end; /* -1 none */
        uint8_t flags;
    } cases[] = {
        {"\"", 0, 0},
        {"", -1, 0},
        {"abc", -1, 0},
        {"abc\"def", 3, 0},
        {"a\\\"b\"", 4, JSON_VALUE_ESCAPED},
        {"a\\\\\"b\"", 3, JSON_VALUE_ESCAPED},
        {"a\\\\\\\"b\"", 6, JSON_VALUE_ESCAPED},
        {"\\", -1, 0},
        {"\\\"", -1, 0},
        {"\\x\"", -1, 0},
        {"\\u12\"34\"", -1, 0},
        {"\\u1234\"", 6, JSON_VALUE_ESCAPED},
        {"\\ud800\"", 6, JSON_VALUE_ESCAPED | JSON_NEEDS_REWRITE},
        {"\\ud83d\\ude00\"", 12, JSON_VALUE_ESCAPED},
        {"\\ud83d\\ud83d\\ude00\"", 18, JSON_VALUE_ESCAPED | JSON_NEEDS_REWRITE},
        {"\\ude00\\ud83d\"", 12, JSON_VALUE_ESCAPED | JSON_NEEDS_REWRITE},
        {"\x01\"", 1, JSON_NEEDS_REWRITE},
        {"\xff\"", 1, JSON_NEEDS_REWRITE},
        {"\xc3\xa9\"", 2, 0},
        {"\xc3\"\xa9", 1, JSON_NEEDS_REWRITE},
        {"ab\"\x01\xff\\", 2, 0}, /* what lies behind does not matter */
    };
    char text[400];

    (void)state;
    EACH_KERNEL(k)
    {
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            /* At every distance from the beginning, to cross every block boundary. */
            for (size_t before = 0; before < 140; before++) {
                size_t n = before + strlen(cases[i].text);
                uint8_t flags = 0;

                memset(text, 'x', before);
                memcpy(text + before, cases[i].text, n - before);

                struct bytes in = guarded(text, n);
                const char *end = k->string_end(in.p, in.p + n, &flags);
                ptrdiff_t at = end == NULL ? -1 : end - in.p - (ptrdiff_t)before;

                if (at != cases[i].end || (end != NULL && flags != cases[i].flags))
                    fail_msg("%s: %s behind %zu: %zd, %d", k->name, cases[i].text, before, at,
                             flags);
            }
        }
    }
}

static void test_escape(void **state)
{
    static const struct {
        const char *raw, *escaped;
        bool repaired;
    } cases[] = {{"", "", false},
                 {"plain", "plain", false},
                 {"\"\\/", "\\\"\\\\/", false},
                 {"\n\r\t", "\\n\\r\\t", false},
                 {"\x01\x1f\x7f", "\\u0001\\u001f\x7f", false},
                 {"\xc3\xa9\xf0\x9f\x98\x80", "\xc3\xa9\xf0\x9f\x98\x80", false},
                 {"\xff", "\xef\xbf\xbd", true},
                 {"\xc3", "\xef\xbf\xbd", true},
                 {"\xe2\x82x", "\xef\xbf\xbd\xef\xbf\xbdx", true},
                 {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", true}};
    char text[400], got[3000], expected[3000];

    (void)state;
    EACH_KERNEL(k)
    {
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            for (size_t before = 0; before < 70; before++) {
                bool repaired = false;
                size_t n = before + strlen(cases[i].raw);

                memset(text, 'x', before);
                memcpy(text + before, cases[i].raw, n - before);
                memset(expected, 'x', before);
                strcpy(expected + before, cases[i].escaped);

                size_t length = k->escape(guarded(text, n), got, &repaired);

                assert_int_equal(length, strlen(expected));
                assert_memory_equal(got, expected, length);
                assert_int_equal(repaired, cases[i].repaired);
            }
        }
    }
}

static void test_utf8(void **state)
{
    char text[80];

    (void)state;
    /* Every first pair and a sample of what follows, at the places around a vector's end. */
    for (unsigned a = 0x7f; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            static const char *const rest[] = {"", "\x80", "\xbf\x80", "x", "\x80\x80\x80"};

            for (size_t r = 0; r < ARRAY_LEN(rest); r++) {
                char s[8];
                size_t n = (size_t)snprintf(s, sizeof(s), "%c%c%s", (char)a, 'x', rest[r]), at = 0;

                s[1] = (char)b;
                while (at < n && utf8_length(s + at, n - at) > 0)
                    at += utf8_length(s + at, n - at);

                static const size_t places[] = {0, 14, 15, 29, 30, 31, 61, 62, 63};

                for (size_t p = 0; p < ARRAY_LEN(places); p++) {
                    memset(text, 'x', sizeof(text));
                    memcpy(text + places[p], s, n);
                    EACH_KERNEL(k)
                    {
                        size_t whole = places[p] + n;

                        if (k->utf8_valid(guarded(text, whole).p, whole) != (at == n))
                            fail_msg("%s: %02x %02x and %zu at %zu", k->name, a, b, r, places[p]);
                    }
                }
            }
        }
    }
}

/* ---- an object inside a string ---- */

static unsigned long scanned_escaped; /* how often the quick way was taken */

/* What comes of a text that stands inside a string must be what comes of the text; `behind` follows
 * it up to the string's end. Only what json_string_end calls clean may be taken at all. */
static void check_scan_escaped_before(const char *s, size_t n, const char *behind)
{
    static struct json_keys_seen seen; /* what was there before must not matter */
    static struct json_member expected[64], got[64];
    static char decoded[4096], to[4096];
    size_t n_expected = 0, n_got = 0, length, whole;
    bool expected_duplicate = false, got_duplicate = false, valid;
    enum json_result result = JSON_INVALID;
    uint8_t flags = 0;
    char quoted[2048];

    if (seen.object == 0)
        json_keys_seen_init(&seen);
    memcpy(quoted, s, n);
    whole = n + (size_t)sprintf(quoted + n, "%s", behind);
    memset(quoted + whole, '"', 1 + JSON_REACH);
    if (json_has_control(bytes_of(s, n)) || !json_kernel_swar.utf8_valid(s, n))
        return; /* is not to be handed in */
    valid = json_string_end(quoted, quoted + whole + 1, &flags) == quoted + whole &&
            !(flags & JSON_NEEDS_REWRITE);
    length = json_unescape(bytes_of(s, n), decoded);
    if (length != SIZE_MAX)
        result = json_scan(bytes_of(decoded, length), expected, ARRAY_LEN(expected), &n_expected,
                           &expected_duplicate);

    struct bytes in = guarded(quoted, whole + 1 + JSON_REACH);

    in.n = n;
    EACH_KERNEL(k)
    {
        memset(to, 0x5a, sizeof(to));

        bool taken = k->scan_escaped(in, to, &seen, got, ARRAY_LEN(got), &n_got, &got_duplicate);

        for (size_t i = n + JSON_REACH; i < n + JSON_REACH + 64; i++)
            if (to[i] != 0x5a)
                fail_msg("%s: wrote at %zu + %zu: %.*s", k->name, n, i - n, (int)n, s);
        if (!taken)
            continue;
        scanned_escaped++;
        if (!valid || result != JSON_OK)
            fail_msg("%s: %d, %d for %.*s", k->name, valid, (int)result, (int)n, s);
        assert_int_equal(n_got, n_expected);
        assert_int_equal(got_duplicate, expected_duplicate);
        for (size_t i = 0; i < n_got; i++) {
            if (!bytes_equal(got[i].key, expected[i].key) ||
                !bytes_equal(got[i].value, expected[i].value) || got[i].type != expected[i].type ||
                (got[i].flags & ~JSON_KEY_PLAIN) != expected[i].flags ||
                got[i].key_hash != expected[i].key_hash)
                fail_msg("%s: member %zu of %.*s", k->name, i, (int)n, s);
            assert_true(got[i].key.p > to && got[i].value.p + got[i].value.n <= to + n);
        }
    }
}

static void check_scan_escaped(const char *s, size_t n)
{
    check_scan_escaped_before(s, n, "");
    check_scan_escaped_before(s, n, "\\n");
}

/* What loggers write must go the quick way, on every kernel. */
static void test_scan_escaped_takes(void **state)
{
    static const char *const insides[] = {
        "{\\\"a\\\":1}",
        "{\\\"a\\\":\\\"b\\\",\\\"c\\\":true,\\\"d\\\":null,\\\"e\\\":-1.5e3,\\\"f\\\":false}",
        "{\\\"a\\\": \\\"b\\\", \\\"c\\\": 2, \\\"d\\\": [1, 2]}",
        "{\\\"a\\\":\\\"b \\\\\\\"c\\\\\\\" d\\\",\\\"e\\\":1}",
        "{\\\"a\\\":\\\"\\\\ud83d\\\\ude00\\\",\\\"e\\\":1}",
        "{\\\"a\\\":\\\"\\ud83d\\ude00 \\u2028\\\",\\\"e\\\":1}",
        "{\\\"a\\\":\\\"\\\\n\\\\t\\\\u00e9\\\\\\\\\\\",\\\"e\\\":1}",
        "{\\\"a\\\":\\\"x\\u003cb\\u003e\\\",\\\"e\\\":1}",
        "{\\\"a\\\":{\\\"b\\\":[1,{\\\"c\\\":\\\"d\\\"}]},\\\"e\\\":\\\"f\\\"}",
        "{\\\"a key that is longer than any vector is\\\":1,\\\"b\\\":\\\"x\\\"}",
        "{\\\"a\\\":\\\"a value that is longer than any vector is\\\",\\\"b\\\":\\\"x\\\"}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(insides); i++) {
        unsigned long before = scanned_escaped, usable = 0;

        EACH_KERNEL(k)
        {
            usable += k != NULL;
        }
        check_scan_escaped(insides[i], strlen(insides[i]));
        check_scan_escaped(insides[i], strlen(insides[i]));
        if (scanned_escaped - before != 4 * usable)
            fail_msg("not taken: %s", insides[i]);
    }
}

static void test_scan_escaped(void **state)
{
    static const char *const insides[] = {
        "",
        "{",
        "{}",
        "{ }",
        "{\\n}",
        "text",
        "{\\\"a\\\":1}",
        "{\\\"a\\\":1,\\\"a\\\":2}",
        "{\\\"a\\\":\\\"b\\\",\\\"c\\\":true,\\\"d\\\":null,\\\"e\\\":-1.5e3}",
        "{\\\"a\\\":\\\"b \\\\\\\"c\\\\\\\" d\\\",\\\"e\\\":1}",
        "{\\\"a\\\":\\\"\\\\n\\\\t\\\\u00e9\\\\\\\\\\\",\\\"e\\\":1}",
        "{\\\"a\\\":\\\"\\\\ud800\\\",\\\"e\\\":1}",
        "{\\\"a\\\":\\\"\\\\u12\\\",\\\"e\\\":1}",
        "{\\\"a\\\":\\\"\\\\q\\\",\\\"e\\\":1}",
        "{\\\"a\\\":\\\"x\\n\\\",\\\"e\\\":1}",
        "{\\\"a\\\":\\\"x\\u003cb\\u003e\\\",\\\"e\\\":1}",
        "{\\\"a\\\":\\\"x\\u0022,\\u0022b\\\":1}",
        "{\\\"a\\\":\\\"x\\u005c\\\"y\\\"}",
        "{\\\"a\\\":\\\"x\\/y\\\"}",
        "{\\\"a\\\":{\\\"b\\\":[1,{\\\"c\\\":\\\"d\\\"}]},\\\"e\\\":\\\"f\\\"}",
        "{\\\"x\\\":1,\\\"a\\\":{\\\"b\\\":[1,{\\\"c\\\":\\\"d\\\"}]},\\\"x\\\":\\\"f\\\"}",
        "{\\\"a.b\\\":1,\\\"\\\\u0061\\\":2,\\\"a\\\":3}",
        "{\\\"a\\\":3,\\\"\\\\u0061\\\":2}",
        "{\\\"a\\\":1,}",
        "{\\\"a\\\":1,\\\"b\\\"}",
        "{\\\"a\\\":1}}",
        "{\\\"a\\\":1} ",
        "{\\\"a\\\":1}\\r",
        "{\\\"a\\\":1,\\\"b\\\":}",
        "{\\\"a\\\":1,\\\"b\\\":\\\"}",
        "{\\\"a\\\":1,\\\"b\\\":truex}",
        "{\\\"a\\\":1, \\\"b\\\" : 2 }",
        "{\\\"a\\\":1,\\\"b\\\":1e400,\\\"c\\\":012}",
        "{\\\"a\\\":1,\\\"b\\\":\\\"\xc3\xa9\\\"}",
        "{\\\"a\\\":1,\\\"b\\\":\\\"\xc3\\\"}",
        "{\\\"a\\\":1,\\\"b\\\":\\\"\t\\\"}",
        "{\\\"a key that is longer than any vector is\\\":1,\\\"b\\\":\\\"x\\\"}",
        "{\\\"a\\\":\\\"a value that is longer than any vector is\\\",\\\"b\\\":\\\"x\\\"}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(insides); i++) {
        size_t n = strlen(insides[i]);
        char text[256];

        check_scan_escaped(insides[i], n);
        for (size_t cut = 0; cut < n; cut++)
            check_scan_escaped(insides[i], cut);
        /* Another byte at each place. */
        for (size_t at = 0; at < n; at++)
            for (const char *c = "\\\"{}[],:u0 \t\x80"; *c; c++) {
                memcpy(text, insides[i], n);
                text[at] = *c;
                check_scan_escaped(text, n);
            }
    }
}

/* Keys that share a place among those seen, and one that is there twice behind others. */
static void test_scan_escaped_keys(void **state)
{
    char text[1024];

    (void)state;
    for (int round = 0; round < 20000; round++) {
        size_t n = (size_t)sprintf(text, "{");
        unsigned count = 1 + rnd(40), twice = rnd(4) ? UINT_MAX : rnd(count), base = rnd(100);

        for (unsigned i = 0; i < count; i++)
            n += (size_t)sprintf(text + n, "%s\\\"k%s%u\\\":%u", i ? "," : "", i % 2 ? "_" : "",
                                 i && i == twice ? base : base + 7 * i, i);
        text[n++] = '}';
        check_scan_escaped(text, n);
    }
}

static void test_scan_escaped_random(void **state)
{
    static const char *const tokens[] = {"\\\"a\\\":",
                                         "\\\"bc\\\":",
                                         "\\\"x\\\"",
                                         "1",
                                         "-2.5",
                                         "true",
                                         ",",
                                         "{",
                                         "}",
                                         "[",
                                         "]",
                                         "\\\"\\\\\\\"\\\"",
                                         "\\\"\\\\n\\\"",
                                         "\\n",
                                         "\\u003c",
                                         "null",
                                         ",\\\"d\\\":",
                                         ",\\\"e\\\":\\\"",
                                         "\\\"",
                                         "\\\\",
                                         "text",
                                         "\\u0022",
                                         " "};
    char text[512];

    (void)state;
    for (int round = 0; round < 200000; round++) {
        size_t n = (size_t)sprintf(text, "{\\\"k\\\":%s", tokens[2 + rnd(4)]);

        for (unsigned i = 1 + rnd(10); i > 0; i--)
            n += (size_t)sprintf(text + n, "%s", tokens[rnd(4) ? rnd(6) : rnd(ARRAY_LEN(tokens))]);
        text[n++] = '}';
        check_scan_escaped(text, n);
    }
}

/* ---- rewriting ---- */

static struct strbuf rewritten;
static bool repaired_flag;

static void rewrite(const char *p, size_t n)
{
    strbuf_clear(&rewritten);
    repaired_flag = false;

    char *to = strbuf_room(&rewritten, json_rewrite_bound(n));

    rewritten.n = json_rewrite(guarded(p, n), to, &repaired_flag);
    assert_true(rewritten.n <= json_rewrite_bound(n));
}

static void test_rewrite(void **state)
{
    static const struct {
        const char *from, *to;
        bool repaired;
    } cases[] = {
        {"1.50", "1.50", false},
        {"\"a\\u0041\\/\"", "\"a\\u0041\\/\"", false},
        {"{\"a\":[1,2.0,-0,1e5,true,false,null,\"x\"]}",
         "{\"a\":[1,2.0,-0,1e5,true,false,null,\"x\"]}", false},
        {" [ 1 ,\n{ } ] ", "[1,{}]", false},
        {"\"\t\x01\"", "\"\\t\\u0001\"", false},
        {"\"\xff\"", "\"\xef\xbf\xbd\"", true},
        {"\"\\ud800\"", "\"\xef\xbf\xbd\"", true},
        {"\"\\ud83d\\ude00\"", "\"\\ud83d\\ude00\"", false},
        {"18446744073709551616", "\"18446744073709551616\"", false},
        {"[-1e400,1]", "[\"-1e400\",1]", false},
        {"{\"a\":1,\"a\":2}", "{\"a\":2}", false},
        {"{\"a\":1,\"b\":2,\"a\":3}", "{\"b\":2,\"a\":3}", false},
        {"{\"a\":1,\"b\":2,\"a\":3,\"c\":4,\"b\":5,\"a\":6}", "{\"c\":4,\"b\":5,\"a\":6}", false},
        {"{\"a\":1,\"\\u0061\":2}", "{\"a\":2}", false},
        {"{\"a\":{\"x\":1,\"x\":{\"y\":1,\"y\":2}},\"b\":[{\"z\":1,\"z\":[]}]}",
         "{\"a\":{\"x\":{\"y\":2}},\"b\":[{\"z\":[]}]}", false},
        {"{\"a\":{\"b\":1},\"b\":2}", "{\"a\":{\"b\":1},\"b\":2}", false},
        {"{\"a\":1,\"A\":2,\"a_\":3}", "{\"a\":1,\"A\":2,\"a_\":3}", false},
        {"{\"\":1}", "{\"_\":1}", false},
        {"{\"\":1,\"_\":2}", "{\"_\":2}", false},
        {"{\" \":1}", "{\"_\":1}", false},
        {"{\".a\":1,\"b..c\":2,\"d.\":3,\"e.f\":4,\".\":5}",
         "{\"_a\":1,\"b__c\":2,\"d_\":3,\"e.f\":4,\"_\":5}", false},
        {"{\"k\\\"\\n\\u0001\":1}", "{\"k\\\"\\n\\u0001\":1}", false},
        {"{\"\xff\":1,\"\xfe\":2}", "{\"\xef\xbf\xbd\":2}", true},
        {"[[[]],{\"a\":{}}]", "[[[]],{\"a\":{}}]", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        rewrite(cases[i].from, strlen(cases[i].from));
        assert_bytes(strbuf_bytes(&rewritten), cases[i].to);
        assert_int_equal(repaired_flag, cases[i].repaired);
    }
    strbuf_fini(&rewritten);
}

static void test_rewrite_many_keys(void **state)
{
    const size_t count = 100000, each = 21; /* bytes: ,"________________":1 */
    char *text = base_alloc(count * each + 2);
    size_t n = 0;

    (void)state;
    /* Each key twice, all alike when folded. */
    for (size_t i = 0; i < count; i++) {
        n += (size_t)sprintf(text + n, "%c\"", i == 0 ? '{' : ',');
        for (int bit = 0; bit < 16; bit++)
            text[n++] = (i % (count / 2)) >> bit & 1 ? '-' : '_';
        n += (size_t)sprintf(text + n, "\":%d", i >= count / 2);
    }
    text[n++] = '}';

    char *to = base_alloc(json_rewrite_bound(n));
    bool repaired = false;
    size_t length = json_rewrite(bytes_of(text, n), to, &repaired);

    /* The second half is left, in its order. */
    assert_int_equal(length, n - count / 2 * each);
    assert_int_equal(to[0], '{');
    assert_memory_equal(to + 1, text + n - (length - 1), length - 1);
    free(to);
    free(text);
}

/* The scanner gives up comparing so many keys, without taking long about it. */
static void test_scan_many_nested_keys(void **state)
{
    const int count = 40000;
    char *text = base_alloc((size_t)count * 21 + 30);
    size_t n = (size_t)sprintf(text, "{\"few\":{\"a\":1},\"many\":");

    (void)state;
    for (int i = 0; i < count; i++) {
        n += (size_t)sprintf(text + n, "%c\"", i == 0 ? '{' : ',');
        for (int bit = 0; bit < 16; bit++)
            text[n++] = i >> bit & 1 ? '-' : '_';
        n += (size_t)sprintf(text + n, "\":1");
    }
    n += (size_t)sprintf(text + n, "}}");
    EACH_KERNEL(k)
    {
        assert_int_equal(scan_with(k, guarded(text, n)), JSON_OK);
        assert_int_equal(n_members, 2);
        assert_int_equal(members[0].flags, 0);
        assert_int_equal(members[1].flags, JSON_NEEDS_REWRITE);
    }
    free(text);
}

/* Whatever was rewritten needs it no more. */
static void test_rewritten_is_clean(void **state)
{
    static const char *const tokens[] = {"{\"a\":",
                                         "{\"\":",
                                         "{\"\\u0061\":",
                                         "{\".\":",
                                         "[",
                                         "]",
                                         "}",
                                         ",",
                                         "\"a\"",
                                         "\"\t\"",
                                         "\"\xff\"",
                                         "\"\\ud800\"",
                                         "1e999",
                                         "12345678901234567890",
                                         "1",
                                         "null",
                                         ",\"a\":",
                                         ",\"b\":",
                                         ",\"\":",
                                         ",\"_\":",
                                         ",\"\\ud800\":",
                                         ",\"\xfe\":",
                                         "\n",
                                         " "};
    char text[512];
    int clean = 0;

    (void)state;
    for (int round = 0; round < 400000; round++) {
        unsigned count = 1 + rnd(9);
        size_t n = (size_t)sprintf(text, "{\"k\":");

        for (unsigned i = 0; i < count; i++)
            n += (size_t)sprintf(text + n, "%s", tokens[rnd(ARRAY_LEN(tokens))]);
        text[n++] = '}';
        if (json_scan(bytes_of(text, n), members, 64, &n_members, &duplicate) != JSON_OK)
            continue;
        rewrite(text, n);

        struct strbuf again = {0};
        strbuf_add(&again, rewritten.p, rewritten.n);
        assert_int_equal(json_scan(strbuf_bytes(&again), members, 64, &n_members, &duplicate),
                         JSON_OK);
        assert_false(duplicate);
        for (size_t i = 0; i < n_members; i++)
            assert_false(members[i].flags & JSON_NEEDS_REWRITE);
        strbuf_fini(&again);
        clean++;
    }
    assert_true(clean > 1000);
    strbuf_fini(&rewritten);
}

/* ---- looking up ---- */

static void test_find(void **state)
{
    struct json_member m;
    struct bytes o =
        guarded_str("{ \"id\" : \"x\\\"}\" , \"request\":{\"id\":{\"id\":7}},\n\"n\":1.5,"
                    "\"id2\":[1,{\"id\":3}],\"last\":null}");

    (void)state;
    assert_true(json_find(o, "id", &m));
    assert_bytes(m.value, "\"x\\\"}\"");
    assert_int_equal(m.type, JSON_STRING);
    assert_int_equal(m.flags, JSON_VALUE_ESCAPED);
    assert_int_equal(m.key_hash, json_key_hash(BYTES_LITERAL("id")));
    assert_true(json_find(o, "request", &m));
    assert_bytes(m.value, "{\"id\":{\"id\":7}}");
    assert_true(json_find(m.value, "id", &m));
    assert_bytes(m.value, "{\"id\":7}");
    assert_true(json_find(o, "last", &m));
    assert_int_equal(m.type, JSON_NULL);
    assert_true(json_find(o, "n", &m));
    assert_bytes(m.value, "1.5");
    assert_false(json_find(o, "ID", &m));
    assert_false(json_find(o, "i", &m));
    assert_false(json_find(guarded_str("{}"), "id", &m));
    assert_false(json_find(guarded_str("[1]"), "id", &m));
    assert_true(json_find(guarded_str("{\"a\":1,\"a\":2}"), "a", &m));
    assert_bytes(m.value, "2");
    assert_true(json_find(guarded_str("{\"a\":1e999}"), "a", &m));
    assert_int_equal(m.flags, JSON_NEEDS_REWRITE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_blanks),
        cmocka_unit_test(test_valid_and_invalid_values),
        cmocka_unit_test(test_objects_that_are_none),
        cmocka_unit_test(test_truncated_at_each_byte),
        cmocka_unit_test(test_each_byte_at_each_place),
        cmocka_unit_test(test_random_tokens),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_many_members),
        cmocka_unit_test(test_duplicate_keys),
        cmocka_unit_test(test_duplicates_among_many),
        cmocka_unit_test(test_what_needs_rewriting),
        cmocka_unit_test(test_key_hash_folds),
        cmocka_unit_test(test_key_hash_of_every_length),
        cmocka_unit_test(test_number_fits),
        cmocka_unit_test(test_unescape),
        cmocka_unit_test(test_unescape_random),
        cmocka_unit_test(test_string_end),
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_scan_escaped_takes),
        cmocka_unit_test(test_scan_escaped),
        cmocka_unit_test(test_scan_escaped_keys),
        cmocka_unit_test(test_scan_escaped_random),
        cmocka_unit_test(test_rewrite),
        cmocka_unit_test(test_rewrite_many_keys),
        cmocka_unit_test(test_scan_many_nested_keys),
        cmocka_unit_test(test_rewritten_is_clean),
        cmocka_unit_test(test_find),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
