/* Redaction: what is found and what is left, kind by kind; rules, places, forms of text. */
#include "agent/base/metrics.h"
#include "agent/base/strbuf.h"
#include "parsers/json.h"
#include "parsers/redact.h"
#include "parsers/redact_find.h"
#include "parsers/redact_scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define KEY BYTES_LITERAL("0123456789abcdef0123456789abcdef")

/* HMAC-SHA-256 under KEY, the first half, as openssl dgst -hmac says. */
#define OLA "email_18c7cbe3e974d85eb7fa67be768f1875" /* of ola@example.com */

/* Numbers by the rules of the schemes: 17.05.1990, individual number 101 and so on; check digits
 * worked out by hand. */
#define PERSON "17059010182"
#define CARD "4012345678901239"

/* ---- helpers ---- */

static struct redact_rule all_masked = {(char *)"", REDACT_KINDS, REDACT_MASK};

static struct redact *create(struct redact_rule **rules, char **except)
{
    static char *none[] = {NULL};
    struct redact_settings s = {(char *)"", rules, except ? except : none};
    struct error e;
    struct redact *r = redact_create(&s, KEY, &e);

    if (!r)
        fail_msg("%s", e.text);
    return r;
}

static struct redact *create_masking(void)
{
    struct redact_rule *rules[] = {&all_masked, NULL};

    return create(rules, NULL);
}

/* {"message":"TEXT"} */
static void make_document(struct strbuf *to, const char *text)
{
    strbuf_clear(to);
    strbuf_add_str(to, "{\"message\":");
    strbuf_add_json(to, bytes_str(text));
    strbuf_add_char(to, '}');
}

static void redact(struct redact *r, struct strbuf *document)
{
    strbuf_room(document, REDACT_ROOM);
    document->n = redact_document(r, document->p, document->n, document->n + REDACT_ROOM,
                                  (struct redact_own){0, 0});
}

static void assert_redacted(struct redact *r, const char *document, const char *want)
{
    struct strbuf b = {0};

    strbuf_add_str(&b, document);
    redact(r, &b);
    if (!bytes_is(strbuf_bytes(&b), want))
        fail_msg("%s\nbecame %.*s\nand not %s", document, (int)b.n, b.p, want);
    strbuf_fini(&b);
}

static void assert_text(struct redact *r, const char *text, const char *want)
{
    struct strbuf document = {0}, wanted = {0};

    make_document(&document, text);
    make_document(&wanted, want);
    strbuf_add_char(&document, '\0');
    assert_redacted(r, document.p, wanted.p);
    strbuf_fini(&document);
    strbuf_fini(&wanted);
}

struct text_case {
    const char *text, *want; /* NULL: it stays */
};

/* Each text alone, and with other text around it; what was masked is not found again. */
static void run_cases(const struct text_case *c, size_t n)
{
    static const char *const around[][2] = {
        {"", ""},   {"user ", " came"},    {"(", ")"}, {"\n", "\nnext"}, {"\"", "\","},
        {"<", ">"}, {"\u00e5 ", " \u00e5"}};
    struct redact *r = create_masking();

    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < ARRAY_LEN(around); k++) {
            const char *want = c[i].want ? c[i].want : c[i].text;
            struct strbuf a = {0}, b = {0};

            strbuf_printf(&a, "%s%s%s", around[k][0], c[i].text, around[k][1]);
            strbuf_printf(&b, "%s%s%s", around[k][0], want, around[k][1]);
            assert_text(r, a.p, b.p);
            assert_text(r, b.p, b.p);
            strbuf_fini(&a);
            strbuf_fini(&b);
        }
    redact_free(r);
}

/* ---- kinds ---- */

