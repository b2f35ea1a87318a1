/* Origins: the service that labels and names give, and the parts of a document that they render. */
#include "parsers/origin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct label {
    const char *name, *value;
};

static struct bytes get(void *arg, const char *name)
{
    for (const struct label *l = arg; l->name; l++)
        if (strcmp(l->name, name) == 0)
            return bytes_str(l->value);
    return BYTES_NONE;
}

static void assert_bytes(struct bytes s, const char *want)
{
    if (!bytes_is(s, want))
        fail_msg("\"%.*s\" is not \"%s\"", (int)s.n, s.p, want);
}

static void test_service(void **state)
{
    static const struct {
        struct label labels[4];
        const char *container, *image, *guess, *label;
    } cases[] = {
        {{{"barge.service", "a"}, {"com.docker.compose.service", "b"}}, "c", "d", "b", "a"},
        {{{"com.docker.swarm.service.name", "shop_api"}, {"com.docker.compose.service", "api"}},
         "shop_api.1.xyz",
         "i",
         "shop_api",
         ""},
        {{{"io.kubernetes.container.name", "web"}, {"com.docker.compose.service", "api"}},
         "c",
         "i",
         "web",
         ""},
        {{{"com.docker.compose.service", "orders"}, {"com.docker.compose.project", "shop"}},
         "shop-orders-1",
         "i",
         "orders",
         ""},
        {{{NULL, NULL}}, "shop-orders-12", "i", "shop-orders", ""},
        {{{NULL, NULL}}, "shop_orders_1", "i", "shop_orders", ""},
        {{{NULL, NULL}}, "mysql8", "i", "mysql8", ""},
        {{{NULL, NULL}}, "-1", "i", "-1", ""},
        {{{NULL, NULL}}, "42", "i", "42", ""},
        {{{NULL, NULL}}, "", "registry:5000/team/orders:1.4@sha256:abcd", "orders", ""},
        {{{NULL, NULL}}, "", "nginx:1.25", "nginx", ""},
        {{{NULL, NULL}}, "", "nginx", "nginx", ""},
        {{{NULL, NULL}}, "", "sha256:abcd", "", ""},
        {{{NULL, NULL}}, "", "", "", ""},
        {{{"com.docker.compose.service", ""}}, "web-1", "", "web", ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct origin_facts f = {.container_name = bytes_str(cases[i].container),
                                 .image_name = bytes_str(cases[i].image)};
        struct origin *o;

        origin_guess_service(&f, get, (void *)(uintptr_t)cases[i].labels);
        assert_bytes(f.service_guess, cases[i].guess);
        assert_bytes(f.service_label, cases[i].label);
        o = origin_create(&f);
        assert_bytes(origin_service(o), cases[i].label[0] ? cases[i].label : cases[i].guess);
        origin_free(o);
    }
}

static void test_rendered(void **state)
{
    struct origin_facts f = {.container_id = BYTES_LITERAL("9c"),
                             .container_name = BYTES_LITERAL("a\"b\n\xff"),
                             .image_name = BYTES_LITERAL("i"),
                             .service_label = BYTES_LITERAL("s\\"),
                             .host_name = BYTES_LITERAL("h")};
    struct origin *o = origin_create(&f);

    (void)state;
    assert_bytes(o->container,
                 "\"id\":\"9c\",\"name\":\"a\\\"b\\n\xef\xbf\xbd\",\"image\":{\"name\":\"i\"}");
    assert_bytes(o->host, ",\"host\":{\"name\":\"h\"}");
    assert_bytes(o->service_label, "s\\\\");
    assert_bytes(origin_service(o), "s\\");
    origin_free(o);

    f = (struct origin_facts){.image_name = BYTES_LITERAL("i")};
    o = origin_create(&f);
    assert_bytes(o->container, "\"image\":{\"name\":\"i\"}");
    assert_int_equal(o->host.n, 0);
    origin_free(o);

    f = (struct origin_facts){
        .kubernetes = {.uid = BYTES_LITERAL("u"), .node = BYTES_LITERAL("n")}};
    o = origin_create(&f);
    assert_bytes(o->kubernetes, "\"pod\":{\"uid\":\"u\"},\"node\":{\"name\":\"n\"}");
    origin_free(o);

    f = (struct origin_facts){.container_id = BYTES_NONE};
    o = origin_create(&f);
    assert_int_equal(o->container.n, 0);
    assert_int_equal(o->kubernetes.n, 0);
    assert_int_equal(origin_service(o).n, 0);
    origin_free(o);
    origin_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_service),
        cmocka_unit_test(test_rendered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