static void test_email(void **state)
{
    static const struct text_case cases[] = {
        {"ola@example.com", "<email>"},
        {"Ola.Nordmann+shop@mail.example.co.uk", "<email>"},
        {"o'neil_2@sub-domain.example.no", "<email>"},
        {"\u00f8ystein@b\u00e6r.example.no", "<email>"},
        {"a@b.xn--p1ai", "<email>"},
        {"mailto:ola@example.com", "mailto:<email>"},
        {"email=ola@example.com", "email=<email>"},
        {"GET /u?email=ola%40example.com&x=1", "GET /u?email=<email>&x=1"},
        {"email=ola%2Bshop%40example.com", "email=<email>"},
        {"q=%22ola%40example.com%22", "q=%22<email>%22"},
        {"ola@example.com,kari@example.com;x", "<email>,<email>;x"},
        {"Mail ola@example.com.", "Mail <email>."},
        {"...ola@example.com", "...<email>"},
        {"ola@example.com.1", "<email>.1"},
        {"git@github.example.com:team/repo", "<email>:team/repo"},
        {"{mail: ola\\u0040example.com}", "{mail: <email>}"},
        /* near misses */
        {"ola@localhost", NULL},
        {"@example.com", NULL},
        {"ola@", NULL},
        {"ola@.com", NULL},
        {"ola @ example.com", NULL},
        {"com.example.Order@1a2b3c4d", NULL},
        {"left-pad@1.3.0", NULL},
        {"@scope/pkg@4.17.21", NULL},
        {"GET /img/logo@2x.png", NULL},
        {"root@10.0.0.0", NULL},
        {"image@sha256:0123456789abcdef", NULL},
        {"50 % 40.5", NULL},
    };
    (void)state;
    run_cases(cases, ARRAY_LEN(cases));
}

static void test_ip(void **state)
{
    static const struct text_case cases[] = {
        {"192.0.2.17", "192.0.2.0"},
        {"255.255.255.255", "255.255.255.0"},
        {"192.0.2.17:8080", "192.0.2.0:8080"},
        {"http://192.0.2.17/x", "http://192.0.2.0/x"},
        {"/192.0.2.17:40312", "/192.0.2.0:40312"},
        {"db.example.com/192.0.2.17:5432", "db.example.com/192.0.2.0:5432"},
        {"192.0.2.17.", "192.0.2.0."},
        {"192.0.2.17-192.0.2.19", "192.0.2.0-192.0.2.0"},
        {"192.0.2.17/32", "192.0.2.0/32"},
        {"ip=192.0.2.17,x", "ip=192.0.2.0,x"},
        {"192.000.002.017", "192.0.2.0"},
        {"2001:db8:85a3::8a2e:370:7334", "2001:db8:85a3::"},
        {"2001:0db8:85a3:0000:0000:8a2e:0370:7334", "2001:db8:85a3::"},
        {"2001:DB8:85A3:1:2:3:4:5", "2001:db8:85a3::"},
        {"[2001:db8::1]:443", "[2001:db8::]:443"},
        {"fe80::1ff:fe23:4567:890a%eth0", "fe80::%eth0"},
        {"2001:db8::1: refused", "2001:db8::: refused"},
        {"::ffff:192.0.2.17", "::ffff:192.0.2.0"},
        {"client=2001:db8:1:2::3.", "client=2001:db8:1::."},
        {"addr:2001:db8::7", "addr:2001:db8::"},
        /* near misses */
        {"1.2.3", NULL},
        {"1.2.3.4567", NULL},
        {"1.2.3.256", NULL},
        {"1.2.3.4.5", NULL},
        {"v1.2.3.4", NULL},
        {"version 1.2.3.4", NULL},
        {"app_version=\"1.2.3.4\"", NULL},
        {"1.2.3.4-beta", NULL},
        {"1.2.3.4_5", NULL},
        {"Chrome/120.0.0.0 Safari/537.36", NULL},
        {"Chrome/120.0.6099.71", NULL},
        {"1.3.6.1.4.1.311", NULL},
        {"127.0.0.1:9200", NULL},
        {"0.0.0.0:80", NULL},
        {"10.0.0.0/8", NULL},
        {"::1", NULL},
        {"[::]:80", NULL},
        {"2018-11-23T09:00:00.123Z", NULL},
        {"09:00:00,123", NULL},
        {"00:1b:44:11:3a:b7", NULL},
        {"std::vector<a::b>", NULL},
        {"Fade::add", NULL},
        {"Foo::Bar::Baz::1", NULL},
        {"sha256:01:23:45:67:89:ab:cd:ef:01:23", NULL},
        {"2001:db8", NULL},
        {"1:2:3:4:5:6:7:8:9", NULL},
        {"a::b::1", NULL},
    };
    (void)state;
    run_cases(cases, ARRAY_LEN(cases));
}

static void test_card(void **state)
{
    static const struct text_case cases[] = {
        {CARD, "<card>"},
        {"4012 3456 7890 1239", "<card>"},
        {"4012-3456-7890-1239", "<card>"},
        {"4012345678901234565", "<card>"},
        {"5101234567890126", "<card>"},
        {"2221012345678902", "<card>"},
        {"370123456789017", "<card>"},
        {"3701 234567 89017", "<card>"},
        {"36012345678901", "<card>"},
        {"6011012345678907", "<card>"},
        {"62012345678901237", "<card>"},
        {"3528012345678900", "<card>"},
        {"pan=" CARD ";", "pan=<card>;"},
        {CARD "," CARD, "<card>,<card>"},
        {CARD " " CARD, "<card> <card>"},
        {"2018 4012 3456 7890 1239", "2018 <card>"},
        /* near misses */
        {"4012345678901238", NULL}, /* Luhn's digit */
        {"4012 3456 7890 1238", NULL},
        {"4012 3456-7890 1239", NULL}, /* two separators */
        {"40 12 34 56 78 90 12 39", NULL},
        {"401234567890123", NULL},
        {"9012345678901230", NULL},    /* nobody's prefix, right digit */
        {"1543000000000140891", NULL}, /* nanoseconds */
        {"1543000000000144", NULL},
        {"x" CARD, NULL},
        {CARD "x", NULL},
        {CARD "_1", NULL},
        {"1" CARD, NULL},
        {"0." CARD, NULL},
        {CARD ".5", NULL},
        {"1-4012-3456-7890-1239-1", NULL},
        {"f47ac10b-58cc-4372-a567-0e02b2c3d479", NULL},
        {"12345678-1234-1234-1234-123456789012", NULL},
        {"4bf92f3577b34da6a3ce929d0e0e4736", NULL},
        {"40123456789012394012345678901239", NULL},
        {"trace_id=" CARD, NULL},
        {"dd.span_id: " CARD, NULL},
        {"X-Request-ID: " CARD, NULL},
        {"requestId\":\"" CARD, NULL},
        {"2018-11-23 09:00:00", NULL},
        {"2018-11-23 0900", NULL},
    };
    (void)state;
    run_cases(cases, ARRAY_LEN(cases));
}

static void test_national_id(void **state)
{
    static const struct text_case cases[] = {
        {PERSON, "<national_id>"},
        {"170590 10182", "<national_id>"},
        {"170590-10182", "<national_id>"},
        {"57059010095", "<national_id>"}, /* D-number */
        {"17459010084", "<national_id>"}, /* month + 40 */
        {"17859010067", "<national_id>"}, /* month + 80 */
        {"57859010050", "<national_id>"}, /* both */
        {"fnr:" PERSON ",", "fnr:<national_id>,"},
        {PERSON " " PERSON, "<national_id> <national_id>"},
        /* near misses */
        {"17059010181", NULL}, /* the second check digit */
        {"17059010107", NULL}, /* the first, and the second made to fit it */
        {"00059010182", NULL},
        {"17139010182", NULL},
        {"1705901018", NULL},
        {"170590101821", NULL},
        {"+" PERSON, NULL},
        {"a" PERSON, NULL},
        {"0." PERSON, NULL},
        {PERSON ".7", NULL},
        {"request_id=" PERSON, NULL},
        {"1-170590-10182", NULL},
        {"1543000000", NULL},
        {"1543000000000", NULL},
    };
    (void)state;
    run_cases(cases, ARRAY_LEN(cases));
}

#define JWT                                                                                        \
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"

static void test_token(void **state)
{
    static const struct text_case cases[] = {
        {"Authorization: Bearer abc", "Authorization: Bearer <token>"},
        {"Authorization: Bearer mF_9.B5f-4.1JqM", "Authorization: Bearer <token>"},
        {"bearer mF9B5f41JqM==", "bearer <token>"},
        {"BEARER\t0123456789", "BEARER\t<token>"},
        {"Bearer " JWT, "Bearer <token>"},
        {JWT, "<token>"},
        {"jwt=" JWT "; Path=/", "jwt=<token>; Path=/"},
        {"eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.", "<token>"},
        /* Aladdin:open sesame, from RFC 7617 */
        {"Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Authorization: Basic <token>"},
        {"GET /cb?access_token=abc&state=1", "GET /cb?access_token=<token>&state=1"},
        {"api_key='k 1' x", "api_key='<token>' x"},
        {"X-Api-Key=k1", "X-Api-Key=<token>"},
        {"?token=abc", "?token=<token>"},
        /* near misses */
        {"Bearer authentication failed", NULL},
        {"the bearer of bad news", NULL},
        {"Basic Latin and Basic English", NULL},
        {"Basic authentication", NULL},
        {"basic YWJjZGVm", NULL}, /* no user:password in it */
        {"forbearer 0123456789", NULL},
        {"eyJhbGciOiJIUzI1NiJ9", NULL},
        {"eyJhbGciOiJIUzI1NiJ9.eyJ", NULL},
        {"xeyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.x", NULL},
        {"tokens=12", NULL},
        {"token_count=12", NULL},
        {"base database", NULL},
    };
    (void)state;
    run_cases(cases, ARRAY_LEN(cases));
}

static void test_password(void **state)
{
    static const struct text_case cases[] = {
        {"postgres://app:s3cret@db.example.com:5432/shop",
         "postgres://app:<password>@db.example.com:5432/shop"},
        {"amqp://app:p@ss:w@rd@mq/", "amqp://app:<password>@mq/"},
        {"redis://:hemmelig@cache:6379/0", "redis://:<password>@cache:6379/0"},
        {"url=https://u:p@h", "url=https://u:<password>@h"},
        {"\"https:\\/\\/u:p@h\\/\"", "\"https:\\/\\/u:<password>@h\\/\""},
        {"postgres://app:a-" CARD "-b@db/", "postgres://app:<password>@db/"},
        {"POST /login?user=ola&password=hemmelig&x=1",
         "POST /login?user=ola&password=<password>&x=1"},
        {"db_password=\"to ord\" next", "db_password=\"<password>\" next"},
        {"userPassword=x", "userPassword=<password>"},
        {"client_secret=abc,", "client_secret=<password>,"},
        {"pwd=x", "pwd=<password>"},
        {"password==x", "password=<password>"},
        {"pass=x", "pass=<password>"},
        /* near misses */
        {"https://example.com:443/@user", NULL},
        {"https://example.com/a:b@c", NULL},
        {"https://u@h", NULL},
        {"https://u:@h", NULL},
        {"file:///a:b", NULL},
        {"bypass=1", NULL},
        {"password=", NULL},
        {"compass=north", NULL},
        {"{\"password=\":\"x\"}", NULL},
        {"a://b:c", NULL},
    };
    (void)state;
    run_cases(cases, ARRAY_LEN(cases));
}

/* Texts that hold several, and that meet the ends of the scan's blocks. */
static void test_every_place(void **state)
{
    static const char *const texts[][2] = {{"ola@example.com", "<email>"},
                                           {"192.0.2.17", "192.0.2.0"},
                                           {"2001:db8:1:2:3:4:5:6", "2001:db8:1::"},
                                           {"::abcd:1234", "::"},
                                           {CARD, "<card>"},
                                           {"4012 3456 7890 1239", "<card>"},
                                           {PERSON, "<national_id>"},
                                           {"Bearer 0123456789", "Bearer <token>"},
                                           {"x://u:p@h", "x://u:<password>@h"},
                                           {"pwd=x", "pwd=<password>"}};
    struct redact *r = create_masking();

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        for (size_t before = 0; before < 200; before++) {
            struct strbuf a = {0}, b = {0};

            for (size_t k = 0; k < before; k++) {
                strbuf_add_char(&a, "lorem ipsum "[k % 12]);
                strbuf_add_char(&b, "lorem ipsum "[k % 12]);
            }
            strbuf_printf(&a, " %s %s", texts[i][0], texts[i][0]);
            strbuf_printf(&b, " %s %s", texts[i][1], texts[i][1]);
            assert_text(r, a.p, b.p);
            strbuf_fini(&a);
            strbuf_fini(&b);
        }
    redact_free(r);
}

/* ---- the forms that text has in a document ---- */

static void test_escapes(void **state)
{
    static const char *const cases[][2] = {
        {"{\"a\":\"ola\\u0040example.com\"}", "{\"a\":\"<email>\"}"},
        {"{\"a\":\"\\u006fla@example.com \\u00e5\\ud83d\\ude00 kari@example.com\\n\"}",
         "{\"a\":\"<email> \\u00e5\\ud83d\\ude00 <email>\\n\"}"},
        {"{\"a\":\"x\\n192.0.2.17\\tb\"}", "{\"a\":\"x\\n192.0.2.0\\tb\"}"},
        {"{\"a\":\"\\u00e5" PERSON "\"}", "{\"a\":\"\\u00e5<national_id>\"}"},
        {"{\"a\":\"1705901\\u0030182\"}", "{\"a\":\"<national_id>\"}"},
        {"{\"a\":\"1705901\\u0061\"}", "{\"a\":\"1705901\\u0061\"}"},
        {"{\"a\":\"\\n" PERSON "\"}", "{\"a\":\"\\n<national_id>\"}"},
        {"{\"a\":\"\\b2001:db8::1\"}", "{\"a\":\"\\b2001:db8::\"}"},
        {"{\"a\":\"x:\\/\\/u:p\\u0040h@host\\/\"}", "{\"a\":\"x:\\/\\/u:<password>@host\\/\"}"},
        {"{\"a\":\"\\npass=x\"}", "{\"a\":\"\\npass=<password>\"}"},
        {"{\"a\":\"say \\\"Bearer 0123456789\\\"\"}", "{\"a\":\"say \\\"Bearer <token>\\\"\"}"},
        {"{\"ip\":\"::ffff:192.0.2.17\"}", "{\"ip\":\"::ffff:192.0.2.0\"}"},
    };
    struct redact *r = create_masking();

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_redacted(r, cases[i][0], cases[i][1]);
    redact_free(r);
}

static void test_numbers(void **state)
{
    static const char *const cases[][2] = {
        {"{\"pnr\":" PERSON "}", "{\"pnr\":\"<national_id>\"}"},
        {"{\"pan\":[1," CARD ",2]}", "{\"pan\":[1,\"<card>\",2]}"},
        {"{\"a\":-" PERSON ",\"b\":" CARD ".0,\"c\":" CARD "e1}",
         "{\"a\":-" PERSON ",\"b\":" CARD ".0,\"c\":" CARD "e1}"},
        {"{\"a\":\"{\\\"pnr\\\":" PERSON "}\"}", "{\"a\":\"{\\\"pnr\\\":\\\"<national_id>\\\"}\"}"},
    };
    struct redact_rule drop = {(char *)"", REDACT_KINDS, REDACT_DROP}, *dropping[] = {&drop, NULL};
    struct redact *r = create_masking();

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_redacted(r, cases[i][0], cases[i][1]);
    redact_free(r);
    r = create(dropping, NULL);
    assert_redacted(r, "{\"pnr\":" PERSON ",\"m\":\"a ola@example.com b\"}",
                    "{\"pnr\":null,\"m\":\"a  b\"}");
    redact_free(r);
}

/* JSON in strings of JSON: what is in it has its own escapes, which stay right. */
static void test_json_in_strings(void **state)
{
    static const char *const cases[][2] = {
        {"{\"event\":{\"original\":\"{\\\"to\\\":\\\"ola\\\\u0040example.com\\\"}\"}}",
         "{\"event\":{\"original\":\"{\\\"to\\\":\\\"<email>\\\"}\"}}"},
        {"{\"a\":\"[{\\\"b\\\":\\\"{\\\\\\\"c\\\\\\\":\\\\\\\"192.0.2.17\\\\\\\"}\\\"}] "
         "192.0.2.18\"}",
         "{\"a\":\"[{\\\"b\\\":\\\"{\\\\\\\"c\\\\\\\":\\\\\\\"192.0.2.0\\\\\\\"}\\\"}] "
         "192.0.2.0\"}"},
        {"{\"a\":\"{oops ola@example.com\"}", "{\"a\":\"{oops <email>\"}"},
        {"{\"a\":\"[192.0.2.17] GET\"}", "{\"a\":\"[192.0.2.0] GET\"}"},
        {"{\"a\":\"{\\\"b\\\":\\\"ola@example.com\\\",\\\"c\\\":oops kari@example.com}\"}",
         "{\"a\":\"{\\\"b\\\":\\\"<email>\\\",\\\"c\\\":oops <email>}\"}"},
    };
    struct redact *r = create_masking();

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_redacted(r, cases[i][0], cases[i][1]);
    redact_free(r);
}

/* ---- where ---- */

static void test_what_is_ours_stays(void **state)
{
    static const char document[] =
        "{\"@timestamp\":\"2018-11-23T09:00:00Z\",\"message\":\"ola@example.com\","
        "\"service\":{\"name\":\"orders\"},\"http\":{\"request\":{\"id\":\"" CARD "\"}},"
        "\"trace\":{\"id\":\"" CARD "\"},\"span\":{\"id\":\"" CARD "\"},"
        "\"container\":{\"id\":\"" CARD
        "\",\"name\":\"c-192.0.2.17\",\"image\":{\"name\":\"i:1.2.3.4\"},"
        "\"labels\":{\"owner\":\"ola@example.com\"}},\"host\":{\"name\":\"192.0.2.17\"},"
        "\"stream\":\"stdout\",\"event\":{\"sequence\":" PERSON "},\"tags\":[\"192.0.2.17\"],"
        "\"dd\":{\"trace_id\":" CARD "},\"parentId\":\"" CARD "\",\"app_version\":\"1.2.3.4\","
        "\"order\":\"" CARD "\"}";
    static const char want[] =
        "{\"@timestamp\":\"2018-11-23T09:00:00Z\",\"message\":\"<email>\","
        "\"service\":{\"name\":\"orders\"},\"http\":{\"request\":{\"id\":\"" CARD "\"}},"
        "\"trace\":{\"id\":\"" CARD "\"},\"span\":{\"id\":\"" CARD "\"},"
        "\"container\":{\"id\":\"" CARD
        "\",\"name\":\"c-192.0.2.17\",\"image\":{\"name\":\"i:1.2.3.4\"},"
        "\"labels\":{\"owner\":\"<email>\"}},\"host\":{\"name\":\"192.0.2.17\"},"
        "\"stream\":\"stdout\",\"event\":{\"sequence\":" PERSON "},\"tags\":[\"192.0.2.17\"],"
        "\"dd\":{\"trace_id\":" CARD "},\"parentId\":\"" CARD "\",\"app_version\":\"1.2.3.4\","
        "\"order\":\"<card>\"}";
    struct redact *r = create_masking();

    (void)state;
    assert_redacted(r, document, want);
    /* An id that is an address is no id. */
    assert_redacted(r, "{\"trace\":{\"id\":\"ola@example.com\"}}",
                    "{\"trace\":{\"id\":\"<email>\"}}");
    /* Names are not values. */
    assert_redacted(r, "{\"ola@example.com\":{\"" PERSON "\":1}}",
                    "{\"ola@example.com\":{\"" PERSON "\":1}}");
    redact_free(r);
}

static void test_except(void **state)
{
    struct redact_rule *rules[] = {&all_masked, NULL};
    char *except[] = {(char *)"order.*", (char *)"contact", NULL};
    struct redact *r = create(rules, except);

    (void)state;
    assert_redacted(
        r,
        "{\"order\":{\"no\":" PERSON ",\"ip\":\"192.0.2.17\"},\"contact\":\"ola@example.com\","
        "\"contacts\":\"ola@example.com\"}",
        "{\"order\":{\"no\":" PERSON ",\"ip\":\"192.0.2.17\"},\"contact\":\"ola@example.com\","
        "\"contacts\":\"<email>\"}");
    redact_free(r);
}

static void test_fields(void **state)
{
    struct redact_rule drop = {(char *)"user.password", REDACT_KINDS, REDACT_DROP},
                       mask = {(char *)"*.secret", REDACT_KINDS, REDACT_MASK},
                       headers = {(char *)"headers.*", REDACT_KINDS, REDACT_MASK},
                       first = {(char *)"keep.me", REDACT_KINDS, REDACT_MASK},
                       second = {(char *)"keep.*", REDACT_KINDS, REDACT_DROP};
    struct redact_rule *rules[] = {&drop, &mask, &headers, &first, &second, NULL};
    static const char *const cases[][2] = {
        {"{\"user\":{\"password\":\"x\"}}", "{\"user\":{}}"},
        {"{\"user\":{\"password\":\"x\",\"name\":\"ola\"}}", "{\"user\":{\"name\":\"ola\"}}"},
        {"{\"user\":{\"name\":\"ola\",\"password\":{\"a\":[1,\"]}\"]}},\"b\":1}",
         "{\"user\":{\"name\":\"ola\"},\"b\":1}"},
        {"{\"user\":{\"a\":1,\"password\":-1.5e3 , \"b\":2}}", "{\"user\":{\"a\":1 , \"b\":2}}"},
        {"{\"user\":[{\"password\":true},{\"password\":null,\"x\":0}]}",
         "{\"user\":[{},{\"x\":0}]}"},
        {"{\"User\":{\"PassWord\":\"x\"}}", "{\"User\":{}}"},
        {"{\"user.password\":\"x\",\"a\":1}", "{\"a\":1}"},
        {"{\"user\":{\"pass\\u0077ord\":\"x\"}}", "{\"user\":{}}"},
        {"{\"password\":\"x\",\"user\":{\"password2\":\"x\"}}",
         "{\"password\":\"x\",\"user\":{\"password2\":\"x\"}}"},
        {"{\"a\":{\"b\":{\"secret\":\"x\"}},\"secret\":\"y\"}",
         "{\"a\":{\"b\":{\"secret\":\"<redacted>\"}},\"secret\":\"y\"}"},
        {"{\"a\":{\"secret\":[\"x\",5,true,null,\"\",{\"k\":false}]}}",
         "{\"a\":{\"secret\":[\"<redacted>\",\"<redacted>\",\"<redacted>\",null,\"\",{\"k\":\"<"
         "redacted>\"}]}}"},
        {"{\"headers\":{\"cookie\":\"a\",\"x\":{\"y\":\"b\"}}}",
         "{\"headers\":{\"cookie\":\"<redacted>\",\"x\":{\"y\":\"<redacted>\"}}}"},
        {"{\"keep\":{\"me\":\"x\",\"not\":\"y\",\"nor\":\"z\"}}",
         "{\"keep\":{\"me\":\"<redacted>\"}}"},
        {"{\"keep\":{\"not\":\"y\",\"nor\":\"z\"}}", "{\"keep\":{}}"},
        {"{\"keep\":{\"not\":\"y\",\"me\":\"z\",\"nor\":\"z\"}}",
         "{\"keep\":{\"me\":\"<redacted>\"}}"},
        /* A record that could not be taken apart is text in these. */
        {"{\"message\":\"{\\\"user\\\":{\\\"password\\\":\\\"x\\\",\\\"a\\\":1}\"}",
         "{\"message\":\"{\\\"user\\\":{\\\"a\\\":1}\"}"},
        {"{\"event\":{\"original\":\"{\\\"a\\\":{\\\"secret\\\":5}}\"}}",
         "{\"event\":{\"original\":\"{\\\"a\\\":{\\\"secret\\\":\\\"<redacted>\\\"}}\"}}"},
        {"{\"body\":\"{\\\"secret\\\":5}\"}", "{\"body\":\"{\\\"secret\\\":\\\"<redacted>\\\"}\"}"},
    };
    struct redact *r = create(rules, NULL);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_redacted(r, cases[i][0], cases[i][1]);
    redact_free(r);
}

/* ---- pseudonyms ---- */

static void test_one_person_stays_one_person(void **state)
{
    struct redact_rule hash = {(char *)"", REDACT_KINDS, REDACT_HASH},
                       field = {(char *)"user", REDACT_KINDS, REDACT_HASH};
    struct redact_rule *rules[] = {&field, &hash, NULL};
    struct redact *r = create(rules, NULL);
    struct strbuf a = {0}, b = {0};

    (void)state;
    for (unsigned i = 0; i < 2; i++) /* computed, and remembered */
        assert_redacted(r,
                        "{\"m\":\"ola@example.com OLA@Example.com ola\\u0040example.com\","
                        "\"q\":\"?u=ola%40example.com\",\"user\":\"ola@example.com\"}",
                        "{\"m\":\"" OLA " " OLA " " OLA "\",\"q\":\"?u=" OLA "\",\"user\":\"" OLA
                        "\"}");
    strbuf_add_str(&a, "{\"a\":\"170590 10182\",\"b\":\"2001:db8::1\",\"c\":\"192.0.2.17\"}");
    strbuf_add_str(&b,
                   "{\"a\":\"" PERSON "\",\"b\":\"2001:0DB8:0::0:1\",\"c\":\"::ffff:192.0.2.17\"}");
    redact(r, &a);
    redact(r, &b);
    if (!bytes_equal(strbuf_bytes(&a), strbuf_bytes(&b)))
        fail_msg("%.*s is not %.*s", (int)a.n, a.p, (int)b.n, b.p);
    assert_non_null(memmem(a.p, a.n, "\"national_id_", 13));
    assert_non_null(memmem(a.p, a.n, "\"ip_", 4));
    strbuf_fini(&a);
    strbuf_fini(&b);
    redact_free(r);
}

/* ---- limits ---- */

/* With no room to grow, three asterisks stand for what would have been longer. */
static void test_no_room(void **state)
{
    struct redact_rule hash = {(char *)"", REDACT_KINDS, REDACT_HASH},
                       field = {(char *)"pin", REDACT_KINDS, REDACT_MASK};
    struct redact_rule *rules[] = {&field, &hash, NULL};
    struct redact *r = create(rules, NULL);
    char p[] = "{\"pin\":1,\"m\":\"a@b.no 192.0.2.17 \",\"t\":\"{\\\"n\\\":" PERSON "}\"}";
    static const char want[] = "{\"pin\":0,\"m\":\"*** *** \",\"t\":\"{\\\"n\\\":0}\"}";
    size_t n = redact_document(r, p, sizeof p - 1, sizeof p - 1, (struct redact_own){0, 0});

    (void)state;
    assert_true(bytes_is(bytes_of(p, n), want));
    redact_free(r);
}

static void test_counts(void **state)
{
    struct redact_rule field = {(char *)"pin", REDACT_KINDS, REDACT_DROP};
    struct redact_rule *rules[] = {&field, &all_masked, NULL};
    struct redact *r = create(rules, NULL);
    uint64_t email = metric_get(M_REDACTED_EMAIL), ip = metric_get(M_REDACTED_IP),
             fields = metric_get(M_REDACTED_FIELD);

    (void)state;
    assert_redacted(r, "{\"pin\":[1,2],\"m\":\"a@b.no b@b.no 192.0.2.17 192.0.2.0\"}",
                    "{\"m\":\"<email> <email> 192.0.2.0 192.0.2.0\"}");
    assert_int_equal(metric_get(M_REDACTED_EMAIL) - email, 2);
    assert_int_equal(metric_get(M_REDACTED_IP) - ip, 1);
    assert_int_equal(metric_get(M_REDACTED_FIELD) - fields, 1);
    redact_free(r);
}

/* Deep and long things end in a result, and in time. */
static void test_size(void **state)
{
    struct redact_rule any = {(char *)"a*", REDACT_KINDS, REDACT_MASK};
    struct redact_rule *rules[] = {&any, &all_masked, NULL};
    struct redact *r = create(rules, NULL);
    struct strbuf b = {0};

    (void)state;
    strbuf_add_str(&b, "{\"m\":\"");
    for (size_t i = 0; i < 100000; i++)
        strbuf_add_str(&b, i & 1 ? "[" : "{\\\"b\\\":");
    strbuf_add_str(&b, "ola@example.com\",\"n\":\"");
    for (size_t i = 0; i < 100000; i++)
        strbuf_add_str(&b, "1 ");
    for (size_t i = 0; i < 30000; i++)
        strbuf_add_str(&b, "a@b@c:d.e.f:1:2:");
    strbuf_add_str(&b, "\"}");
    redact(r, &b);
    assert_null(memmem(b.p, b.n, "ola@", 4));
    strbuf_fini(&b);
    redact_free(r);
}

static void test_rules_that_cannot_be(void **state)
{
    struct redact_rule hash = {(char *)"", REDACT_IP, REDACT_HASH},
                       ip = {(char *)"", REDACT_IP, REDACT_MASK};
    struct redact_rule *no_key[] = {&all_masked, &hash, NULL}, *twice[] = {&ip, &ip, NULL};
    char *none[] = {NULL};
    struct redact_settings s = {(char *)"", no_key, none};
    struct error e;

    (void)state;
    assert_null(redact_create(&s, BYTES_NONE, &e));
    assert_string_equal(e.text, "redact.rules[1].action: hash needs a key: redact.key_file");
    s.rules = twice;
    assert_null(redact_create(&s, BYTES_NONE, &e));
    assert_string_equal(e.text, "redact.rules[1].kind: a rule before says what becomes of it");
}

/* ---- the scan ---- */

static void assert_same_places(redact_scan_fill *other, struct bytes text)
{
    struct redact_scan a, b;

    redact_scan_begin(&a, text, true);
    redact_scan_begin(&b, text, true);
    for (;;) {
        bool more = redact_scan_fill_plain(&a);

        assert_int_equal(more, other(&b));
        if (!more)
            return;
        assert_ptr_equal(a.block, b.block);
        assert_true(a.rare == b.rare && a.digit == b.digit && a.dot == b.dot && a.colon == b.colon);
    }
}

static void test_kernels_agree(void **state)
{
    static const char letters[] = "0123456789 -..::@=%4\\u/yJbBeaASs\"\x01\x7f\xc3\xa5x";
    uint64_t dice = 42;

    (void)state;
    for (unsigned round = 0; round < 3000; round++) {
        char *text;
        size_t n;

        dice = dice * 6364136223846793005u + 1442695040888963407u;
        n = dice >> 33 & 255;
        text = base_alloc(n + 1); /* so that a sanitizer sees what is read beyond it */
        for (size_t i = 0; i < n; i++) {
            dice = dice * 6364136223846793005u + 1442695040888963407u;
            text[i] = round & 1 ? letters[(dice >> 33) % (sizeof letters - 1)] : (char)(dice >> 33);
        }
#ifdef __x86_64__
        assert_same_places(redact_scan_fill_sse2, bytes_of(text, n));
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2"))
            assert_same_places(redact_scan_fill_avx2, bytes_of(text, n));
#endif
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_email),
        cmocka_unit_test(test_ip),
        cmocka_unit_test(test_card),
        cmocka_unit_test(test_national_id),
        cmocka_unit_test(test_token),
        cmocka_unit_test(test_password),
        cmocka_unit_test(test_every_place),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_json_in_strings),
        cmocka_unit_test(test_what_is_ours_stays),
        cmocka_unit_test(test_except),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_one_person_stays_one_person),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_rules_that_cannot_be),
        cmocka_unit_test(test_kernels_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
